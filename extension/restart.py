"""Background jobs, which outlive a fault of ours."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from extension.log import describe, log_seldom

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

PAUSE_S = 1.0


async def keep_running(job: Callable[[], Coroutine[Any, Any, None]], pause_s: float = PAUSE_S) -> None:
    """Start a background job again when it fails: it must neither die quietly nor take the others with it."""
    while True:
        try:
            return await job()
        except Exception as error:  # noqa: BLE001 - see above
            log_seldom("ERROR", "background job failed, starting it again", reason=describe(error))
            await asyncio.sleep(pause_s)

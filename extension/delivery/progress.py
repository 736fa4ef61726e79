"""Waiting for a condition on what the queues hold, without polling."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Progress:
    """Whoever moves records says so by `made`; whoever waits looks again."""

    def __init__(self) -> None:
        self._made = asyncio.Event()

    def made(self) -> None:
        """Something has changed."""
        made, self._made = self._made, asyncio.Event()
        made.set()

    async def until(self, condition: Callable[[], bool], until: float) -> bool:
        """Wait for the condition, until the loop's time `until` at most; whether it holds."""
        try:
            async with asyncio.timeout_at(until):
                while not condition():
                    await self._made.wait()
        except TimeoutError:
            return condition()
        return True

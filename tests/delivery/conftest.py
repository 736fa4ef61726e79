from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.deliveries import Deliveries

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def deliveries(tmp_path: Path) -> AsyncIterator[Deliveries]:
    made = Deliveries(tmp_path / "spool")
    yield made
    await made.stop()

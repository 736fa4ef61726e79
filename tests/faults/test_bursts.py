from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.bursts import BURSTS, Burst, run

if TYPE_CHECKING:
    from pathlib import Path

SOME = 4  # cells; `make faults` runs them all


@pytest.mark.timeout(180)  # seconds; of a burst that is slowed down by a busy machine
@pytest.mark.parametrize("burst", BURSTS[:SOME], ids=", ".join)
async def test_live_sinks_get_every_line_of_a_burst(burst: Burst, layer: Path) -> None:
    """However many lines come at once, to however many sinks that answer: none is lost, anywhere."""
    assert await run(burst, layer) == []

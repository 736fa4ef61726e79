from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.matrix import COVER, WORLD, Cell, known, run
from tests.support.pairwise import pairs

if TYPE_CHECKING:
    from pathlib import Path

MARKED = [
    pytest.param(
        cell, id=", ".join(cell), marks=pytest.mark.xfail(strict=True, reason=why) if (why := known(cell)) else ()
    )
    for cell in COVER
]


@pytest.mark.parametrize("cell", MARKED)
async def test_the_function_is_safe_and_every_record_accounted_for(cell: Cell, layer: Path) -> None:
    """No invocation fails or is held too long, SHUTDOWN ends in time, and the ledger agrees with the sink."""
    assert await run(cell, layer) == []


def test_every_pair_of_faults_is_covered() -> None:
    """Any two values of two dimensions occur together in a cell that is run."""
    covered = {pair for cell in COVER for pair in pairs(cell)}
    assert covered == {pair for cell in WORLD for pair in pairs(cell)}

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.cells import run
from tests.faults.matrix import COVER, QUICK, WORLD, Cell
from tests.faults.promises import broken
from tests.support.pairwise import pairs

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.timeout(180)  # seconds; of 100,000 lines and their timeout, twice, on a busy machine
@pytest.mark.parametrize("cell", QUICK, ids=", ".join)
async def test_the_function_is_safe_and_every_record_accounted_for(cell: Cell, layer: Path) -> None:
    """No invocation fails or is held too long, SHUTDOWN ends in time, and the ledger agrees with the sink."""
    assert broken(await run(cell, layer)) == []


def test_every_pair_of_faults_is_covered() -> None:
    """Any two values of two dimensions occur together in a cell of the cover."""
    assert {pair for cell in COVER for pair in pairs(cell)} == {pair for cell in WORLD for pair in pairs(cell)}


def test_quick_cells_cover_every_pair_but_a_sink_with_a_freeze() -> None:
    """What is run in every run of the tests leaves out only some pairs of a sink and a freeze."""
    left = {pair for cell in WORLD for pair in pairs(cell)} - {pair for cell in QUICK for pair in pairs(cell)}
    dimensions = {(Cell._fields[first], Cell._fields[second]) for first, _, second, _ in left}
    assert dimensions == {("sink", "freeze")}

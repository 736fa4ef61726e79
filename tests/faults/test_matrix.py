from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.matrix import CELLS, KNOWN, OTHERS, PLAIN, TELLING, Cell, run
from tests.faults.pairwise import cover, pairs

if TYPE_CHECKING:
    from pathlib import Path

SINK = Cell._fields.index("sink")
COMBINED = [cell for cell in CELLS if cell.freeze in PLAIN]
COVER = cover(COMBINED) + cover(OTHERS, TELLING, leave_out=SINK)


def params() -> list[object]:
    """The cells, those that are known to fail marked so."""
    marks = {cell: pytest.mark.xfail(strict=True, reason=reason) for cell, reason in KNOWN.items()}
    return [pytest.param(cell, id=", ".join(cell), marks=marks.get(cell, ())) for cell in COVER]


@pytest.mark.parametrize("cell", params())
async def test_the_function_is_safe_and_every_record_accounted_for(cell: Cell, layer: Path) -> None:
    """No invocation fails or is held too long, SHUTDOWN ends in time, and the ledger agrees with the sink."""
    assert await run(cell, layer) == []


def test_every_pair_of_faults_is_covered() -> None:
    """Any two values of two dimensions occur together in a cell that is run, but for odd freezes with some sinks."""
    assert {pair for cell in COVER for pair in pairs(cell, SINK)} == {
        pair for cell in CELLS for pair in pairs(cell, SINK)
    }
    assert {pair for cell in COVER for pair in pairs(cell)} >= {pair for cell in COMBINED for pair in pairs(cell)}


def test_known_failures_are_cells_that_are_run() -> None:
    """A cell that is known to fail is one of the matrix."""
    assert set(KNOWN) <= set(CELLS)

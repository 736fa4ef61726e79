"""What is known to fail in the fault matrix, and why. A cell that is named here and passes is a failure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.faults.bursts import Burst
from tests.faults.matrix import LATE, SPINDOWN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.faults.matrix import Cell

TAKES = {"ok", "1 byte/s", "too late"}  # sinks in which records arrive


def known(cell: Cell | Burst) -> str:
    """Why a cell fails today; empty for one that must not."""
    if isinstance(cell, Burst):
        return "a chunk is taken in before room is looked at, reading goes on without room, and live sinks do not spill"
    if cell.freeze == "two copies" and cell.sink in TAKES:
        return "copies of a snapshot share their identity"
    if cell.freeze == "1 s, no clock" and cell.load != "none" and cell.sink not in {"ok", "1 byte/s"}:
        return "SHUTDOWN's deadline is believed although the wall clock stood still in a freeze"
    if cell.freeze == "20 min, wall clock" and cell.load == "300 invocations" and cell.sink == "ok":
        return "the rhythm of invocations comes from the monotonic clock alone"
    if cell.after_shutdown == LATE and cell.sink == "ok" and cell.ending == SPINDOWN:
        return "at SHUTDOWN silence is counted from the last data, so that it has lasted long enough already"
    return ""


def marked(cells: Sequence[Cell | Burst]) -> list[Any]:
    """The cells as parameters of a test; those that are known to fail have to."""
    marks = {cell: pytest.mark.xfail(strict=True, reason=why) for cell in cells if (why := known(cell))}
    return [pytest.param(cell, id=", ".join(cell), marks=marks.get(cell, ())) for cell in cells]

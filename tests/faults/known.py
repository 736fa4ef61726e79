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
    return ""


def marked(cells: Sequence[Cell | Burst]) -> list[Any]:
    """The cells as parameters of a test; those that are known to fail have to."""
    marks = {cell: pytest.mark.xfail(strict=True, reason=why) for cell in cells if (why := known(cell))}
    return [pytest.param(cell, id=", ".join(cell), marks=marks.get(cell, ())) for cell in cells]

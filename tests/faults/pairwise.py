"""A small set of combinations in which every pair of values of two dimensions occurs together at least once."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T", bound=tuple[str, ...])


def pairs(cell: tuple[str, ...], leave_out: int | None = None) -> set[tuple[int, str, int, str]]:
    """The pairs of values, with their dimensions, that a combination covers; one dimension may be left out."""
    dimensions = [dimension for dimension in range(len(cell)) if dimension != leave_out]
    return {(i, cell[i], j, cell[j]) for i, j in itertools.combinations(dimensions, 2)}


def cover(cells: Sequence[T], given: Sequence[T] = (), leave_out: int | None = None) -> list[T]:
    """Take greedily, after those given, what covers most of what is not covered yet; the same for every run."""
    missing = {pair for cell in cells for pair in pairs(cell, leave_out)}
    missing -= {pair for cell in given for pair in pairs(cell, leave_out)}
    chosen = list(given)
    while missing:
        best = max(cells, key=lambda cell: len(pairs(cell, leave_out) & missing))
        missing -= pairs(best, leave_out)
        chosen.append(best)
    return chosen

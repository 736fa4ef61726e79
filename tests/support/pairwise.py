"""A small set of combinations in which every pair of values of two dimensions occurs together at least once."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T", bound=tuple[str, ...])


def pairs(cell: tuple[str, ...]) -> set[tuple[int, str, int, str]]:
    """The pairs of values, with their dimensions, that a combination covers."""
    return {(i, cell[i], j, cell[j]) for i, j in itertools.combinations(range(len(cell)), 2)}


def cover(cells: Sequence[T]) -> list[T]:
    """Take greedily the combination that covers most of what is not covered yet; the same for every run."""
    covered = {cell: pairs(cell) for cell in cells}
    missing = {pair for cell in cells for pair in covered[cell]}
    chosen = []
    while missing:
        best = max(cells, key=lambda cell: len(covered[cell] & missing))
        missing -= covered[best]
        chosen.append(best)
    return chosen

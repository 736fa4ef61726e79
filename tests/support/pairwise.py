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


def cover(cells: Sequence[T], given: Sequence[T] = ()) -> list[T]:
    """Take greedily, after those given, what covers most of what is not covered yet; the same for every run."""
    numbers: dict[tuple[int, str, int, str], int] = {}  # sets of pairs are bits of an integer: ten times as fast
    covered = {cell: sum(1 << numbers.setdefault(pair, len(numbers)) for pair in pairs(cell)) for cell in cells}
    chosen = list(given)
    missing = (1 << len(numbers)) - 1
    for cell in given:
        missing &= ~covered[cell]
    while missing:
        best = max(cells, key=lambda cell: (covered[cell] & missing).bit_count())
        missing &= ~covered[best]
        chosen.append(best)
    return chosen

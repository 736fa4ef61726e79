"""How large the next batch may be: as the sink's limits say, or less while a refused record is searched for. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from extension.sinks import Limits

GROW_AFTER = 64  # batches taken in a row at a reduced size, before a larger one is tried
LARGE_BYTES = 64 << 10  # what is smaller is hardly ever refused for its size, or with 413 then


class BatchSize:
    """Searches by halves for the record that a destination refuses; learns the size of batch that it takes.

    A refused batch has one record at least that is to blame, or is too large. Its first half is tried, then what is
    left of it, and so on. Where in the end all parts of a large batch were taken, size was to blame: the largest part
    is remembered. A small batch met a refusal that has passed.
    """

    def __init__(self, limits: Limits) -> None:
        self._records = limits.records
        self._limit = self._max_bytes = limits.bytes
        self._suspects = 0  # how many of the next records were refused together
        self._is_large = False  # whether that was a batch large enough for its size to be to blame
        self._blamed = False  # whether one of them was refused alone
        self._largest = 0  # bytes of the largest part taken meanwhile
        self._in_a_row = 0

    def next(self) -> tuple[int, int]:
        """The most records and bytes of the next batch."""
        most = max(1, self._suspects // 2) if self._suspects else self._records
        return most, self._max_bytes

    def taken(self, count: int, size: int) -> None:
        """A batch of `count` records and `size` bytes was taken."""
        if self._suspects:
            self._largest = max(self._largest, size)
            self._suspects = max(0, self._suspects - count)
            if not self._suspects and self._is_large and not self._blamed:
                self._max_bytes = self._largest
        elif self._max_bytes < self._limit:
            self._in_a_row += 1
            if self._in_a_row >= GROW_AFTER:
                self._in_a_row = 0
                self._max_bytes = min(self._limit, 2 * self._max_bytes)

    def refused(self, count: int, size: int, *, too_large: bool) -> bool:
        """A batch was refused; whether it is to be tried in parts. `too_large`: the destination says so."""
        self._in_a_row = 0
        if count == 1:
            self._blamed = self._blamed or not too_large
            self._suspects = 0
            return False
        if too_large:
            self._max_bytes = max(1, size // 2)
            self._suspects = 0
            return True
        if not self._suspects:
            self._is_large, self._blamed, self._largest = size > LARGE_BYTES, False, 0
        self._suspects = count
        return True

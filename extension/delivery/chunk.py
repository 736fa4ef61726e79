"""Records that came together, with the sums that a queue needs, so that it need not look at each of them. A value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from extension.records import RECORD_OVERHEAD_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from extension.records import Record


class Chunk:
    """Records in the order of their sequences, one at least. Never changed, since all sinks share it.

    `size` is the memory they cost in bytes, `line_bytes` that of their lines alone, `longest` the longest of these.
    `arrived` is when the first of them came, in seconds of the forwarder's clock.
    """

    __slots__ = ("arrived", "kinds", "line_bytes", "longest", "records", "size")

    def __init__(self, records: Sequence[Record], arrived: float) -> None:
        lengths = [len(record.line) for record in records]
        self.records = records
        self.arrived = arrived
        self.line_bytes = sum(lengths)
        self.longest = max(lengths)
        self.size = self.line_bytes + len(lengths) * RECORD_OVERHEAD_BYTES
        self.kinds = {record.kind for record in records}

    @property
    def first_sequence(self) -> int:
        """The sequence of the oldest record."""
        return self.records[0].sequence

    def fitting(self, most: int, max_bytes: int, overhead: int) -> int:
        """How many of the first records fit into `max_bytes`, each counted with `overhead`; `most` at the most."""
        count = 0
        for record in self.records[:most]:
            max_bytes -= len(record.line) + overhead
            if max_bytes < 0:
                break
            count += 1
        return count

    def without(self, kind: str, size: int) -> tuple[list[Record], list[Record]]:
        """The oldest records of the kind that free `size` bytes of memory, and those that stay."""
        gone: list[Record] = []
        kept: list[Record] = []
        for record in self.records:
            if size > 0 and record.kind == kind:
                gone.append(record)
                size -= record.size
            else:
                kept.append(record)
        return gone, kept

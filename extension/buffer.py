"""What waits for one sink, bounded in bytes. The only place where records are dropped, and counted. No I/O, no clock."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from extension.records import Record

# Dropped in this order when memory runs out: a function's own lines are the last to go.
DROP_ORDER = ("extension", "platform", "other", "function")


class Buffer:
    """A queue of records for each class, read in order of arrival. `size` counts what was taken and not yet settled."""

    def __init__(self, max_bytes: int) -> None:
        self.size = 0
        self.dropped: dict[str, int] = {}
        self._max_bytes = max_bytes
        self._waiting: dict[str, deque[Record]] = {kind: deque() for kind in DROP_ORDER}

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def append(self, record: Record) -> None:
        """Take a record; make room by dropping the oldest of the least important class, at the worst the record itself."""
        size = record.size
        if size > self._max_bytes:
            self.drop([record], "larger than the buffer")
            return
        self._waiting[record.kind].append(record)
        self.size += size
        while self.size > self._max_bytes:
            self._drop_oldest()

    def take(self, max_records: int, max_bytes: int) -> list[Record]:
        """The oldest records, at most `max_records` and `max_bytes` of lines with newlines, but at least one if any waits.

        They still count in `size` until they are settled.
        """
        taken: list[Record] = []
        room = max_bytes
        while len(taken) < max_records and (queue := self._oldest()):
            room -= len(queue[0].line) + 1
            if room < 0 and taken:
                break
            taken.append(queue.popleft())
        return taken

    def settle(self, records: Iterable[Record]) -> None:
        """Forget taken records: they were delivered, or dropped."""
        self.size -= sum(record.size for record in records)

    def drop(self, records: list[Record], reason: str) -> None:
        """Count records that will not be delivered; the caller settles those it had taken."""
        self.dropped[reason] = self.dropped.get(reason, 0) + len(records)

    def _oldest(self) -> deque[Record] | None:
        waiting = [queue for queue in self._waiting.values() if queue]
        return min(waiting, key=_first_sequence) if waiting else None

    def _drop_oldest(self) -> None:
        queue = next(queue for kind in DROP_ORDER if (queue := self._waiting[kind]))
        record = queue.popleft()
        self.size -= record.size
        self.drop([record], "buffer full")


def _first_sequence(queue: deque[Record]) -> int:
    return queue[0].sequence

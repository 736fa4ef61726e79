"""What waits for one sink, bounded in bytes. The only place where records are dropped, and counted. Pure."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from extension.records import Record
    from extension.sinks import Limits

# Evicted in this order when memory runs out: a function's own lines are the last to go.
EVICTION_ORDER = ("extension", "platform", "other", "function")

FULL_SHARE = 0.25  # of the bound in use sends a batch although nobody asked for it


class Buffer:
    """A queue of records for each kind, read in order of arrival.

    `size` is the memory of all records not yet settled, those that were taken included, and never above `max_bytes`.
    `waiting_bytes` are the lines of those that wait.
    """

    def __init__(self, max_bytes: int) -> None:
        self.size = 0
        self.waiting_bytes = 0
        self.dropped: dict[str, int] = {}
        self._count = 0
        self.max_bytes = max_bytes
        self._waiting: dict[str, deque[Record]] = {kind: deque() for kind in EVICTION_ORDER}

    def __len__(self) -> int:
        return self._count

    @property
    def fullness(self) -> float:
        """Used memory as a share of the bound."""
        return self.size / self.max_bytes

    @property
    def oldest_sequence(self) -> int | None:
        """The sequence of the record that is read next."""
        return min((queue[0].sequence for queue in self._waiting.values() if queue), default=None)

    @property
    def newest_sequence(self) -> int:
        """The sequence of the record that came last, -1 if none waits."""
        return max((queue[-1].sequence for queue in self._waiting.values() if queue), default=-1)

    def append(self, record: Record) -> list[Record]:
        """Take a record; the records that had to make room: the oldest of the least important kind, or itself."""
        size = record.size
        if size > self.max_bytes:
            return [record]
        self._waiting[record.kind].append(record)
        self._count += 1
        self.size += size
        self.waiting_bytes += len(record.line)
        return self._evict() if self.size > self.max_bytes else []

    def is_full(self, limits: Limits) -> bool:
        """Whether a batch is full, or so much memory is in use that the rest is needed while a batch is sent."""
        waiting_bytes = self.waiting_bytes + self._count * limits.overhead
        return self._count >= limits.records or waiting_bytes >= limits.bytes or self.fullness >= FULL_SHARE

    def take(self, limits: Limits, at_least: int = 1) -> list[Record]:
        """The oldest records that make one batch, but `at_least` so many. In `size` they count until settled."""
        taken: list[Record] = []
        room = limits.bytes
        queues = [queue for queue in self._waiting.values() if queue]
        while queues and len(taken) < limits.records:
            queue = queues[0] if len(queues) == 1 else min(queues, key=_first_sequence)
            room -= len(queue[0].line) + limits.overhead
            if room < 0 and len(taken) >= at_least:
                break
            taken.append(self._pop(queue))
            if not queue:
                queues.remove(queue)
        return taken

    def settle(self, records: Iterable[Record]) -> None:
        """Forget records that were taken: their end is known."""
        self.size -= sum(record.size for record in records)

    def drop(self, records: list[Record], reason: str) -> None:
        """Count records that will not be delivered."""
        self.dropped[reason] = self.dropped.get(reason, 0) + len(records)

    def _pop(self, queue: deque[Record]) -> Record:
        record = queue.popleft()
        self._count -= 1
        self.waiting_bytes -= len(record.line)
        return record

    def _evict(self) -> list[Record]:
        evicted = []
        while self.size > self.max_bytes:
            record = self._pop(next(queue for queue in self._waiting.values() if queue))
            self.size -= record.size
            evicted.append(record)
        return evicted


def _first_sequence(queue: deque[Record]) -> int:
    return queue[0].sequence

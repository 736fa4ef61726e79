"""How records reach one sink: from its Buffer in batches to its Sender, until each one's end is known and counted.

It decides nothing about when: lifecycle asks for a flush. No flush waits for a sink that fails.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from extension.log import log_seldom
from extension.records import KINDS, RECORD_OVERHEAD_BYTES, Batch
from extension.sender import Sender, wait
from extension.sinks import Limits, Rejected

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from extension.buffer import Buffer
    from extension.records import Record
    from extension.sinks import Failure, Sink

MAX_LENT_BYTES = 2 << 20  # written to disk at once: for a moment it takes as much memory again
MAX_REFUSALS = 64  # sends spent on finding the records that a destination refuses, for each batch


class Delivery:
    """Delivers to one sink. `name` is its URL as printed; `batch_id` gives each batch its own.

    `sequence` numbers what other sinks hand over: here it comes in another order, and from several of them.
    """

    def __init__(
        self,
        name: str,
        sink: Sink,
        buffer: Buffer,
        types: Collection[str],
        batch_id: Callable[[], str],
        sequence: Callable[[], int],
    ) -> None:
        self.name = name
        self.buffer = buffer
        self.fallback: Delivery | None = None
        self.on_end: Callable[[list[Record]], object] = len  # is told of records whose end is known; len: nobody
        self._excluded_kinds = frozenset(KINDS) - frozenset(types)
        self._batch_id = batch_id
        self._sequence = sequence
        self._job: asyncio.Task[None] | None = None
        self._sending: list[Record] = []
        self._lent: list[Record] = []  # on their way to disk
        self._oldest_since = 0.0
        self._goal = -1  # records up to this sequence are to be sent now
        self._work = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._settled = asyncio.Event()  # idle, or not to be waited for
        self._settled.set()
        self.changed = asyncio.Event()  # the buffer fills, or a batch has come to its end
        self.sender = Sender(name, sink, self._settled.set)
        self.excluded = 0
        self.restored = 0
        self.delivered = 0
        self.fell_back = 0

    @property
    def pending(self) -> int:
        """Records in memory whose end is not known."""
        return len(self.buffer) + len(self._sending) + len(self._lent)

    @property
    def age_s(self) -> float:
        """How long the oldest record may have been waiting."""
        return time.monotonic() - self._oldest_since if self.pending else 0.0

    def offer(self, record: Record) -> None:
        """Take a record, unless the sink did not ask for its kind. Full batches leave by themselves."""
        if record.kind in self._excluded_kinds:
            self.excluded += 1
            return
        if not self.pending:
            self._oldest_since = time.monotonic()
        if evicted := self.buffer.append(record):
            self.give_up(evicted, "buffer full")
        if self.buffer.is_full(self.sender.limits):
            self._work.set()
            self.changed.set()

    def adopt(self, record: Record) -> None:
        """Take a record that another sink gave up."""
        self.offer(record._replace(sequence=self._sequence()))

    def request(self) -> None:
        """Have everything that waits now sent, without waiting for it."""
        if not self.pending:
            return
        self._goal = max(self._goal, self.buffer.newest_sequence)
        self._idle.clear()
        if self.sender.trusted:
            self._settled.clear()
        self._work.set()

    async def flush(self, timeout_s: float) -> bool:
        """Have everything sent and wait for it, `timeout_s` at most, and not at all for a sink that fails."""
        self.request()
        if await wait(self._settled, timeout_s):
            return self._idle.is_set()
        if timeout_s >= 0.05:  # else it had no chance
            self.sender.distrust(f"not done within {timeout_s:.3f} s")
        return False

    async def finish(self, timeout_s: float) -> None:
        """The last flush, at SHUTDOWN: every sink gets its chance, trusted or not, until the time is over."""
        self.sender.set_deadline(time.monotonic() + timeout_s)
        self.request()
        await wait(self._idle, timeout_s)

    def stop(self) -> list[Record]:
        """Send no more; the records whose end is not known, the one in a send among them, are the caller's."""
        if self._job is not None:
            self._job.cancel()
        left = [*self._sending, *self.buffer.take(Limits(len(self.buffer), 1 << 62))]
        self._sending = []
        return left

    def lend(self) -> list[Record]:
        """The oldest part of the buffer, to be written to disk; the caller settles it."""
        size = min(self.buffer.max_bytes // 2, MAX_LENT_BYTES)
        self._lent = self.buffer.take(Limits(len(self.buffer), size, overhead=RECORD_OVERHEAD_BYTES))
        return self._lent

    def restore(self, records: list[Record]) -> None:
        """Take records that were on disk, to be sent at once."""
        for record in records:
            if evicted := self.buffer.append(record):
                self.give_up(evicted, "buffer full")
        self.request()

    async def run(self) -> None:
        """Send what is due, for ever. Cancelled when the process ends."""
        self._job = asyncio.current_task()
        while True:
            await self._work.wait()
            self._work.clear()
            while self._is_due():
                self._sending = self.buffer.take(self.sender.limits)
                self._oldest_since = time.monotonic()
                try:
                    await self._deliver()
                except Exception as error:  # noqa: BLE001 - our own fault must not stop what comes after it
                    self._refuse(self._sending, f"internal error: {type(error).__name__}")
                self.changed.set()
            self._idle.set()
            self._settled.set()

    def _is_due(self) -> bool:
        oldest = self.buffer.oldest_sequence
        return oldest is not None and (oldest <= self._goal or self.buffer.is_full(self.sender.limits))

    async def _deliver(self) -> None:
        """Bring each of the records in `_sending` to its end: delivered, fallen back, or dropped and counted."""
        todo = [part] if (part := self._fitting(self._sending)) else []
        refusals = rounds = 0
        while todo:
            part = todo.pop()
            try:
                failures = await self.sender.send(Batch(self._batch_id(), part))
            except Rejected as error:
                refusals += 1
                if error.divisible and len(part) > 1 and refusals <= MAX_REFUSALS:
                    middle = len(part) // 2
                    todo += [part[middle:], part[:middle]]
                else:
                    self._refuse(part, str(error))
                continue
            if again := self._settle(part, failures):
                rounds = rounds + 1 if len(again) > len(part) // 2 else 1
                await self.sender.pause(rounds)
                todo.append(self._top_up(again))
                refusals = 0  # some were taken: a batch of its own

    def _fitting(self, records: list[Record]) -> list[Record]:
        """Those of the records that are not longer than the sink takes; the others are refused."""
        limit = self.sender.limits.record_bytes
        if oversize := [record for record in records if len(record.line) > limit]:
            self._refuse(oversize, f"longer than {limit} bytes")
        return [record for record in records if len(record.line) <= limit]

    def _top_up(self, records: list[Record]) -> list[Record]:
        """These records and those that are due, as room allows: else each partial failure is a request for a few."""
        limits = self.sender.limits
        used = sum(len(record.line) + limits.overhead for record in records)
        room = limits._replace(records=limits.records - len(records), bytes=limits.bytes - used)
        if not self._is_due():
            return records
        more = self.buffer.take(room, at_least=0)
        self._sending += more
        return records + self._fitting(more)

    def _settle(self, part: list[Record], failures: Sequence[Failure]) -> list[Record]:
        """Count what was delivered, refuse what was refused; the records that are to be sent again, in order."""
        failed = {failure.position: failure for failure in failures}
        done = [record for index, record in enumerate(part) if index not in failed]
        self.delivered += len(done)
        self.settle(done)
        refused: dict[str, list[Record]] = {}
        for failure in failed.values():
            if failure.permanent:
                refused.setdefault(failure.reason, []).append(part[failure.position])
        for reason, records in refused.items():
            self._refuse(records, reason)
        return [part[index] for index in sorted(failed) if not failed[index].permanent]

    def give_up(self, records: list[Record], reason: str) -> None:
        """Records, out of the buffer, that this sink will not get: they go to the fallback, or are counted."""
        self.on_end(records)
        if not records:
            return
        if self.fallback is None:
            self.buffer.drop(records, reason)
            return
        self.fell_back += len(records)
        for record in records:
            self.fallback.adopt(record.refused(self.name, reason))

    def settle(self, records: list[Record]) -> None:
        """Records that were taken from the buffer have come to their end."""
        gone = {record.sequence for record in records}
        self._sending = [record for record in self._sending if record.sequence not in gone]
        self._lent = [record for record in self._lent if record.sequence not in gone]
        self.buffer.settle(records)
        self.on_end(records)

    def _refuse(self, records: list[Record], reason: str) -> None:
        """Records of a send that this sink will never take."""
        log_seldom("WARN", "sink refuses records", sink=self.name, reason=reason)
        self.settle(records)
        self.give_up(records, reason)

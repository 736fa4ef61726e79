"""How records reach one sink: one Buffer, one Sink, one batch at a time, retried inside a deadline, all of it counted.

It decides nothing about when: lifecycle asks for a flush. A sink that fails loses our trust, and from then on no flush
waits for it, until it takes a batch again; its records wait in the buffer and are tried in the background.
"""

from __future__ import annotations

import asyncio
import random
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from extension.log import describe, log
from extension.records import KINDS, Batch
from extension.sinks import Busy, Rejected

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from extension.buffer import Buffer
    from extension.records import Record
    from extension.sinks import Failure, Sink

ATTEMPT_S = 5.0  # one send; a sink that needs longer for one batch is down
MAX_PAUSE_S = 10.0
TRUSTED_FAILURES = 3  # failures in a row before flushes stop waiting; a flush that ran out of time counts for all
KEPT_S = 30.0  # a connection idle for longer is not trusted: most servers and NATs forget it within a minute
TICK_S = 0.25
FROZEN_S = 1.0  # a tick that comes this late means that the process was stopped in between
MAX_SENDS = 3  # threads: the send that counts, and those that a freeze left hanging on dead connections
MAX_REFUSALS = 64  # sends spent on finding the records that a destination refuses, for each batch
SHUTDOWN_PAUSE_S = 0.1


class Delivery:
    """Delivers to one sink. `name` is its URL as printed; `batch_id` gives each batch its own; `clock` is monotonic."""

    def __init__(
        self,
        name: str,
        sink: Sink,
        buffer: Buffer,
        types: Collection[str],
        batch_id: Callable[[], str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.buffer = buffer
        self.fallback: Delivery | None = None
        self.latency_s = 0.0  # of recent sends, weighted to the latest
        self._sink = sink
        self._excluded_kinds = frozenset(KINDS) - frozenset(types)
        self._batch_id = batch_id
        self._clock = clock
        self._threads = ThreadPoolExecutor(MAX_SENDS, "send")
        self._sending: list[Record] = []
        self._oldest_since = 0.0
        self._goal = -1  # records up to this sequence are to be sent now
        self._deadline: float | None = None  # set once SHUTDOWN has begun
        self._failures = 0
        self._last_success = -KEPT_S
        self._work = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._settled = asyncio.Event()  # idle, or not to be waited for
        self._settled.set()
        self.excluded = 0
        self.delivered = 0
        self.fell_back = 0

    @property
    def trusted(self) -> bool:
        """Whether a flush may wait for this sink."""
        return self._failures < TRUSTED_FAILURES

    @property
    def pending(self) -> int:
        """Records not yet settled: waiting, or in a send."""
        return len(self.buffer) + len(self._sending)

    @property
    def age_s(self) -> float:
        """How long the oldest record may have been waiting."""
        return self._clock() - self._oldest_since if self.pending else 0.0

    def offer(self, record: Record) -> None:
        """Take a record, unless the sink did not ask for its kind. Full batches leave by themselves."""
        if record.kind in self._excluded_kinds:
            self.excluded += 1
            return
        if not self.pending:
            self._oldest_since = self._clock()
        if evicted := self.buffer.append(record):
            self._give_up(evicted, "buffer full")
        if self._is_full():
            self._work.set()

    def request(self) -> None:
        """Have everything that waits now sent, without waiting for it."""
        if not self.pending:
            return
        newest = self.buffer.newest_sequence
        self._goal = self._goal if newest is None else newest
        self._idle.clear()
        if self.trusted:
            self._settled.clear()
        self._work.set()

    async def flush(self, timeout_s: float) -> bool:
        """Have everything sent and wait for it, `timeout_s` at most, and not at all for a sink that fails."""
        self.request()
        if await _wait(self._settled, timeout_s):
            return self._idle.is_set()
        self._distrust(f"not done within {timeout_s:.3f} s", TRUSTED_FAILURES)
        return False

    async def finish(self, timeout_s: float) -> None:
        """The last flush, at SHUTDOWN: every sink gets its chance, trusted or not, until the time is over."""
        self._deadline = self._clock() + timeout_s
        self.request()
        self._work.set()
        await _wait(self._idle, timeout_s)

    async def run(self) -> None:
        """Send what is due, for ever. Cancelled when the process ends."""
        while True:
            await self._work.wait()
            self._work.clear()
            while self._is_due():
                limits = self._sink.limits
                self._sending = self.buffer.take(limits.records, limits.bytes, limits.overhead)
                self._oldest_since = self._clock()
                try:
                    await self._deliver()
                except Exception as error:  # noqa: BLE001 - our own fault must not stop what comes after it
                    self._refuse(self._sending, f"internal error: {describe(error)}")
            self._idle.set()
            self._settled.set()

    def account(self) -> dict[str, object]:
        """The ledger's entry: what became of every record that was offered."""
        return {
            "delivered": self.delivered,
            "fellBack": self.fell_back,
            "excluded": self.excluded,
            "dropped": dict(self.buffer.dropped),
            "pending": self.pending,
        }

    def _is_full(self) -> bool:
        limits = self._sink.limits
        waiting = len(self.buffer)
        waiting_bytes = self.buffer.waiting_bytes + waiting * (limits.overhead - 1)
        return waiting >= limits.records or waiting_bytes >= limits.bytes

    def _is_due(self) -> bool:
        oldest = self.buffer.oldest_sequence
        return oldest is not None and (oldest <= self._goal or self._is_full())

    async def _deliver(self) -> None:
        """Bring each of the records in `_sending` to its end: delivered, fallen back, or dropped and counted."""
        limit = self._sink.limits.record_bytes
        oversize = [record for record in self._sending if len(record.line) > limit]
        if oversize:
            self._refuse(oversize, f"longer than {limit} bytes")
        todo = [list(self._sending)] if self._sending else []
        refusals = rounds = 0
        while todo:
            part = todo.pop()
            try:
                failures = await self._send(Batch(self._batch_id(), part))
            except Rejected as error:
                refusals += 1
                if error.divisible and len(part) > 1 and refusals <= MAX_REFUSALS:
                    middle = len(part) // 2
                    todo += [part[middle:], part[:middle]]
                else:
                    self._refuse(part, str(error))
                continue
            if again := self._settle(part, failures):
                todo.append(again)
                rounds += 1
                await self._pause(rounds, 0.0)

    def _settle(self, part: list[Record], failures: Sequence[Failure]) -> list[Record]:
        """Count what was delivered, refuse what was refused; the records that are to be sent again, in order."""
        failed = {failure.position: failure for failure in failures}
        done = [record for index, record in enumerate(part) if index not in failed]
        self.delivered += len(done)
        self._forget(done)
        refused: dict[str, list[Record]] = {}
        for failure in failed.values():
            if failure.permanent:
                refused.setdefault(failure.reason, []).append(part[failure.position])
        for reason, records in refused.items():
            self._refuse(records, reason)
        return [part[index] for index in sorted(failed) if not failed[index].permanent]

    async def _send(self, batch: Batch) -> Sequence[Failure]:
        """One batch, again and again until the sink takes some of it or refuses it for good.

        The first failure is repeated at once on a fresh connection, since the kept one may have died in a freeze.
        """
        tries = 0
        while True:
            tries += 1
            if self._clock() - self._last_success > KEPT_S:
                self._sink.close()
            started = self._clock()
            asked_s = 0.0
            try:
                failures = await self._attempt(batch)
            except Rejected:
                self._trust(started)  # it answers
                raise
            except Busy as error:
                reason, asked_s = str(error), error.after_s
            except Exception as error:  # noqa: BLE001 - whatever a library raises, the batch is still ours
                if tries == 1:
                    self._sink.close()
                    continue
                reason = describe(error)
            else:
                if len(failures) < len(batch.records) or any(failure.permanent for failure in failures):
                    self._trust(started)
                    return failures
                reason = failures[0].reason
            self._distrust(reason, 1)
            await self._pause(tries, asked_s)

    async def _attempt(self, batch: Batch) -> Sequence[Failure]:
        """One send in a thread. When a freeze came in between, its connection is as good as dead: TimeoutError."""
        timeout_s = ATTEMPT_S
        if self._deadline is not None:
            timeout_s = max(0.1, min(timeout_s, self._deadline - self._clock()))
        send = asyncio.get_running_loop().run_in_executor(self._threads, self._sink.send, batch, timeout_s)
        while True:
            before = self._clock()
            done, _ = await asyncio.wait({send}, timeout=TICK_S)
            if done:
                return send.result()
            if self._clock() - before > TICK_S + FROZEN_S:
                send.add_done_callback(_ignore)
                raise TimeoutError("frozen in the middle of a send")

    async def _pause(self, tries: int, asked_s: float) -> None:
        """Full jitter, doubling ("Exponential Backoff And Jitter", AWS Architecture Blog). At SHUTDOWN it is short."""
        pause_s = max(asked_s, random.uniform(0.0, min(MAX_PAUSE_S, 0.1 * 2 ** min(tries, 10))))  # noqa: S311 - no secret
        until = self._clock() + pause_s
        while (left_s := until - self._clock()) > 0:
            if self._deadline is not None and not asked_s:
                left_s = min(left_s, SHUTDOWN_PAUSE_S)
                until = 0.0
            await _wait(self._work, left_s)
            self._work.clear()

    def _trust(self, started: float) -> None:
        now = self._clock()
        if not self.trusted:
            log("INFO", "sink takes records again", sink=self.name)
        self._failures = 0
        self._last_success = now
        self.latency_s = self.latency_s * 0.7 + (now - started) * 0.3 if self.latency_s else now - started

    def _distrust(self, reason: str, weight: int) -> None:
        was_trusted = self.trusted
        self._failures += weight
        if was_trusted and not self.trusted:
            self._settled.set()
            log("WARN", "sink fails; its records wait", sink=self.name, reason=reason, pending=self.pending)

    def _refuse(self, records: list[Record], reason: str) -> None:
        """Records of `_sending` that this sink will never take."""
        log("WARN", "sink refuses records", sink=self.name, reason=reason, records=len(records))
        self._give_up(records, reason)
        self._forget(records)

    def _give_up(self, records: list[Record], reason: str) -> None:
        if self.fallback is None:
            self.buffer.drop(records, reason)
            return
        self.fell_back += len(records)
        for record in records:
            self.fallback.offer(record.refused(self.name, reason))

    def _forget(self, records: list[Record]) -> None:
        gone = {record.sequence for record in records}
        self._sending = [record for record in self._sending if record.sequence not in gone]
        self.buffer.settle(records)


def _ignore(send: asyncio.Future[Sequence[Failure]]) -> None:
    if not send.cancelled():
        send.exception()


async def _wait(event: asyncio.Event, timeout_s: float) -> bool:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return False
    return True

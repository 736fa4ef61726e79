from __future__ import annotations

import asyncio
import itertools
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from extension.buffer import Buffer
from extension.delivery import MAX_REFUSALS, Delivery
from extension.records import KINDS, Batch, Record
from extension.sender import TRUSTED_FAILURES
from extension.sinks import Busy, Failure, Limits, Rejected

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence

WAIT_S = 30.0  # for what a test waits for; it fails after that
PAUSE_S = 0.01


class ScriptedSink:
    """A sink that does what a list says, once each, and then takes everything; it remembers what it took."""

    def __init__(self, *script: Exception | Callable[[Batch], Sequence[Failure]], limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.batches: list[Batch] = []
        self.closed = 0
        self._script = list(script)

    @property
    def taken(self) -> list[int]:
        return [record.sequence for batch in self.batches for record in batch.records]

    def send(self, batch: Batch, timeout_s: float) -> Sequence[Failure]:
        step = self._script.pop(0) if self._script else None
        if isinstance(step, Exception):
            raise step
        failures = step(batch) if step else ()
        failed = {failure.position for failure in failures or ()}
        kept = [record for position, record in enumerate(batch.records) if position not in failed]
        self.batches.append(Batch(batch.id, kept))
        return failures

    def close(self) -> None:
        self.closed += 1


class Down(ScriptedSink):
    """A sink that never answers."""

    def send(self, batch: Batch, timeout_s: float) -> Sequence[Failure]:
        raise OSError("down")


class Started:
    """Deliveries whose jobs run until the test ends."""

    def __init__(self) -> None:
        self._jobs: list[asyncio.Task[None]] = []
        self._ids = (f"e-{number}" for number in itertools.count())
        self._numbers = itertools.count(1_000_000)

    def delivery(
        self, sink: ScriptedSink, types: Sequence[str] = KINDS, max_bytes: int = 1 << 20, pauses: Iterable[float] = ()
    ) -> Delivery:
        """One that runs, to `sink`; it makes these `pauses`, and short ones after them."""
        ids, numbers = self._ids, self._numbers
        made = Delivery("test://sink", sink, Buffer(max_bytes), types, lambda: next(ids), lambda: next(numbers))
        drawn = itertools.chain(pauses, itertools.repeat(PAUSE_S))
        made.sender.jitter = lambda _shortest, _longest: next(drawn)
        self._jobs.append(asyncio.create_task(made.run()))
        return made

    async def stop(self) -> None:
        for job in self._jobs:
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)


@pytest.fixture
async def started() -> AsyncIterator[Started]:
    started = Started()
    yield started
    await started.stop()


def records(count: int, kind: str = "function") -> list[Record]:
    return [
        Record(sequence, kind, b'{"n":%d,"lambda":{"id":"e-%d"}}' % (sequence, sequence)) for sequence in range(count)
    ]


def offer(delivery: Delivery, count: int, kind: str = "function") -> None:
    for record in records(count, kind):
        delivery.offer(record)


def assert_balanced(delivery: Delivery, offered: int) -> None:
    account = delivery.excluded + delivery.delivered + delivery.fell_back + delivery.pending
    assert account + sum(delivery.buffer.dropped.values()) == offered


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.001)


async def ended(delivery: Delivery) -> None:
    await until(lambda: delivery.pending == 0)


async def test_a_flush_delivers_what_waits(started: Started) -> None:
    """After a flush every record that was offered before it has been taken, in order."""
    sink = ScriptedSink()
    delivery = started.delivery(sink)
    offer(delivery, 5)
    assert await delivery.flush(WAIT_S)
    assert sink.taken == [0, 1, 2, 3, 4]
    assert (delivery.delivered, delivery.pending, delivery.buffer.size) == (5, 0, 0)


async def test_nothing_leaves_before_it_is_asked_for(started: Started) -> None:
    """Records wait for a flush as long as they make no full batch, which leaves by itself."""
    sink = ScriptedSink(limits=Limits(records=4))
    delivery = started.delivery(sink)
    offer(delivery, 6)
    assert sink.batches == []
    await until(lambda: delivery.delivered == 4)
    assert (sink.taken, delivery.pending) == ([0, 1, 2, 3], 2)


async def test_batches_keep_to_the_sinks_limits(started: Started) -> None:
    """A sink never gets more records in one call than it takes."""
    sink = ScriptedSink(limits=Limits(records=3))
    delivery = started.delivery(sink)
    offer(delivery, 8)
    await delivery.flush(WAIT_S)
    assert [len(batch.records) for batch in sink.batches] == [3, 3, 2]


async def test_kinds_that_were_not_asked_for_are_counted(started: Started) -> None:
    """types=function excludes platform records, and the ledger says so."""
    sink = ScriptedSink()
    delivery = started.delivery(sink, types=("function",))
    offer(delivery, 2, "platform")
    offer(delivery, 3, "function")
    offer(delivery, 1, "other")
    await delivery.flush(WAIT_S)
    assert (delivery.excluded, delivery.delivered) == (2, 4)
    assert_balanced(delivery, 6)


async def test_a_first_failure_is_repeated_on_a_fresh_connection(started: Started) -> None:
    """A kept connection that died costs one repetition and no trust."""
    sink = ScriptedSink(ConnectionResetError())
    delivery = started.delivery(sink)
    offer(delivery, 1)
    closed = sink.closed
    assert await delivery.flush(WAIT_S)
    assert sink.taken == [0]
    assert sink.closed > closed
    assert delivery.sender.trusted


async def test_a_sink_that_fails_is_not_waited_for(started: Started) -> None:
    """After some failures in a row a flush returns, the records stay, and the next flush does not wait at all."""
    delivery = started.delivery(Down())
    offer(delivery, 3)
    assert not await delivery.flush(60.0)
    assert not delivery.sender.trusted
    assert not await delivery.flush(60.0)
    assert delivery.pending == 3
    assert_balanced(delivery, 3)


async def test_a_sink_that_recovers_gets_everything(started: Started) -> None:
    """What waited during an outage is delivered by itself when the outage is over."""
    sink = ScriptedSink(*[OSError("down")] * (TRUSTED_FAILURES + 1))
    delivery = started.delivery(sink)
    offer(delivery, 3)
    await delivery.flush(60.0)
    await ended(delivery)
    assert (sink.taken, delivery.sender.trusted) == ([0, 1, 2], True)


async def test_a_flush_ends_at_its_deadline(started: Started) -> None:
    """A sink that hangs holds a flush up to its timeout; its record counts as pending."""
    release = threading.Event()

    def hang(batch: Batch) -> Sequence[Failure]:
        release.wait(WAIT_S)
        return ()

    delivery = started.delivery(ScriptedSink(hang))
    offer(delivery, 1)
    assert not await delivery.flush(0.05)
    assert (delivery.pending, delivery.sender.trusted) == (1, False)
    release.set()


async def test_a_refusal_is_final(started: Started) -> None:
    """A batch that is refused for good is counted with the reason and never sent again."""
    sink = ScriptedSink(Rejected("HTTP 403"))
    delivery = started.delivery(sink)
    offer(delivery, 3)
    assert await delivery.flush(WAIT_S)
    assert (sink.batches, delivery.buffer.dropped) == ([], {"HTTP 403": 3})
    assert_balanced(delivery, 3)


async def test_one_bad_record_costs_only_itself(started: Started) -> None:
    """A batch refused for one of its records is halved until that one is alone."""

    class Strict(ScriptedSink):
        def send(self, batch: Batch, timeout_s: float) -> Sequence[Failure]:
            if any(record.sequence == 13 for record in batch.records):
                raise Rejected("HTTP 400", divisible=True)
            return super().send(batch, timeout_s)

    sink = Strict()
    delivery = started.delivery(sink)
    offer(delivery, 100)
    assert await delivery.flush(WAIT_S)
    assert sorted(sink.taken) == [number for number in range(100) if number != 13]
    assert delivery.buffer.dropped == {"HTTP 400": 1}


@given(st.integers(1, 40), st.sets(st.integers(0, 39), max_size=4), st.integers(1, 40))
@settings(max_examples=50)
async def test_bad_records_anywhere_cost_only_themselves(count: int, bad: set[int], most: int) -> None:
    """Wherever bad records stand and however batches are cut, they are dropped, and all others are delivered."""

    class Strict(ScriptedSink):
        def send(self, batch: Batch, timeout_s: float) -> Sequence[Failure]:
            if bad & {record.sequence for record in batch.records}:
                raise Rejected("HTTP 400", divisible=True)
            return super().send(batch, timeout_s)

    started = Started()
    sink = Strict(limits=Limits(records=most))
    delivery = started.delivery(sink)
    offer(delivery, count)
    assert await delivery.flush(WAIT_S)
    await started.stop()
    assert sorted(sink.taken) == [number for number in range(count) if number not in bad]
    assert sum(delivery.buffer.dropped.values()) == len([number for number in bad if number < count])
    assert all(len(batch.records) <= most for batch in sink.batches)


@given(st.lists(st.sets(st.integers(0, 19), max_size=20), max_size=4), st.sets(st.integers(0, 19), max_size=20))
@example([set(range(20))] * 4, set())  # so many whole batches that nobody waits for the sink any more
@settings(max_examples=30)
async def test_partial_failures_of_any_kind_balance(transient: list[set[int]], permanent: set[int]) -> None:
    """Whatever part of a batch fails, for now or for good, each record is in the end taken once or dropped once."""

    class Picky(ScriptedSink):
        def send(self, batch: Batch, timeout_s: float) -> Sequence[Failure]:
            now = transient.pop() if transient else set()
            failures = [
                Failure(position, "picky", permanent=record.sequence in permanent)
                for position, record in enumerate(batch.records)
                if record.sequence in now | permanent
            ]
            failed = {failure.position for failure in failures}
            self.batches.append(
                Batch(batch.id, [record for position, record in enumerate(batch.records) if position not in failed])
            )
            return failures

    started = Started()
    sink = Picky()
    delivery = started.delivery(sink)
    offer(delivery, 20)
    delivery.request()
    await ended(delivery)
    await started.stop()
    assert sorted(sink.taken) == [number for number in range(20) if number not in permanent]
    assert sum(delivery.buffer.dropped.values()) == len(permanent)


async def test_halving_has_an_end(started: Started) -> None:
    """A destination that refuses everything is asked a bounded number of times for a batch."""
    calls: list[int] = []

    class Never(ScriptedSink):
        def send(self, batch: Batch, timeout_s: float) -> Sequence[Failure]:
            calls.append(len(batch.records))
            raise Rejected("HTTP 400", divisible=True)

    delivery = started.delivery(Never())
    offer(delivery, 1000)
    assert await delivery.flush(WAIT_S)
    assert delivery.buffer.dropped == {"HTTP 400": 1000}
    assert len(calls) <= 2 * MAX_REFUSALS + 2


async def test_only_what_failed_is_sent_again(started: Started) -> None:
    """Of a partial failure, the failed records go again, the refused ones are counted, the others are done."""

    def partly(batch: Batch) -> Sequence[Failure]:
        return [Failure(1, "throttled", permanent=False), Failure(2, "too long", permanent=True)]

    sink = ScriptedSink(partly)
    delivery = started.delivery(sink)
    offer(delivery, 4)
    assert await delivery.flush(WAIT_S)
    assert sink.taken == [0, 3, 1]
    assert delivery.buffer.dropped == {"too long": 1}
    assert sink.batches[0].id != sink.batches[1].id


async def test_what_failed_is_sent_with_what_waits(started: Started) -> None:
    """The records that a batch left over go first in the next full batch, not in a small one by themselves."""

    def partly(batch: Batch) -> Sequence[Failure]:
        return [Failure(position, "throttled", permanent=False) for position in (1, 3)]

    sink = ScriptedSink(partly, partly, limits=Limits(records=4))
    delivery = started.delivery(sink)
    offer(delivery, 8)
    assert await delivery.flush(WAIT_S)
    assert [[record.sequence for record in batch.records] for batch in sink.batches] == [[0, 2], [1, 4], [3, 5, 6, 7]]
    assert_balanced(delivery, 8)


async def test_a_batch_of_leftovers_is_filled_and_not_more(started: Started) -> None:
    """However little room is left beside the records that failed, it is used; what does not fit waits."""
    size = len(records(1)[0].line) + 1

    def partly(batch: Batch) -> Sequence[Failure]:
        return [Failure(position, "throttled", permanent=False) for position in range(3)]

    sink = ScriptedSink(partly, limits=Limits(bytes=4 * size))
    delivery = started.delivery(sink)
    offer(delivery, 5)
    delivery.offer(Record(5, "function", b"x" * (3 * size)))
    assert await delivery.flush(WAIT_S)
    assert [[record.sequence for record in batch.records] for batch in sink.batches] == [[3], [0, 1, 2, 4], [5]]


async def test_leftovers_and_a_large_record_are_two_batches(started: Started) -> None:
    """A record that does not fit beside the records that failed is no part of their batch, which would be too large."""

    def partly(batch: Batch) -> Sequence[Failure]:
        return [Failure(0, "throttled", permanent=False)]

    sink = ScriptedSink(partly, limits=Limits(bytes=100))
    delivery = started.delivery(sink)
    for sequence, size in enumerate((20, 75, 90)):
        delivery.offer(Record(sequence, "function", b"x" * size))
    assert await delivery.flush(WAIT_S)
    assert [[record.sequence for record in batch.records] for batch in sink.batches] == [[1], [0], [2]]


async def test_a_batch_has_one_id_however_often_it_is_tried(started: Started) -> None:
    """Tries of the same records carry the same id, so that a destination can tell a repetition."""
    seen: list[str] = []

    class Noting(ScriptedSink):
        def send(self, batch: Batch, timeout_s: float) -> Sequence[Failure]:
            seen.append(batch.id)
            return super().send(batch, timeout_s)

    delivery = started.delivery(Noting(OSError("one"), OSError("two")))
    offer(delivery, 1)
    assert await delivery.flush(WAIT_S)
    assert seen == ["e-0"] * 3


async def test_a_record_above_the_sinks_limit_costs_only_itself(started: Started) -> None:
    """A record that the sink can never take is counted; the others are delivered."""
    sink = ScriptedSink(limits=Limits(record_bytes=100))
    delivery = started.delivery(sink)
    delivery.offer(Record(0, "function", b"x" * 101))
    delivery.offer(Record(1, "function", b"x" * 100))
    assert await delivery.flush(WAIT_S)
    assert (sink.taken, delivery.buffer.dropped) == ([1], {"longer than 100 bytes": 1})


async def test_the_fallback_takes_what_is_refused(started: Started) -> None:
    """A refused record goes to the fallback and says there from which sink it comes, and why."""
    fallback_sink = ScriptedSink()
    fallback = started.delivery(fallback_sink)
    delivery = started.delivery(ScriptedSink(Rejected("HTTP 403")))
    delivery.fallback = fallback
    offer(delivery, 1)
    assert await delivery.flush(WAIT_S)
    assert await fallback.flush(WAIT_S)
    assert (delivery.fell_back, delivery.buffer.dropped) == (1, {})
    [batch] = fallback_sink.batches
    assert batch.records[0].line == b'{"n":0,"lambda":{"id":"e-0","refusedBy":"test://sink","reason":"HTTP 403"}}'


async def test_a_full_buffer_counts_what_it_evicts(started: Started) -> None:
    """Records that had to go for want of memory are counted."""
    delivery = started.delivery(Down(), max_bytes=1000)
    offer(delivery, 20)
    assert delivery.buffer.dropped == {"buffer full": 20 - delivery.pending}
    assert_balanced(delivery, 20)


async def test_the_last_flush_tries_a_sink_that_failed(started: Started) -> None:
    """At SHUTDOWN a sink that had lost our trust gets another chance at once, whatever its pause was."""
    sink = ScriptedSink(*[OSError("down")] * TRUSTED_FAILURES, Busy("HTTP 503", 0.0))
    delivery = started.delivery(sink, pauses=[0.0, 0.0, 3600.0])
    offer(delivery, 2)
    await delivery.flush(60.0)
    await delivery.finish(WAIT_S)
    assert (sink.taken, delivery.pending) == ([0, 1], 0)


async def test_a_fault_of_ours_is_counted_and_survived(started: Started) -> None:
    """A sink that breaks its own contract costs its records, with the reason, and not the delivery."""
    sink = ScriptedSink(lambda batch: None)  # type: ignore[arg-type, return-value] # the breach that is tested
    delivery = started.delivery(sink)
    offer(delivery, 1)
    await delivery.flush(WAIT_S)
    [reason] = delivery.buffer.dropped
    assert reason.startswith("internal error: TypeError")
    offer(delivery, 1)
    await delivery.flush(WAIT_S)
    assert delivery.delivered == 1
    assert_balanced(delivery, 2)

from __future__ import annotations

import asyncio
import errno
import threading
from typing import TYPE_CHECKING

import pytest

from extension.delivery.chunk import Chunk
from extension.delivery.overflow import Overflow
from extension.sinks import Failure, Limits, Outcome, Refused, Scope, Throttled, Unavailable
from tests.support.batches import batch, line, open_sink
from tests.support.deliveries import WAIT_S, Clock, ScriptedSink, records, soon
from tests.support.fault_server import Answer, FaultServer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from extension.delivery.delivery import Delivery
    from extension.delivery.disk import File
    from extension.records import Batch, Record
    from tests.support.deliveries import Deliveries
    from tests.support.fault_server import Request

REFUSED_RECORD = Refused("HTTP 400", Scope.RECORD)
DENIED = Refused("HTTP 403", Scope.EVERYTHING)
DOWN = ConnectionResetError("reset")


class Odd:
    """Selects every second record."""

    account: Mapping[str, object] = {"by": "parity"}

    def __call__(self, records: Sequence[Record]) -> list[Record]:
        return [record for record in records if self.wants(record)]

    def wants(self, record: Record) -> bool:
        return record.sequence % 2 == 1


class FullDisk(Overflow):
    """No file can be written to it."""

    def __init__(self) -> None:
        super().__init__("/nowhere", "test://sink")
        self.writes = 0

    def write(self, records: Sequence[Record]) -> File:
        self.writes += 1
        raise OSError(errno.ENOSPC, "full")


def offer(delivery: Delivery, made: Sequence[Record]) -> None:
    delivery.offer(Chunk(made, 0.0))


async def test_a_flush_delivers_what_waits(deliveries: Deliveries) -> None:
    """After a flush every record that was offered before it has been taken, in order."""
    sink = ScriptedSink()
    delivery = deliveries.delivery(sink)
    offer(delivery, records(5))
    await delivery.flush(soon())
    assert sink.sequences == [0, 1, 2, 3, 4]
    assert (delivery.queue.delivered, delivery.queue.pending, delivery.queue.memory) == (5, 0, 0)


async def test_what_is_not_selected_is_excluded_and_never_held(deliveries: Deliveries) -> None:
    """A sink gets what its selection returns; the rest is counted, and takes no room."""
    sink = ScriptedSink()
    delivery = deliveries.delivery(sink, select=Odd())
    offer(delivery, records(5))
    offer(delivery, records(1, first=6))
    assert (delivery.account["excluded"], delivery.account["pending"], delivery.account["by"]) == (4, 2, "parity")
    await delivery.flush(soon())
    assert sink.sequences == [1, 3]


async def test_nothing_leaves_before_it_is_asked_for(deliveries: Deliveries) -> None:
    """Records wait for a flush as long as they make no full batch, which leaves by itself."""
    sink = ScriptedSink(limits=Limits(records=4))
    delivery = deliveries.delivery(sink)
    await deliveries.until(lambda: delivery.queue.limits.records == 4)
    offer(delivery, records(3))
    offer(delivery, records(3, first=3))
    await deliveries.until(lambda: delivery.queue.delivered == 4)
    assert (sink.sequences, delivery.queue.pending) == ([0, 1, 2, 3], 2)


async def test_batches_keep_to_the_sinks_limits(deliveries: Deliveries) -> None:
    """A sink never gets more records in one call than it takes, and gets as many."""
    sink = ScriptedSink(limits=Limits(records=3))
    delivery = deliveries.delivery(sink)
    await deliveries.until(lambda: delivery.queue.limits.records == 3)
    offer(delivery, records(8))
    await delivery.flush(soon())
    assert [len(batch.records) for batch in sink.sent] == [3, 3, 2]


async def test_kinds_that_a_sink_did_not_ask_for_are_excluded(deliveries: Deliveries) -> None:
    """types=function excludes platform records, and the ledger says so."""
    sink = ScriptedSink()
    delivery = deliveries.delivery(sink, excluded_kinds={"platform"})
    offer(delivery, [*records(2, "platform"), *records(1, "function", first=2)])
    await delivery.flush(soon())
    assert (sink.sequences, delivery.queue.excluded) == ([2], 2)


async def test_the_first_failure_is_repeated_at_once_on_a_fresh_connection(deliveries: Deliveries) -> None:
    """A kept connection that died costs one repetition and no trust."""
    sink = ScriptedSink(None, DOWN)
    delivery = deliveries.delivery(sink)
    offer(delivery, records(1))
    await delivery.flush(soon())
    closed = sink.closed
    offer(delivery, records(1, first=1))
    await delivery.flush(soon())
    assert (sink.sequences, sink.closed) == ([0, 1], closed + 1)
    assert delivery.health.healthy
    assert delivery.health.reason == ""


async def test_nobody_waits_for_a_sink_that_fails(deliveries: Deliveries) -> None:
    """After three failures in a row a flush returns, and the records stay; the next flush does not wait at all."""
    delivery = deliveries.delivery(ScriptedSink(otherwise=DOWN))
    offer(delivery, records(3))
    await delivery.flush(soon())
    assert not delivery.health.healthy
    await delivery.flush(soon())
    assert (delivery.queue.pending, delivery.queue.delivered) == (3, 0)


async def test_a_sink_that_answers_again_gets_everything(deliveries: Deliveries) -> None:
    """What waited during an outage is delivered by itself when the outage is over."""
    sink = ScriptedSink(*[DOWN] * 12)
    delivery = deliveries.delivery(sink)
    offer(delivery, records(3))
    await delivery.flush(soon())
    assert not delivery.health.healthy
    await deliveries.until(lambda: delivery.queue.delivered == 3)
    assert delivery.health.healthy


class TickingClock(Clock):
    """10 ms pass between any two looks, so that something may change between them."""

    def __call__(self) -> float:
        """The time."""
        self.now += 0.01
        return self.now


@pytest.mark.parametrize("looks", range(1, 13))
async def test_a_pause_that_ends_between_two_looks_is_not_slept_through(deliveries: Deliveries, looks: int) -> None:
    """The sink is tried again whenever its pause ends, be it after the queue has planned and before the loop waits."""
    sink = ScriptedSink(Unavailable("HTTP 503"))
    delivery = deliveries.delivery(sink, clock=TickingClock(), uniform=lambda *_: looks / 100 - 0.005)
    offer(delivery, records(1))
    delivery.flush_soon()
    await deliveries.until(lambda: delivery.queue.delivered == 1)


async def test_a_flush_ends_when_its_time_is_over(deliveries: Deliveries) -> None:
    """A sink that hangs holds a flush up to its end; its record is pending."""
    release = threading.Event()

    class Hanging(ScriptedSink):
        def send(self, batch: Batch, timeout_s: float) -> Sequence[Failure]:
            release.wait(WAIT_S)
            return ()

    delivery = deliveries.delivery(Hanging())
    offer(delivery, records(1))
    await delivery.flush(asyncio.get_running_loop().time() + 0.01)
    assert delivery.queue.pending == 1
    release.set()
    await deliveries.until(lambda: delivery.queue.delivered == 1)


@pytest.mark.parametrize(
    "refusal", [Refused("HTTP 413", Scope.SIZE), REFUSED_RECORD, Refused("bad batch", Scope.BATCH)]
)
async def test_a_record_that_is_refused_alone_is_dropped_and_counted(deliveries: Deliveries, refusal: Refused) -> None:
    """What a destination refuses for good is counted with the reason and never sent again."""
    sink = ScriptedSink(refusal)
    delivery = deliveries.delivery(sink)
    offer(delivery, records(1))
    await delivery.flush(soon())
    assert (delivery.queue.dropped, len(sink.sent), delivery.queue.pending) == ({str(refusal): 1}, 1, 0)


async def test_a_batch_is_halved_for_an_intake_that_looks_at_its_length_alone(deliveries: Deliveries) -> None:
    """A 413 that comes before the body, and breaks the sending, is as any other: each record comes in a smaller one."""

    def at_head(request: Request) -> Answer | None:
        return Answer(413) if int(request.headers["content-length"]) > 1_100_000 else None

    lines = [line(number, "x" * 1_000_000) for number in range(4)]
    with FaultServer(at_head=at_head) as server:
        sink = await asyncio.to_thread(open_sink, f"{server.url}/?compression=none")
        delivery = deliveries.delivery(sink, max_bytes=16_000_000)
        offer(delivery, batch(*lines).records)
        await delivery.flush(soon())
        sink.close()
        taken = [request.body for request in server.requests if request.body]
    assert b"".join(taken).splitlines() == lines
    assert (delivery.queue.delivered, delivery.queue.dropped) == (4, {})


async def test_a_refused_batch_is_halved_down_to_its_bad_record(deliveries: Deliveries) -> None:
    """A batch refused for one of its records is tried in parts until that one is alone; all others are taken."""

    class Picky(ScriptedSink):
        def answer(self, batch: Batch) -> Refused | None:
            return REFUSED_RECORD if any(record.sequence == 11 for record in batch.records) else None

    sink = Picky()
    delivery = deliveries.delivery(sink)
    offer(delivery, records(40))
    await delivery.flush(soon())
    assert sorted(sink.sequences) == [number for number in range(40) if number != 11]
    assert delivery.queue.dropped == {"HTTP 400": 1}


async def test_a_sink_that_refuses_everything_keeps_its_records(deliveries: Deliveries) -> None:
    """Without a fallback nothing is dropped while memory is free: the permission may come in minutes."""
    sink = ScriptedSink(DENIED)
    delivery = deliveries.delivery(sink)
    offer(delivery, records(3))
    await delivery.flush(soon())
    assert (delivery.queue.pending, delivery.queue.dropped, len(sink.sent)) == (3, {}, 1)
    deliveries.clock.now += 61.0
    delivery.flush_soon()
    await deliveries.until(lambda: delivery.queue.delivered == 3)


async def test_a_sink_that_refuses_everything_hands_over_to_its_fallback(deliveries: Deliveries) -> None:
    """With a fallback the records go there at once, and say who refused them, and why."""
    fallback_sink = ScriptedSink()
    fallback = deliveries.delivery(fallback_sink, name="fallback")
    delivery = deliveries.delivery(ScriptedSink(otherwise=DENIED), fallback=fallback)
    offer(delivery, records(3, first=7))
    await delivery.flush(soon())
    await fallback.flush(soon())
    assert [record.line for record in fallback_sink.taken] == [
        record.line[:-2] + b',"refusedBy":"test://sink","reason":"HTTP 403"}}' for record in records(3, first=7)
    ]
    assert (delivery.queue.fell_back, fallback.queue.delivered) == (3, 3)


async def test_a_sink_is_tried_again_when_its_fallback_has_no_room(deliveries: Deliveries) -> None:
    """What it refused waits for a fallback that is down and full; after a minute the sink may take it by now."""
    fallback = deliveries.delivery(ScriptedSink(otherwise=DOWN), name="fallback", max_bytes=2_000, overflow=FullDisk())
    offer(fallback, records(5))
    await fallback.flush(soon())
    sink = ScriptedSink(DENIED)
    delivery = deliveries.delivery(sink, fallback=fallback)
    offer(delivery, records(3, first=7))
    delivery.flush_soon()
    await deliveries.until(lambda: len(sink.sent) == 1)
    deliveries.clock.now += 61.0
    delivery.retry_now()
    await deliveries.until(lambda: delivery.queue.delivered == 3)


async def test_partial_failures_are_sent_again_and_refused_records_counted(deliveries: Deliveries) -> None:
    """Of a batch that was taken in part, the failed records go again, the refused ones are counted, in order."""
    failures = [Failure(1, "throttled"), Failure(2, "too old", Outcome.RECORD_REFUSED), Failure(3, "throttled")]
    sink = ScriptedSink(failures)
    delivery = deliveries.delivery(sink)
    offer(delivery, records(5))
    await delivery.flush(soon())
    assert sink.sequences == [0, 4, 1, 3]
    assert delivery.queue.dropped == {"too old": 1}
    assert delivery.queue.delivered == 4


async def test_records_that_are_refused_make_no_pause(deliveries: Deliveries) -> None:
    """Where nothing is to be sent again, the next batch need not wait, however much of the last one was refused."""
    refused = [Failure(at, "HTTP 404 (traces)", Outcome.RECORD_REFUSED) for at in range(4)]
    delivery = deliveries.delivery(ScriptedSink(otherwise=refused), uniform=lambda _, high: high)
    offer(delivery, records(5))
    await delivery.flush(soon())
    assert (delivery.queue.delivered, delivery.health.ready) == (1, True)


async def test_what_failed_goes_first_in_the_next_full_batch(deliveries: Deliveries) -> None:
    """The records that a batch left over do not make a small batch by themselves."""
    sink = ScriptedSink([Failure(0, "throttled")], limits=Limits(records=4))
    delivery = deliveries.delivery(sink)
    await deliveries.until(lambda: delivery.queue.limits.records == 4)
    offer(delivery, records(8))
    await delivery.flush(soon())
    assert [[record.sequence for record in batch.records] for batch in sink.sent] == [[0, 1, 2, 3], [0, 4, 5, 6], [7]]


@pytest.mark.parametrize("failure", [Unavailable("HTTP 500"), Throttled("HTTP 429"), DOWN])
async def test_a_batch_that_is_sent_again_keeps_its_id(deliveries: Deliveries, failure: Exception) -> None:
    """Tries of the same records carry the same id, so that a destination can tell a repetition."""
    sink = ScriptedSink(failure, failure)
    delivery = deliveries.delivery(sink)
    offer(delivery, records(2))
    delivery.flush_soon()
    await asyncio.sleep(0)
    offer(delivery, records(2, first=2))
    await delivery.flush(soon())
    ids = [batch.id for batch in sink.sent]
    assert ids[0] == ids[1] == ids[2]
    assert sink.sequences == [0, 1, 2, 3]


async def test_a_record_that_is_too_long_for_the_sink_is_refused(deliveries: Deliveries) -> None:
    """A record that the sink can never take is counted; the others are delivered."""
    sink = ScriptedSink(limits=Limits(record_bytes=100))
    delivery = deliveries.delivery(sink)
    await deliveries.until(lambda: delivery.queue.limits.record_bytes == 100)
    offer(delivery, [*records(2), *records(1, first=2, size=200)])
    await delivery.flush(soon())
    assert (sink.sequences, delivery.queue.dropped) == ([0, 1], {"longer than 100 bytes": 1})


async def test_a_fault_of_ours_costs_its_batch_and_not_the_sink(deliveries: Deliveries) -> None:
    """A sink that breaks its own contract costs the records of one batch, with the reason; it is no outage."""
    sink = ScriptedSink(AttributeError("sock"))
    delivery = deliveries.delivery(sink)
    offer(delivery, records(2))
    await delivery.flush(soon())
    offer(delivery, records(1, first=2))
    await delivery.flush(soon())
    assert delivery.queue.dropped == {"internal error: AttributeError": 2}
    assert sink.sequences == [2]
    assert delivery.health.healthy


async def test_a_sink_that_cannot_be_opened_gives_up_its_records(deliveries: Deliveries) -> None:
    """Its records, those that wait and those that come, are dropped and counted, and nobody waits for it."""
    delivery = deliveries.delivery(ValueError("no such profile"))
    offer(delivery, records(2))
    await deliveries.until(lambda: delivery.queue.is_refused)
    offer(delivery, records(1, first=2))
    assert delivery.queue.dropped == {"the sink cannot be opened": 3}


async def test_nobody_waits_for_a_sink_that_will_never_open(deliveries: Deliveries) -> None:
    """That a sink cannot be opened ends the wait for it."""
    fanout = deliveries.fanout(deliveries.delivery(ValueError("no")))
    async with asyncio.timeout(WAIT_S):
        await fanout.wait_opened(float("inf"))


async def test_a_sink_that_is_open_is_not_down_before_it_is_used(deliveries: Deliveries) -> None:
    """Where the machine is busy, the first report of our health may come before its loop has begun."""
    assert not deliveries.delivery(ScriptedSink()).is_down


async def test_a_disk_that_is_full_is_left_alone_for_a_while(deliveries: Deliveries) -> None:
    """A write that failed is not tried again at once, whatever comes, but ten seconds later."""
    disk = FullDisk()
    delivery = deliveries.delivery(ScriptedSink(otherwise=DOWN), overflow=disk, max_bytes=100_000)
    offer(delivery, records(1))
    await delivery.flush(soon())
    offer(delivery, records(200, first=1))
    await deliveries.until(lambda: disk.writes > 0)
    for number in range(5):
        offer(delivery, records(1, first=1000 + number))
        await asyncio.to_thread(int)  # as long as a write takes
    assert disk.writes == 1
    deliveries.clock.now += 10.0
    offer(delivery, records(1, first=2000))
    await deliveries.until(lambda: disk.writes == 2)


async def test_a_disk_that_is_full_is_tried_once_at_shutdown(deliveries: Deliveries) -> None:
    """What cannot be written in the last second is given up, not tried until the time is over."""
    disk = FullDisk()
    delivery = deliveries.delivery(ScriptedSink(otherwise=DOWN), overflow=disk)
    offer(delivery, records(5))
    await delivery.flush(soon())
    await delivery.spill(asyncio.get_running_loop().time() + 1.0)
    assert (disk.writes, delivery.queue.pending) == (1, 5)


async def test_the_age_of_a_record_is_its_own(deliveries: Deliveries) -> None:
    """A failed attempt does not make its records younger."""
    delivery = deliveries.delivery(ScriptedSink(*[DOWN] * 4))
    delivery.offer(Chunk(records(1), deliveries.clock.now))
    deliveries.clock.now += 10.0
    assert delivery.age_s == 10.0
    await delivery.flush(soon())
    assert delivery.age_s in {10.0, 0.0}  # still failing, or delivered by now
    await deliveries.until(lambda: delivery.queue.delivered == 1)
    assert delivery.age_s == 0.0

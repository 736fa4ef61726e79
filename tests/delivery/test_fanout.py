from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from extension.delivery import fanout as module
from extension.delivery.cap import Cap
from extension.delivery.chunk import Chunk
from extension.delivery.fanout import Fanout
from extension.delivery.health import UNHEALTHY_FAILURES
from extension.delivery.overflow import Overflow
from extension.delivery.queue import PRESSED_SHARE
from extension.pipeline.filter import Filter
from extension.policy import ShutdownPlan
from extension.sinks import Limits, Outcome, Refused, Reply, Scope, Throttled
from tests.support.deliveries import MIB, WAIT_S, Deliveries, ScriptedSink, records, soon

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from extension.delivery.delivery import Delivery
    from extension.delivery.disk import File
    from extension.records import Batch, Record
    from extension.sinks import Failure

DOWN = ConnectionRefusedError("refused")


@pytest.fixture
async def small(tmp_path: Path) -> AsyncIterator[Deliveries]:
    """Deliveries whose queues hold 64 KiB, and as much on disk."""
    made = Deliveries(tmp_path / "spool", max_bytes=64 << 10, max_disk_bytes=64 << 10)
    yield made
    await made.stop()


def plan(*, keeps_disk: bool = False, sinks_s: float = WAIT_S) -> ShutdownPlan:
    now = asyncio.get_running_loop().time()
    return ShutdownPlan(
        report=now,
        drain=now,
        sinks=now + sinks_s,
        fallback=now + sinks_s + WAIT_S,
        disk=now + sinks_s + 2 * WAIT_S,
        last_try_s=0.0,
        keeps_disk=keeps_disk,
    )


async def test_every_sink_gets_every_record(deliveries: Deliveries) -> None:
    """Each sink has every record after a flush."""
    sinks = [ScriptedSink(), ScriptedSink()]
    fanout = deliveries.fanout(*(deliveries.delivery(sink, name=f"{at}") for at, sink in enumerate(sinks)))
    fanout.offer(records(3))
    await fanout.flush(soon())
    assert [sink.sequences for sink in sinks] == [[0, 1, 2], [0, 1, 2]]


async def test_a_flush_waits_for_what_reaches_the_fallback_out_of_order(deliveries: Deliveries) -> None:
    """Records that come to the fallback later, under lower numbers, are part of the flush all the same."""
    taken = ScriptedSink()
    fallback = deliveries.delivery(taken, name="fallback")
    sinks = [ScriptedSink(otherwise=None), ScriptedSink(otherwise=None)]
    one, two = (deliveries.delivery(sink, name=f"{at}", fallback=fallback) for at, sink in enumerate(sinks))
    fanout = deliveries.fanout(one, two, fallback=fallback)
    fallback.adopt(records(1, first=90), "0", "late")
    await fanout.flush(soon())
    fallback.adopt(records(1, first=10), "1", "early")
    await fanout.flush(soon())
    assert len(taken.taken) == 2


async def test_three_dead_sinks_lose_nothing_to_a_fallback_that_is_smaller(tmp_path: Path) -> None:
    """At SHUTDOWN what dead sinks hold goes to the fallback no faster than that has room."""
    made = Deliveries(tmp_path / "spool", max_bytes=64 << 10, max_disk_bytes=MIB)
    taken = ScriptedSink()
    fallback = made.delivery(taken, name="fallback", max_bytes=16 << 10)
    dead = [made.delivery(ScriptedSink(otherwise=DOWN), name=f"{at}", fallback=fallback) for at in range(3)]
    fanout = made.fanout(*dead, fallback=fallback)
    for delivery in dead:  # before any of them is known to be dead
        delivery.queue.offer(Chunk(records(180), 0.0))
    await fanout.shut_down(plan())
    await made.stop()
    assert len(taken.taken) == 3 * 180
    assert not fanout.lossy


async def test_a_crowded_queue_leaves_the_event_loop_to_others_at_shutdown(tmp_path: Path) -> None:
    """The loop of a sink that failed, whose fallback has room, waits; else SHUTDOWN would never end."""
    made = Deliveries(tmp_path / "spool", max_bytes=64 << 10, max_disk_bytes=MIB)
    fallback = made.delivery(ScriptedSink(), name="fallback", max_bytes=MIB)
    dead = made.delivery(ScriptedSink(otherwise=DOWN), name="dead", fallback=fallback)
    dead.offer(Chunk(records(1), 0.0))
    dead.flush_soon()
    await made.until(lambda: not dead.health.healthy)
    dead.close(soon(), 0.0, drains_disk=True)
    dead.queue.offer(Chunk(records(180, first=1), 0.0))
    dead.flush_soon()
    failures = dead.health.failures
    await made.until(lambda: dead.health.failures > failures)
    for _ in range(10):  # turns for the loop that has seen it: this goes on only if that waits
        await asyncio.sleep(0)
    await dead.hand_over(soon())
    assert dead.queue.fell_back == 181
    await made.stop()


async def test_what_was_spilled_is_delivered_at_spindown(small: Deliveries) -> None:
    """The disk goes with the environment, so what is on it is sent before the end."""
    sink = ScriptedSink(*[DOWN] * 8)
    delivery = small.delivery(sink)
    fanout = small.fanout(delivery)
    for first in range(0, 300, 50):
        fanout.offer(records(50, first=first))
        await small.until(lambda: delivery.queue.fill_ratio <= PRESSED_SHARE)
    await fanout.shut_down(plan())
    assert sorted(sink.sequences) == list(range(300))
    assert delivery.queue.account["spooled"] == 0


async def test_what_cannot_be_delivered_at_spindown_is_counted(small: Deliveries) -> None:
    """Nothing is said to be pending on a disk that nobody will read."""
    delivery = small.delivery(ScriptedSink(otherwise=DOWN))
    fanout = small.fanout(delivery)
    for first in range(0, 200, 50):
        fanout.offer(records(50, first=first))
        await small.until(lambda: delivery.queue.fill_ratio <= PRESSED_SHARE)
    assert delivery.queue.spooled
    await fanout.shut_down(plan(sinks_s=0.05))
    fanout.end(keeps_disk=False)
    assert delivery.queue.pending == 0
    assert delivery.queue.dropped == {"not delivered before SHUTDOWN": 200}


class SlowFolder(Overflow):
    """A folder that is looked through only when something was written to it, or 0.3 s later."""

    def __init__(self, folder: str, name: str) -> None:
        super().__init__(folder, name)
        self._written = threading.Event()

    def find(self, sequence: int, arrived: float) -> list[File]:
        """What is there by then."""
        self._written.wait(0.3)
        return super().find(sequence, arrived)

    def write(self, records: Sequence[Record]) -> File:
        """Write, and say so."""
        file = super().write(records)
        self._written.set()
        return file


async def test_what_is_spilled_at_once_is_not_taken_for_an_earlier_process_s(small: Deliveries, tmp_path: Path) -> None:
    """What this process itself wrote is not restored, however late the folder is looked through."""
    delivery = small.delivery(ScriptedSink(otherwise=DOWN), overflow=SlowFolder(str(tmp_path / "spool"), "test://sink"))
    small.fanout(delivery).offer(records(180))
    await small.until(lambda: delivery.is_ready)
    assert delivery.queue.restored == 0


async def test_what_cannot_be_delivered_after_a_crash_is_left_on_disk(small: Deliveries) -> None:
    """After a timeout or a crash the next process in this environment finds what was left, and delivers it first."""
    fanout = small.fanout(small.delivery(ScriptedSink(otherwise=DOWN)))
    fanout.offer(records(100))
    await fanout.shut_down(plan(keeps_disk=True, sinks_s=0.05))
    fanout.end(keeps_disk=True)
    [account] = fanout.account().values()
    assert (account["pending"], account["spooled"], account["dropped"]) == (100, 100, {})  # type: ignore[index] # a ledger entry
    sink = ScriptedSink()
    heir = small.delivery(sink)
    await small.until(lambda: heir.queue.restored == 100)
    heir.offer(Chunk(records(1, first=1000), 0.0))
    await heir.flush(soon())
    assert [record.line for record in sink.taken] == [
        record.line for record in [*records(100), *records(1, first=1000)]
    ]
    async with asyncio.timeout(WAIT_S):
        while await asyncio.to_thread(heir._overflow.find, 0, 0.0):
            pass


async def test_a_retry_after_leaves_a_last_try_before_the_end(deliveries: Deliveries) -> None:
    """A destination that asked for a minute is asked once more at SHUTDOWN."""
    sink = ScriptedSink(Throttled("HTTP 429", 60.0))
    fanout = deliveries.fanout(deliveries.delivery(sink))
    fanout.offer(records(3))
    fanout.flush_soon()
    await deliveries.until(lambda: bool(sink.sent))
    ending = asyncio.create_task(fanout.shut_down(plan()))
    await asyncio.sleep(0)
    deliveries.clock.now += WAIT_S
    fanout.retry_now()  # wakes the loops, whose clock the test moves
    await ending
    assert sink.sequences == [0, 1, 2]


def crowded(small: Deliveries) -> tuple[Delivery, Fanout, threading.Event]:
    """A queue with hardly any room, no disk, and a sink that answers once the event is set."""
    release = threading.Event()

    class Slow(ScriptedSink):
        def send(self, batch: Batch, timeout_s: float) -> Sequence[Failure]:
            release.wait(WAIT_S)
            return super().send(batch, timeout_s)

    small.disk.max_bytes = 0
    delivery = small.delivery(Slow())
    fanout = small.fanout(delivery)
    fanout.offer(records(190))
    return delivery, fanout, release


async def test_a_freeze_while_reading_waits_is_no_failure_of_a_sink(
    small: Deliveries, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock may go on meanwhile, so that the wait is over at the thaw, before any answer can be looked at."""
    delivery, fanout, release = crowded(small)
    reading = asyncio.create_task(fanout.room(0))
    await asyncio.sleep(0)
    loop = asyncio.get_running_loop()
    time = loop.time
    monkeypatch.setattr(loop, "time", lambda: time() + 1200.0)
    await reading
    assert not delivery.health.failing
    release.set()


async def test_reading_waits_for_room_in_a_healthy_queue(small: Deliveries) -> None:
    """While a sink that answers is behind and the disk is full, nothing more is to be read."""
    delivery, fanout, release = crowded(small)
    reading = asyncio.create_task(fanout.room(0))
    await asyncio.sleep(0)
    assert not reading.done()
    release.set()
    assert await reading > 0
    await fanout.flush(soon())
    assert (delivery.queue.delivered, delivery.queue.dropped) == (190, {})


@pytest.mark.parametrize("fallback", [None, "that cannot be opened"])
async def test_reading_does_not_wait_for_a_dead_sink(
    small: Deliveries, fallback: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sink that does not answer must not slow down those that do, nor must a fallback that makes no room."""
    monkeypatch.setattr(module, "BACKPRESSURE_PAUSE_S", float("inf"))
    last = small.delivery(ValueError(fallback), name="fallback") if fallback else None
    dead = small.delivery(ScriptedSink(otherwise=DOWN), name="dead", fallback=last)
    fanout = small.fanout(dead, small.delivery(ScriptedSink(), name="live"), fallback=last)
    for _ in range(UNHEALTHY_FAILURES):
        dead.health.note(Reply(Outcome.DOWN, "refused"), 0.0)
    dead.offer(Chunk(records(230), 0.0))
    dead.queue.memory = dead.queue.max_bytes  # whatever the disk takes meanwhile
    assert await asyncio.wait_for(fanout.room(0), WAIT_S) > 0


@pytest.mark.parametrize("waiting", ["to be sent", "to be tried again"])
async def test_a_fallback_makes_room_for_a_large_line(
    small: Deliveries, waiting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a dead sink holds goes there, as much as a line needs that is being read; else nothing more is read."""
    monkeypatch.setattr(module, "BACKPRESSURE_PAUSE_S", float("inf"))
    small.disk.max_bytes = 0
    fallback = small.delivery(ScriptedSink(), name="fallback")
    dead = small.delivery(ScriptedSink(otherwise=DOWN), name="dead", fallback=fallback, uniform=lambda _, high: high)
    fanout = small.fanout(dead, fallback=fallback)
    for _ in range(UNHEALTHY_FAILURES):
        dead.health.note(Reply(Outcome.DOWN, "refused"), 0.0)
    fanout.offer(records(2, size=dead.queue.max_bytes // 8))
    if waiting == "to be tried again":
        failures = dead.health.failures
        fanout.flush_soon()
        fanout.retry_now()
        await small.until(lambda: dead.health.failures > failures)
    assert await asyncio.wait_for(fanout.room(dead.queue.max_bytes // 2), WAIT_S) > 0
    assert dead.queue.fell_back == 2


async def test_what_a_fallback_was_handed_gives_way_to_a_large_line(
    small: Deliveries, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line that needs all of a queue waits for no company of what reached the fallback after all was flushed."""
    monkeypatch.setattr(module, "BACKPRESSURE_PAUSE_S", float("inf"))
    fallback = small.delivery(ScriptedSink(), name="fallback")
    refusing = small.delivery(
        ScriptedSink(otherwise=Refused("HTTP 403", Scope.EVERYTHING)), name="refusing", fallback=fallback
    )
    fanout = small.fanout(refusing, fallback=fallback)
    fanout.offer(records(2))
    assert await asyncio.wait_for(fanout.room(refusing.queue.max_bytes), WAIT_S) > 0
    assert fallback.queue.delivered == 2


async def test_what_no_sink_selects_is_not_for_the_fallback(deliveries: Deliveries) -> None:
    """It does not count against a cap, and what is over it is only what one of the sinks would have got."""
    sink, rescue = ScriptedSink(), ScriptedSink()
    fallback = deliveries.delivery(rescue, name="fallback")
    first = deliveries.delivery(sink, fallback=fallback, select=Filter((), ["noise"], stamped=True))
    second = deliveries.delivery(ScriptedSink(), name="other", fallback=fallback, excluded_kinds=["function"])
    cap = Cap(100, deliveries.clock)
    fanout = Fanout([first, second], fallback, deliveries.clock, deliveries.progress, cap=cap)
    noise = [record._replace(type="noise") for record in records(9)]
    fanout.offer([*noise, *records(1, first=9, size=200), *noise, *records(2, first=20)])
    await fanout.flush(soon())
    assert ([record.sequence for record in sink.taken], len(rescue.taken), cap.capped) == ([9], 2, 2)
    assert first.account["filteredBy"] == {"types": 18}


async def test_a_probe_that_fails_is_over(deliveries: Deliveries) -> None:
    """It begins at once, whatever pause there was, and nobody is held for longer than the sink takes to fail."""
    sink = ScriptedSink(otherwise=DOWN)
    delivery = deliveries.delivery(sink, uniform=lambda _low, high: high)
    fanout = deliveries.fanout(delivery)
    for _ in range(UNHEALTHY_FAILURES):
        delivery.health.note(Reply(Outcome.DOWN, "reset"), 0.0)
    fanout.offer(records(1))
    async with asyncio.timeout(WAIT_S):
        await fanout.probe(float("inf"))
    assert sink.sent


async def test_a_probe_heals_a_sink_that_answers_again(deliveries: Deliveries) -> None:
    """An invocation that is held for a moment is enough to find out."""
    sink = ScriptedSink(*[DOWN] * 6)
    delivery = deliveries.delivery(sink)
    fanout = deliveries.fanout(delivery)
    fanout.offer(records(1))
    await fanout.flush(soon())
    assert not delivery.health.healthy
    assert fanout.probe_due
    await fanout.probe(soon())
    assert delivery.health.healthy


async def test_what_is_exported_needs_a_place_in_one_queue(deliveries: Deliveries) -> None:
    """In that of a sink which takes it: what others have free is of no use, and one that is full does not matter."""
    takes, full = deliveries.delivery(ScriptedSink()), deliveries.delivery(ScriptedSink(), max_bytes=1000)
    excludes = deliveries.delivery(ScriptedSink(), excluded_kinds={"otlp-traces"})
    fanout = deliveries.fanout(takes, full, excludes)
    assert fanout.has_place("otlp-traces", MIB)
    assert not fanout.has_place("otlp-traces", MIB + 1)
    assert not deliveries.fanout(excludes).has_place("otlp-traces", 1)
    assert not deliveries.fanout(excludes, fallback=takes).has_place("otlp-traces", 1)


class Hanging(ScriptedSink):
    """Takes so many records, and answers nothing from there on until it is let go."""

    def __init__(self, takes: int = 0) -> None:
        super().__init__()
        self.timeouts: list[float] = []
        self.hangs = threading.Event()
        self.let_go = threading.Event()
        self._takes = takes

    def send(self, batch: Batch, timeout_s: float) -> Sequence[Failure]:
        """Take, or hang."""
        self.timeouts.append(timeout_s)
        if len(self.taken) >= self._takes:
            self.hangs.set()
            self.let_go.wait(WAIT_S)
        return super().send(batch, timeout_s)


@pytest.fixture
async def hanging() -> AsyncIterator[list[Hanging]]:
    """Two such sinks."""
    made = [Hanging() for _ in range(2)]
    yield made
    for sink in made:
        sink.let_go.set()


async def test_what_was_written_at_the_end_is_not_read_back(tmp_path: Path, hanging: list[Hanging]) -> None:
    """A sink that hangs counts as healthy for a while, but what is on disk stays there for the next process."""
    made = Deliveries(tmp_path / "spool", max_bytes=8 * MIB, max_disk_bytes=16 * MIB)
    few, many = made.delivery(hanging[0], name="test://few"), made.delivery(hanging[1], name="test://many")
    fanout = made.fanout(few, many)
    few.offer(Chunk(records(100), 0.0))
    many.offer(Chunk(records(5000, size=600), 0.0))  # two parts
    fanout.flush_soon()
    await asyncio.to_thread(hanging[0].hangs.wait, WAIT_S)
    await asyncio.to_thread(hanging[1].hangs.wait, WAIT_S)
    await fanout.shut_down(plan(keeps_disk=True, sinks_s=0.05))
    fanout.end(keeps_disk=True)
    accounts = fanout.account().values()
    assert [(one["spooled"], one["pending"], one["dropped"]) for one in accounts] == [  # type: ignore[index] # a ledger entry
        (100, 100, {}),
        (5000, 5000, {}),
    ]
    await made.stop()


async def test_what_an_earlier_process_left_is_counted_once(tmp_path: Path, hanging: list[Hanging]) -> None:
    """What was delivered of its file before the sink hung is no more to be delivered, and nothing is dropped."""
    made = Deliveries(tmp_path / "spool", max_bytes=8 * MIB, max_disk_bytes=16 * MIB)
    before = made.fanout(made.delivery(hanging[0]))
    before.offer(records(100))
    await before.shut_down(plan(keeps_disk=True, sinks_s=0.05))
    before.end(keeps_disk=True)
    await made.stop()
    sink = hanging[1]
    sink.limits = Limits(records=50)
    sink._takes = 50
    heir = made.delivery(sink)
    fanout = made.fanout(heir)
    await made.until(lambda: heir.queue.restored == 100)
    fanout.offer(records(5000, first=1000, size=600))
    fanout.flush_soon()
    await asyncio.to_thread(sink.hangs.wait, WAIT_S)
    await fanout.shut_down(plan(keeps_disk=True, sinks_s=0.05))
    fanout.end(keeps_disk=True)
    account = heir.account
    assert (account["delivered"], account["pending"], account["spooled"], account["dropped"]) == (50, 5050, 5050, {})
    await made.stop()


async def test_sends_end_with_what_they_are_for(deliveries: Deliveries, hanging: list[Hanging]) -> None:
    """Once SHUTDOWN has begun no send gets longer than is left, of the fallback's until its own part ends."""
    fallback = deliveries.delivery(hanging[1], name="test://fallback")
    sink = deliveries.delivery(hanging[0], fallback=fallback)
    fanout = deliveries.fanout(sink, fallback=fallback)
    ends = plan(sinks_s=1.0)
    fanout.end_sends_by(ends._replace(fallback=ends.sinks + 1.0))
    for delivery in (sink, fallback):
        delivery.offer(Chunk(records(1), 0.0))
    fanout.flush_soon()
    for one in hanging:
        await asyncio.to_thread(one.hangs.wait, WAIT_S)
    assert hanging[0].timeouts[0] <= 1.0
    assert hanging[1].timeouts[0] <= 2.0


async def test_no_invocation_is_held_for_a_fallback_that_gets_nothing(deliveries: Deliveries) -> None:
    """While its sinks fail a healthy fallback is worth waiting for only where records wait for it."""
    fallback = deliveries.delivery(ScriptedSink(), name="test://fallback")
    dead = deliveries.delivery(ScriptedSink(otherwise=DOWN), fallback=fallback)
    fanout = deliveries.fanout(dead, fallback=fallback)
    healthy = [fanout.healthy]
    dead.offer(Chunk(records(5), 0.0))
    fanout.flush_soon()
    await deliveries.until(lambda: not dead.health.healthy)
    healthy.append(fanout.healthy)
    fallback.offer(Chunk(records(1), 0.0))
    healthy.append(fanout.healthy)
    assert healthy == [True, False, True]


async def test_invocations_are_held_for_a_fallback_in_the_place_of_a_sink(deliveries: Deliveries) -> None:
    """What is for a sink that cannot be opened goes there at once, so it is worth waiting for before it comes."""
    fallback = deliveries.delivery(ScriptedSink(), name="test://fallback")
    refused = deliveries.delivery(RuntimeError("no"), fallback=fallback)
    fanout = deliveries.fanout(refused, fallback=fallback)
    await deliveries.until(lambda: refused.is_ready)
    assert (fallback.queue.pending, fanout.healthy) == (0, True)


async def test_nothing_is_waited_for_that_stays_on_disk(tmp_path: Path) -> None:
    """Behind a second timeout in a row, what the first left is no reason to use up the time of the next."""
    made = Deliveries(tmp_path / "spool")
    before = made.fanout(made.delivery(ScriptedSink(otherwise=DOWN)))
    before.offer(records(50))
    await before.shut_down(plan(keeps_disk=True, sinks_s=0.05))
    before.end(keeps_disk=True)
    await made.stop()
    fallback = made.delivery(ScriptedSink(), name="test://fallback")
    heir = made.delivery(ScriptedSink(otherwise=DOWN), fallback=fallback)
    for _ in range(UNHEALTHY_FAILURES):
        heir.health.note(Reply(Outcome.DOWN, "refused"), 0.0)
    await made.until(lambda: heir.queue.restored == 50)
    async with asyncio.timeout(WAIT_S):
        await made.fanout(heir, fallback=fallback).shut_down(plan(keeps_disk=True, sinks_s=10 * WAIT_S))
    assert heir.account["spooled"] == 50
    await made.stop()


class StuckFolder(Overflow):
    """A disk on which no write ends."""

    def __init__(self, folder: str, name: str) -> None:
        super().__init__(folder, name)
        self.writes = threading.Event()
        self.let_go = threading.Event()

    def write(self, records: Sequence[Record]) -> File:
        """Hang."""
        self.writes.set()
        self.let_go.wait(WAIT_S)
        return super().write(records)


async def test_a_write_that_does_not_end_loses_nothing_of_an_older_file(small: Deliveries, tmp_path: Path) -> None:
    """What was read back, and was to be written again when the time was over, is still where it was."""
    before = small.fanout(small.delivery(ScriptedSink(otherwise=DOWN)))
    before.offer(records(20))
    await before.shut_down(plan(keeps_disk=True, sinks_s=0.05))
    before.end(keeps_disk=True)
    await small.stop()
    folder = StuckFolder(str(tmp_path / "spool"), "test://sink")
    heir = small.delivery(ScriptedSink(otherwise=DOWN), overflow=folder, uniform=lambda _, high: high)
    heir.health.ready_at = small.clock() + 1.0  # nothing is sent before it is written
    fanout = small.fanout(heir)
    try:
        await small.until(lambda: heir.queue.restored == 20 and heir.queue.spooled == 0)
        for _ in range(UNHEALTHY_FAILURES):
            heir.health.note(Reply(Outcome.DOWN, "refused"), 0.0)
        fanout.offer(records(100, first=1000))
        await asyncio.to_thread(folder.writes.wait, WAIT_S)
        ends = plan(keeps_disk=True, sinks_s=0.05)
        await fanout.shut_down(ends._replace(fallback=ends.sinks, disk=ends.sinks + 0.05))
        fanout.end(keeps_disk=True)
    finally:
        folder.let_go.set()
    account = heir.account
    assert (account["spooled"], account["dropped"]) == (20, {"not delivered before SHUTDOWN": 100})


class Copied(ScriptedSink):
    """Hangs in its first send until it is let go, and fails then; takes all others."""

    def __init__(self) -> None:
        super().__init__()
        self.hangs = threading.Event()
        self.let_go = threading.Event()

    def send(self, batch: Batch, timeout_s: float) -> Sequence[Failure]:
        """Hang and fail, or take."""
        if not self.hangs.is_set():
            self.hangs.set()
            self.let_go.wait(WAIT_S)
            self.sent.append(batch)
            raise DOWN
        return super().send(batch, timeout_s)


async def test_a_connection_of_before_the_snapshot_says_nothing_of_the_sink(deliveries: Deliveries) -> None:
    """Its batch was made anew, so what becomes of the old one is no failure, and it is not sent again."""
    sink = Copied()
    delivery = deliveries.delivery(sink, uniform=lambda _, high: high)  # a failure would make a pause without end
    fanout = deliveries.fanout(delivery)
    fanout.offer(records(3))
    fanout.flush_soon()
    await asyncio.to_thread(sink.hangs.wait, WAIT_S)
    fanout.renew()
    await delivery.flush(soon())
    sink.let_go.set()
    async with asyncio.timeout(WAIT_S):
        while len(sink.sent) < 2:
            await asyncio.sleep(0.01)
    fanout.offer(records(1, first=3))  # behind it nothing of the old one is left to be done
    await delivery.flush(soon())
    assert (sink.sequences, delivery.health.failures) == ([0, 1, 2, 3], 0)
    assert sorted(len(batch.records) for batch in sink.sent) == [1, 3, 3]

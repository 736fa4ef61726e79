"""A loop of a delivery that fails by a fault of ours is started again, and takes up what was under way."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

from extension.delivery.chunk import Chunk
from extension.delivery.overflow import Overflow
from extension.delivery.queue import Queue
from tests.support.deliveries import WAIT_S, ScriptedSink, records, soon

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from extension.delivery.delivery import Delivery
    from extension.delivery.disk import File
    from extension.delivery.queue import Action, View
    from extension.records import Batch, Record
    from extension.sinks import Failure
    from tests.support.deliveries import Deliveries

DOWN = ConnectionResetError("reset")
NAME = "test://sink"


class Faulty(Queue):
    """Its next plan is a fault, where the test says so."""

    faults = 0

    def plan(self, view: View) -> list[Action]:
        if self.faults:
            self.faults -= 1
            raise RuntimeError("a fault of ours")
        return super().plan(view)


class Gate:
    """Whoever comes first is held until the test opens it, and fails then; the others go on."""

    def __init__(self) -> None:
        self._first = threading.Lock()
        self._reached = threading.Event()
        self._opened = threading.Event()

    def __call__(self) -> None:
        if self._first.acquire(blocking=False):
            self._reached.set()
            self._opened.wait(WAIT_S)
            raise DOWN

    async def reached(self) -> None:
        """Wait for the first."""
        assert await asyncio.to_thread(self._reached.wait, WAIT_S)

    def open(self) -> None:
        """Let it go."""
        self._opened.set()


class GatedSink(ScriptedSink):
    """Its first send is held."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = Gate()

    def send(self, batch: Batch, timeout_s: float) -> Sequence[Failure]:
        self.gate()
        return super().send(batch, timeout_s)


class GatedDisk(Overflow):
    """Its first `call`, which is write or read, is held."""

    def __init__(self, folder: Path, call: str) -> None:
        super().__init__(str(folder), NAME)
        self.gate = Gate()
        self._call = call

    def write(self, records: Sequence[Record]) -> File:
        self._pass("write")
        return super().write(records)

    def read(self, file: File) -> list[Record]:
        self._pass("read")
        return super().read(file)

    def _pass(self, call: str) -> None:
        if call == self._call:
            self.gate()


def start(deliveries: Deliveries, sink: ScriptedSink, **more: Any) -> Delivery:
    return deliveries.delivery(sink, name=NAME, queue=Faulty, restarts=True, **more)


async def leave(folder: Path, made: Sequence[Record]) -> None:
    """Have an earlier process leave records on disk."""
    await asyncio.to_thread(Overflow(str(folder), NAME).write, made)


async def fail(deliveries: Deliveries, delivery: Delivery) -> None:
    """Have its loop fail once."""
    assert isinstance(delivery.queue, Faulty)
    queue = delivery.queue
    queue.faults = 1
    delivery.retry_now()
    await deliveries.until(lambda: not queue.faults)


async def assert_each_arrives_once(deliveries: Deliveries, delivery: Delivery, sink: ScriptedSink, count: int) -> None:
    delivery.flush_soon()
    await deliveries.until(lambda: delivery.queue.delivered >= count and not delivery.queue.pending)
    taken = [record.line for record in sink.taken]
    assert sorted(taken) == [record.line for record in records(count)]
    assert delivery.queue.memory == 0


async def test_what_comes_after_a_fault_arrives(deliveries: Deliveries) -> None:
    """A fault in the loop of a delivery is not its end."""
    sink = ScriptedSink()
    delivery = start(deliveries, sink)
    await fail(deliveries, delivery)
    delivery.offer(Chunk(records(3), 0.0))
    await assert_each_arrives_once(deliveries, delivery, sink, 3)


async def test_what_was_being_sent_in_a_fault_is_sent_again(deliveries: Deliveries) -> None:
    """Nobody hears the answer to the send that was under way: its batch goes once more."""
    sink = GatedSink()
    delivery = start(deliveries, sink)
    delivery.offer(Chunk(records(3), 0.0))
    delivery.flush_soon()
    await sink.gate.reached()
    await fail(deliveries, delivery)
    await assert_each_arrives_once(deliveries, delivery, sink, 3)
    sink.gate.open()


async def test_what_was_being_written_in_a_fault_is_not_lost(deliveries: Deliveries, tmp_path: Path) -> None:
    """Nobody hears whether it came to be on disk: it waits in memory again."""
    sink, disk = GatedSink(), GatedDisk(tmp_path, "write")
    delivery = start(deliveries, sink, overflow=disk, max_bytes=100_000)
    delivery.offer(Chunk(records(1), 0.0))
    delivery.flush_soon()
    await sink.gate.reached()
    delivery.offer(Chunk(records(250, first=1), 0.0))
    await disk.gate.reached()
    await fail(deliveries, delivery)
    await assert_each_arrives_once(deliveries, delivery, sink, 251)
    disk.gate.open()
    sink.gate.open()


async def test_what_was_being_read_in_a_fault_is_read_again(deliveries: Deliveries, tmp_path: Path) -> None:
    """A file of an earlier process, of which nobody heard what is in it, is still there."""
    sink, disk = ScriptedSink(), GatedDisk(tmp_path, "read")
    await leave(tmp_path, records(3))
    delivery = start(deliveries, sink, overflow=disk)
    await disk.gate.reached()
    await fail(deliveries, delivery)
    await assert_each_arrives_once(deliveries, delivery, sink, 3)
    disk.gate.open()


async def test_what_an_earlier_process_left_is_taken_over_once(deliveries: Deliveries, tmp_path: Path) -> None:
    """Its file stays until its records have arrived, and is not theirs a second time when the loop begins anew."""
    sink = GatedSink()
    await leave(tmp_path, records(3))
    delivery = start(deliveries, sink, overflow=Overflow(str(tmp_path), NAME))
    await sink.gate.reached()
    await fail(deliveries, delivery)
    await assert_each_arrives_once(deliveries, delivery, sink, 3)
    assert delivery.queue.restored == 3
    sink.gate.open()


class CountingDisk(Overflow):
    """Counts its writes."""

    writes = 0

    def write(self, records: Sequence[Record]) -> File:
        self.writes += 1
        return super().write(records)


async def test_what_was_about_to_be_written_in_a_fault_is_written_once(deliveries: Deliveries, tmp_path: Path) -> None:
    """At the end there is nobody to tell the queue of a second file, which the next process would deliver again."""
    disk = CountingDisk(str(tmp_path), NAME)
    delivery = start(deliveries, ScriptedSink(), overflow=disk)
    await deliveries.until(lambda: delivery.is_ready)
    delivery.offer(Chunk(records(3), 0.0))
    assert isinstance(delivery.queue, Faulty)
    delivery.queue.faults = 1
    await delivery.spill(soon())
    delivery.offer(Chunk(records(1, first=3), 0.0))
    await delivery.spill(soon())
    assert (delivery.queue.account["spooled"], disk.writes) == (4, 2)

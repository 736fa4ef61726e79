"""Sends many records through a real Delivery and a real sink to a service that fails some of them, and counts.

Shared by the tests and by benchmarks/sinks.py.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import Counter
from concurrent.futures import Future
from typing import TYPE_CHECKING, NamedTuple

from extension.delivery.chunk import Chunk
from extension.delivery.delivery import Delivery
from extension.delivery.disk import Disk
from extension.delivery.health import Health
from extension.delivery.overflow import Overflow
from extension.delivery.progress import Progress
from extension.delivery.queue import Queue
from extension.pipeline.pipeline import now_iso
from extension.sinks import Limits
from tests.support.batches import ENVIRONMENT, line, record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from extension.records import Batch, Record
    from extension.sinks import Failure, Sink
    from tests.support.strict_aws import Call, Service

RECORD_BYTES = 300
WAIT_S = 600.0
MAX_STEP_S = 0.5  # between two looks at a clock


# Entries and bytes that each service takes in one request.
MOST = {
    "PutRecordBatch": (500, 4 << 20),
    "PutRecords": (500, 5 << 20),
    "SendMessageBatch": (10, 1 << 20),
    "PutLogEvents": (10_000, 1 << 20),
}
WORDS = ["request", "handled", "ms", "user", "order", "item", "cache", "miss", "retry", "upstream", "status", "bytes"]


class Reached(NamedTuple):
    """What became of the records.

    Seconds it took, CPU seconds in `send` alone, how often each line arrived, and how full the requests were on average
    while there was enough to send: by entries or by bytes, whichever was nearer to the service's limit.
    """

    elapsed_s: float
    cpu_s: float
    arrived: Counter[bytes]
    fill: float


class Metered:
    """A sink whose CPU is measured: that of the sending thread alone, so the server's beside it does not count."""

    def __init__(self, sink: Sink, service: Service, queue: Queue) -> None:
        self.limits = sink.limits
        self.cpu_s = 0.0
        self._queue = queue
        self.full_calls: list[Call] = []
        self._sink = sink
        self._service = service

    def send(self, batch: Batch, timeout_s: float) -> Sequence[Failure]:
        """Send, and note what it took."""
        enough = self._queue.pending > len(batch.records)
        before = len(self._service.calls)
        started = time.thread_time()
        try:
            return self._sink.send(batch, timeout_s)
        finally:
            self.cpu_s += time.thread_time() - started
            self.full_calls += self._service.calls[before:] if enough else []

    @property
    def fill(self) -> float:
        """As in Reached; 0 for a service whose requests have no limit."""
        calls = [call for call in self.full_calls if call.operation in MOST]
        shares = [max(call.entries / MOST[call.operation][0], call.size / MOST[call.operation][1]) for call in calls]
        return sum(shares) / len(shares) if shares else 0.0

    def close(self) -> None:
        """Close."""
        self._sink.close()


def records(count: int) -> list[Record]:
    """Records of RECORD_BYTES each, of words and numbers as logs have them; every one different."""
    dice = random.Random(1)  # noqa: S311 - the same for every run
    now = now_iso()
    made = []
    for number in range(count):
        frame = len(line(number, "", now))
        text = " ".join(f"{word}={dice.randrange(100_000)}" for word in dice.choices(WORDS, k=14))
        made.append(record(number, line(number, text[: RECORD_BYTES - frame], now)))
    return made


async def deliver(sink: Sink, service: Service, sent: Sequence[Record]) -> Reached:
    """Offer all records at once and wait until the last has come to its end."""
    numbers = itertools.count(1)
    queue = Queue(1 << 30, Limits(), Disk(0), lambda: f"{ENVIRONMENT}-{next(numbers)}")
    metered = Metered(sink, service, queue)
    started = time.monotonic()
    await run_empty(metered, queue, sent)
    elapsed_s = time.monotonic() - started
    assert queue.delivered == len(sent), queue.dropped
    return Reached(elapsed_s, metered.cpu_s, Counter(service.lines()), metered.fill)


class Steady:
    """Seconds that pass as they do, but for a pause of a busy machine: what is late by a second is taken for frozen."""

    def __init__(self) -> None:
        self._now, self._looked = 0.0, time.monotonic()

    def __call__(self) -> float:
        """The time."""
        before, self._looked = self._looked, time.monotonic()
        self._now += min(self._looked - before, MAX_STEP_S)
        return self._now


async def settle(sink: Sink, sent: Sequence[Record]) -> Queue:
    """The queue of a delivery to the sink, once each of the records has come to its end."""
    numbers = itertools.count(1)
    queue = Queue(1 << 30, sink.limits, Disk(0), lambda: f"{ENVIRONMENT}-{next(numbers)}")
    await run_empty(sink, queue, sent)
    return queue


async def run_empty(sink: Sink, queue: Queue, sent: Sequence[Record]) -> Delivery:
    """Offer the records to a delivery of the queue, and run it until the last has come to its end."""
    opening: Future[Sink] = Future()
    opening.set_result(sink)
    progress = Progress()
    clock = Steady()
    health = Health(clock, random.uniform)
    delivery = Delivery("test://", queue, health, Overflow("/nonexistent", "test://"), opening, clock, progress)
    job = asyncio.create_task(delivery.run())
    delivery.offer(Chunk(sent, clock()))
    delivery.flush_soon()
    assert await progress.until(lambda: queue.pending == 0, asyncio.get_running_loop().time() + WAIT_S)
    job.cancel()
    await asyncio.gather(job, return_exceptions=True)
    return delivery

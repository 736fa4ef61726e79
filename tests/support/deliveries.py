"""A sink that does what a list says, and deliveries to such sinks that run until a test ends."""

from __future__ import annotations

import asyncio
import itertools
from concurrent.futures import Future
from typing import TYPE_CHECKING

from extension.delivery.delivery import Delivery
from extension.delivery.disk import Disk
from extension.delivery.fanout import Fanout
from extension.delivery.health import Health
from extension.delivery.overflow import Overflow
from extension.delivery.progress import Progress
from extension.delivery.queue import Queue
from extension.records import Record
from extension.restart import keep_running
from extension.sinks import Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

    from extension.delivery.delivery import Select
    from extension.records import Batch
    from extension.sinks import Failure, Sink

    Step = Exception | Sequence[Failure] | None

WAIT_S = 20.0  # for what is to happen, on a busy machine
MIB = 1 << 20


class ScriptedSink:
    """Answers each send as the next step of its script says, at the end as `otherwise`; remembers what it was sent."""

    def __init__(self, *script: Step, otherwise: Step = None, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.sent: list[Batch] = []
        self.taken: list[Record] = []
        self.closed = 0
        self._script = list(script)
        self._otherwise = otherwise

    @property
    def sequences(self) -> list[int]:
        """Of what was taken, in order."""
        return [record.sequence for record in self.taken]

    def send(self, batch: Batch, timeout_s: float) -> Sequence[Failure]:
        """Take the batch, but for what the step says."""
        self.sent.append(batch)
        step = self.answer(batch)
        if isinstance(step, Exception):
            raise step
        failed = {failure.position for failure in step or ()}
        self.taken += [record for at, record in enumerate(batch.records) if at not in failed]
        return step or ()

    def answer(self, batch: Batch) -> Step:
        """The next step; a test's own sink may decide by the batch."""
        return self._script.pop(0) if self._script else self._otherwise

    def close(self) -> None:
        """Count that connections were given up."""
        self.closed += 1


class Clock:
    """Seconds that pass only when a test says so."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        """The time."""
        return self.now


class Deliveries:
    """Makes deliveries that run at once, over one disk; pauses between attempts are drawn as their lower end, 0 s."""

    def __init__(self, folder: Path, max_bytes: int = MIB, max_disk_bytes: int = MIB) -> None:
        self.clock = Clock()
        self.progress = Progress()
        self.disk = Disk(max_disk_bytes)
        self._folder = folder
        self._max_bytes = max_bytes
        self._batches = itertools.count()
        self._jobs: list[asyncio.Task[None]] = []

    def delivery(
        self,
        sink: Sink | Exception,
        *,
        name: str = "test://sink",
        fallback: Delivery | None = None,
        excluded_kinds: Collection[str] = (),
        max_bytes: int | None = None,
        uniform: Callable[[float, float], float] = lambda low, _: low,
        clock: Callable[[], float] | None = None,
        overflow: Overflow | None = None,
        select: Select | None = None,
        queue: type[Queue] = Queue,
        restarts: bool = False,
    ) -> Delivery:
        """A delivery to the sink, running; one that `restarts` runs again where it fails, at once."""
        waiting = queue(
            max_bytes or self._max_bytes,
            Limits(),
            self.disk,
            lambda: f"e-{next(self._batches)}",
            excluded_kinds=excluded_kinds,
            has_fallback=fallback is not None,
        )

        opening: Future[Sink] = Future()
        if isinstance(sink, Exception):
            opening.set_exception(sink)
        else:
            opening.set_result(sink)
        clock = clock or self.clock
        made = Delivery(
            name,
            waiting,
            Health(clock, uniform),
            overflow or Overflow(str(self._folder), name),
            opening,
            clock,
            self.progress,
            fallback,
            select,
        )
        if not isinstance(sink, Exception):
            made.health.open()  # as it is before the first event
        job = keep_running(made.run, pause_s=0.0) if restarts else made.run()
        self._jobs.append(asyncio.create_task(job))
        return made

    def fanout(self, *deliveries: Delivery, fallback: Delivery | None = None) -> Fanout:
        """All of them together."""
        return Fanout(deliveries, fallback, self.clock, self.progress)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something is so."""
        assert await self.progress.until(condition, soon()), "it did not come to that"

    async def stop(self) -> None:
        """End the jobs."""
        for job in self._jobs:
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)


def soon() -> float:
    """The loop's time by which a test gives up."""
    return asyncio.get_running_loop().time() + WAIT_S


def records(count: int, kind: str = "function", first: int = 0, size: int = 20) -> list[Record]:
    """Records of `size` bytes or a little more, with ascending sequences."""
    return [
        Record(number, kind, b'{"n":"%0*d","lambda":{"id":"e-%d"}}' % (size, number, number), kind)
        for number in range(first, first + count)
    ]

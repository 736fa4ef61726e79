"""One sink: the loop that does what its queue says. All I/O of a sink is done here, and nothing is decided here."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol, TypeVar

from extension.delivery.chunk import Chunk
from extension.delivery.queue import Forget, HandOff, Reload, Send, Spill, View
from extension.delivery.sending import Sending
from extension.log import describe, log, log_seldom
from extension.sinks import Outcome, Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from concurrent.futures import Future

    from extension.delivery.health import Health
    from extension.delivery.overflow import Overflow
    from extension.delivery.progress import Progress
    from extension.delivery.queue import Action, Queue
    from extension.pipeline.sample import Sampler
    from extension.records import Batch, Record
    from extension.sinks import Reply, Sink

T = TypeVar("T")
R = TypeVar("R")


class Select(Protocol):
    """Which of the records that are offered a sink is to get."""

    @property
    def account(self) -> Mapping[str, object]:
        """What the ledger says of it, beside what it says of the sink."""
        ...

    def __call__(self, records: Sequence[Record], /) -> Sequence[Record]:
        """Those that the sink is to get, in order. It never raises."""
        ...

    def wants(self, record: Record, /) -> bool:
        """Whether it is one of them; nothing is counted. It never raises."""
        ...


FINAL = frozenset({Scope.BATCH, Scope.EVERYTHING})
FOREVER = float("inf")
NOT_DELIVERED = "not delivered before SHUTDOWN"
NOT_TAKEN = "not taken before SHUTDOWN"
DISK_PAUSE_S = 10.0  # after a write that failed: the disk is full, as a rule, and the function's to make room on
RESTORED_SEQUENCE = -(1 << 40)  # of the first record that an earlier process left, lower than any other


class Delivery:
    """Delivers to the sink that log and ledger call `name`; `fallback` takes what is handed off.

    `opening` is awaited once, in the background; where it fails, everything is handed off or dropped. Of what is
    offered, `select` returns what this sink is to get; `sampler` holds some of it, which is pending. The rest is
    excluded.
    """

    def __init__(
        self,
        name: str,
        queue: Queue,
        health: Health,
        overflow: Overflow,
        opening: Future[Sink],
        clock: Callable[[], float],
        progress: Progress,
        fallback: Delivery | None = None,
        select: Select | None = None,
        sampler: Sampler | None = None,
    ) -> None:
        self.name = name
        self.queue = queue
        self.health = health
        self.excluded_once_open: Callable[[Future[Sink]], Collection[str]] | None = None  # where not known before
        self._overflow = overflow
        self._opening = opening
        self._clock = clock
        self._progress = progress
        self._fallback = fallback
        self._select = select
        self._sampler = sampler
        self._sending: Sending | None = None
        self._todo: list[Action] = []
        self._changed = asyncio.Event()
        self._adopted = 0  # records that other sinks handed off, numbered here
        self._needed_room = 0  # bytes, before more can be read
        self._until = FOREVER  # the loop's time at which SHUTDOWN ends a send
        self._disk_ready_at = 0.0  # by the clock; nothing is written before
        self._restored = False
        self._closing = self._stopped = self._drains_disk = False

    @property
    def is_ready(self) -> bool:
        """Whether the sink is open, or will never be."""
        return self._sending is not None or self.queue.is_refused

    @property
    def is_down(self) -> bool:
        """Whether the sink cannot be used yet, or ever, or does not answer as far as it was tried."""
        return not self._opening.done() or self.queue.is_refused or self.health.failing

    @property
    def age_s(self) -> float:
        """How long the oldest record has waited."""
        arrival = self.queue.oldest_arrival
        return self._clock() - arrival if arrival is not None else 0.0

    @property
    def lossy(self) -> bool:
        """Whether any record was dropped, or is missing of an invocation that was kept."""
        return bool(self.queue.dropped) or (self._sampler is not None and self._sampler.left_out_of_kept > 0)

    @property
    def account(self) -> dict[str, object]:
        """The ledger's entry: what became of every record."""
        account = {**self.queue.account, **(self._select.account if self._select is not None else {})}
        if self._sampler is not None:
            held = self._sampler.held
            account |= {"excluded": self.queue.excluded - held, "pending": self.queue.pending + held}
            account |= self._sampler.account
        return account

    # What comes in

    def offer(self, chunk: Chunk) -> None:
        """Take new records."""
        if self._select is None and self._sampler is None:
            self._take(chunk)
        else:
            self._choose(chunk.records, chunk.arrived)

    def wants(self, record: Record) -> bool:
        """Whether it is for this sink, as far as its sampler says nothing else."""
        return self.queue.takes(record.kind) and (self._select is None or self._select.wants(record))

    def settle(self) -> None:
        """Take what the sampler held, and lets go by now."""
        if self._sampler is not None:
            self._choose((), self._clock())

    def _choose(self, offered: Sequence[Record], arrived: float) -> None:
        """Take what this sink is to get of what is offered, and of what the sampler held."""
        chosen = self._select(offered) if self._select is not None else offered
        if self._sampler is not None:
            chosen = self._sampler.anew([record for record in chosen if self.queue.takes(record.kind)])
        self.queue.excluded += len(offered) - len(chosen)
        if chosen:
            self._take(Chunk(chosen, arrived))

    def _take(self, chunk: Chunk) -> None:
        self._apply(self.queue.offer(chunk))
        self._wake()

    def adopt(self, records: Sequence[Record], sink: str, reason: str) -> None:
        """Take what another sink handed off: it gets a sequence of this queue, and says which sink refused it."""
        first = self._adopted
        self._adopted += len(records)
        adopted = [record.refused(sink, reason, sequence) for sequence, record in enumerate(records, first)]
        self.offer(Chunk(adopted, self._clock()))

    def take(self, record: Record) -> None:
        """Take a record of our own that is for this sink alone: it gets a sequence of this queue."""
        self._adopted += 1
        self.offer(Chunk([record._replace(sequence=self._adopted - 1)], self._clock()))

    def flush_soon(self) -> int:
        """Have everything that is here sent, without waiting for it."""
        self._wake()
        return self.queue.flush_soon()

    def make_room(self, needed_room: int) -> None:
        """Nothing is read until so many bytes of memory are free; 0 where nobody waits any more."""
        self._needed_room = needed_room
        self._wake()

    def retry_now(self) -> None:
        """An invocation has begun: an unhealthy sink is tried again while it runs."""
        self.health.retry_now()
        self._wake()

    async def flush(self, until: float) -> None:
        """Have everything sent and wait for it until the loop's time `until`, as long as that may be of use."""
        began = asyncio.get_running_loop().time()
        delivered = self.queue.delivered
        goal = self.flush_soon()

        def is_over() -> bool:
            left_s = until - asyncio.get_running_loop().time()
            return self.queue.is_flushed(goal) or not self.health.healthy or self.health.asked_for_s > left_s

        if await self._progress.until(is_over, until):
            return
        if self.queue.delivered == delivered:
            self.waited_in_vain(until - began)

    def waited_in_vain(self, seconds: float) -> None:
        """An invocation, or reading, waited so long for this sink, and it took nothing."""
        if self.queue.pending:
            self._note(lambda: self.health.held_in_vain(seconds))

    async def probe(self, until: float) -> None:
        """Wait for the answer of an unhealthy sink to what is sent to it now, or for its failure."""
        self.health.probed()
        goal, failures = self.flush_soon(), self.health.failures

        def is_over() -> bool:
            return self.queue.is_flushed(goal) or self.health.healthy or self.health.failures > failures

        await self._progress.until(is_over, until)

    def renew(self) -> None:
        """The environment is a copy of a snapshot: batches get new ids, and kept connections are not used."""
        self.queue.abandon()
        if self._sending is not None:
            self._sending.close()
        self._wake()

    # SHUTDOWN, in the order of its steps

    def end_sends_by(self, until: float) -> None:
        """No send that begins from here on is to take longer than until the loop's time `until`."""
        self._until = until

    def close(self, until: float, last_try_s: float, *, drains_disk: bool) -> None:
        """Send everything by the loop's time `until`; with `drains_disk` what is on disk as well."""
        self._closing, self._drains_disk = True, drains_disk
        self.end_sends_by(until)
        self.health.close(self._clock() + max(0.0, until - last_try_s - asyncio.get_running_loop().time()))
        self._wake()

    async def finish(self, until: float) -> None:
        """Wait until all is sent; a sink that fails is waited for only where there is no fallback."""
        alone = self._fallback is None

        def done() -> bool:
            return self._left == 0 or (not alone and self.health.failed_in_closing)

        await self._progress.until(done, until)

    async def hand_over(self, until: float) -> None:
        """Send no more; give what is left to the fallback, no faster than it has room."""
        fallback, queue = self._fallback, self.queue
        assert fallback is not None
        self._stopped = True
        queue.abandon()
        self._wake()

        def handed_over() -> bool:
            self._apply(queue.hand_off_oldest(fallback.queue.room, NOT_TAKEN))
            return self._left == 0

        await self._progress.until(handed_over, until)  # the fallback makes room, the disk gives back what it holds

    async def spill(self, until: float) -> None:
        """Leave on disk what is left, for the process that may come after us in this execution environment.

        A disk that cannot be written is tried once.
        """
        self._stopped = True
        self._disk_ready_at = 0.0
        queue = self.queue
        queue.abandon()
        queue.leave_on_disk()
        loop = asyncio.get_running_loop()
        while loop.time() < until and self._may_write:
            self._apply(queue.spill_what_fits())
            if not queue.is_spilling:
                return
            await self._progress.until(lambda: not queue.is_spilling, until)

    def end(self, *, keeps_disk: bool) -> None:
        """Count what is left as dropped."""
        self._stopped = True
        if self.queue.is_spilling:
            self.queue.spilled(None)
        if keeps_disk:
            self.queue.leave_on_disk()  # what came back, or was to be written again, since the disk's turn began
        self.queue.drop_waiting(self.health.denied_for or NOT_DELIVERED)
        if not keeps_disk:
            self.queue.drop_spooled(NOT_DELIVERED)

    # The loop

    async def run(self) -> None:
        """Do what the queue says, for ever. Cancelled when the process ends."""
        self.queue.recover()
        self._todo = [action for action in self._todo if isinstance(action, Forget)]  # the queue took the rest back
        await self._restore()
        async with asyncio.TaskGroup() as group:
            if not self.is_ready:
                group.create_task(self._open())
            while True:
                self._changed.clear()
                view = self._view()
                self._apply(self.queue.plan(view))
                todo, self._todo = self._todo, []
                for action in todo:
                    group.create_task(self._perform(action))
                self._progress.made()
                await self._wait(view)

    @property
    def _reads_back(self) -> bool:
        """Whether what is on disk is to come back, which at the end has to be worth it."""
        return self._drains_disk or (self.health.healthy and not self._stopped)

    @property
    def _left(self) -> int:
        """Records that are still to leave this queue at SHUTDOWN; what stays on disk is the next process's."""
        return self.queue.pending - (0 if self._reads_back else self.queue.spooled)

    @property
    def _may_write(self) -> bool:
        """Whether no write has failed of late."""
        return self._clock() >= self._disk_ready_at

    def _view(self) -> View:
        fallback = self._fallback
        return View(
            ready=self._sending is not None and not self._stopped and self.health.ready,
            reload=self._reads_back,
            fallback_room=fallback.queue.room if fallback is not None else 0,
            hands_off=fallback is not None and fallback.health.healthy and not self.health.healthy,
            needed_room=self._needed_room,
            closing=self._closing,
            may_write=self._may_write,
            asks_again=fallback is not None and not fallback.health.healthy and self.health.rested,
        )

    async def _wait(self, view: View) -> None:
        """Until something has happened, the fallback has room that is wanted, or a sink that is not ready may be."""
        pause_s = None
        if not view.ready and self._sending is not None and not self._stopped and self.queue.pending:
            pause_s = max(0.0, self.health.ready_at - self._clock())
        try:
            async with asyncio.timeout(pause_s):
                if self._fallback is not None and (wanted := self.queue.wanted_room(view)):
                    await self._wait_for_fallback(self._fallback, wanted)
                else:
                    await self._changed.wait()
        except TimeoutError:
            pass

    async def _wait_for_fallback(self, fallback: Delivery, wanted: int) -> None:
        """Until something has happened, or the fallback has so much room."""
        if fallback.queue.room < wanted:
            fallback.flush_soon()
        await self._progress.until(lambda: self._changed.is_set() or fallback.queue.room >= wanted, FOREVER)

    def _wake(self) -> None:
        """Something has happened."""
        self._changed.set()
        self._progress.made()

    def _apply(self, actions: Sequence[Action]) -> None:
        for action in actions:
            if isinstance(action, HandOff):
                assert self._fallback is not None
                self._fallback.adopt(action.records, self.name, action.reason)
            else:
                self._todo.append(action)
        if actions:
            self._wake()

    async def _perform(self, action: Action) -> None:
        match action:
            case Send(batch):
                self._apply(self.queue.sent(batch, await self._send(batch)))
            case Spill(records):
                file = await self._on_disk(self._overflow.write, records)
                if file is None:
                    self._disk_ready_at = self._clock() + DISK_PAUSE_S
                self._apply(self.queue.spilled(file))
            case Reload(file):
                self._apply(self.queue.reloaded(await self._on_disk(self._overflow.read, file) or ()))
            case Forget(file):
                await self._on_disk(self._overflow.forget, file)
            case HandOff():
                raise AssertionError("handed off as soon as it is known")
        self._wake()

    async def _send(self, batch: Batch) -> Reply:
        assert self._sending is not None
        self.health.attempts()
        reply = await self._sending.attempt(batch, lambda: self._until if self.queue.is_sending(batch) else 0.0)
        if not self.queue.is_sending(batch):
            return reply  # it was abandoned meanwhile, and says nothing of the sink as it is now
        again = [failure for failure in reply.failures if failure.outcome is Outcome.RETRY]
        failed_share = len(again) / len(batch.records)
        latency_s = self._sending.latency_s
        # With a fallback nothing waits for a permission that may come: each batch is tried, and goes there.
        noted = reply if self._fallback is None else reply._replace(scope=Scope.BATCH)
        self._note(lambda: self.health.note(noted, latency_s, failed_share))
        if reply.outcome is Outcome.TAKEN:
            taken = len(batch.records) - len(reply.failures)
            log("DEBUG", "delivered", sink=self.name, records=taken, ms=round(latency_s * 1000, 1))
        for reason in {failure.reason for failure in reply.failures if failure.outcome is Outcome.RECORD_REFUSED}:
            log_seldom("WARN", "sink refuses records", sink=self.name, reason=reason)
        if reply.outcome is Outcome.REQUEST_REFUSED and (len(batch.records) == 1 or reply.scope in FINAL):
            log_seldom("WARN", "sink refuses records", sink=self.name, reason=reply.reason)
        return reply

    async def _on_disk(self, call: Callable[[T], R], argument: T) -> R | None:
        """Call something that blocks on the disk; None where it fails."""
        try:
            return await asyncio.to_thread(call, argument)
        except Exception as error:  # noqa: BLE001 - the disk is the function's as well; what fails is counted
            log_seldom("ERROR", "cannot spool", sink=self.name, reason=describe(error))
            return None

    async def _restore(self) -> None:
        """Take over what an earlier process left, once and before anything is written beside it."""
        if self._restored:
            return
        found = await self._on_disk(lambda arrived: self._overflow.find(RESTORED_SEQUENCE, arrived), self._clock())
        self.queue.restore(found or ())
        self._restored = True

    async def _open(self) -> None:
        is_late = not self._opening.done()
        try:
            sink = await asyncio.wrap_future(self._opening)
            if self.excluded_once_open is not None:
                self._apply(self.queue.exclude(self.excluded_once_open(self._opening)))
        except Exception as error:  # noqa: BLE001 - trouble of one sink is that sink's
            log("ERROR", "sink cannot be opened; it gets nothing", sink=self.name, reason=describe(error))
            self._apply(self.queue.refuse("the sink cannot be opened"))
            self._wake()
            return
        if is_late:
            log("INFO", "sink is open now", sink=self.name)
        self.health.open()
        self.queue.set_limits(sink.limits)
        self._sending = Sending(sink, self._clock)
        self._wake()

    def _note(self, change: Callable[[], None]) -> None:
        was_healthy = self.health.healthy
        change()
        if was_healthy and not self.health.healthy:
            log("WARN", "sink fails; its records wait", sink=self.name, reason=self.health.reason)
        elif self.health.healthy and not was_healthy:
            log("INFO", "sink answers again", sink=self.name)
        self._wake()

"""All sinks at once: every record is offered to each of them, and what one hands off goes to the fallback.

The sinks share the bounds on memory, divided among them, and on disk; a slow one delays no other, a dead one evicts
nothing of another's.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from extension.delivery.chunk import Chunk
from extension.delivery.sending import FROZEN_S
from extension.log import log

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from typing import Any

    from extension.delivery.cap import Cap
    from extension.delivery.delivery import Delivery
    from extension.delivery.progress import Progress
    from extension.policy import ShutdownPlan
    from extension.records import Record

ROOM_SHARE = 0.25  # of a healthy sink's memory is free, or nothing is read
GROWTH = 16  # how many times its size a short line may take in memory
MIN_READ, MAX_READ = 4096, 65_536  # bytes
FORWARDER, OVER = "telemetry-forwarder", "over FORWARDER_MAX_BYTES_PER_MINUTE"  # who refused a record, and why
BACKPRESSURE_PAUSE_S = 2.0  # the longest that reading waits for room; a sink that took nothing meanwhile is unhealthy


class Fanout:
    """Deliveries to the `sinks`, and to the `fallback`, which gets only what they hand off and what is over a `cap`.

    No invocation is held for the one `aside`, which gets nothing but what we say of ourselves.
    """

    def __init__(
        self,
        sinks: Sequence[Delivery],
        fallback: Delivery | None,
        clock: Callable[[], float],
        progress: Progress,
        aside: Delivery | None = None,
        cap: Cap | None = None,
    ) -> None:
        self._sinks = [*sinks, *filter(None, [aside])]
        self._cap = cap
        self._fallback = fallback
        self._all = [*self._sinks, *filter(None, [fallback])]
        self._awaited = [*sinks, *filter(None, [fallback])]
        self._clock = clock
        self._progress = progress

    @property
    def names(self) -> list[str]:
        """What log and ledger call the sinks, the fallback last."""
        return [delivery.name for delivery in self._all]

    @property
    def jobs(self) -> list[Callable[[], Coroutine[Any, Any, None]]]:
        """What has to run for records to be delivered."""
        return [delivery.run for delivery in self._all]

    async def wait_opened(self, until: float) -> None:
        """Wait until every sink is open, or known to be none, until the loop's time `until` at most."""
        await self._progress.until(lambda: all(delivery.is_ready for delivery in self._all), until)

    def offer(self, records: Sequence[Record]) -> None:
        """Hand records to every sink, as far as there is no cap."""
        if self._cap is not None:
            records, over = self._cap.divide(records, self._is_wanted)
            self._set_aside(self._cap, over)
        if records:
            chunk = Chunk(records, self._clock())
            for delivery in self._sinks:
                delivery.offer(chunk)

    def settle(self) -> None:
        """Have every sink take what its sampler lets go by now."""
        for delivery in self._sinks:
            delivery.settle()

    def tell(self, record: Record) -> None:
        """Hand on what we say of ourselves, and have it sent: one sink takes it, the others leave it out."""
        self.offer([record])
        if self._fallback is not None and self._fallback.queue.takes(record.kind):
            self._fallback.take(record)
        for delivery in self._all:
            if delivery.queue.takes(record.kind):
                delivery.flush_soon()

    def _is_wanted(self, record: Record) -> bool:
        return any(delivery.wants(record) for delivery in self._sinks)

    def _set_aside(self, cap: Cap, over: Sequence[Record]) -> None:
        """What no sink gets goes to the fallback, once, or is counted alone."""
        if not over:
            return
        if cap.begins():
            log("WARN", "over FORWARDER_MAX_BYTES_PER_MINUTE", to=self._fallback.name if self._fallback else "nowhere")
        if self._fallback is not None:
            self._fallback.adopt(over, FORWARDER, OVER)

    def has_place(self, kind: str, size: int) -> bool:
        """Whether a record of this kind and size, memory in bytes, has a sink, and a place in the queue of one."""
        return any(one.queue.takes(kind) and one.queue.room >= size for one in self._sinks)

    async def room(self, unfinished: int) -> int:
        """How many bytes may be read now, behind the `unfinished` ones of a line; waits until there is room.

        It waits for sinks that do not fail, for they make room; for all of them where the fallback is healthy, since
        that makes room; not long for one that takes nothing.
        """

        def waited_for() -> list[Delivery]:
            rescued = self._fallback is not None and self._fallback.health.healthy
            return [delivery for delivery in self._all if rescued or not delivery.health.failing]

        def needed(delivery: Delivery) -> int:
            bound = delivery.queue.max_bytes
            return max(int(bound * ROOM_SHARE), min(2 * unfinished, bound))

        def has_room() -> bool:
            return all(delivery.queue.room >= needed(delivery) for delivery in waited_for())

        if not has_room():
            self.flush_soon()  # or what waits for company would be waited for in vain
            for delivery in self._all:
                delivery.make_room(needed(delivery))
            delivered = [delivery.queue.delivered for delivery in self._all]
            until = asyncio.get_running_loop().time() + BACKPRESSURE_PAUSE_S
            has_come = await self._progress.until(has_room, until)
            was_frozen = asyncio.get_running_loop().time() - until > FROZEN_S  # in which no sink could answer
            if not has_come and not was_frozen:
                for delivery, before in zip(self._all, delivered, strict=True):
                    if delivery.queue.delivered == before:
                        delivery.waited_in_vain(BACKPRESSURE_PAUSE_S)
            for delivery in self._all:
                delivery.make_room(0)
        room = min((delivery.queue.room for delivery in waited_for()), default=MAX_READ * GROWTH)
        return max(MIN_READ, min(MAX_READ, room // GROWTH))

    def flush_soon(self) -> None:
        """Have everything sent, without waiting for it."""
        for delivery in self._all:
            delivery.flush_soon()

    def retry_now(self) -> None:
        """An invocation has begun: unhealthy sinks are tried again while it runs."""
        for delivery in self._all:
            delivery.retry_now()

    async def flush(self, until: float) -> None:
        """Have everything sent and wait for it until the loop's time `until`, as long as sinks are healthy."""
        await asyncio.gather(*(one.flush(until) for one in self._awaited if one is not self._fallback))
        if self._fallback is not None:
            await self._fallback.flush(until)

    async def probe(self, until: float) -> None:
        """Wait a moment for the unhealthy sinks whose turn it is."""
        due = [delivery for delivery in self._awaited if delivery.health.probe_due and delivery.queue.pending]
        await asyncio.gather(*(delivery.probe(until) for delivery in due))

    def end_sends_by(self, plan: ShutdownPlan) -> None:
        """SHUTDOWN has begun: sends that begin while the rest still comes end in time as well."""
        for delivery in self._sinks:
            delivery.end_sends_by(plan.sinks)
        if self._fallback is not None:
            self._fallback.end_sends_by(plan.fallback)

    async def shut_down(self, plan: ShutdownPlan) -> None:
        """The last flush: to the sinks, then to the fallback, then to disk."""
        for delivery in self._sinks:
            delivery.close(plan.sinks, plan.last_try_s, drains_disk=not plan.keeps_disk)
        await asyncio.gather(*(delivery.finish(plan.sinks) for delivery in self._sinks))
        if self._fallback is not None:
            self._fallback.close(plan.fallback, plan.last_try_s, drains_disk=not plan.keeps_disk)
            rescued = [delivery for delivery in self._awaited if delivery is not self._fallback]
            await asyncio.gather(*(delivery.hand_over(plan.fallback) for delivery in rescued))
            await self._fallback.finish(plan.fallback)
        if plan.keeps_disk:
            await asyncio.gather(*(delivery.spill(plan.disk) for delivery in self._all))

    def end(self, *, keeps_disk: bool) -> None:
        """Count as dropped what found no place."""
        for delivery in self._all:
            delivery.end(keeps_disk=keeps_disk)

    def renew(self) -> None:
        """The environment is a copy of a snapshot: batches get new ids, and kept connections are not used."""
        for delivery in self._all:
            delivery.renew()

    @property
    def healthy(self) -> bool:
        """Whether any sink is worth waiting for; a fallback, to which little may go for long, where something does."""
        sinks = [one for one in self._awaited if one is not self._fallback]
        if any(one.health.healthy for one in sinks):
            return True
        if self._fallback is None or not self._fallback.health.healthy:
            return False
        # What is for a sink that can never be opened goes there at once.
        return self._fallback.queue.pending > 0 or any(one.queue.is_refused for one in sinks)

    @property
    def probe_due(self) -> bool:
        """Whether any unhealthy sink, for which records wait, is to be waited for a moment."""
        return any(delivery.health.probe_due and delivery.queue.pending for delivery in self._awaited)

    @property
    def fill_ratio(self) -> float:
        """How full the fullest queue is of a healthy sink."""
        return max((delivery.queue.fill_ratio for delivery in self._awaited if delivery.health.healthy), default=0.0)

    @property
    def age_s(self) -> float:
        """How long the oldest record has waited for a healthy sink."""
        return max((delivery.age_s for delivery in self._all if delivery.health.healthy), default=0.0)

    @property
    def latency_s(self) -> float:
        """What the slowest healthy sink needs for a batch."""
        return max((delivery.health.latency_s for delivery in self._awaited if delivery.health.healthy), default=0.0)

    @property
    def unhealthy(self) -> list[str]:
        """The names of the sinks that do not answer, as far as they were tried, or are not open."""
        return [one.name for one in self._all if one.is_down]

    @property
    def given_up(self) -> int:
        """Records that wait for sinks that are down, and that no fallback will get."""
        if self._fallback is not None and not self._fallback.is_down:
            return 0
        return sum(one.queue.pending for one in self._all if one.is_down)

    @property
    def fullest(self) -> float:
        """How full the fullest queue is of all."""
        return max(delivery.queue.fill_ratio for delivery in self._all)

    @property
    def waiting_bytes(self) -> int:
        """Memory in use, of all sinks."""
        return sum(delivery.queue.memory for delivery in self._all)

    @property
    def fallback_latency_s(self) -> float | None:
        """What the fallback needs for a batch; None where there is none."""
        return self._fallback.health.latency_s if self._fallback is not None else None

    @property
    def lossy(self) -> bool:
        """Whether any record was lost."""
        return any(delivery.lossy for delivery in self._all) or bool(self.lost)

    @property
    def lost(self) -> int:
        """Records that were over the cap, where no fallback gets them."""
        return self.capped if self._fallback is None else 0

    @property
    def capped(self) -> int:
        """Records that were over the cap."""
        return self._cap.capped if self._cap is not None else 0

    def account(self) -> dict[str, object]:
        """What became of every record, by sink."""
        return {delivery.name: delivery.account for delivery in self._all}

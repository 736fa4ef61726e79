"""All sinks at once: every record is offered to each of them; what they cannot take goes to the fallback or to disk.

The sinks share nothing but the bound on memory, which is divided among them, so that a slow one delays no other and a
dead one evicts nothing of another's.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from extension.buffer import Buffer
from extension.delivery import Delivery
from extension.spool import Spool
from extension.spooler import Spooler

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from extension.records import Record
    from extension.sinks import Sink, Target

FALLBACK_SHARE = 0.4  # of the shutdown at most is kept for the fallback
DISK_SHARE = 0.4  # of it at most for the disk, which may be as slow as
DISK_BYTES_S = 40_000_000
DISK_S = 0.05  # and at least so much
FALLBACK_S = 0.3  # and at least so much, unless its latency asks for more


class Fanout:
    """Deliveries to `sinks`; with `has_fallback` the last of them gets only what the others hand over.

    `max_bytes` bounds the records in memory, and once more those on disk. `spool_folder` is where they are.
    """

    def __init__(
        self,
        sinks: Sequence[tuple[Target, Sink]],
        max_bytes: int,
        spool_folder: str,
        batch_id: Callable[[], str],
        sequence: Callable[[], int],
        *,
        has_fallback: bool,
    ) -> None:
        share = max_bytes // len(sinks)
        names = _names([target.name for target, _ in sinks])
        self._all = [
            Delivery(name, sink, Buffer(share), target.types, batch_id, sequence)
            for name, (target, sink) in zip(names, sinks, strict=True)
        ]
        self._spoolers = [
            Spooler(delivery, Spool(spool_folder, delivery.name, max_bytes), sequence) for delivery in self._all
        ]
        self._fallback = self._all[-1] if has_fallback else None
        self._sinks = self._all[:-1] if has_fallback else self._all
        for delivery in self._sinks:
            delivery.fallback = self._fallback
        self.jobs = [spooler.run for spooler in self._spoolers] + [delivery.run for delivery in self._all]

    async def restore(self) -> None:
        """Take back what an earlier process of this environment left on disk, before any other record comes."""
        await asyncio.gather(*(spooler.restore() for spooler in self._spoolers))

    def offer(self, record: Record) -> None:
        """Hand a record to every sink."""
        for delivery in self._sinks:
            delivery.offer(record)

    def request(self) -> None:
        """Have everything sent, without waiting for it."""
        for delivery in self._all:
            delivery.request()

    def nudge(self) -> None:
        """An invocation has begun: sinks that fail are tried again while it runs."""
        for delivery in self._all:
            delivery.sender.nudge()

    def renew(self) -> None:
        """The environment is a copy: what was begun in the original is begun again, under names of its own."""
        for delivery in self._all:
            delivery.sender.renew()

    async def flush(self, timeout_s: float) -> None:
        """Have everything sent and wait for it, `timeout_s` at most, and only for sinks that answer."""
        until = time.monotonic() + timeout_s
        await asyncio.gather(*(delivery.flush(timeout_s) for delivery in self._sinks))
        if self._fallback is not None:
            await self._fallback.flush(max(0.0, until - time.monotonic()))

    async def finish(self, timeout_s: float) -> None:
        """The last flush. Its end is kept for the fallback, for what the others did not take; the rest goes to disk."""
        finished = time.monotonic() + timeout_s
        waiting = sum(delivery.buffer.size for delivery in self._all)
        timeout_s -= min(timeout_s * DISK_SHARE, DISK_S + waiting / DISK_BYTES_S)
        until = time.monotonic() + timeout_s
        slice_s = 0.0
        if self._fallback is not None:
            slice_s = min(timeout_s * FALLBACK_SHARE, max(FALLBACK_S, 3 * self._fallback.sender.latency_s))
        await asyncio.gather(*(delivery.finish(timeout_s - slice_s) for delivery in self._sinks))
        if self._fallback is not None:
            for delivery in self._sinks:
                delivery.give_up(delivery.stop(), "not taken before SHUTDOWN")
            await self._fallback.finish(max(0.0, until - time.monotonic()))
        await asyncio.gather(*(spooler.finish(finished) for spooler in self._spoolers))

    @property
    def trusted(self) -> bool:
        """Whether any sink answers."""
        return any(delivery.sender.trusted for delivery in self._all)

    @property
    def fullness(self) -> float:
        """How full the fullest buffer is of a sink that answers."""
        return max((delivery.buffer.fullness for delivery in self._all if delivery.sender.trusted), default=0.0)

    @property
    def age_s(self) -> float:
        """How long the oldest record has waited for a sink that answers."""
        return max((delivery.age_s for delivery in self._all if delivery.sender.trusted), default=0.0)

    @property
    def latency_s(self) -> float:
        """What the slowest sink that answers needs for a batch."""
        return max((delivery.sender.latency_s for delivery in self._all if delivery.sender.trusted), default=0.0)

    @property
    def lossy(self) -> bool:
        """Whether any record was dropped."""
        return any(delivery.buffer.dropped for delivery in self._all)

    def account(self) -> dict[str, object]:
        """What became of every record, by sink."""
        pairs = zip(self._all, self._spoolers, strict=True)
        return {delivery.name: spooler.account() for delivery, spooler in pairs}


def _names(names: list[str]) -> list[str]:
    """The names, numbered where several are alike: ledger and disk tell sinks by them."""
    return [
        name if names.count(name) == 1 else f"{name} ({names[: index + 1].count(name)})"
        for index, name in enumerate(names)
    ]

"""The stream of records of one sandbox, to all who subscribed during init.

Sources: Developer Guide, "Accessing real-time telemetry data for extensions using the Telemetry API"; AWS's emulator
for the replay of earlier records to a new subscriber (relay.go) and for the end of the window.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

from simulator.errors import Refused, internal_error
from simulator.telemetry import records
from simulator.telemetry.destinations import NotSent
from simulator.telemetry.subscriber import SLOW, Subscriber
from simulator.telemetry.subscription import parse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulator.clock import Clock
    from simulator.settings import Settings
    from simulator.telemetry.records import Kind, Printed, Record
    from simulator.timeline import Timeline

REPLAY_RECORDS = 50_000  # init records kept for whoever subscribes late; the oldest go first


class Copy(Protocol):
    """What a copy of a snapshot changes: other records may stand for those of this sandbox's own init."""

    @property
    def records(self) -> Sequence[Record] | None:
        """What a subscriber gets of init; None: what was published here."""

    def hides(self, record: Record) -> bool:
        """Whether a record that is published here is withheld, because another stands for it."""


class Stream:
    """The records of one sandbox and their subscribers."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        timeline: Timeline,
        written: list[bytes],
        sent: dict[str, list[bytes]],
        tasks: asyncio.TaskGroup,
        copy: Copy | None = None,
    ) -> None:
        self.subscribers: list[Subscriber] = []
        self._settings = settings
        self._clock = clock
        self._timeline = timeline
        self._written = written
        self._sent = sent
        self._tasks = tasks
        self._copy = copy
        self._running: list[asyncio.Task[None]] = []
        self._replay: deque[Record] | None = deque(maxlen=REPLAY_RECORDS)
        self._forgotten = 0

    @property
    def open(self) -> bool:
        """Whether subscriptions are still taken."""
        return self._replay is not None

    def platform(self, type_: str, record: dict[str, Any]) -> None:
        """Publish a platform record, and note it."""
        self._timeline.note(type_, **record)
        self.publish(records.platform(type_, record, self._clock.stamp()))

    def printed(self, kind: Kind, printed: Printed) -> None:
        """Publish what a runtime or an extension printed."""
        if kind == "function":
            self._written += printed.messages
        json_format = self._settings.managed or self._settings.log_format == "JSON"
        as_json = json_format if printed.is_json is None else printed.is_json
        for record in records.logged(
            kind, printed.messages, json_format=as_json, stamp=self._clock.stamp(printed.epoch_ms)
        ):
            self.publish(record)

    def publish(self, record: Record) -> None:
        """Give a record to all subscribers, and keep it for those to come."""
        if self._copy and self._copy.hides(record):
            return
        if self._replay is not None:
            self._forgotten += len(self._replay) == REPLAY_RECORDS
            self._replay.append(record)
        for subscriber in self.subscribers:
            subscriber.add(record)

    async def subscribe(self, name: str, body: bytes) -> None:
        """Add a subscriber, with all that it has missed. Refused as the service would.

        An extension may subscribe another destination, too, but on Managed Instances; with the same one again it gets
        what AWS's emulator gives for any second subscription.
        """
        faults = self._settings.faults
        wanted, destination = parse(body, faults, managed=self._settings.managed)
        try:
            await destination.open()
        except NotSent as error:
            raise Refused(400, "ValidationError", str(error)) from error
        addresses = [subscriber.address for subscriber in self.subscribers if subscriber.name == name]
        taken = destination.address in addresses or (self._settings.managed and bool(addresses))
        if taken or not self.open:
            await destination.close()
        if not self.open:
            raise Refused(403, "Telemetry.SubscriptionClosed", "Telemetry API subscription is closed")
        if taken:
            raise internal_error()
        subscriber = Subscriber(
            name,
            wanted,
            destination,
            self._clock,
            self._timeline,
            self._sent.setdefault(name, []),
            faults,
        )
        if self._forgotten:
            lost = {"droppedRecords": self._forgotten, "droppedBytes": 0, "reason": SLOW}
            subscriber.add(records.platform("platform.logsDropped", lost, self._clock.stamp()))
        missed = self._copy.records if self._copy else None
        for record in self._replay or () if missed is None else missed:
            subscriber.add(record)
        self.subscribers.append(subscriber)
        self._running.append(self._tasks.create_task(subscriber.run(), name=f"telemetry to {name}"))
        subscribed = {"name": name, "state": "Subscribed", "types": list(wanted.types)}
        self.platform("platform.telemetrySubscription", subscribed)

    def end_subscriptions(self) -> None:
        """Init is over: refuse whoever comes now, and forget what was kept for them."""
        self._replay = None

    def freeze(self, *, frozen: bool) -> None:
        """Stop or go on sending."""
        for subscriber in self.subscribers:
            subscriber.freeze(frozen=frozen)

    async def flush(self, limit_s: float) -> None:
        """Send everything buffered, within a time limit."""
        try:
            async with asyncio.timeout(limit_s):
                for subscriber in self.subscribers:
                    await subscriber.flush()
        except TimeoutError:
            self._timeline.note("telemetry.flush_timeout", seconds=limit_s)

    async def close(self) -> None:
        """End all subscriptions."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        for subscriber in self.subscribers:
            await subscriber.close()

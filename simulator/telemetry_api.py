"""The Telemetry API 2022-07-01: subscriptions during init, and the stream of records to all who subscribed.

Sources: Developer Guide, "Accessing real-time telemetry data for extensions using the Telemetry API"; AWS's emulator
for the replay of earlier records to a new subscriber (relay.go) and for the end of the window.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from typing import TYPE_CHECKING, Any

from aiohttp import web

from simulator import records
from simulator.destinations import NotSent
from simulator.errors import Refused, internal_error, reply
from simulator.extensions_api import identify
from simulator.subscriber import SLOW, Subscriber
from simulator.subscription import parse

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.clock import Clock
    from simulator.output import Printed
    from simulator.records import Kind, Record
    from simulator.sandbox import Sandbox
    from simulator.settings import Settings
    from simulator.snapshot import Copy
    from simulator.timeline import Timeline

REPLAY_RECORDS = 50_000  # init records kept for whoever subscribes late; the oldest go first


class Telemetry:
    """The records of one sandbox and their subscribers."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        timeline: Timeline,
        sent: dict[str, list[bytes]],
        tasks: asyncio.TaskGroup,
        copy: Copy | None = None,
    ) -> None:
        self.subscribers: list[Subscriber] = []
        self._settings = settings
        self._clock = clock
        self._timeline = timeline
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


class TelemetryApi:
    """The routes of the API for the sandbox that is current."""

    def __init__(self, current: Callable[[], Sandbox]) -> None:
        self._current = current
        self._calls = 0

    def routes(self) -> list[web.RouteDef]:
        """What the server adds."""
        return [web.put("/2022-07-01/telemetry", self._subscribe), web.put("/2020-08-15/logs", self._logs)]

    async def _subscribe(self, request: web.Request) -> web.Response:
        sandbox = self._current()
        agent = identify(sandbox, request)
        sandbox.timeline.note("telemetry.subscribe", name=agent.name)
        self._fault(sandbox)
        try:
            await sandbox.telemetry.subscribe(agent.name, await request.read())
        except Refused as refused:
            if refused.status != 400:
                raise
            body = {"errorType": refused.error_type, "errorMessage": str(refused)}
            return web.Response(status=400, text=json.dumps(body))  # as text/plain: so AWS's emulator
        return web.Response(text='"OK"')

    async def _logs(self, _: web.Request) -> web.Response:
        if self._current().settings.managed:
            raise web.HTTPNotFound
        return reply({"errorMessage": "Logs API is not supported", "errorType": "Logs.NotSupported"}, 202)

    def _fault(self, sandbox: Sandbox) -> None:
        faults = sandbox.settings.faults
        self._calls += 1
        first = faults.subscribe_statuses[self._calls - 1 : self._calls]
        status = first[0] if first else faults.subscribe_status
        if status in (0, 200):
            return
        sandbox.timeline.note("fault", what=f"subscription answered {status}")
        if status == 202:
            raise Refused(202, "Telemetry.NotSupported", "Telemetry API is not supported")
        if status == 500:
            raise internal_error()
        raise Refused(status, "ValidationError", "refused on request")

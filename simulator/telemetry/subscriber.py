"""One subscription: buffers records by number, bytes and time, and has one batch in flight.

As in AWS's emulator (subscriber.go, batch.go): the limits are looked at after a record is added, time runs from the
first record of a batch, and a batch that is due while the one before it is still being sent is dropped whole, which the
subscriber learns from platform.logsDropped. With Faults.hold_back_bytes it waits for its turn instead, while there is
room, so that a slow reader slows down the platform: Lambda's own bound is not documented.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from simulator.telemetry import records
from simulator.telemetry.destinations import NotSent

if TYPE_CHECKING:
    from simulator.clock import Clock
    from simulator.faults import Faults
    from simulator.telemetry.destinations import Destination
    from simulator.telemetry.records import Record
    from simulator.telemetry.subscription import Subscription
    from simulator.timeline import Timeline

SLOW = "Some logs were dropped because the downstream consumer is slower than the logs production rate"


class Subscriber:
    """Takes records and sends batches; `sent` gets every line that was really written."""

    def __init__(
        self,
        name: str,
        wanted: Subscription,
        destination: Destination,
        clock: Clock,
        timeline: Timeline,
        sent: list[bytes],
        faults: Faults,
    ) -> None:
        self.name = name
        self.address = destination.address
        self._wanted = wanted
        self._destination = destination
        self._clock = clock
        self._timeline = timeline
        self._sent = sent
        self._stall_s = faults.stall_s
        self._coalesce = max(1, faults.coalesce_writes)
        self._hold_back_bytes = faults.hold_back_bytes
        self._lines: list[bytes] = []
        self._bytes = 0
        self._held: list[bytes] = []  # what waits to be coalesced, and of how many batches it is
        self._batches = 0
        self._timer: asyncio.TimerHandle | None = None
        self._queue: deque[list[bytes]] = deque()  # batches that are due while another is in flight
        self._queued_bytes = 0
        self._flight: list[bytes] = []
        self._takeoff = asyncio.Event()
        self._landed = asyncio.Event()
        self._landed.set()
        self._frozen = False
        self._due = False
        self._dropped: dict[str, list[int]] = {}  # reason: records, bytes

    def add(self, record: Record) -> None:
        """Buffer a record of a type that was asked for."""
        if record.kind not in self._wanted.types:
            return
        line = record.text if self._wanted.strings_only else record.line
        self._lines.append(line)
        self._bytes += len(line)
        if len(self._lines) >= self._wanted.max_items or self._bytes >= self._wanted.max_bytes:
            self._ripe()
        elif self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._wanted.timeout_ms / 1000, self._ripe)

    def freeze(self, *, frozen: bool) -> None:
        """While frozen nothing is sent: the Telemetry API is part of the environment."""
        self._frozen = frozen
        if frozen:
            return
        self._go_on()
        if self._due:
            self._ripe()

    async def run(self) -> None:
        """Finish batch after batch; cancelled with the sandbox."""
        while True:
            await self._takeoff.wait()
            self._takeoff.clear()
            try:
                if self._stall_s:
                    await asyncio.sleep(self._stall_s)
                    self._destination.begin(self._flight)
                await self._destination.finish()
            except NotSent as error:
                self._failed(error)
            else:
                self._landed_well()
            self._go_on()
            if self._dropped:
                self._ripe()

    async def flush(self) -> None:
        """Send what is buffered and wait until it has gone; the caller bounds the wait."""
        await self._all_landed()
        if self._lines or self._held or self._dropped:
            self._batches = self._coalesce - 1
            self._ripe()
            await self._all_landed()

    async def close(self) -> None:
        """Stop the clock and let go of the connection."""
        if self._timer:
            self._timer.cancel()
        left = [*self._flight, *(line for batch in self._queue for line in batch), *self._held, *self._lines]
        self._flight, self._held, self._lines = [], [], []
        self._queue.clear()
        if left:
            of_function = sum(records.is_function(line) for line in left)
            size = sum(map(len, left))
            self._timeline.note(
                "telemetry.undelivered", name=self.name, records=len(left), ofFunction=of_function, bytes=size
            )
        await self._destination.close()

    def _ripe(self) -> None:
        """The batch is full, or its time is up."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        self._due = self._frozen
        if self._frozen:
            return
        self._held += self._lines
        self._lines, self._bytes = [], 0
        self._batches += 1
        if self._batches < self._coalesce:
            return
        lines, self._held, self._batches = self._held, [], 0
        size = sum(map(len, lines))
        if not self._landed.is_set() and self._queued_bytes + size > self._hold_back_bytes:
            self._drop(lines, SLOW)
            return
        self._queue.append(lines)
        self._queued_bytes += size
        self._go_on()

    def _go_on(self) -> None:
        """Send what is due, batch after batch, until one is in flight."""
        while self._queue and self._landed.is_set() and not self._frozen:
            lines = self._queue.popleft()
            self._queued_bytes -= sum(map(len, lines))
            self._take_off([*self._reports(), *lines])

    async def _all_landed(self) -> None:
        while not self._landed.is_set():  # a batch that was held back may have taken off at once
            await self._landed.wait()

    def _take_off(self, lines: list[bytes]) -> None:
        if not lines:
            return
        self._flight = lines
        self._landed.clear()
        try:
            if not self._stall_s and self._destination.begin(lines):
                self._landed_well()
            else:
                self._takeoff.set()
        except NotSent as error:
            self._failed(error)

    def _landed_well(self) -> None:
        self._sent += self._flight
        size = sum(map(len, self._flight))
        self._timeline.note("telemetry.batch", name=self.name, records=len(self._flight), bytes=size)
        self._flight = []
        self._landed.set()

    def _failed(self, error: NotSent) -> None:
        self._timeline.note("telemetry.failed", name=self.name, reason=str(error))
        self._drop(self._flight, f"could not send events: {error}")
        self._flight = []
        self._landed.set()

    def _reports(self) -> list[bytes]:
        """platform.logsDropped for all that has been dropped since the last one, for whoever wants platform records."""
        dropped, self._dropped = self._dropped, {}
        if "platform" not in self._wanted.types:
            return []
        counts = [
            {"droppedRecords": tally[0], "droppedBytes": tally[1], "reason": why} for why, tally in dropped.items()
        ]
        return [records.platform("platform.logsDropped", one, self._clock.stamp()).line for one in counts]

    def _drop(self, lines: list[bytes], reason: str) -> None:
        if not lines:
            return
        tally = self._dropped.setdefault(reason, [0, 0])
        tally[0] += len(lines)
        tally[1] += sum(map(len, lines))
        self._timeline.note("telemetry.dropped", name=self.name, records=len(lines), reason=reason)

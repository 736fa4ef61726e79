"""Moves records of one sink between memory and disk: out when it fails and memory runs out, back when it recovers."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

from extension.log import describe, log
from extension.records import Record, kind_of, member

if TYPE_CHECKING:
    from collections.abc import Callable

    from extension.delivery import Delivery
    from extension.spool import Spool

CROWDED = 0.75  # of the buffer in use, and the sink fails: records go to disk
PART_BYTES = 2 << 20  # written at once
FORGET_S = 0.1
ROOMY = 0.25  # of the buffer in use, and the sink answers: records come back


class Spooler:
    """Works for one delivery that has no fallback, or is it. `sequence` numbers the records that come back."""

    def __init__(self, delivery: Delivery, spool: Spool, sequence: Callable[[], int]) -> None:
        self._delivery = delivery
        self._spool = spool
        self._sequence = sequence
        self._taken_back: dict[str, set[int]] = {}  # by file, the records that are still on their way
        self._moving = asyncio.Lock()
        self._forgetting: set[asyncio.Future[None]] = set()
        delivery.on_end = self._note_end

    async def restore(self) -> None:
        """Take back what an earlier process left, as far as there is room."""
        while self._spool and self._delivery.buffer.fullness < ROOMY:
            await self._take_back()

    async def run(self) -> None:
        """Watch memory and disk, for ever."""
        delivery = self._delivery
        while True:
            delivery.changed.clear()
            fullness = delivery.buffer.fullness
            if self._spool and delivery.sender.trusted and fullness < ROOMY:
                await self._take_back()
            elif self._is_crowded() and await asyncio.to_thread(self._spool.has_room, delivery.buffer.size):
                await self._put_off()
            else:
                await delivery.changed.wait()

    async def finish(self, until: float) -> None:
        """SHUTDOWN is over: what is left goes to disk, for the process that may come after us in this environment.

        `until` is in monotonic time; what could not be written by then is counted as dropped.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(until - time.monotonic()):
                await self._moving.acquire()  # what is on its way to disk or back must have arrived to be counted
        left = deque(self._delivery.stop())
        while left and time.monotonic() < until:
            part = _pop_part(left)
            if reason := await asyncio.to_thread(self._write, part):
                self._delivery.give_up(part, reason)
            else:
                self._note_end(part)  # what had been taken back is in a new file now
        self._delivery.give_up(list(left), "not delivered before SHUTDOWN")
        if self._forgetting:
            await asyncio.wait(self._forgetting, timeout=FORGET_S)

    def account(self) -> dict[str, object]:
        """The ledger's entry: what became of every record that was offered; what is on disk is pending as well."""
        delivery = self._delivery
        return {
            "delivered": delivery.delivered,
            "fellBack": delivery.fell_back,
            "excluded": delivery.excluded,
            "restored": delivery.restored,
            "dropped": dict(delivery.buffer.dropped),
            "pending": delivery.pending + self._spool.records,
            "spooled": self._spool.records,
        }

    def _is_crowded(self) -> bool:
        """Whether the sink fails, memory runs out, and nobody else takes the records."""
        delivery = self._delivery
        if delivery.fallback is not None or delivery.sender.trusted or len(delivery.buffer) == 0:
            return False
        return delivery.buffer.fullness > CROWDED

    async def _put_off(self) -> None:
        async with self._moving:
            records = self._delivery.lend()
            reason = await asyncio.to_thread(self._write, records)
            self._delivery.settle(records)
            if reason:
                self._delivery.give_up(records, reason)

    async def _take_back(self) -> None:
        async with self._moving:
            if not self._spool:
                return
            file, lines, own = await asyncio.to_thread(self._spool.take)
            records = [Record(self._sequence(), kind_of(member(line, "type")), line) for line in lines]
            if not own:
                self._delivery.restored += len(records)
            if records:
                self._taken_back[file] = {record.sequence for record in records}
                self._delivery.restore(records)

    def _note_end(self, records: list[Record]) -> None:
        """A file goes when the last of its records has come to its end, and not before: until then we may be killed."""
        for file, sequences in list(self._taken_back.items()):
            sequences.difference_update(record.sequence for record in records)
            if not sequences:
                del self._taken_back[file]
                forgetting = asyncio.get_running_loop().run_in_executor(None, self._spool.forget, file)
                self._forgetting.add(forgetting)
                forgetting.add_done_callback(self._forgetting.discard)

    def _write(self, records: list[Record]) -> str:
        """Why the records could not be written; empty when they were."""
        try:
            self._spool.put([record.line for record in records])
        except OSError as error:
            log("ERROR", "cannot spool", reason=describe(error), records=len(records))
            return "no room on disk"
        return ""


def _pop_part(records: deque[Record]) -> list[Record]:
    """The first records, of PART_BYTES or a little more."""
    part: list[Record] = []
    size = 0
    while records and size < PART_BYTES:
        part.append(records.popleft())
        size += part[-1].size
    return part

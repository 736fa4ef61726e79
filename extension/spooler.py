"""Moves records of one sink between memory and disk: out when it fails and memory runs out, back when it recovers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import orjson

from extension.log import describe, log
from extension.records import Record, kind_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from extension.delivery import Delivery
    from extension.spool import Spool

CROWDED = 0.75  # of the buffer in use, and the sink fails: records go to disk
ROOMY = 0.25  # of the buffer in use, and the sink answers: records come back


class Spooler:
    """Works for one delivery that has no fallback, or is it. `sequence` numbers the records that come back."""

    def __init__(self, delivery: Delivery, spool: Spool, sequence: Callable[[], int]) -> None:
        self._delivery = delivery
        self._spool = spool
        self._sequence = sequence

    async def run(self) -> None:
        """Watch memory and disk, for ever. What an earlier process left comes back first."""
        delivery = self._delivery
        while True:
            delivery.changed.clear()
            fullness = delivery.buffer.fullness
            if self._spool and delivery.sender.trusted and fullness < ROOMY:
                await self._take_back()
            elif self._is_crowded():
                await self._put_off()
            else:
                await delivery.changed.wait()

    def finish(self) -> None:
        """SHUTDOWN is over: what is left goes to disk, for the process that may come after us in this environment."""
        left = self._delivery.stop()
        if left and (reason := self._write(left)):
            self._delivery.give_up(left, reason)

    def account(self) -> dict[str, object]:
        """The ledger's entry of the delivery; what is on disk is pending as well."""
        account = self._delivery.account()
        return {**account, "pending": self._delivery.pending + self._spool.records, "spooled": self._spool.records}

    def _is_crowded(self) -> bool:
        """Whether the sink fails, memory runs out, nobody else takes the records, and there is room on disk."""
        delivery = self._delivery
        if delivery.fallback is not None or delivery.sender.trusted or len(delivery.buffer) == 0:
            return False
        return delivery.buffer.fullness > CROWDED and self._spool.room > delivery.buffer.size

    async def _put_off(self) -> None:
        records = self._delivery.lend()
        reason = await asyncio.to_thread(self._write, records)
        self._delivery.settle(records)
        if reason:
            self._delivery.give_up(records, reason)

    async def _take_back(self) -> None:
        file, lines, own = await asyncio.to_thread(self._spool.take)
        records = [Record(self._sequence(), kind_of(orjson.loads(line).get("type")), line) for line in lines]
        if not own:
            self._delivery.restored += len(records)
        if records:
            self._delivery.restore(records, lambda: self._spool.forget(file))

    def _write(self, records: list[Record]) -> str:
        """Why the records could not be written; empty when they were."""
        try:
            self._spool.put([record.line for record in records])
        except OSError as error:
            log("ERROR", "cannot spool", reason=describe(error), records=len(records))
            return "no room on disk"
        return ""

"""One batch to one sink: the call in a thread, its deadline, and what a freeze in the middle of it means."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from extension.log import describe, log_seldom, place
from extension.sinks import Outcome, Refused, Reply, Scope, Throttled, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from extension.records import Batch
    from extension.sinks import Failure, Sink

ATTEMPT_S = 5.0  # one send; a sink that needs longer for one batch is down
MIN_ATTEMPT_S = 0.1
SEND_GRACE_S = 1.0  # after its timeout, a send is left to itself: a library's timeout is often one for each read
KEEPALIVE_EXPIRY_S = 30.0  # a connection idle for longer is not used again: most servers and NATs forget it in a minute
TICK_S = 0.25  # between looks at a send
FROZEN_S = 1.0  # a tick that comes so late means that the process was stopped meanwhile
MAX_SENDS = 4  # threads: for the send that counts, and for those left hanging on dead connections


class Frozen(Exception):
    """The process was stopped while a send was under way, which has not ended since: its connection is dead."""


class Sending:
    """Gives batches to `sink`, one after the other. `clock` gives seconds that go on in a freeze."""

    def __init__(self, sink: Sink, clock: Callable[[], float]) -> None:
        self._sink = sink
        self._clock = clock
        self._threads = ThreadPoolExecutor(MAX_SENDS, "send")
        self.latency_s = 0.0  # of the last call, without the time in which the process was frozen
        self._answered_at = 0.0

    async def attempt(self, batch: Batch, until: Callable[[], float]) -> Reply:
        """Send the batch, and once more on a fresh connection where the kept one was dead.

        `until` says by which time of the loop that is to end: one that is over, once nobody wants the batch sent any
        more. It never raises: what the sink raises is a reply, and a fault of ours is one as well.
        """
        loop = asyncio.get_running_loop()
        if self._clock() - self._answered_at > KEEPALIVE_EXPIRY_S:
            self._sink.close()
        fresh = False
        while True:
            try:
                reply = await self._once(batch, until())
            except Frozen:  # no failure of the sink's: it goes on as if nothing had happened
                self._sink.close()
                if loop.time() >= until():
                    return Reply(Outcome.DOWN, "no answer before a freeze")
                continue
            if reply.outcome is not Outcome.DOWN:
                self._answered_at = self._clock()
                return reply
            self._sink.close()
            if fresh or loop.time() >= until():
                return reply
            fresh = True

    async def _once(self, batch: Batch, until: float) -> Reply:
        """What becomes of one try. Raises Frozen."""
        try:
            failures = await self._call(batch, until)
        except Frozen:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a library raises, the batch is still ours
            reply = reply_of(error)
            if reply.scope is Scope.BATCH and not isinstance(error, Refused):
                log_seldom("ERROR", "fault of ours: records not sent", reason=describe(error), place=place(error))
            return reply
        again = [failure for failure in failures if failure.outcome is Outcome.RETRY]
        wait_s = max((failure.retry_after_s for failure in again), default=0.0)
        if len(again) == len(batch.records):
            return Reply(Outcome.THROTTLED if wait_s else Outcome.RETRY, again[0].reason, retry_after_s=wait_s)
        return Reply(Outcome.TAKEN, failures=failures, retry_after_s=wait_s)

    def close(self) -> None:
        """Use kept connections no longer."""
        self._sink.close()

    async def _call(self, batch: Batch, until: float) -> Sequence[Failure]:
        """Call the sink in a thread. Raises what it raises, Frozen, or TimeoutError for a send that does not end."""
        loop = asyncio.get_running_loop()
        timeout_s = max(MIN_ATTEMPT_S, min(ATTEMPT_S, until - loop.time()))
        overdue = loop.time() + timeout_s + SEND_GRACE_S
        send = loop.run_in_executor(self._threads, self._sink.send, batch, timeout_s)
        send.add_done_callback(_look_at)
        was_frozen = False
        self.latency_s = 0.0
        while True:
            before = self._clock()
            done, _ = await asyncio.wait({send}, timeout=TICK_S)
            passed_s = self._clock() - before
            self.latency_s += min(passed_s, TICK_S + FROZEN_S)
            if done:
                return send.result()
            if passed_s > TICK_S + FROZEN_S:
                was_frozen = True
            elif was_frozen or loop.time() > overdue:
                send.cancel()  # which it heeds only if no thread has begun with it
                if was_frozen:
                    raise Frozen
                raise TimeoutError("the sink does not keep to its timeout")


def _look_at(send: asyncio.Future[Sequence[Failure]]) -> None:
    """Look at what became of a send: whoever waited may be gone, and asyncio complains of what nobody saw."""
    if not send.cancelled():
        send.exception()


def reply_of(error: Exception) -> Reply:
    """What an exception of a sink's means. One that no destination or network causes is a fault of ours."""
    match error:
        case Throttled():
            return Reply(Outcome.THROTTLED, str(error), retry_after_s=error.retry_after_s)
        case Refused():
            return Reply(Outcome.REQUEST_REFUSED, str(error), scope=error.scope)
        case Unavailable():
            return Reply(Outcome.RETRY, str(error))
        case OSError():
            return Reply(Outcome.DOWN, describe(error))
        case _:
            return Reply(Outcome.REQUEST_REFUSED, f"internal error: {type(error).__name__}", scope=Scope.BATCH)

"""One batch to one sink: attempts in a thread, retries, and whether the sink can be trusted to answer.

A sink that fails loses our trust, and nobody waits for it until it answers again; it is still tried in the background.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from extension.clock import elapsed
from extension.log import describe, log
from extension.sinks import Busy, Rejected, Unopened

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from extension.records import Batch
    from extension.sinks import Failure, Sink

ATTEMPT_S = 5.0  # one send; a sink that needs longer for one batch is down
OVERDUE_S = 1.0  # later than its timeout a send is left to itself: a library's timeout is often one for each read
MAX_PAUSE_S = 10.0
MAX_ASKED_S = 300.0  # the longest that a Retry-After may silence us
LAST_PAUSE_S = 0.1  # at SHUTDOWN
TRUSTED_FAILURES = 3  # failures in a row before nobody waits any more
KEPT_S = 30.0  # a connection idle for longer is not used again: most servers and NATs forget it within a minute
TICK_S = 0.25
FROZEN_S = 1.0  # a tick that comes this late means that the process was stopped in between
NUDGED_S = 1.0  # an invocation ends a pause if the last attempt is so long ago, freezes included
MAX_SENDS = 4  # threads: the send that counts, and those that were left hanging on dead connections


class Sender:
    """Sends batches to `sink`, one after the other. `name` is its URL as printed; `clock` sees freezes.

    A sink that is a future is still being opened. `on_distrust` is called when the sink begins to fail. `jitter` draws
    a pause between its two arguments. Waits and latencies are in monotonic time.
    """

    def __init__(
        self,
        name: str,
        sink: Sink | Future[Sink],
        on_distrust: Callable[[], None],
        clock: Callable[[], float] = elapsed,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._opening = sink if isinstance(sink, Future) else None
        self._sink: Sink = Unopened() if isinstance(sink, Future) else sink
        self.limits = self._sink.limits
        self.latency_s = 0.0  # of recent sends, weighted to the latest
        self._name = name
        self._on_distrust = on_distrust
        self._clock = clock
        self.jitter = jitter
        self._threads = ThreadPoolExecutor(MAX_SENDS, "send")
        self._failures = 0
        self._last_success = self._last_attempt = -math.inf
        self._deadline: float | None = None  # set once SHUTDOWN has begun
        self._hurry = asyncio.Event()

    @property
    def trusted(self) -> bool:
        """Whether it is worth waiting for this sink."""
        return self._opening is None and self._failures < TRUSTED_FAILURES

    async def open(self) -> bool:
        """Wait for a sink that is still being opened; whether there was need to."""
        if self._opening is None:
            return False
        try:
            self._sink = await asyncio.wrap_future(self._opening)
        except Exception as error:  # noqa: BLE001 - a library may raise anything for a setting it does not like
            log("ERROR", "sink cannot be opened; it gets nothing", sink=self._name, reason=describe(error))
        else:
            log("INFO", "sink is open now", sink=self._name)
        self.limits = self._sink.limits
        self._opening = None
        return True

    def distrust(self, reason: str, weight: int = TRUSTED_FAILURES) -> None:
        """Note failures; with the last straw, say so once."""
        was_trusted = self.trusted
        self._failures += weight
        if was_trusted and not self.trusted:
            log("WARN", "sink fails; its records wait", sink=self._name, reason=reason)
            self._on_distrust()

    def set_deadline(self, deadline: float) -> None:
        """SHUTDOWN: by `deadline`, in monotonic time, all is over; a pause that is being made ends."""
        self._deadline = deadline
        self._hurry.set()

    def nudge(self) -> None:
        """An invocation has begun: end a pause that may have been made of frozen time, but not too often."""
        if self._clock() - self._last_attempt > NUDGED_S:
            self._hurry.set()

    async def send(self, batch: Batch) -> Sequence[Failure]:
        """One batch, again and again until the sink takes some of it or refuses it for good (Rejected).

        The first failure is repeated at once on a fresh connection, since the kept one may have died in a freeze.
        """
        tries = 0
        while True:
            tries += 1
            if self._clock() - self._last_success > KEPT_S:
                self._sink.close()
            started = time.monotonic()
            asked_s = 0.0
            try:
                failures = await self._attempt(batch)
            except Rejected:
                self._trust(started)  # it answers
                raise
            except Busy as error:
                reason, asked_s = str(error), min(error.after_s, MAX_ASKED_S)
            except Exception as error:  # noqa: BLE001 - whatever a library raises, the batch is still ours
                if tries == 1:
                    self._sink.close()
                    continue
                reason = describe(error)
            else:
                if len(failures) < len(batch.records) or any(failure.permanent for failure in failures):
                    self._trust(started)
                    taken, ms = len(batch.records) - len(failures), round((time.monotonic() - started) * 1000, 1)
                    log("DEBUG", "delivered", sink=self._name, records=taken, ms=ms)
                    return failures
                reason = failures[0].reason
            self.distrust(reason, 1)
            await self.pause(tries, asked_s)

    async def pause(self, tries: int, asked_s: float = 0.0) -> None:
        """Full jitter, doubling ("Exponential Backoff And Jitter", AWS Architecture Blog). At SHUTDOWN it is short."""
        longest_s = min(MAX_PAUSE_S, 0.1 * 2 ** min(tries, 10))
        until = self._clock() + max(asked_s, self.jitter(0.0, longest_s))
        self._hurry.clear()
        if self._deadline is None and not await wait(self._hurry, until - self._clock()):
            return
        if asked_s:
            while (left_s := until - self._clock()) > 0:  # an invocation may show that a freeze was most of it
                self._hurry.clear()
                await wait(self._hurry, left_s)
        elif self._deadline is not None:
            await asyncio.sleep(min(LAST_PAUSE_S, max(0.0, until - self._clock())))

    async def _attempt(self, batch: Batch) -> Sequence[Failure]:
        """One send in a thread. Raises what the sink raises, and TimeoutError for a send that is left to itself.

        That is one whose process was stopped meanwhile, and which has not ended a tick after it went on: its connection
        is most likely dead. Where a process is awake for less than a tick at a time, the send just takes longer.
        """
        timeout_s = ATTEMPT_S
        if self._deadline is not None:
            timeout_s = max(0.1, min(timeout_s, self._deadline - time.monotonic()))
        self._last_attempt = self._clock()
        overdue = time.monotonic() + timeout_s + OVERDUE_S
        send = asyncio.get_running_loop().run_in_executor(self._threads, self._sink.send, batch, timeout_s)
        was_frozen = False
        while True:
            before = self._clock()
            done, _ = await asyncio.wait({send}, timeout=TICK_S)
            if done:
                return send.result()
            if self._clock() - before > TICK_S + FROZEN_S:
                was_frozen = True
            elif was_frozen or time.monotonic() > overdue:
                send.cancel()  # which it heeds only if no thread has begun with it
                raise TimeoutError(
                    "no answer after a freeze" if was_frozen else "the sink does not keep to its timeout"
                )

    def _trust(self, started: float) -> None:
        took_s = time.monotonic() - started
        if not self.trusted:
            log("INFO", "sink answers again", sink=self._name)
        self._failures = 0
        self._last_success = self._clock()
        self.latency_s = self.latency_s * 0.7 + took_s * 0.3 if self.latency_s else took_s


async def wait(event: asyncio.Event, timeout_s: float) -> bool:
    """Wait for the event; False when the time is over first."""
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return False
    return True

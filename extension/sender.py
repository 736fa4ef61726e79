"""One batch to one sink: attempts in a thread, retries, and whether the sink can be trusted to answer.

A sink that fails loses our trust, and nobody waits for it until it answers again; it is still tried in the background.
"""

from __future__ import annotations

import asyncio
import random
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from extension.log import describe, log
from extension.sinks import Busy, Failure, Rejected

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from extension.records import Batch
    from extension.sinks import Sink

ATTEMPT_S = 5.0  # one send; a sink that needs longer for one batch is down
OVERDUE_S = 1.0  # later than its timeout a send is left to itself: a library's timeout is often one for each read
MAX_PAUSE_S = 10.0
MAX_ASKED_S = 300.0  # the longest that a Retry-After may silence us
LAST_PAUSE_S = 0.1  # at SHUTDOWN
LAST_TRY_S = 0.3  # of it at least is kept for one more try, whatever pause the sink asked for
TRUSTED_FAILURES = 3  # failures in a row before nobody waits any more
KEPT_S = 30.0  # a connection idle for longer is not used again: most servers and NATs forget it within a minute
TICK_S = 0.25
FROZEN_S = 1.0  # a tick that comes this late means that the process was stopped in between
NUDGED_S = 1.0  # an invocation ends a pause if the last attempt is so long ago by the wall clock, which a freeze moves
MAX_SENDS = 4  # threads: the send that counts, and those that were left hanging on dead connections


class Sender:
    """Sends batches to `sink`, one after the other. `name` is its URL as printed; `clock` is monotonic.

    `on_distrust` is called when the sink begins to fail. `jitter` draws a pause between its two arguments.
    """

    def __init__(
        self,
        name: str,
        sink: Sink,
        on_distrust: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.limits = sink.limits
        self.latency_s = 0.0  # of recent sends, weighted to the latest
        self._name = name
        self._sink = sink
        self._on_distrust = on_distrust
        self._clock = clock
        self.jitter = jitter
        self._threads = ThreadPoolExecutor(MAX_SENDS, "send")
        self._failures = 0
        self._last_success = self._last_attempt = 0.0  # by the wall clock, which goes on in a freeze
        self._deadline: float | None = None  # set once SHUTDOWN has begun
        self._hurry = asyncio.Event()
        self._renewed = False  # since the batch under way was begun

    @property
    def trusted(self) -> bool:
        """Whether it is worth waiting for this sink."""
        return self._failures < TRUSTED_FAILURES

    def distrust(self, reason: str, weight: int = TRUSTED_FAILURES) -> None:
        """Note failures; with the last straw, say so once."""
        was_trusted = self.trusted
        self._failures += weight
        if was_trusted and not self.trusted:
            log("WARN", "sink fails; its records wait", sink=self._name, reason=reason)
            self._on_distrust()

    def set_deadline(self, deadline: float) -> None:
        """SHUTDOWN: by `deadline`, in the clock's time, all is over; a pause that is being made ends."""
        self._deadline = deadline
        self._hurry.set()

    def nudge(self) -> None:
        """An invocation has begun: end a pause that may have been made of frozen time, but not too often."""
        if time.time() - self._last_attempt > NUDGED_S:
            self._hurry.set()

    def renew(self) -> None:
        """The environment is a copy of a snapshot: connections and the batch under way are those of the original."""
        self._last_success = 0.0
        self._renewed = True
        self._hurry.set()

    async def send(self, batch: Batch) -> Sequence[Failure]:
        """One batch, again and again until the sink takes some of it or refuses it for good (Rejected).

        The first failure is repeated at once on a fresh connection, since the kept one may have died in a freeze. What
        is being tried when the environment becomes a copy fails as a whole, so that it gets another name.
        """
        tries = 0
        self._renewed = False
        while not self._renewed:
            tries += 1
            if time.time() - self._last_success > KEPT_S:
                self._sink.close()
            started = self._clock()
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
                    taken, ms = len(batch.records) - len(failures), round((self._clock() - started) * 1000, 1)
                    log("DEBUG", "delivered", sink=self._name, records=taken, ms=ms)
                    return failures
                reason = failures[0].reason
            self.distrust(reason, 1)
            await self.pause(tries, asked_s)
        return [
            Failure(position, "begun before the restore", permanent=False) for position in range(len(batch.records))
        ]

    async def pause(self, tries: int, asked_s: float = 0.0) -> None:
        """Full jitter, doubling ("Exponential Backoff And Jitter", AWS Architecture Blog). At SHUTDOWN it is short.

        What a sink asks for an invocation does not end; SHUTDOWN leaves time for one more try.
        """
        if self._renewed:
            return
        longest_s = min(MAX_PAUSE_S, 0.1 * 2 ** min(tries, 10))
        until = self._clock() + max(asked_s, self.jitter(0.0, longest_s))
        self._hurry.clear()
        if self._deadline is None and not await wait(self._hurry, until - self._clock()):
            return
        while asked_s and self._deadline is None and (left_s := until - self._clock()) > 0:
            self._hurry.clear()
            await wait(self._hurry, left_s)
        if self._deadline is None:
            return
        now = self._clock()
        last_try = self._deadline - max(LAST_TRY_S, 3 * self.latency_s)
        if not asked_s:
            until = min(until, now + LAST_PAUSE_S)
        elif now < last_try:
            until = min(until, last_try)
        await asyncio.sleep(until - now)

    async def _attempt(self, batch: Batch) -> Sequence[Failure]:
        """One send in a thread. Raises what the sink raises, and TimeoutError for a send that is left to itself.

        That is one whose process was stopped meanwhile, and which has not ended a tick after it went on: its connection
        is most likely dead. Where a process is awake for less than a tick at a time, the send just takes longer.
        """
        timeout_s = ATTEMPT_S
        if self._deadline is not None:
            timeout_s = max(0.1, min(timeout_s, self._deadline - self._clock()))
        self._last_attempt = time.time()
        overdue = self._clock() + timeout_s + OVERDUE_S
        send = asyncio.get_running_loop().run_in_executor(self._threads, self._sink.send, batch, timeout_s)
        was_frozen = False
        while True:
            before, before_by_wall = self._clock(), time.time()
            done, _ = await asyncio.wait({send}, timeout=TICK_S)
            if done:
                return send.result()
            # Which of the two clocks goes on in a freeze depends on how the host freezes.
            if max(self._clock() - before, time.time() - before_by_wall) > TICK_S + FROZEN_S:
                was_frozen = True
            elif was_frozen or self._clock() > overdue:
                send.cancel()  # which it heeds only if no thread has begun with it
                raise TimeoutError(
                    "no answer after a freeze" if was_frozen else "the sink does not keep to its timeout"
                )

    def _trust(self, started: float) -> None:
        now = self._clock()
        if not self.trusted:
            log("INFO", "sink answers again", sink=self._name)
        self._failures = 0
        self._last_success = time.time()
        self.latency_s = self.latency_s * 0.7 + (now - started) * 0.3 if self.latency_s else now - started


async def wait(event: asyncio.Event, timeout_s: float) -> bool:
    """Wait for the event; False when the time is over first."""
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return False
    return True

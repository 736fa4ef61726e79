"""Whether a sink is worth waiting for, and when it may be tried again. Pure: the clock and the randomness are injected.

A healthy sink answers. An unhealthy one is tried in the background, and no invocation is held for it, but for a short
probe now and then: behind a freeze after each invocation, the background alone would never get an answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from extension.sinks import Outcome, Scope

if TYPE_CHECKING:
    from collections.abc import Callable

    from extension.sinks import Reply

UNHEALTHY_FAILURES = 3  # failures in a row before nobody waits any more
UNHEALTHY_HELD_S = 2.0  # in which invocations were held for an answer that did not come
MAX_PAUSE_S = 10.0
MAX_RETRY_AFTER_S = 300.0  # the longest that a Retry-After may silence us
FIRST_DENIED_S, MAX_DENIED_S = 60.0, 900.0  # between tries of a sink that refuses every request: IAM takes minutes
RETRY_NOW_S = 1.0  # since the last attempt, before an invocation ends a pause
CLOSING_PAUSE_S = 0.1  # the longest pause at SHUTDOWN
FIRST_PROBE_S, MAX_PROBE_S = 1.0, 60.0  # between probes that an invocation is held for


class Health:
    """The health of one sink. `clock` gives seconds that go on in a freeze, `uniform(a, b)` a random number between."""

    def __init__(self, clock: Callable[[], float], uniform: Callable[[float, float], float]) -> None:
        self.latency_s = 0.0  # of recent sends, weighted to the latest
        self.ready_at = 0.0  # by the clock; not before it is the sink to be tried
        self.reason = ""  # of the last failure
        self.failures = 0  # in a row
        self._opened = False
        self.denied_for = ""  # why it refuses everything; empty where it does not
        self.failed_in_closing = False
        self._clock = clock
        self._uniform = uniform
        self._held_s = 0.0
        self._denials = 0
        self._partial = 0  # batches in a row of which more than half is to be sent again
        self._asked_for = False  # whether the pause is one that the destination asked for
        self._attempted_at = 0.0
        self._probe_at = 0.0
        self._probes = 0
        self._closing_at: float | None = None

    @property
    def healthy(self) -> bool:
        """Whether it is worth waiting for this sink to answer."""
        return self._opened and not self.failing

    @property
    def failing(self) -> bool:
        """Whether the sink does not answer, as far as it was tried."""
        return self.failures >= UNHEALTHY_FAILURES or self._held_s >= UNHEALTHY_HELD_S or self._denials > 0

    def open(self) -> None:
        """The sink can be tried from here on."""
        self._opened = True
        self._held_s = 0.0

    @property
    def ready(self) -> bool:
        """Whether the sink may be tried now."""
        return self._clock() >= self.ready_at

    @property
    def rested(self) -> bool:
        """Whether the last attempt was as long ago as the first pause after a denial takes."""
        return self._clock() - self._attempted_at >= FIRST_DENIED_S

    @property
    def probe_due(self) -> bool:
        """Whether an invocation is to be held for a moment, to see whether an unhealthy sink answers again."""
        asked_for = self._asked_for and not self.ready
        if not self._opened or self.healthy or self._denials or asked_for:
            return False
        return self._clock() >= self._probe_at

    @property
    def asked_for_s(self) -> float:
        """How long the destination has asked not to be tried; 0 where it has not."""
        return max(0.0, self.ready_at - self._clock()) if self._asked_for else 0.0

    def attempts(self) -> None:
        """The sink is being tried."""
        self._attempted_at = self._clock()

    def note(self, reply: Reply, duration_s: float, failed_share: float = 0.0) -> None:
        """What the sink said to a batch after `duration_s`; `failed_share` of one that it took is to be sent again."""
        if reply.outcome is Outcome.TAKEN:
            self._answered(duration_s)
            self._partial = self._partial + 1 if failed_share > 0.5 else 1 if failed_share else 0
            if failed_share:
                self._pause(self._partial)
            if reply.retry_after_s:
                self._wait_as_asked(reply.retry_after_s)
        elif reply.outcome is Outcome.REQUEST_REFUSED:
            denials = self._denials
            self._answered(duration_s)
            if reply.scope is Scope.EVERYTHING:
                self._deny(reply.reason, denials)
        else:
            self._fail(reply)

    def held_in_vain(self, seconds: float) -> None:
        """An invocation was held for so many seconds, and no answer came."""
        self._held_s += seconds
        self.reason = self.reason or f"no answer while invocations were held for {self._held_s:.1f} s"

    def retry_now(self) -> None:
        """An invocation has begun: end a pause that was made in frozen time, unless the destination asked for it."""
        if not self._asked_for and self._clock() - self._attempted_at > RETRY_NOW_S:
            self.ready_at = 0.0

    def probed(self) -> None:
        """An invocation is held for a probe, so it begins at once; the next one is due later, and later still."""
        self.ready_at = 0.0
        self._probe_at = self._clock() + min(MAX_PROBE_S, FIRST_PROBE_S * 2 ** min(self._probes, 10))
        self._probes += 1

    def close(self, last_try_at: float) -> None:
        """SHUTDOWN: pauses are short, and the destination's wishes end at `last_try_at`, by the clock."""
        self._closing_at = last_try_at
        self.ready_at = min(self.ready_at, last_try_at if self._asked_for and not self._denials else self._clock())

    def _answered(self, duration_s: float) -> None:
        self.failures = self._denials = self._probes = 0
        self._held_s = self._probe_at = self.ready_at = 0.0
        self._asked_for = False
        self.reason = self.denied_for = ""
        self.latency_s = self.latency_s * 0.7 + duration_s * 0.3 if self.latency_s else duration_s

    def _fail(self, reply: Reply) -> None:
        self.failures += 1
        self.reason = reply.reason
        self.failed_in_closing = self._closing_at is not None
        self._pause(self.failures)
        if reply.outcome is Outcome.THROTTLED and reply.retry_after_s:
            self._wait_as_asked(reply.retry_after_s)

    def _wait_as_asked(self, seconds: float) -> None:
        """The destination asks for time; at SHUTDOWN there is a last try all the same."""
        self._asked_for = True
        asked_at = self._clock() + min(seconds, MAX_RETRY_AFTER_S)
        last_at = self._closing_at
        self.ready_at = asked_at if last_at is None or self._clock() >= last_at else min(asked_at, last_at)

    def _deny(self, reason: str, before: int) -> None:
        self.reason = self.denied_for = reason
        self.failed_in_closing = self._closing_at is not None
        self._asked_for = True
        self.ready_at = self._attempted_at + min(MAX_DENIED_S, FIRST_DENIED_S * 2 ** min(before, 10))
        self._denials = before + 1

    def _pause(self, tries: int) -> None:
        """Full jitter, doubling ("Exponential Backoff And Jitter", AWS Architecture Blog)."""
        longest_s = min(MAX_PAUSE_S, 0.1 * 2 ** min(tries, 10)) if self._closing_at is None else CLOSING_PAUSE_S
        self.ready_at = self._clock() + self._uniform(0.0, longest_s)
        self._asked_for = False

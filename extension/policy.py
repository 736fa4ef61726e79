"""When to flush. Pure: it is told what happened and asked what to do; the clock is injected, nothing is awaited.

The question at each invocation: does the forwarder hold it until its records are delivered, or ask for the next event
at once and deliver while later invocations run? Holding costs the user billed time; not holding leaves records in a
frozen process. Sparse traffic is held, since the next thaw may be an hour away; dense traffic is not.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

GAPS = 10  # invocations looked back on
DENSE_SHARE = 0.25  # traffic is dense when a flush interval holds four invocations or more
MEMORY_SHARE = 0.5  # of the queue: above it an invocation is held, before records have to be dropped
RESERVE_S = 0.5  # of an invocation's time is never touched, or RESERVE_SHARE of what is left where that is less
RESERVE_SHARE = 0.2
TAIL_S = 2.0  # the longest that an invocation is held after its runtime is done, or TAIL_SHARE of what is left
TAIL_SHARE = 0.5
MAX_INVOCATION_S = 900.0  # Lambda's longest timeout, whatever a clock that jumped makes of deadlineMs
LATE_S = 0.06  # so long after SHUTDOWN handlers of SIGTERM and other extensions print; seen on Lambda
SLACK_S = 0.015  # and so long it may take here
GRACE_S = 0.025  # for lines that come after runtimeDone


class Decision(NamedTuple):
    """Whether to hold the invocation until its records are delivered, and why, in words for the log."""

    hold: bool
    reason: str


class State(NamedTuple):
    """How the sinks are that can be `trusted` to answer, if there are any.

    The fullest buffer as a share of its bound, how long the oldest record has waited, what the slowest sink needs.
    """

    trusted: bool
    fullness: float
    age_s: float
    latency_s: float


class Policy:
    """Knows the rhythm of invocations. `mode` is adaptive, invocation or interval; times are in seconds."""

    def __init__(self, mode: str, interval_s: float, clock: Callable[[], float]) -> None:
        self._mode = mode
        self._interval_s = interval_s
        self._clock = clock
        self._starts: deque[float] = deque(maxlen=GAPS + 1)
        self._missed_done = False

    def invoked(self) -> None:
        """An INVOKE event came."""
        self._starts.append(self._clock())

    def saw_done(self, *, seen: bool) -> None:
        """Whether the platform.runtimeDone that was waited for came; where none comes, waiting for it is given up."""
        self._missed_done = not seen

    def decide(self, state: State, left_s: float) -> Decision:
        """Whether to hold the invocation that has `left_s` until its deadline."""
        if self._missed_done:
            return Decision(hold=False, reason="platform.runtimeDone did not come the last time")
        if not state.trusted:
            return Decision(hold=False, reason="no sink answers")
        if self._mode != "adaptive":
            return Decision(hold=self._mode == "invocation", reason=f"FORWARDER_FLUSH is {self._mode}")
        return self._adapt(state, left_s)

    def is_due(self, state: State) -> bool:
        """Whether what waits is to be sent in the background now."""
        return state.age_s >= self._interval_s

    def _adapt(self, state: State, left_s: float) -> Decision:
        if state.fullness > MEMORY_SHARE:
            return Decision(hold=True, reason=f"the buffer is {state.fullness:.0%} full")
        if len(self._starts) <= GAPS:
            return Decision(hold=True, reason="the rhythm is not known yet")
        gap_s = (self._starts[-1] - self._starts[0]) / GAPS
        if gap_s > self._interval_s * DENSE_SHARE:
            return Decision(hold=True, reason=f"sparse: an invocation every {gap_s:.1f} s")
        if state.age_s > 2 * self._interval_s and state.latency_s < left_s * TAIL_SHARE:
            return Decision(hold=True, reason=f"a record has waited for {state.age_s:.1f} s")
        return Decision(hold=False, reason=f"dense: an invocation every {gap_s:.2f} s")


def done_timeout_s(left_s: float) -> float:
    """How long to wait for platform.runtimeDone, given the time until the deadline."""
    return min(MAX_INVOCATION_S, max(0.0, left_s - min(RESERVE_S, left_s * RESERVE_SHARE)))


def quiet_s(buffer_timeout_s: float) -> float:
    """How long nothing must have come since SHUTDOWN for telemetry to be over, given how long the platform gathers it.

    What is printed last comes a buffering timeout later; what is printed all the time comes as often.
    """
    return buffer_timeout_s + max(LATE_S, buffer_timeout_s) + SLACK_S


def tail_timeout_s(left_s: float) -> float:
    """How long an invocation may be held once its runtime is done."""
    return max(0.0, min(TAIL_S, left_s * TAIL_SHARE, left_s - RESERVE_S * RESERVE_SHARE))

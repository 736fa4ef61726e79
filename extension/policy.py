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
MAX_BUFFERING_S = 0.1  # by the platform: as long as that, and what the sinks need, an invocation is held
PROBE_S = 1.0  # the longest that an invocation is held for a sink that may answer again
CONNECTION_S = 1.0  # the longest that is waited for the platform to connect, in all
GRACE_S = 0.025  # for lines that come after runtimeDone

SHUTDOWN_S = 2.0  # what Lambda grants, whatever a clock that stood still or jumped makes of deadlineMs
EXIT_S, EXIT_SHARE = 0.4, 0.3  # kept for the ledger and the exit
REPORT_SHARE = 0.35  # of the time at most is spent on waiting for the last platform.report
DRAIN_SHARE = (
    0.75  # of the time until the sinks have to be done, for telemetry that still comes; batches leave meanwhile
)
FALLBACK_SHARE = 0.4  # of the time at most is kept for the fallback
FALLBACK_S = 0.3  # and at least so much, unless its latency asks for more
DISK_SHARE = 0.4  # of the time at most is kept for the disk, which may be as slow as
DISK_BYTES_S = 40_000_000
DISK_S = 0.05  # and at least so much
LAST_TRY_S = 0.3
LATE_S = 0.06  # so long after SHUTDOWN handlers of SIGTERM and other extensions print; seen on Lambda
SLACK_S = 0.015  # and so long it may take here


class Decision(NamedTuple):
    """Whether to hold the invocation until its records are delivered, and why, in words for the log."""

    hold: bool
    reason: str


class State(NamedTuple):
    """How the healthy sinks are, if there are any.

    The fullest queue as a share of its bound, how long the oldest record has waited, what the slowest sink needs; and
    whether an unhealthy sink is due to be probed.
    """

    healthy: bool
    fill_ratio: float
    age_s: float
    latency_s: float
    probe_due: bool = False


class Policy:
    """Knows the rhythm of invocations. `mode` is adaptive, invocation or interval; times are in seconds.

    `buffering_s` is how long the platform buffers telemetry, runtimeDone among it: an invocation is not held for long.
    """

    def __init__(self, mode: str, interval_s: float, clock: Callable[[], float], buffering_s: float = 0.0) -> None:
        self._mode = mode
        self._interval_s = interval_s
        self._clock = clock
        self._buffering_s = buffering_s
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
        if not state.healthy and not state.probe_due:
            return Decision(hold=False, reason="no sink answers")
        if self._mode != "adaptive":
            return Decision(hold=self._mode == "invocation", reason=f"FORWARDER_FLUSH is {self._mode}")
        if self._buffering_s > MAX_BUFFERING_S:
            return Decision(hold=False, reason=f"telemetry is buffered for {self._buffering_s:.1f} s")
        return self._adapt(state, left_s)

    def is_due(self, state: State) -> bool:
        """Whether what waits is to be sent in the background now."""
        return state.age_s >= self._interval_s

    def _adapt(self, state: State, left_s: float) -> Decision:
        if state.fill_ratio > MEMORY_SHARE:
            return Decision(hold=True, reason=f"the queue is {state.fill_ratio:.0%} full")
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


def tail_timeout_s(left_s: float) -> float:
    """How long an invocation may be held once its runtime is done."""
    return max(0.0, min(TAIL_S, left_s * TAIL_SHARE, left_s - RESERVE_S * RESERVE_SHARE))


class ShutdownPlan(NamedTuple):
    """When each step of a SHUTDOWN ends, in the loop's time.

    `report`: waiting for the last platform.report; `drain`: reading what still comes; `sinks`, `fallback`, `disk`:
    delivery there. The last try of a sink that asked for time begins `last_try_s` before its step ends. `keeps_disk`:
    another process comes after us in this environment, and finds what is on disk.
    """

    report: float
    drain: float
    sinks: float
    fallback: float
    disk: float
    last_try_s: float
    keeps_disk: bool


def quiet_s(buffer_timeout_s: float) -> float:
    """How long nothing must have come since SHUTDOWN for telemetry to be over, given how long the platform gathers it.

    What is printed last comes a buffering timeout later; what is printed all the time comes as often.
    """
    return buffer_timeout_s + max(LATE_S, buffer_timeout_s) + SLACK_S


def plan_shutdown(
    now: float, left_s: float, reason: str, *, waiting_bytes: int, fallback_latency_s: float | None
) -> ShutdownPlan:
    """Divide the `left_s` until the deadline; `fallback_latency_s` is None where there is no fallback.

    /tmp outlives a timeout or a failure, for the processes are started again; it does not outlive a spindown.
    """
    left_s = min(left_s, SHUTDOWN_S) if left_s > 0 else SHUTDOWN_S
    end = now + left_s - min(EXIT_S, left_s * EXIT_SHARE)
    keeps_disk = reason in {"timeout", "failure"}
    disk_s = min((end - now) * DISK_SHARE, DISK_S + waiting_bytes / DISK_BYTES_S) if keeps_disk else 0.0
    fallback = end - disk_s
    fallback_s = 0.0
    if fallback_latency_s is not None:
        fallback_s = min((fallback - now) * FALLBACK_SHARE, max(FALLBACK_S, 3 * fallback_latency_s))
    sinks = fallback - fallback_s
    return ShutdownPlan(
        report=now + left_s * REPORT_SHARE,
        drain=now + (sinks - now) * DRAIN_SHARE,
        sinks=sinks,
        fallback=fallback,
        disk=end,
        last_try_s=min(LAST_TRY_S, (sinks - now) / 2),
        keeps_disk=keeps_disk,
    )

"""When to flush. Pure: it is told what happened and asked what to do; the clock is injected, nothing is awaited.

The question at each invocation: does the forwarder hold it until its records are delivered, or ask for the next event
at once and deliver while later invocations run? Holding costs the user billed time; not holding leaves records in a
frozen process. Sparse traffic is held, since the next thaw may be an hour away; dense traffic is not.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from extension.records import LONGEST_INVOCATION_S

if TYPE_CHECKING:
    from collections.abc import Callable

GAPS = 10  # between invocations, to tell the rhythm from
DENSE_SHARE = 0.25  # traffic is dense when a flush interval holds four invocations or more
MEMORY_SHARE = 0.5  # of a queue in use: above it an invocation is held
RESERVE_S = 0.5  # of an invocation's time that is never touched
RESERVE_SHARE = 0.2  # of what is left is the reserve where that is less
TAIL_S = 2.0  # the longest that an invocation is held after its runtime is done
FAILED_TAIL_S = 0.5  # the same where it failed: a reset may follow, and its SHUTDOWN_S run since then already
TAIL_SHARE = 0.5  # of what is left is the tail where that is less
MAX_BUFFERING_S = 0.1  # the platform's buffering timeout above which no invocation is held
PROBE_S = 1.0  # the longest that an invocation is held for a sink that may answer again
CONNECTION_S = 1.0  # the longest wait for the platform to connect, all invocations together
GRACE_S = 0.025  # for lines that come after runtimeDone

SHUTDOWN_S = 2.0  # what Lambda grants
LEAST_SHUTDOWN_S = 1.4  # the least that is left of it: the platform flushes telemetry, or stops a stuck runtime, first
EXIT_S, EXIT_SHARE = 0.4, 0.3  # for the ledger and the exit: the lesser of seconds and share of the time
REPORT_SHARE = 0.35  # of the time, at most, to wait for the last platform.report
DRAIN_SHARE = 0.75  # of the sinks' time, at most, to read what still comes; batches leave meanwhile
FALLBACK_SHARE = 0.4  # of the time, at most, for the fallback; all of it where nothing is known of its latency
FALLBACK_S = 0.3  # for the fallback at least, where there is so much
DISK_SHARE = 0.4  # of the time, at most, for the disk
DISK_S = 0.05  # for the disk at least
DISK_BYTES_S = 40_000_000  # written in a second by a slow disk
LAST_TRY_S = 0.3  # before a sink's time is over, one that asked for time is tried once more
LATE_S = 0.06  # after SHUTDOWN handlers of SIGTERM and other extensions still print; seen on Lambda
SLACK_S = 0.015  # from the platform's send to our read


class Decision(NamedTuple):
    """Whether to hold the invocation until its records are delivered, and why, in words for the log."""

    hold: bool
    reason: str


class State(NamedTuple):
    """How the sinks are.

    `healthy`: whether any is. Of the healthy ones: `fill_ratio` of the fullest queue, `age_s` of the oldest record,
    `latency_s` of the slowest. `probe_due`: whether an unhealthy one is to be probed.
    """

    healthy: bool
    fill_ratio: float
    age_s: float
    latency_s: float
    probe_due: bool = False


class Policy:
    """Knows the rhythm of invocations. `mode` is adaptive, invocation or interval; times are in seconds.

    `buffering_s` is how long the platform gathers telemetry, runtimeDone among it; where that is long, nothing is held.
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
        """Whether the platform.runtimeDone that was waited for came; after one that did not, no invocation is held."""
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
    # Whatever a clock that jumped makes of deadlineMs.
    return min(LONGEST_INVOCATION_S, max(0.0, left_s - min(RESERVE_S, left_s * RESERVE_SHARE)))


def tail_timeout_s(left_s: float, *, failed: bool) -> float:
    """How long an invocation may be held once its runtime is done, or has `failed`."""
    return max(0.0, min(FAILED_TAIL_S if failed else TAIL_S, left_s * TAIL_SHARE, left_s - RESERVE_S * RESERVE_SHARE))


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

    The last line comes one buffering timeout after it was printed; lines that never end come once each timeout.
    """
    return buffer_timeout_s + max(LATE_S, buffer_timeout_s) + SLACK_S


def plan_shutdown(
    now: float, left_s: float, reason: str, *, waiting_bytes: int, fallback_latency_s: float | None
) -> ShutdownPlan:
    """Divide the `left_s` until the deadline.

    `fallback_latency_s` is None where there is no fallback, and 0 for one that was not used yet. A clock that stood
    still in a freeze, or jumped, makes `left_s` negative or longer than what Lambda grants. /tmp outlives a timeout or
    a failure, for the processes are started again; it does not outlive a spindown.
    """
    if not 0 < left_s <= SHUTDOWN_S:
        left_s = LEAST_SHUTDOWN_S
    end = now + left_s - min(EXIT_S, left_s * EXIT_SHARE)
    keeps_disk = reason in {"timeout", "failure"}
    disk_s = min((end - now) * DISK_SHARE, DISK_S + waiting_bytes / DISK_BYTES_S) if keeps_disk else 0.0
    fallback = end - disk_s
    fallback_s = 0.0
    if fallback_latency_s is not None:
        fallback_s = (fallback - now) * FALLBACK_SHARE
        if fallback_latency_s:
            fallback_s = min(fallback_s, max(FALLBACK_S, 3 * fallback_latency_s))
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

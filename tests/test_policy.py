from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extension.policy import (
    FALLBACK_S,
    FALLBACK_SHARE,
    GAPS,
    LEAST_SHUTDOWN_S,
    SHUTDOWN_S,
    Policy,
    ShutdownPlan,
    State,
    done_timeout_s,
    plan_shutdown,
    quiet_s,
    tail_timeout_s,
)

CALM = State(healthy=True, fill_ratio=0.0, age_s=0.0, latency_s=0.05)


def policy(mode: str, gap_s: float, invocations: int = GAPS + 1) -> Policy:
    """A policy that has seen so many invocations, so far apart, with an interval of 20 s."""
    now = 0.0
    made = Policy(mode, 20.0, lambda: now)
    for _ in range(invocations):
        made.invoked()
        now += gap_s
    return made


@pytest.mark.parametrize(
    ("mode", "gap_s", "hold"),
    [
        ("adaptive", 60.0, True),
        ("adaptive", 0.1, False),
        ("invocation", 60.0, True),
        ("invocation", 0.1, True),
        ("interval", 60.0, False),
        ("interval", 0.1, False),
    ],
)
def test_mode_and_rhythm_decide(mode: str, gap_s: float, *, hold: bool) -> None:
    """Adaptive holds an invocation where traffic is sparse; the other modes do not look at traffic."""
    assert policy(mode, gap_s).decide(CALM, 3.0).hold is hold


def test_the_first_invocations_are_held() -> None:
    """Until the rhythm is known, an environment may be frozen for an hour after any invocation."""
    assert policy("adaptive", 0.1, GAPS).decide(CALM, 3.0).hold


def test_memory_pressure_holds() -> None:
    """A buffer that is more than half full is emptied before the next event, however dense the traffic."""
    assert policy("adaptive", 0.1).decide(CALM._replace(fill_ratio=0.6), 3.0).hold


def test_records_do_not_wait_for_ever() -> None:
    """A record older than two intervals holds the invocation, because delivery in the background evidently lags."""
    assert policy("adaptive", 0.1).decide(CALM._replace(age_s=41.0), 3.0).hold


def test_no_time_left_means_no_hold() -> None:
    """Where a sink usually needs longer than what may be spent, an old record is no reason to hold."""
    assert not policy("adaptive", 0.1).decide(CALM._replace(age_s=41.0, latency_s=2.0), 3.0).hold


def test_what_is_buffered_for_long_is_not_waited_for() -> None:
    """Where the platform keeps telemetry for longer than 100 ms, no invocation pays for it, however rare they are."""
    for buffering_s, hold in ((0.1, True), (0.101, False)):
        assert Policy("adaptive", 20.0, lambda: 0.0, buffering_s).decide(CALM, 3.0).hold is hold


def test_a_done_that_never_comes_is_not_waited_for_again() -> None:
    """Where the platform sends no runtimeDone, one invocation has waited for it in vain, not each."""
    made = policy("invocation", 60.0)
    made.saw_done(seen=False)
    assert not made.decide(CALM, 3.0).hold


@pytest.mark.parametrize("left_s", [-5.0, 0.0, 0.05, 0.3, 1.0, 3.0, 900.0])
def test_budgets_leave_the_function_its_time(left_s: float) -> None:
    """Neither wait reaches the deadline, and neither is negative."""
    for timeout_s in (
        done_timeout_s(left_s),
        tail_timeout_s(left_s, failed=False),
        tail_timeout_s(left_s, failed=True),
    ):
        assert timeout_s == 0.0 or 0.0 < timeout_s < left_s


def test_the_tail_is_bounded_however_long_the_function_may_run() -> None:
    """A function of 15 minutes is not held for minutes by a sink."""
    assert tail_timeout_s(900.0, failed=False) == 2.0


def test_the_tail_leaves_most_of_a_reset_to_shutdown() -> None:
    """What failed may be followed by a reset, whose 2 s run already: three quarters are left, however long the rest."""
    assert tail_timeout_s(900.0, failed=True) == SHUTDOWN_S / 4


def test_where_no_sink_answers_nobody_waits() -> None:
    """An outage costs an invocation nothing once it is known."""
    assert not policy("invocation", 60.0).decide(CALM._replace(healthy=False), 3.0).hold


@given(
    st.sampled_from(["adaptive", "invocation", "interval"]),
    st.lists(st.floats(0, 100_000), max_size=30),
    st.builds(State, st.booleans(), st.floats(0, 1), st.floats(0, 1e6), st.floats(0, 60), st.booleans()),
    st.floats(-10, 900),
)
def test_any_rhythm_has_a_decision_with_a_reason(mode: str, gaps: list[float], state: State, left_s: float) -> None:
    """Whatever the gaps between invocations and the state of the sinks, there is a decision, and it says why."""
    now = 0.0
    made = Policy(mode, 20.0, lambda: now)
    for gap in gaps:
        made.invoked()
        now += gap
    decision = made.decide(state, left_s)
    assert decision.reason
    assert not (decision.hold and not (state.healthy or state.probe_due))


@given(st.floats(0.001, 900))
def test_both_waits_together_leave_time(left_s: float) -> None:
    """Even if runtimeDone comes at the last moment that it is waited for, the tail ends before the deadline."""
    rest_s = left_s - done_timeout_s(left_s)
    assert rest_s > 0
    assert tail_timeout_s(rest_s, failed=False) < rest_s


@given(st.floats(0.025, 30.0))
def test_silence_is_longer_than_what_is_printed_last_takes(buffer_timeout_s: float) -> None:
    """Lines of 60 ms after SHUTDOWN, and lines of a stream that goes on, come before the silence is over."""
    assert quiet_s(buffer_timeout_s) > buffer_timeout_s + max(0.06, buffer_timeout_s)


def test_an_unhealthy_sink_is_held_for_where_a_probe_is_due() -> None:
    """Behind a freeze after each invocation, the background alone would never get an answer."""
    assert policy("invocation", 60.0).decide(CALM._replace(healthy=False, probe_due=True), 3.0).hold


NOW = st.floats(0.0, 1e6)
REASONS = st.sampled_from(["spindown", "timeout", "failure", "", "SPINDOWN"])
WAITING = st.integers(0, 64 << 20)
LATENCIES = st.none() | st.floats(0.0, 10.0)


@st.composite
def plans(draw: st.DrawFn, left: st.SearchStrategy[float]) -> tuple[float, float, ShutdownPlan]:
    """When it is made, for how long, and the plan."""
    now, left_s = draw(NOW), draw(left)
    waiting, latency_s = draw(WAITING), draw(LATENCIES)
    return now, left_s, plan_shutdown(now, left_s, draw(REASONS), waiting_bytes=waiting, fallback_latency_s=latency_s)


@given(plans(st.floats(0.001, SHUTDOWN_S)))
def test_each_step_ends_in_time_and_after_the_one_before(made: tuple[float, float, ShutdownPlan]) -> None:
    """Whatever waits, steps end in their order, and the last leaves time for the ledger and the exit."""
    now, left_s, plan = made
    steps = [now, plan.drain, plan.sinks, plan.fallback, plan.disk]
    assert all(one <= next_ + 1e-9 for one, next_ in itertools.pairwise(steps))
    assert plan.disk < now + left_s
    assert now < plan.report < now + left_s
    assert 0 < plan.last_try_s <= plan.sinks - now


@given(plans(st.floats(-1e9, 0.0) | st.floats(SHUTDOWN_S + 0.001, 1e9)))
def test_a_deadline_that_makes_no_sense_gives_what_may_be_left(made: tuple[float, float, ShutdownPlan]) -> None:
    """Whatever a wall clock that stood still or jumped makes of deadlineMs; 0.6 of the 2 s may be used up already."""
    now, _, plan = made
    assert now + LEAST_SHUTDOWN_S / 2 < plan.disk < now + LEAST_SHUTDOWN_S


@given(NOW, st.floats(0.001, 10.0), st.floats(0.001, 10.0))
def test_the_fallbacks_share_follows_its_latency(now: float, one_s: float, other_s: float) -> None:
    """A slower fallback gets more of the time, up to a share of it, and never less than a little."""
    shares = []
    for latency_s in sorted([one_s, other_s]):
        plan = plan_shutdown(now, 2.0, "spindown", waiting_bytes=0, fallback_latency_s=latency_s)
        shares.append(plan.fallback - plan.sinks)
        assert FALLBACK_S - 1e-6 <= shares[-1] <= (plan.fallback - now) * FALLBACK_SHARE + 1e-6
    assert shares[0] <= shares[1] + 1e-6


def test_a_fallback_of_which_nothing_is_known_gets_all_of_its_share() -> None:
    """Before its first answer it may be as slow as the slowest."""
    plan = plan_shutdown(0.0, 2.0, "spindown", waiting_bytes=0, fallback_latency_s=0.0)
    assert plan.fallback - plan.sinks == pytest.approx(plan.fallback * FALLBACK_SHARE)


def test_without_a_fallback_its_time_is_the_sinks() -> None:
    """Nothing is kept for what is not there; nor for a disk that goes with the environment."""
    plan = plan_shutdown(0.0, 2.0, "spindown", waiting_bytes=64 << 20, fallback_latency_s=None)
    assert plan.sinks == plan.fallback == plan.disk
    assert not plan.keeps_disk


@given(WAITING, WAITING)
def test_the_disk_gets_time_for_what_waits(one: int, other: int) -> None:
    """After a timeout or a crash another process finds what is on disk: more that waits gets more time."""
    shares = []
    for waiting in sorted([one, other]):
        plan = plan_shutdown(0.0, 2.0, "timeout", waiting_bytes=waiting, fallback_latency_s=None)
        assert plan.keeps_disk
        shares.append(plan.disk - plan.fallback)
    assert 0 < shares[0] <= shares[1]

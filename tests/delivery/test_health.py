from __future__ import annotations

import pytest

from extension.delivery.health import (
    CLOSING_PAUSE_S,
    FIRST_DENIED_S,
    MAX_DENIED_S,
    MAX_PAUSE_S,
    MAX_PROBE_S,
    MAX_RETRY_AFTER_S,
    RETRY_NOW_S,
    UNHEALTHY_FAILURES,
    UNHEALTHY_HELD_S,
    Health,
)
from extension.sinks import Outcome, Reply, Scope
from tests.support.deliveries import Clock

TAKEN = Reply(Outcome.TAKEN)
DOWN = Reply(Outcome.DOWN, "ConnectionRefusedError")
DENIED = Reply(Outcome.REQUEST_REFUSED, "HTTP 403", scope=Scope.EVERYTHING)
REFUSED = Reply(Outcome.REQUEST_REFUSED, "HTTP 400", scope=Scope.RECORD)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(clock: Clock) -> Health:
    made = Health(clock, lambda _, high: high)
    made.open()
    return made


def fail(health: Health, times: int, reply: Reply = DOWN) -> None:
    for _ in range(times):
        health.attempts()
        health.note(reply, 0.01)


def is_healthy(health: Health) -> bool:
    """As the sink is now, which mypy cannot know after a call."""
    return health.healthy


def is_due(health: Health) -> bool:
    """As above."""
    return health.probe_due


def test_a_wait_that_is_asked_for_a_part_of_a_batch_is_kept(health: Health, clock: Clock) -> None:
    """The sink took the rest, so it is healthy; an INVOKE does not end the pause, and no flush waits for it."""
    health.attempts()
    health.note(Reply(Outcome.TAKEN, retry_after_s=7.0), 0.01, failed_share=0.2)
    clock.now += 6.5
    health.retry_now()
    assert (health.healthy, health.ready, health.asked_for_s > 0) == (True, False, True)
    clock.now += 0.5
    assert health.ready


def test_failures_in_a_row_make_a_sink_unhealthy_and_one_answer_heals_it(health: Health) -> None:
    """It takes three failures, with no answer between them; a single answer ends it."""
    fail(health, UNHEALTHY_FAILURES - 1)
    health.note(TAKEN, 0.01)
    fail(health, UNHEALTHY_FAILURES - 1)
    assert is_healthy(health)
    fail(health, 1)
    assert not is_healthy(health)
    health.note(TAKEN, 0.01)
    assert is_healthy(health)


def test_a_refusal_is_an_answer(health: Health) -> None:
    """A sink that refuses a batch for a record in it is worth waiting for."""
    fail(health, UNHEALTHY_FAILURES)
    health.note(REFUSED, 0.01)
    assert is_healthy(health)
    assert health.ready


def test_each_pause_is_drawn_from_a_range_that_doubles(health: Health, clock: Clock) -> None:
    """The longest pauses are 0.2, 0.4, 0.8 ... s, and 10 s at most."""
    pauses = []
    for _ in range(9):
        fail(health, 1)
        pauses.append(round(health.ready_at - clock.now, 3))
    assert pauses == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, MAX_PAUSE_S, MAX_PAUSE_S, MAX_PAUSE_S]


def test_a_destination_that_asks_for_time_gets_it(health: Health, clock: Clock) -> None:
    """A Retry-After is waited for, five minutes at most, and an invocation does not cut it short."""
    health.note(Reply(Outcome.THROTTLED, "HTTP 429", retry_after_s=7.0), 0.01)
    assert health.ready_at == clock.now + 7.0
    clock.now += 5.0
    health.retry_now()
    assert not health.ready
    health.note(Reply(Outcome.THROTTLED, "HTTP 429", retry_after_s=1e9), 0.01)
    assert health.ready_at == clock.now + MAX_RETRY_AFTER_S


def test_an_invocation_ends_a_pause_that_was_made_in_frozen_time(health: Health, clock: Clock) -> None:
    """A sink is tried again when an invocation begins, but not more often than once a second."""
    fail(health, 9)
    clock.now += RETRY_NOW_S / 2
    health.retry_now()
    assert not health.ready
    clock.now += RETRY_NOW_S
    health.retry_now()
    assert health.ready


def test_a_sink_that_refuses_everything_is_tried_after_minutes(health: Health, clock: Clock) -> None:
    """It is tried again after 1, 2, 4 ... 15 minutes, whatever invocations come, and never waited for."""
    pauses = []
    for _ in range(6):
        health.attempts()
        health.note(DENIED, 0.01)
        clock.now += 2.0
        health.retry_now()
        pauses.append(health.ready_at - clock.now + 2.0)
        assert not is_healthy(health)
        assert not is_due(health)
        clock.now = health.ready_at
    assert pauses == [FIRST_DENIED_S, 120.0, 240.0, 480.0, MAX_DENIED_S, MAX_DENIED_S]
    health.note(TAKEN, 0.01)
    assert is_healthy(health)
    assert health.ready
    assert health.denied_for == ""


def test_time_held_in_vain_makes_a_sink_unhealthy(health: Health) -> None:
    """A tail of 50 ms that ran out says little; two seconds without any answer say enough."""
    health.held_in_vain(0.05)
    assert is_healthy(health)
    health.held_in_vain(UNHEALTHY_HELD_S)
    assert not is_healthy(health)
    assert health.reason


def test_an_answer_forgets_what_was_held_in_vain(health: Health) -> None:
    """Only time without an answer between adds up."""
    health.held_in_vain(UNHEALTHY_HELD_S * 0.9)
    health.note(TAKEN, 0.01)
    health.held_in_vain(UNHEALTHY_HELD_S * 0.9)
    assert is_healthy(health)


def test_probes_become_rarer_and_stay_possible(health: Health, clock: Clock) -> None:
    """An unhealthy sink is probed at once, then after 1, 2, 4 ... 60 s; a healthy one never."""
    assert not is_due(health)
    fail(health, UNHEALTHY_FAILURES)
    gaps: list[float] = []
    for _ in range(8):
        assert is_due(health)
        health.probed()
        began = clock.now
        while not is_due(health):
            clock.now += 0.5
        gaps.append(clock.now - began)
    assert gaps == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, MAX_PROBE_S, MAX_PROBE_S]


def test_nobody_is_held_for_a_sink_that_asked_for_time(health: Health, clock: Clock) -> None:
    """While a Retry-After lasts, a probe would be against the destination's wish."""
    fail(health, UNHEALTHY_FAILURES, Reply(Outcome.THROTTLED, "HTTP 429", retry_after_s=30.0))
    assert not is_due(health)
    clock.now += 30.0
    assert is_due(health)


def test_at_shutdown_pauses_are_short(health: Health, clock: Clock) -> None:
    """A sink that was in a long pause is tried at once, and again soon after each failure."""
    fail(health, 9)
    health.close(clock.now + 1.0)
    assert health.ready
    assert not health.failed_in_closing
    fail(health, 1)
    assert health.ready_at == clock.now + CLOSING_PAUSE_S
    assert health.failed_in_closing


@pytest.mark.parametrize("asked_before", [True, False])
def test_at_shutdown_a_retry_after_leaves_one_last_try(health: Health, clock: Clock, *, asked_before: bool) -> None:
    """However long a destination asks to be left alone, it is asked once more before the time is over."""
    throttled = Reply(Outcome.THROTTLED, "HTTP 429", retry_after_s=60.0)
    if asked_before:
        health.note(throttled, 0.01)
    health.close(clock.now + 0.7)
    if not asked_before:
        health.note(throttled, 0.01)
    assert health.ready_at == clock.now + 0.7


def test_at_shutdown_a_sink_that_refused_everything_gets_a_last_try(health: Health, clock: Clock) -> None:
    """Its minutes end with the environment."""
    health.note(DENIED, 0.01)
    health.close(clock.now + 0.7)
    assert health.ready


def test_partial_failures_pause_without_blame(health: Health, clock: Clock) -> None:
    """A destination that takes a part of each batch is healthy, and left alone for longer while it takes little."""
    pauses = []
    for _ in range(3):
        health.note(TAKEN, 0.01, failed_share=0.9)
        pauses.append(round(health.ready_at - clock.now, 3))
    health.note(TAKEN, 0.01, failed_share=0.2)
    pauses.append(round(health.ready_at - clock.now, 3))
    assert pauses == [0.2, 0.4, 0.8, 0.2]
    assert is_healthy(health)


def test_latency_follows_recent_sends(health: Health) -> None:
    """The first send sets it, later ones move it by three tenths."""
    health.note(TAKEN, 1.0)
    health.note(TAKEN, 2.0)
    assert health.latency_s == pytest.approx(1.3)

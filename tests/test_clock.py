from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from extension.clock import Clock, elapsed

moments = st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), min_size=1, max_size=20)


def looks(*pairs: tuple[float, float]) -> list[float]:
    """What a clock says at each pair of moments, of a monotonic clock and a wall clock, after the first."""
    clocks = [iter(column) for column in zip(*pairs, strict=True)]
    clock = Clock(*(lambda moments=moments: next(moments) for moments in clocks))
    return [clock() for _ in pairs[1:]]


def test_both_clocks_go_on() -> None:
    """Where both clocks say the same, so does this one; each second counts once."""
    assert looks((100.0, 5000.0), (101.0, 5001.0), (103.0, 5003.0)) == [1.0, 3.0]


def test_a_freeze_counts_whichever_clock_stood_still() -> None:
    """An hour passes though one of both clocks did not see it."""
    assert looks((100.0, 5000.0), (100.0, 8600.0), (3700.0, 8600.0)) == [3600.0, 7200.0]


def test_a_wall_clock_that_is_set_back_takes_nothing_away() -> None:
    """The monotonic clock goes on; what the wall clock advances from there counts again."""
    assert looks((100.0, 5000.0), (101.0, 1400.0), (101.0, 1410.0)) == [1.0, 11.0]


@given(moments)
def test_time_never_goes_back(pairs: list[tuple[float, float]]) -> None:
    """Whatever the clocks do, no look is earlier than the one before."""
    said = [0.0, *looks(pairs[0], *pairs)]
    assert said == sorted(said)


def test_the_one_clock_goes_on() -> None:
    """The clock that all share follows the real ones."""
    began = elapsed()
    deadline = time.monotonic() + 10
    while elapsed() == began:
        assert time.monotonic() < deadline

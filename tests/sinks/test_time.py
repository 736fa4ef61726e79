"""The time of a record as a number, and as a text that every destination reads."""

import time

import pytest

from extension.sinks._time import iso, timestamp_ns


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:01.5Z", 1_500_000_000),
        ("2026-11-21T04:05:06.789Z", 1_795_233_906_789_000_000),
        ("2026-11-21T05:05:06.789+01:00", 1_795_233_906_789_000_000),
        ("2026-11-21T04:05:06.789", 1_795_233_906_789_000_000),
        ("1969-12-31T23:59:59Z", 0),
    ],
)
def test_a_time_is_exact(text: str, expected: int) -> None:
    """A time becomes whole nanoseconds, in UTC where it says no zone, and none before 1970."""
    assert timestamp_ns(text) == expected


@pytest.mark.parametrize("text", ["", "yesterday", "2262-04-12T00:00:00Z", "9999-12-31T23:59:59-23:59"])
def test_what_cannot_be_told_is_now(text: str) -> None:
    """What is no time, or too late for 64 bits, is now."""
    before = time.time_ns()
    assert before <= timestamp_ns(text) <= time.time_ns()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-21T04:05:06.789Z", "2026-11-21T04:05:06.789Z"),
        ("2026-11-21T05:05:06.7899999+01:00", "2026-11-21T04:05:06.789Z"),
        ("2026-11-21", "2026-11-21T00:00:00.000Z"),
        ("1960-01-01T00:00:00Z", "1970-01-01T00:00:00.000Z"),
    ],
)
def test_a_time_has_one_form(text: str, expected: str) -> None:
    """A time becomes one in UTC with milliseconds."""
    assert iso(text) == expected

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extension.sinks import Failure, Outcome, Refused, Scope, Throttled
from extension.sinks._packing import Entry, packed, requests, send_each, single, spans

if TYPE_CHECKING:
    from collections.abc import Sequence

LINES = st.lists(st.binary(min_size=1, max_size=50).filter(lambda line: b"\n" not in line), max_size=60)


@given(st.lists(st.integers(1, 100)), st.integers(1, 10), st.integers(1, 200))
def test_spans_keep_to_both_limits(sizes: list[int], most: int, max_bytes: int) -> None:
    """Every item is in a span, in order; none has too many or too much, but for a single item that is too large."""
    start = 0
    for count in spans(sizes, most, max_bytes):
        part = sizes[start : start + count]
        assert 1 <= len(part) <= most
        assert sum(part) <= max_bytes or len(part) == 1
        start += count
    assert start == len(sizes)


@given(LINES, st.integers(51, 200))
def test_packed_lines_are_all_there(lines: list[bytes], max_bytes: int) -> None:
    """Packed entries hold every line once, in order, know which ones, and keep to the limit."""
    entries = packed(lines, max_bytes)
    assert b"".join(entry.data for entry in entries) == b"".join(line + b"\n" for line in lines)
    assert [position for entry in entries for position in entry.positions] == list(range(len(lines)))
    assert all(len(entry.data) <= max_bytes for entry in entries)


@given(LINES, st.integers(1, 10))
def test_requests_hold_all_entries(lines: list[bytes], most: int) -> None:
    """Requests hold every entry once, in order."""
    entries = single(lines)
    parts = list(requests(entries, most, 100))
    assert [entry for part in parts for entry in part] == entries


def run(*steps: Exception | list[Failure] | None) -> tuple[list[int], list[Failure]]:
    """Send one request for each step, which it raises or answers; the requests that were sent, and the failures."""
    sent: list[int] = []

    def send(part: Sequence[Entry], _left_s: float) -> list[Failure]:
        step = steps[part[0].positions[0]]
        sent.append(part[0].positions[0])
        if isinstance(step, Exception):
            raise step
        return step or []

    parts = [[entry] for entry in single([b"x"] * len(steps))]
    return sent, send_each(parts, send, Entry.failures, 5.0)


def test_first_error_is_raised() -> None:
    """What the first request raises is raised: nothing was taken yet."""
    with pytest.raises(Refused):
        run(Refused("no", Scope.EVERYTHING), None)


def test_one_broken_connection_costs_one_request() -> None:
    """After one error in the middle the others are sent."""
    assert run(None, OSError("reset"), None) == ([0, 1, 2], [Failure(1, "reset")])


def test_errors_that_are_not_in_a_row() -> None:
    """Errors with a success between them do not end it."""
    assert run(None, OSError("one"), None, OSError("two"), None)[0] == [0, 1, 2, 3, 4]


def test_two_errors_in_a_row_end_it() -> None:
    """After two errors in a row the rest is not tried, and fails for now."""
    sent, failures = run(None, OSError("one"), OSError("two"), None)
    assert sent == [0, 1, 2]
    assert [failure.position for failure in failures] == [1, 2, 3]


@pytest.mark.parametrize("error", [Throttled("slow down", 1.0), Refused("no", Scope.EVERYTHING)])
def test_word_of_the_service_ends_it(error: Exception) -> None:
    """When the service itself says no in the middle, it gets no more for now."""
    sent, failures = run(None, error, None)
    assert sent == [0, 1]
    assert [(failure.position, failure.outcome) for failure in failures] == [(1, Outcome.RETRY), (2, Outcome.RETRY)]


def test_partial_failures_are_collected() -> None:
    """What each request says of its records is kept."""
    failed = Failure(0, "throttled")
    assert run([failed], None) == ([0, 1], [failed])


def test_nothing_is_sent_after_the_deadline() -> None:
    """What would not be done in time, going by the slowest request so far, is left to be sent again."""
    now = 0.0
    sent: list[int] = []

    def send(part: Sequence[Entry], left_s: float) -> list[Failure]:
        nonlocal now
        sent.append(part[0].positions[0])
        assert left_s > 0
        now += 2.0
        return []

    parts = [[entry] for entry in single([b"x"] * 5)]
    failures = send_each(parts, send, Entry.failures, 5.0, lambda: now)
    assert sent == [0, 1]
    assert failures == [Failure(2, "no time left"), Failure(3, "no time left"), Failure(4, "no time left")]

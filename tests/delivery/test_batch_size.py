from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from extension.delivery.batch_size import GROW_AFTER, BatchSize
from extension.sinks import Limits

BYTES = 70_000  # of each record: two of them are a large batch


def send_all(
    size: BatchSize, count: int, bad: set[int], max_records: int, *, says_why: bool = False
) -> tuple[list[int], list[int], int]:
    """Send records to a destination that refuses batches with a bad one or too many; taken, refused, requests made."""
    left = list(range(count))
    taken: list[int] = []
    refused: list[int] = []
    requests = 0
    while left:
        most, max_bytes = size.next()
        part = left[: max(1, min(most, max_bytes // BYTES))]
        requests += 1
        if bad.isdisjoint(part) and len(part) <= max_records:
            size.taken(len(part), len(part) * BYTES)
            taken += part
        elif size.refused(len(part), len(part) * BYTES, too_large=says_why and bad.isdisjoint(part)):
            continue
        else:
            refused += part
        left = left[len(part) :]
    return taken, refused, requests


@given(st.integers(1, 300), st.sets(st.integers(0, 299), max_size=12))
def test_bad_records_alone_are_refused(count: int, bad: set[int]) -> None:
    """Wherever bad records stand, they are refused, and all others are taken, with few requests for each."""
    size = BatchSize(Limits(records=100, bytes=100 * BYTES))
    taken, refused, requests = send_all(size, count, bad, max_records=1 << 20)
    found = {number for number in bad if number < count}
    assert set(refused) == found
    assert taken == [number for number in range(count) if number not in found]
    assert requests <= math.ceil(count / 100) + (2 * math.ceil(math.log2(100)) + 2) * (len(found) + 1)


@given(st.integers(1, 200), st.integers(1, 300), st.booleans())
def test_an_intake_that_takes_little_gets_everything(max_records: int, count: int, says_why: bool) -> None:
    """However little a destination takes at once, each record is taken; the size that worked is kept."""
    size = BatchSize(Limits(records=1000, bytes=1000 * BYTES))
    taken, refused, _ = send_all(size, count, set(), max_records, says_why=says_why)
    assert (taken, refused) == (list(range(count)), [])
    again, _, requests = send_all(size, count, set(), max_records, says_why=says_why)
    assert again == list(range(count))
    assert requests <= math.ceil(count / max(1, max_records // 2)) + 2 * count // GROW_AFTER + 20


def test_a_larger_batch_is_tried_after_a_while() -> None:
    """What made a destination take less may have passed: after 64 batches in a row twice as much is tried."""
    size = BatchSize(Limits(records=1000, bytes=1000))
    size.refused(100, 1000, too_large=True)
    assert size.next() == (1000, 500)
    for _ in range(GROW_AFTER):
        size.taken(10, 100)
    assert size.next() == (1000, 1000)


def test_a_bad_record_does_not_make_batches_smaller() -> None:
    """Once the record that was to blame is found, batches are whole again."""
    size = BatchSize(Limits(records=100, bytes=100 * BYTES))
    send_all(size, 100, {37}, 1 << 20)
    assert size.next() == (100, 100 * BYTES)


def test_a_small_batch_that_is_refused_once_makes_none_smaller() -> None:
    """No destination takes only a few KiB at once: where all parts of such a batch were taken, the refusal passed."""
    size = BatchSize(Limits(records=100, bytes=1 << 20))
    size.refused(4, 800, too_large=False)
    size.taken(2, 400)
    size.taken(2, 400)
    assert size.next() == (100, 1 << 20)

"""What a queue keeps and what it gives up, one step after the other; test_queue_states.py tries all sequences."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extension.delivery.chunk import Chunk
from extension.delivery.disk import BLOCK_BYTES, Disk, File
from extension.delivery.queue import EVICTION_ORDER, MOVE_BYTES, HandOff, Queue, Reload, Send, Spill, View
from extension.records import HAND_OFF_BYTES, RECORD_OVERHEAD_BYTES, Batch, Record
from extension.sinks import Limits, Outcome, Reply

SIZE = 10 + RECORD_OVERHEAD_BYTES
READY = View(ready=True, reload=False)


def record(sequence: int, kind: str = "function", length: int = 10) -> Record:
    return Record(sequence, kind, b"x" * length)


def queue(max_bytes: int, limits: Limits | None = None) -> Queue:
    """One whose fallback gets what it gives up, and which finds no room on disk."""
    numbers = itertools.count()
    return Queue(max_bytes, limits or Limits(), Disk(0), lambda: f"e-{next(numbers)}", has_fallback=True)


def offer(made: Queue, *records: Record) -> list[tuple[int, str]]:
    """What is given up for it, and why."""
    actions = made.offer(Chunk(records, 0.0))
    handed = [action for action in actions if isinstance(action, HandOff)]
    return [(one.sequence, action.reason) for action in handed for one in action.records]


def send(made: Queue) -> Batch:
    made.flush_soon()
    [action] = made.plan(READY)
    assert isinstance(action, Send)
    return action.batch


def test_the_least_important_goes_first() -> None:
    """When memory runs out, extension records go before platform records, and both before the function's own."""
    made = queue(3 * SIZE)
    kinds = ["function", "platform", "extension", "function", "function", "function"]
    gone = [one for sequence, kind in enumerate(kinds) for one in offer(made, record(sequence, kind))]
    assert gone == [(2, "queue full"), (1, "queue full"), (0, "queue full")]


@given(st.lists(st.sampled_from(EVICTION_ORDER), min_size=1, max_size=20))
def test_what_goes_is_never_more_important_than_what_stays(kinds: list[str]) -> None:
    """However the kinds are mixed, in one chunk or many."""
    made = queue(5 * SIZE)
    gone = {sequence for sequence, _ in offer(made, *[record(number, kind) for number, kind in enumerate(kinds)])}
    stay = set(range(len(kinds))) - gone
    assert len(stay) == min(5, len(kinds))
    ranks = [EVICTION_ORDER.index(kind) for kind in kinds]
    assert all((ranks[one], one) < (ranks[other], other) for one in gone for other in stay)


def test_what_is_being_sent_still_counts() -> None:
    """Records in flight hold memory until their end is known, so newer ones have to give way."""
    made = queue(SIZE)
    offer(made, record(0))
    batch = send(made)
    assert offer(made, record(1)) == [(1, "queue full")]
    made.sent(batch, Reply(Outcome.TAKEN))
    assert offer(made, record(2)) == []


def test_a_record_larger_than_what_is_moved_at_once_is_moved() -> None:
    """A crowded queue gives the fallback one record at least, and a fallback with all of its room whatever there is."""
    made = queue(100 * SIZE)
    offer(made, record(0, length=60 * SIZE))
    crowded = View(ready=False, reload=False, fallback_room=61 * SIZE + HAND_OFF_BYTES, hands_off=True)
    [action] = made.plan(crowded)
    assert isinstance(action, HandOff)
    offer(made, record(1, length=99 * SIZE))
    [action] = made.plan(crowded._replace(fallback_room=made.max_bytes))
    assert isinstance(action, HandOff)


def test_no_room_is_wanted_that_no_plan_would_use() -> None:
    """A crowded queue whose plan moves nothing at SHUTDOWN wants no room for it, or the loop that waits would spin."""
    made = queue(100 * SIZE)
    offer(made, *[record(number) for number in range(99)])
    crowded = View(ready=False, reload=False, fallback_room=1 << 20, hands_off=True)
    assert 0 < made.wanted_room(crowded) < crowded.fallback_room
    closing = crowded._replace(closing=True)
    assert made.plan(closing) == []
    assert made.wanted_room(closing) == 0


def test_a_record_larger_than_the_queue_evicts_nothing_else() -> None:
    """One giant is given up, with a reason of its own; what waits stays."""
    made = queue(1000)
    offer(made, record(0))
    assert offer(made, record(1, length=5000)) == [(1, "larger than the queue's bound of 1000 bytes")]
    assert made.pending == 1


@given(st.lists(st.integers(0, 300), min_size=1, max_size=30), st.integers(1, 10), st.integers(1, 1000))
def test_batches_keep_to_both_limits_and_to_the_order(lengths: list[int], most: int, max_bytes: int) -> None:
    """A batch exceeds neither limit, but for a single record that is larger than the limit itself."""
    made = queue(1 << 20, Limits(most, max_bytes))
    offer(made, *[record(sequence, length=length) for sequence, length in enumerate(lengths)])
    sent: list[int] = []
    while made.pending:
        batch = send(made)
        assert len(batch.records) <= most
        assert len(batch.records) == 1 or sum(len(one.line) + 1 for one in batch.records) <= max_bytes
        sent += [one.sequence for one in batch.records]
        made.sent(batch, Reply(Outcome.TAKEN))
    assert sent == list(range(len(lengths)))
    assert made.memory == 0


def test_what_is_written_again_at_the_end_counts_once() -> None:
    """A record of an older file that is on its way to a new one is pending there, not in both."""
    made = Queue(10_000, Limits(), Disk(1 << 20), lambda: "e-1")
    old = [record(-2), record(-1)]
    made.restore([File("old", -2, 2, 20, 2 * SIZE, 0.0)])
    made.plan(View(ready=False, reload=True))
    made.reloaded(old)
    made.spill(SIZE)
    made.leave_on_disk()
    assert made.pending == 2


@pytest.mark.parametrize("in_flight", [60, 90])
def test_what_comes_beside_a_large_batch_goes_to_disk_in_large_parts(in_flight: int) -> None:
    """While a batch of most of the memory waits to be tried again, not every chunk gets a file of its own."""
    made = Queue(100 * SIZE, Limits(), Disk(1 << 20), lambda: "e-1")
    offer(made, *[record(number) for number in range(in_flight)])
    [action] = made.plan(View(ready=True, reload=True, closing=True))
    assert isinstance(action, Send)
    made.sent(action.batch, Reply(Outcome.DOWN))
    sizes = []
    for number in range(50):
        offer(made, record(1000 + number))
        for action in made.plan(View(ready=False, reload=False)):
            assert isinstance(action, Spill)
            sizes.append(len(action.records))
            made.spilled(File("f", action.records[0].sequence, sizes[-1], 1, SIZE * sizes[-1], 0.0))
    assert set(sizes) == {25}  # a quarter of the queue


def test_a_file_takes_whole_blocks_of_the_disk() -> None:
    """However short what is in it: many small files fill a disk that their bytes do not."""
    disk = Disk(3 * BLOCK_BYTES)
    disk.reserve(1)
    assert disk.room == 2 * BLOCK_BYTES
    disk.reserve(BLOCK_BYTES + 1)
    assert disk.room == 0
    disk.release(1)
    assert disk.room == BLOCK_BYTES


def test_what_is_excluded_late_goes_as_if_it_had_never_come() -> None:
    """Where only an open sink says what it takes, what waits of the rest is excluded: in memory, on disk and later."""
    made = queue(10_000)
    offer(made, record(0, "platform"), record(1), record(2, "platform"), record(3))
    made.restore([File("f", -2, 2, 20, 2 * record(0).size, 0.0)])
    made.exclude({"platform"})
    [action] = [action for action in made.plan(View(ready=False, reload=True)) if isinstance(action, Reload)]
    made.reloaded([record(-2, "platform"), record(-1)])
    offer(made, record(4, "platform"))
    assert action.file.name == "f"
    assert (made.excluded, made.pending) == (4, 3)
    assert [one.sequence for one in send(made).records] == [-1, 1, 3]
    assert made.memory == 3 * record(0).size


def spill_all(made: Queue) -> list[int]:
    """What goes to disk at the end, part by part."""
    written: list[int] = []
    while actions := made.spill_what_fits():
        [action] = actions
        assert isinstance(action, Spill)
        written += [one.sequence for one in action.records]
        size = sum(one.size for one in action.records)
        made.spilled(File(f"{len(written)}", action.records[0].sequence, len(action.records), size, size, 0.0))
    return sorted(written)


@pytest.mark.parametrize("length", [MOVE_BYTES - 1000, MOVE_BYTES, 2 * MOVE_BYTES])
def test_a_large_record_stops_no_other_at_the_end(length: int) -> None:
    """Whatever its size, it goes to disk as the others do."""
    made = Queue(8 * MOVE_BYTES, Limits(), Disk(8 * MOVE_BYTES), lambda: "e-1")
    offer(made, record(0, length=length), *[record(number) for number in range(1, 50)])
    assert spill_all(made) == list(range(50))


def test_a_record_too_large_for_the_disk_stops_no_other_at_the_end() -> None:
    """What there is no room for stays in memory, in its place."""
    made = Queue(8 * MOVE_BYTES, Limits(), Disk(8 * BLOCK_BYTES), lambda: "e-1")
    offer(
        made, record(0, length=MOVE_BYTES), *[record(number) for number in range(1, 11)], record(11, length=MOVE_BYTES)
    )
    assert spill_all(made) == list(range(1, 11))
    made.drop_spooled("gone")
    assert (made.pending, send(made).records[0].sequence) == (2, 0)


def test_bodies_are_handed_off_as_long_as_they_become() -> None:
    """As text a body takes a third more: what that is too much for waits until the fallback has room again."""
    made = queue(1 << 20)
    offer(made, *[Record(number, "otlp-logs", b"{}\n" + b"x" * 70_000) for number in range(14)])
    room = 1 << 18
    crowded = View(ready=False, reload=False, fallback_room=room, hands_off=True)
    assert 4 / 3 * 70_000 < made.wanted_room(crowded) < room
    [action] = made.plan(crowded)
    assert isinstance(action, HandOff)
    assert len(action.records) == 2
    assert send(made).records[0].sequence == 2

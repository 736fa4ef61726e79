from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from extension.buffer import EVICTION_ORDER, Buffer
from extension.records import RECORD_OVERHEAD_BYTES, Record
from extension.sinks import Limits

KINDS = st.sampled_from(EVICTION_ORDER)


def record(sequence: int, kind: str = "function", length: int = 10) -> Record:
    return Record(sequence, kind, b"x" * length)


@given(st.lists(st.tuples(KINDS, st.integers(0, 500)), max_size=60), st.integers(300, 5000), st.data())
def test_every_record_is_somewhere_and_memory_is_bounded(
    arrivals: list[tuple[str, int]], max_bytes: int, data: st.DataObject
) -> None:
    """Whatever comes and is taken, no record is lost without being handed back, and the bound holds."""
    buffer = Buffer(max_bytes)
    evicted: list[Record] = []
    taken: list[Record] = []
    for sequence, (kind, length) in enumerate(arrivals):
        evicted += buffer.append(record(sequence, kind, length))
        assert buffer.size <= max_bytes
        if data.draw(st.booleans()):
            part = buffer.take(Limits(data.draw(st.integers(1, 5)), 1000))
            taken += part
            if data.draw(st.booleans()):
                buffer.settle(part)
    waiting = buffer.take(Limits(len(arrivals) + 1, 1 << 30))
    assert sorted(item.sequence for item in [*evicted, *taken, *waiting]) == list(range(len(arrivals)))


@given(st.lists(KINDS, max_size=40))
def test_records_leave_in_order_of_arrival(kinds: list[str]) -> None:
    """Kinds are kept apart inside, but read as one queue."""
    buffer = Buffer(1 << 20)
    for sequence, kind in enumerate(kinds):
        buffer.append(record(sequence, kind))
    assert [item.sequence for item in buffer.take(Limits(100, 1 << 20))] == list(range(len(kinds)))


@given(st.lists(st.integers(0, 300), min_size=1, max_size=30), st.integers(1, 10), st.integers(1, 1000))
def test_a_batch_keeps_to_both_limits(lengths: list[int], max_records: int, max_bytes: int) -> None:
    """A batch exceeds neither limit, but for a single record that is larger than the limit itself."""
    buffer = Buffer(1 << 20)
    for sequence, length in enumerate(lengths):
        buffer.append(record(sequence, length=length))
    while batch := buffer.take(Limits(max_records, max_bytes)):
        assert len(batch) <= max_records
        assert len(batch) == 1 or sum(len(item.line) + 1 for item in batch) <= max_bytes
    assert len(buffer) == 0


def test_the_least_important_goes_first() -> None:
    """When memory runs out, extension records go before platform records, and both before the function's own."""
    size = 10 + RECORD_OVERHEAD_BYTES
    buffer = Buffer(3 * size)
    arrivals = ["function", "platform", "extension", "function", "function", "function"]
    evicted = [item for sequence, kind in enumerate(arrivals) for item in buffer.append(record(sequence, kind))]
    assert [(item.sequence, item.kind) for item in evicted] == [(2, "extension"), (1, "platform"), (0, "function")]


def test_what_is_being_sent_still_counts() -> None:
    """Records that were taken hold memory until they are settled, so newer ones have to give way."""
    size = 10 + RECORD_OVERHEAD_BYTES
    buffer = Buffer(size)
    buffer.append(record(0))
    taken = buffer.take(Limits(1, 1000))
    assert buffer.append(record(1)) == [record(1)]
    buffer.settle(taken)
    assert buffer.append(record(2)) == []


def test_a_record_larger_than_the_buffer_evicts_nothing_else() -> None:
    """One giant is handed back; what waits stays."""
    buffer = Buffer(1000)
    buffer.append(record(0))
    giant = record(1, length=5000)
    assert (buffer.append(giant), len(buffer)) == ([giant], 1)


def test_drops_are_counted_by_reason() -> None:
    """Each reason has its own count."""
    buffer = Buffer(1000)
    buffer.drop([record(0), record(1)], "refused")
    buffer.drop([record(2)], "full")
    buffer.drop([record(3)], "full")
    assert buffer.dropped == {"refused": 2, "full": 2}

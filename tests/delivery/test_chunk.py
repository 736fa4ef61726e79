from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from extension.delivery.chunk import Chunk
from extension.records import KINDS, Record

RECORDS = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 300)), min_size=1, max_size=30).map(
    lambda made: [Record(sequence, kind, b"x" * length) for sequence, (kind, length) in enumerate(made)]
)


@given(RECORDS)
def test_sums_are_those_of_the_records(records: list[Record]) -> None:
    """What a queue counts with is known without a look at each record."""
    chunk = Chunk(records, 1.5)
    assert chunk.size == sum(record.size for record in records)
    assert chunk.line_bytes == sum(len(record.line) for record in records)
    assert chunk.longest == max(len(record.line) for record in records)
    assert chunk.kinds == {record.kind for record in records}
    assert (chunk.first_sequence, chunk.arrived) == (0, 1.5)


@given(RECORDS, st.integers(0, 40), st.integers(0, 5000), st.integers(0, 300))
def test_as_many_fit_as_both_limits_allow(records: list[Record], most: int, max_bytes: int, overhead: int) -> None:
    """So many of the first are within both limits, and one more is not."""
    count = Chunk(records, 0.0).fitting(most, max_bytes, overhead)
    sizes = [len(record.line) + overhead for record in records]
    assert count <= most
    assert sum(sizes[:count]) <= max_bytes
    assert count == min(most, len(records)) or sum(sizes[: count + 1]) > max_bytes


@given(RECORDS, st.sampled_from(KINDS), st.integers(0, 5000))
def test_the_oldest_of_a_kind_make_room(records: list[Record], kind: str, size: int) -> None:
    """No more of them go than are needed, the oldest first, and the others stay in order."""
    gone, kept = Chunk(records, 0.0).without(kind, size)
    of_kind = [record for record in records if record.kind == kind]
    assert gone == of_kind[: len(gone)]
    assert kept == [record for record in records if record not in gone]
    assert sum(record.size for record in gone[:-1]) < max(size, 1)
    assert gone == of_kind or sum(record.size for record in gone) >= size

"""What throughput.py sends, and what it makes of the costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest

from benchmarks.throughput import FLOOR, Cost, Destination, block, in_firehose, invocations, pour, rows, writes

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def executable(layer: Path) -> Path:
    """The frozen forwarder."""
    return layer / "extensions" / "telemetry-forwarder"


@pytest.mark.parametrize(("size", "count"), [(116, 10_001), (300, 999), (65_602, 11), (300, 1)])
def test_as_many_lines_as_asked_for(size: int, count: int) -> None:
    """What is written is so many records of so many bytes, whatever goes into one write."""
    lines = b"".join(writes(size, count)).splitlines()
    assert (len(lines), {len(line) for line in lines}) == (count, {size})
    assert all(orjson.loads(line)["type"] == "function" for line in lines)


def test_lines_differ() -> None:
    """No compressor finds a line twice within what it looks back."""
    lines = block(300)
    assert len(set(lines)) == len(lines)
    assert sum(map(len, lines)) > 1 << 20


def test_rows_have_ratios_of_the_same_round() -> None:
    """Medians of the rounds, the ratio to the row that is named, and the most that was lost."""
    rounds = [
        {f"sinks: {FLOOR}": Cost(10, 1.0), "sinks: x": Cost(10, 2.0, lost=0)},
        {f"sinks: {FLOOR}": Cost(10, 3.0), "sinks: x": Cost(10, 6.0, lost=1), "counts: 10": Cost(10, 1.0)},
    ]
    first, second = rows(rounds, "sinks", lambda _: FLOOR)
    assert (first.what, first.x) == (FLOOR, 1.0)
    assert (second.what, second.cost.cpu_us, second.x, second.cost.lost) == ("x", 4.0, 2.0, 1)


async def test_firehose_counts_what_it_took(executable: Path) -> None:
    """The stream of ours has every record, those of the platform among them."""
    with in_firehose() as stream:
        cost = await pour(executable, stream, 300, 3000)
        assert stream.arrived
        assert stream.arrived() > 3000
    assert (cost.records, cost.lost) == (3000, 0)


async def test_invocations_are_counted(executable: Path) -> None:
    """The cost is that of all lines of all invocations."""
    cost = await invocations(executable, Destination("discard://"), 2, 100, 210)
    assert (cost.records, cost.lost) == (200, 0)


async def test_a_destination_that_counts_otherwise_ends_the_benchmark(executable: Path) -> None:
    """What was not there is not measured."""
    with pytest.raises(AssertionError, match="0 lines arrived"):
        await pour(executable, Destination("discard://", arrived=lambda: 0), 300, 100)

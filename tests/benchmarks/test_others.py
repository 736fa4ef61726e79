"""How others.py is told of layers, and what it counts."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from benchmarks.intake import intake
from benchmarks.others import BARE, FLOOR, LINES, WARM, Other, Seen, parse_other, row, stored, work


def test_a_layer_is_named_with_its_variables() -> None:
    """A folder, and variables whose values may hold an equals sign and the sink's address."""
    name, other = parse_other("rotel=/tmp,ENDPOINT={sink}/v1,ADDRESS={host},OPTION=a=b")
    assert (name, other.folder) == ("rotel", Path("/tmp"))  # noqa: S108 - as above
    expected = {"ENDPOINT": "http://127.0.0.1:8/v1", "ADDRESS": "127.0.0.1:8", "OPTION": "a=b"}
    assert other.environment("http://127.0.0.1:8/") == expected


@pytest.mark.parametrize("text", ["rotel", "=folder", "rotel=/tmp,ENDPOINT"])
def test_what_is_no_layer_is_refused(text: str) -> None:
    """The form that is expected is named."""
    with pytest.raises(ValueError, match="NAME=FOLDER,VARIABLE=value"):
        parse_other(text)


def test_stored_rows_give_way() -> None:
    """A layer that is in the run has no row of an earlier one; the others' rows are as wide as the table."""
    names = [one[0] for one in stored(["rotel"])]
    assert not any("rotel" in name for name in names)
    assert any("axiom" in name and "2026-11-21" in name for name in names)
    seen = Seen(1.0, 1.0, 1.0, 1.0, 1.0, 1, 1)
    width = {len(row(name, {BARE: [seen], FLOOR: [seen], "x": [seen]}, 1)) for name in (BARE, FLOOR, "x")}
    assert width == {len(one) for one in stored([])}


def test_rows_have_ratios_of_the_same_round() -> None:
    """Register is compared to CPython, CPU to the small extension; lines that never came are lost."""
    rounds = {
        BARE: [Seen(10.0), Seen(20.0)],
        FLOOR: [Seen(1.0, cpu=0.5), Seen(1.0, cpu=1.0)],
        "x": [Seen(20.0, 2.0, 3.0, 2.0, 4.0, 5, 5 * LINES), Seen(40.0, 2.0, 3.0, 4.0, 4.0, 5, 5 * LINES)],
    }
    assert row("x", rounds, 5) == [
        "x",
        "30.0",
        "2.00",
        "2.0",
        "3.0",
        "3.00",
        "4.00",
        "4.0",
        "5 of 5",
        str(WARM * LINES),
    ]


async def test_work_counts_what_arrived_in_time(fast: Path, floor: Path) -> None:
    """An extension that delivers before it asks has every invocation in the sink, and costs some CPU."""
    with intake() as sink:
        seen = await work(Other(floor, {"FLOOR_SINK": "{host}"}), fast, 2, sink, bound=False)
    assert (seen.in_time, seen.arrived) == (2, (WARM + 2) * LINES)
    assert 0 < seen.cpu < math.inf

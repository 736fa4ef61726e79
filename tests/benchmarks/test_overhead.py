"""What overhead.py computes from what it measures."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from benchmarks.intake import intake
from benchmarks.overhead import NONE, Cell, Felt, against, felt, named, summary, verdict
from benchmarks.results import paired
from simulator.environment import Environment

if TYPE_CHECKING:
    from pathlib import Path

CELL = Cell(128, "fast", "throttled", freezes=True)


def runs(*billed: float) -> list[Felt]:
    """Rounds that differ in their sum alone."""
    return [Felt(1.0, 2.0, 3.0, 4.0, one, 5.0) for one in billed]


def test_ratios_are_those_of_the_same_round() -> None:
    """A machine that slows down in the middle changes no ratio."""
    assert paired([2.0, 20.0, 200.0], [1.0, 10.0, 100.0]) == 2.0


def test_rows_have_medians_and_ratios_to_no_layer() -> None:
    """A row says what a layer takes, and how many times that without it."""
    rows = summary({(CELL, NONE): runs(10, 20, 30), (CELL, "a"): runs(30, 60, 90)})
    assert [row.layer for row in rows] == [NONE, "a"]
    assert rows[1].cell == ["128", "fast", "throttled", "after a freeze"]
    assert (rows[1].figures["billed"], rows[1].figures["x billed"], rows[0].figures["x billed"]) == (60, 3, 1)


def test_layers_are_compared_in_every_cell() -> None:
    """By memory size there is one ratio for each cell, of the second layer to the first."""
    other = CELL._replace(freezes=False)
    large = CELL._replace(memory_mb=512)
    figures = {(cell, "a"): runs(100) for cell in (CELL, other, large)}
    figures |= {(CELL, "b"): runs(50), (other, "b"): runs(99), (large, "b"): runs(80)}
    assert against(figures, "a", "b") == {128: [0.5, 0.99], 512: [0.8]}


@pytest.mark.parametrize(("ratios", "word"), [([0.5, 0.95], "yes"), ([0.5, 0.96], "no"), ([1.0], "no")])
def test_chosen_where_every_cell_is_lower(ratios: list[float], word: str) -> None:
    """5 % less in every cell, or it is not chosen."""
    assert verdict(ratios) == word


async def test_felt_is_what_the_platform_reported(fast: Path, floor: Path) -> None:
    """The parts add up to the sum that is billed, and the handler's own time is a part of the invocation."""
    with intake() as sink:
        env = {"FLOOR_SINK": sink.url.removeprefix("http://").rstrip("/")}
        async with Environment(layer=floor, function=fast, env=env, timeout_s=20) as environment:
            await environment.invoke({"loops": 1000, "lines": 1, "bytes": 140})
    found = felt(environment)
    assert found.billed == pytest.approx(found.init + found.invocation + found.tail)
    assert 0 < found.handler < found.invocation
    assert 0 < found.next < found.init


async def test_felt_without_a_layer(fast: Path) -> None:
    """Without extensions there is no first /next of theirs."""
    async with Environment(function=fast, timeout_s=20) as environment:
        await environment.invoke({"loops": 1000, "lines": 1, "bytes": 140})
    assert math.isnan(felt(environment).next)


def test_layers_are_named_on_the_command_line(tmp_path: Path) -> None:
    """A folder is used where it is, and no layer is always among what is compared."""
    assert named([f"early={tmp_path}"], tmp_path / "work") == {NONE: None, "early": tmp_path}

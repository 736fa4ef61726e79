"""The programs that benchmarks bring along speak Lambda's APIs, and do what is measured of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks.intake import intake
from benchmarks.native import python_function
from simulator.environment import Environment
from simulator.report.verdict import complaints

if TYPE_CHECKING:
    from pathlib import Path

    from simulator.environment import Environment as Running

EVENT = {"loops": 1000, "lines": 3, "bytes": 140}


def printed(environment: Running) -> list[str]:
    """The lines of the function."""
    return [line for one in environment.timeline.named("printed") for line in one.details["lines"]]


@pytest.mark.parametrize("runtime", ["fast", "python"])
async def test_functions_do_what_the_event_says(fast: Path, tmp_path: Path, runtime: str) -> None:
    """Both functions print so many numbered lines of so many bytes, go on counting, and tell their own time."""
    function = fast if runtime == "fast" else python_function(tmp_path / "python")
    async with Environment(function=function, handler="handler.handler", timeout_s=20) as environment:
        first = await environment.invoke(EVENT)
        second = await environment.invoke(EVENT)
    assert (first.status, first.payload["printed"], second.payload["printed"]) == ("success", 3, 6)
    assert first.payload["handlerMs"] > 0
    lines = printed(environment)
    assert [line[:14] for line in lines] == [f"L{number:08d} INFO" for number in range(6)]
    assert {len(line) for line in lines} == {140}


async def test_small_extension_delivers_before_it_asks_for_the_next_event(fast: Path, floor: Path) -> None:
    """What the function printed is in the sink when an invocation is over, once; and it behaves to the end."""
    with intake() as sink:
        env = {"FLOOR_SINK": sink.url.removeprefix("http://").rstrip("/")}
        async with Environment(layer=floor, function=fast, env=env, timeout_s=20) as environment:
            arrived = []
            for _ in range(2):
                await environment.invoke(EVENT)
                arrived.append(sorted(sink.lines()))
    assert arrived == [[0, 1, 2], [0, 1, 2, 3, 4, 5]]
    assert complaints(environment) == []


async def test_small_extension_takes_more_than_it_holds(fast: Path, floor: Path) -> None:
    """Some megabytes in one invocation arrive whole, in several requests."""
    with intake() as sink:
        env = {"FLOOR_SINK": sink.url.removeprefix("http://").rstrip("/")}
        async with Environment(layer=floor, function=fast, env=env, timeout_s=20) as environment:
            environment_lines = {"loops": 0, "lines": 300, "bytes": 10_000}
            await environment.invoke(environment_lines)
        assert sorted(sink.lines()) == list(range(300))
        assert len(sink.bodies()) > 1

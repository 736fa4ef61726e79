"""Telemetry that comes after SHUTDOWN, though nothing came for long before it."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from simulator.environment import Environment
from simulator.faults import Faults
from tests.support.probe_layer import EXAMPLE, write_probe

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.fake_lambda import FakeLambda

BUFFER_TIMEOUT_MS = 250  # of it the forwarder makes half a second of silence, so that no busy machine ends it too early
SILENCE_S = 0.7
LINES = 20


def delivered(path: Path, type_: str) -> list[Any]:
    """The `record` of each record of a type."""
    records = [json.loads(line) for line in path.read_text().splitlines()]
    return [record["record"] for record in records if record["type"] == type_]


def simulate(layers: list[Path], out: Path, **settings: Any) -> Environment:
    """An environment in which nothing happens for a while before SHUTDOWN."""
    env = {"FORWARDER_SINKS": f"file://{out}", "FORWARDER_BUFFER_TIMEOUT_MS": str(BUFFER_TIMEOUT_MS)}
    env |= settings.pop("env", {})
    faults = Faults(silence_s=SILENCE_S, **settings)
    return Environment(layer=layers, function=EXAMPLE, env=env, faults=faults)


async def test_lines_after_shutdown_are_delivered(lambda_: FakeLambda, tmp_path: Path) -> None:
    """Lines that come 5 ms after SHUTDOWN, and more soon after them, are all delivered and received."""
    path = tmp_path / "out.ndjson"
    await lambda_.start(FORWARDER_SINKS=f"file://{path}", FORWARDER_BUFFER_TIMEOUT_MS=str(BUFFER_TIMEOUT_MS))
    await lambda_.subscribe()
    await lambda_.invoke("r1", "early")
    lambda_.record("platform.report", {"requestId": "r1", "status": "success"})
    await asyncio.sleep(SILENCE_S)  # not to wait for anything: the silence is what is tested
    ending = asyncio.create_task(lambda_.shut_down())
    late = []
    for pause_s in (0.005, 0.025, 0.03, 0.2):
        await asyncio.sleep(pause_s)
        late += [f"{pause_s} {number}" for number in range(LINES)]
        for line in late[-LINES:]:
            lambda_.record("function", line)
    assert await ending == 0
    assert delivered(path, "function") == ["early", *late]
    assert (lambda_.ledger["received"], lambda_.ledger["unreadBytes"]) == (len(lambda_.sent), 0)


@pytest.mark.parametrize("invocations", [0, 1])
async def test_the_platforms_lines_after_shutdown_are_delivered(layer: Path, tmp_path: Path, invocations: int) -> None:
    """What is logged 5 to 60 ms after SHUTDOWN, and buffered by the platform, is delivered."""
    out = tmp_path / "out.ndjson"
    async with simulate([layer], out, after_shutdown_s=(0.005, 0.03, 0.06), after_shutdown=LINES) as environment:
        await environment.init()
        for _ in range(invocations):
            await environment.invoke()
    assert sum("after SHUTDOWN" in line for line in delivered(out, "function")) == 3 * LINES


async def test_what_another_extension_prints_after_shutdown_is_delivered(layer: Path, tmp_path: Path) -> None:
    """The last words of an extension that was told SHUTDOWN at the same time are delivered."""
    out = tmp_path / "out.ndjson"
    write_probe(tmp_path / "other", "other")
    env = {"PROBE": json.dumps({"subscribe": False})}
    async with simulate([layer, tmp_path / "other"], out, env=env) as environment:
        await environment.invoke()
    assert [line for line in delivered(out, "extension") if "SHUTDOWN" in line] != []

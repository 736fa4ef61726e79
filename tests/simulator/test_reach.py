from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from simulator.environment import Environment

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.probe_layer import MakeFunction

NAME = "telemetry-forwarder"
LINES = 1_000_000
LIMIT_S = 80.0
CODE = f"""
import os
def handler(event, context):
    for start in range(0, {LINES}, 1000):
        block = "".join(f"line {{number}}\\n" for number in range(start, start + 1000)).encode()
        while block:
            block = block[os.write(1, block):]
"""


def count(path: Path) -> int:
    """How many lines a file has."""
    return path.read_bytes().count(b"\n") if path.exists() else 0


def own_lines(environment: Environment) -> int:
    """How many lines the forwarder has printed, which come round and go no further."""
    printed = environment.timeline.named("printed")
    return sum(one.details["count"] for one in printed if one.details["name"] == NAME)


@pytest.mark.timeout(120)
async def test_a_million_lines_are_delivered_or_accounted_for(
    layer: Path, function: MakeFunction, tmp_path: Path
) -> None:
    """Of a million lines printed as fast as a process can, each is in the sink once or in platform.logsDropped."""
    out = tmp_path / "out.ndjson"
    env = {"FORWARDER_SINKS": f"file://{out}"}
    settings: dict[str, Any] = {"timeout_s": 60, "memory_mb": 1024, "freeze": False}
    async with Environment(layer=layer, function=function(CODE), env=env, **settings) as environment:
        done = await environment.invoke()
        async with asyncio.timeout(LIMIT_S):  # without a freeze it goes on after the invocation, until nothing waits
            while await asyncio.to_thread(count, out) < len(environment.sent[NAME]) - own_lines(environment):
                await asyncio.sleep(0.05)
    assert done.status == "success"
    seen: Counter[str] = Counter()
    lost = 0
    with out.open("rb") as file:
        for line in file:
            record = json.loads(line)
            if record["type"] == "function":
                seen[record["record"]] += 1
            elif record["type"] == "platform.logsDropped":
                lost += record["record"]["droppedRecords"]
    assert set(seen.values()) == {1}
    sent = [line for line in environment.sent[NAME] if b'"type":"function"' in line]
    assert len(seen) == len(sent)
    # A batch that is dropped may hold other records as well: the platform's, and what the forwarder logs.
    timeline = environment.timeline
    others = sum(moment.what.startswith("platform.") for moment in timeline)
    others += own_lines(environment)
    arrived = len(environment.sent[NAME]) - len(sent)
    own_reports = sum(b"platform.logsDropped" in line for line in environment.sent[NAME])
    left = sum(moment.details["records"] for moment in timeline.named("telemetry.undelivered"))
    assert len(seen) + lost + (arrived - own_reports) + left == LINES + others

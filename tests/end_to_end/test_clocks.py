"""The layer as it ships, where not every clock goes on in a freeze."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from simulator.environment import Environment
from simulator.faults import Faults
from tests.support.forwarding import assert_balanced
from tests.support.probe_layer import EXAMPLE

if TYPE_CHECKING:
    from pathlib import Path

    from simulator.faults import FreezeClocks

INVOCATIONS = 14  # the rhythm is known after eleven


@pytest.mark.parametrize(
    "going",
    ["both", "monotonic", "wall"],
)
async def test_an_invocation_every_ten_minutes_is_held(layer: Path, tmp_path: Path, going: FreezeClocks) -> None:
    """Sparse traffic is sparse by whichever clock tells: before each freeze the records of the invocation are out."""
    path = tmp_path / "out.ndjson"
    late = []
    async with Environment(
        layer=layer,
        function=EXAMPLE,
        env={"FORWARDER_SINKS": f"file://{path}", "TMPDIR": str(tmp_path)},
        faults=Faults(clock_jump_s=600.0, freeze_clocks=going),
    ) as environment:
        for number in range(INVOCATIONS):
            await environment.invoke({"n": number})
            if f"invocation {number} begins" not in path.read_text():
                late.append(number)
    assert late == []


async def test_an_environment_that_lives_long_tells_its_ledger(layer: Path, tmp_path: Path) -> None:
    """Each quarter of an hour, freezes included, an invocation has it printed, and it balances: there may be no end."""
    async with Environment(
        layer=layer,
        function=EXAMPLE,
        env={"FORWARDER_SINKS": f"file://{tmp_path}/out.ndjson", "TMPDIR": str(tmp_path)},
        faults=Faults(clock_jump_s=500.0),
    ) as environment:
        for number in range(5):
            await environment.invoke({"n": number})
        told = ledgers(environment)
    assert len(told) == 2
    assert told[0]["received"] < told[1]["received"]
    for ledger in told:
        assert_balanced(ledger)


def ledgers(environment: Environment) -> list[dict[str, Any]]:
    printed = [line for moment in environment.timeline.named("printed") for line in moment.details["lines"]]
    lines = [json.loads(line) for line in printed if line.startswith('{"forwarder":true')]
    return [line for line in lines if line["message"] == "ledger"]

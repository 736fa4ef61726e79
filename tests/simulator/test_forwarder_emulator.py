from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.simulator import emulator
from tests.simulator.emulator import Emulator, emulate
from tests.support.probe_layer import EXAMPLE, MakeFunction

if TYPE_CHECKING:
    from pathlib import Path

REASON = emulator.why_not()
pytestmark = pytest.mark.skipif(bool(REASON), reason=REASON)

SINK = {"FORWARDER_SINKS": "file:///var/tmp/delivered.ndjson"}
LIMIT_S = 30.0
IDLE = "there is no Telemetry API here"  # once for each life of the processes
LINES, INVOCATIONS = 1000, 5
PRINTING = f"""
def handler(event, context):
    for number in range({LINES}):
        print(f"line {{event['n']}}-{{number}} " + "x" * 80)
"""
CANCELED = "ErrGateCanceled"  # the emulator's word, now and then, for an invocation that meets its own reset
TROUBLE = """
import os, time
def handler(event, context):
    if event == "sleep":
        time.sleep(60)
    if event == "crash":
        os._exit(3)
    return "well"
"""


@pytest.fixture
def open_tmp(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let uid 993 write to /var/tmp inside the namespace."""
    furnish = emulator._furnish

    def furnish_and_open(folder: Path, *rest: Any) -> None:
        furnish(folder, *rest)
        (folder / "var" / "tmp").chmod(0o777)

    monkeypatch.setattr(emulator, "_furnish", furnish_and_open)


def ledgers(running: Emulator) -> list[dict[str, Any]]:
    """The ledger lines that the forwarder printed."""
    return [json.loads(line) for line in running.printed().splitlines() if '"message":"ledger"' in line]


def delivered(running: Emulator) -> list[dict[str, Any]]:
    """The records that reached the file sink."""
    path = running.folder / "var" / "tmp" / "delivered.ndjson"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


async def test_classic_emulator_invokes_a_function_with_the_idle_forwarder(layer: Path) -> None:
    """A subscription answered 202 leaves the forwarder idle, invocations succeed, and SHUTDOWN ends it cleanly."""
    async with emulate(layer, EXAMPLE, SINK) as running:
        answers = [await running.invoke({"n": number}) for number in range(3)]
        assert [status for status, _ in answers] == [200, 200, 200]
        assert [json.loads(body)["n"] for _, body in answers] == [0, 1, 2]
        assert await running.stop() == 0
        assert running.printed().count(IDLE) == 1


@pytest.mark.parametrize(("event", "answer"), [("sleep", "Task timed out after 8.00 seconds"), ("crash", "")])
async def test_classic_emulator_recovers_from_a_reset_with_the_forwarder(
    layer: Path, function: MakeFunction, event: str, answer: str
) -> None:
    """After a timeout and after a crash, with their odd shutdown reasons, the next invocation is well again."""
    async with emulate(layer, function(TROUBLE), SINK | {"AWS_LAMBDA_FUNCTION_TIMEOUT": "8"}) as running:
        assert await running.invoke("fine") == (200, '"well"')
        _, body = await running.invoke(event)
        assert answer in body
        async with asyncio.timeout(LIMIT_S):
            while CANCELED in (again := await running.invoke("fine"))[1]:
                pass
        assert again == (200, '"well"')
        assert await running.stop() == 0
        assert running.printed().count(IDLE) >= 2


@pytest.mark.usefixtures("open_tmp")
async def test_every_line_printed_through_awss_emulator_is_delivered(layer: Path, function: MakeFunction) -> None:
    """In Managed Instances mode every line of every invocation reaches the sink, once, and the ledger agrees."""
    async with emulate(layer, function(PRINTING), SINK, managed=True) as running:
        for number in range(INVOCATIONS):
            status, _ = await running.invoke({"n": number})
            assert status == 200
        async with asyncio.timeout(LIMIT_S):
            while running.printed().count("line ") < LINES * INVOCATIONS:
                await asyncio.sleep(0.05)
        assert await running.stop() == 0
        records = delivered(running)
        printed = [record["record"].split()[1] for record in records if record["type"] == "function"]
        assert sorted(printed) == sorted(f"{run}-{line}" for run in range(INVOCATIONS) for line in range(LINES))
        (ledger,) = ledgers(running)[-1:]
        assert ledger["platformDropped"] == 0
        assert ledger["sinks"]["file://"]["delivered"] == len(records) == ledger["received"] - ledger["filtered"]

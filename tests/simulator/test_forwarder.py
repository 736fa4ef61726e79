from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest

from simulator.environment import Environment
from simulator.faults import Faults
from simulator.report import picture, verdict
from tests.simulator.reading import said
from tests.support.fault_server import OK, Action, Answer, FaultServer
from tests.support.forwarding import received
from tests.support.probe_layer import EXAMPLE

if TYPE_CHECKING:
    from pathlib import Path

    from simulator.faults import FreezeClocks
    from tests.support.probe_layer import MakeFunction

NAME = "telemetry-forwarder"
# Its own log, in the stream of extension records: as text, or as an object where logs are JSON.
OWN = (b'"{\\"forwarder\\":true', b'"record":{"forwarder":true')
INVOCATIONS = 3


def name(settings: dict[str, Any]) -> str:
    """What a run is called: its settings, of faults only those that are on."""
    plain = {key: value for key, value in settings.items() if key != "faults"}
    faults = asdict(settings["faults"]) if "faults" in settings else {}
    return ",".join(f"{key}={value}" for key, value in (plain | faults).items() if value) or "plain"


def expected(environment: Environment) -> list[bytes]:
    """The lines that the platform wrote to the forwarder, but for its own log."""
    return sorted(
        line.removesuffix(b"}\n") for line in environment.sent.get(NAME, []) if not any(own in line for own in OWN)
    )


def delivered(path: Path) -> list[bytes]:
    """The lines in the sink, without the key that the forwarder adds."""
    lines = path.read_bytes().splitlines() if path.exists() else []
    return sorted(line.rpartition(b',"lambda":{')[0] for line in lines if b'"type":"forwarder.' not in line)


async def simulate(layer: Path, out: Path, **settings: Any) -> Environment:
    """Run the layer as it ships, three invocations, to a file."""
    environment = Environment(layer=layer, function=EXAMPLE, env={"FORWARDER_SINKS": f"file://{out}"}, **settings)
    async with environment:
        for number in range(INVOCATIONS):
            await environment.invoke({"n": number})
    return environment


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"freeze": False},
        {"log_format": "JSON"},
        {"tracing": True},
        {"init_type": "provisioned-concurrency"},
        {"init_type": "snap-start"},
        {"init_type": "lambda-managed-instances"},
        {"limit_memory": True, "memory_mb": 128},
        {"faults": Faults(split_writes=100)},
        {"faults": Faults(coalesce_writes=2)},
        {"faults": Faults(stall_s=0.05, hold_back_bytes=1 << 20)},
        {"faults": Faults(burst=5000)},
        {"faults": Faults(freeze_s=1.5)},
        {"faults": Faults(clock_jump_s=3600.0)},
        {"faults": Faults(next_500=(2, 3))},
        {"faults": Faults(subscribe_statuses=(400, 404))},
        {"faults": Faults(kill_extension=(2,))},
    ],
    ids=name,
)
async def test_every_record_that_is_sent_is_delivered_unchanged(
    layer: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    """Whatever the platform does, what it wrote to the forwarder is in the sink, byte for byte, and nothing else is."""
    environment = await simulate(layer, tmp_path / "out.ndjson", **settings)
    killed = environment.settings.faults.kill_extension
    wanted, found = expected(environment), delivered(tmp_path / "out.ndjson")
    if killed:  # what had been sent to a process that was killed is lost with it
        assert set(found) <= set(wanted)
    else:
        assert found == wanted
    assert len(found) > INVOCATIONS * 5
    assert verdict.complaints(environment) == []
    if not killed:
        assert [done.status for done in environment.invocations] == ["success"] * INVOCATIONS
        ledger = picture.ledger(environment)
        assert ledger
        (sink,) = ledger["sinks"].values()
        assert sink["delivered"] == len(found) + ledger["added"]


@pytest.mark.parametrize("status", [202, 400, 500])
async def test_forwarder_behaves_where_it_gets_no_telemetry(layer: Path, tmp_path: Path, status: int) -> None:
    """A subscription that is refused for good leaves it idle, and the function unharmed."""
    faults = Faults(subscribe_status=status)
    environment = await simulate(layer, tmp_path / "out.ndjson", faults=faults)
    assert [done.status for done in environment.invocations] == ["success"] * INVOCATIONS
    assert verdict.complaints(environment) == []


async def test_each_record_carries_the_request_it_belongs_to(layer: Path, tmp_path: Path) -> None:
    """Every record between the start and the report of an invocation has that invocation's requestId."""
    environment = await simulate(layer, tmp_path / "out.ndjson")
    records = [json.loads(line) for line in (tmp_path / "out.ndjson").read_text().splitlines()]
    for number, done in enumerate(environment.invocations):
        mine = [record["record"] for record in records if record["lambda"].get("requestId") == done.request_id]
        assert f"invocation {number} begins" in mine
        types = {record["type"] for record in records if record["lambda"].get("requestId") == done.request_id}
        assert types == {"platform.start", "function", "platform.runtimeDone", "platform.report"}


@pytest.mark.parametrize(
    "going",
    ["both", "wall", "monotonic"],
)
async def test_rare_invocations_are_held_whichever_clock_goes_on(
    layer: Path, tmp_path: Path, going: FreezeClocks
) -> None:
    """An invocation every ten minutes is sparse traffic, though one of the clocks may stand still in a freeze."""
    path = tmp_path / "out.ndjson"
    variables = {"FORWARDER_SINKS": f"file://{path}", "FORWARDER_LOG_LEVEL": "DEBUG"}
    faults = Faults(clock_jump_s=600.0, freeze_clocks=going)
    async with Environment(layer=layer, function=EXAMPLE, env=variables, faults=faults) as environment:
        for number in range(12):
            await environment.invoke({"n": number})
    decisions = [line for line in said(environment, NAME) if line["message"] == "flush decision"]
    assert [decision["hold"] for decision in decisions] == [True] * 12


async def test_what_one_environment_leaves_on_disk_no_other_delivers(layer: Path, function: MakeFunction) -> None:
    """The records of a crash stay in its /tmp for the next process there; they are lost where that never comes."""
    folder = function("import os\ndef handler(event, _):\n    print(event)\n    event == 'crash' and os._exit(1)\n")
    answer: Action = Answer(503)
    with FaultServer(lambda _: answer) as server:
        env = {"FORWARDER_SINKS": f"{server.url}/"}
        async with Environment(layer=layer, function=folder, env=env) as environment:
            await environment.invoke("crash")
        ledger = picture.ledger(environment)
        assert ledger is not None
        assert ledger["sinks"][server.url]["spooled"] > 0
        answer = OK
        server.requests.clear()
        async with Environment(layer=layer, function=folder, env=env) as environment:
            await environment.invoke("here")
        assert received(server) == ["here"]

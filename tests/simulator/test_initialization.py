from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from simulator.environment import Environment
from tests.simulator.reading import events, order, pids, records, said, sent
from tests.support.probe_layer import EXAMPLE, MakeFunction, Plan

if TYPE_CHECKING:
    from pathlib import Path

MANAGED = "lambda-managed-instances"


async def test_provisioned_concurrency_is_initialised_before_any_invocation(probe: Path, plan: Plan) -> None:
    """With provisioned concurrency init is over, and the environment frozen, before the first invocation."""
    env = plan()
    async with Environment(layer=probe, function=EXAMPLE, env=env, init_type="provisioned-concurrency") as environment:
        await environment.invoke()
    assert order(environment, "platform.initReport", "freeze", "invoke")[:3] == [
        "platform.initReport",
        "freeze",
        "invoke",
    ]
    assert records(environment, "platform.initStart")[0]["initializationType"] == "provisioned-concurrency"


async def test_snapstart_restores_before_the_first_invocation(probe: Path, plan: Plan) -> None:
    """A SnapStart environment is initialised, frozen, and restored by the first invocation, with its own records."""
    async with Environment(layer=probe, function=EXAMPLE, env=plan(), init_type="snap-start") as environment:
        done = [await environment.invoke(), await environment.invoke()]
    assert [one.status for one in done] == ["success", "success"]
    steps = ("platform.initReport", "freeze", "thaw", "platform.restoreStart", "platform.restoreReport")
    assert order(environment, *steps, "platform.start")[:6] == [*steps, "platform.start"]
    reports = environment.timeline.named("platform.report")
    assert "restoreDurationMs" in reports[0].details["metrics"]
    assert "restoreDurationMs" not in reports[1].details["metrics"]


async def test_snapstart_gives_credentials_by_an_endpoint(probe: Path, plan: Plan, function: MakeFunction) -> None:
    """There are no keys in a SnapStart environment: they come from an address, for a token."""
    code = """
import json, os, urllib.request
def handler(event, context):
    request = urllib.request.Request(os.environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"])
    request.add_header("Authorization", os.environ["AWS_CONTAINER_AUTHORIZATION_TOKEN"])
    return {"keys": sorted(json.load(urllib.request.urlopen(request))), "old": "AWS_ACCESS_KEY_ID" in os.environ}
"""
    async with Environment(layer=probe, function=function(code), env=plan(), init_type="snap-start") as environment:
        done = await environment.invoke()
    assert done.payload == {"keys": ["AccessKeyId", "Expiration", "SecretAccessKey", "Token"], "old": False}
    seen = next(line["env"] for line in said(environment) if line["probe"] == "registered")
    assert "AWS_CONTAINER_CREDENTIALS_FULL_URI" in seen
    assert "AWS_ACCESS_KEY_ID" not in seen


async def test_managed_instance_runs_invocations_at_once(probe: Path, plan: Plan, function: MakeFunction) -> None:
    """Several invocations run side by side in one environment, each with its own start and report."""
    code = """
import pathlib, time
def handler(event, context):
    here = pathlib.Path(event["folder"])
    (here / event["me"]).touch()
    until = time.monotonic() + 10
    while len(list(here.glob("met-*"))) < 2 and time.monotonic() < until:
        time.sleep(0.01)
    return len(list(here.glob("met-*")))
"""
    folder = function(code)
    async with Environment(
        layer=probe, function=folder, env=plan(events=["SHUTDOWN"]), init_type=MANAGED, timeout_s=20
    ) as environment:
        done = await asyncio.gather(
            *(environment.invoke({"folder": str(folder), "me": f"met-{number}"}) for number in range(2))
        )
    assert [one.payload for one in done] == [2, 2]
    types = [record["type"] for record in sent(environment)]
    assert types.count("platform.start") == types.count("platform.report") == 2
    assert "platform.runtimeDone" not in types
    assert environment.timeline.named("freeze") == []


async def test_managed_instance_logs_json_objects_through_its_own_socket(probe: Path, plan: Plan) -> None:
    """The log format is JSON, and what the workers of the runtime print arrives, as objects where it is JSON."""
    env = plan(events=["SHUTDOWN"])
    async with Environment(layer=probe, function=EXAMPLE, env=env, init_type=MANAGED) as environment:
        done = await environment.invoke({"n": 1})
    printed = records(environment, "function")
    assert "invocation 1 begins" in printed
    logged = [record for record in printed if isinstance(record, dict)]
    assert any(record.get("requestId") == done.request_id for record in logged)
    assert any(record.get("order") == 1 for record in logged)


async def test_managed_instance_refuses_invoke(probe: Path, plan: Plan) -> None:
    """An extension that asks for INVOKE on a Managed Instance is refused, and init does not succeed."""
    env = plan(subscribe=False, init_error="Extension.Refused")  # it ends then, and init with it
    async with Environment(layer=probe, function=EXAMPLE, env=env, init_type=MANAGED) as environment:
        assert environment.timeline.named("platform.initReport")[0].details["status"] != "success"
    (answer,) = [line for line in said(environment) if line["probe"] == "registered"]
    assert json.loads(answer["answer"]) == {
        "errorMessage": "INVOKE: ErrorInvalidEventType",
        "errorType": "Extension.InvalidEventType",
    }


async def test_timeout_on_a_managed_instance_kills_nothing(probe: Path, plan: Plan, function: MakeFunction) -> None:
    """There, a timed out invocation is reported so, and its environment lives on."""
    code = "import time\ndef handler(event, context):\n    time.sleep(event)\n"
    async with Environment(
        layer=probe, function=function(code), env=plan(events=["SHUTDOWN"]), init_type=MANAGED, timeout_s=4.0
    ) as environment:
        slow = await environment.invoke(6)
        fast = await environment.invoke(0)
        assert len(list(pids(environment))) == 2
    assert (slow.status, fast.status) == ("timeout", "success")
    assert {"status": "timeout", "errorType": "Sandbox.Timedout"}.items() <= records(environment, "platform.report")[
        0
    ].items()
    assert [event["eventType"] for event in events(environment)] == ["SHUTDOWN"]

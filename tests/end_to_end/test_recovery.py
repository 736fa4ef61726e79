"""The layer as it ships through freezes, outages, bad ends and restarts."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING

import pytest

from extension import sinks
from tests.support import sink_contract as contract
from tests.support.clocks import Clocks
from tests.support.fake_lambda import FakeLambda
from tests.support.fault_server import OK, Action, Answer, FaultServer, Hang, Request
from tests.support.forwarding import assert_balanced, delivered

if TYPE_CHECKING:
    from pathlib import Path

OVER_HTTP = [name for name in sinks.known() if contract.kind(name).permanent and not contract.kind(name).prepare]


async def test_a_freeze_in_the_middle_of_a_send_costs_nothing(lambda_: FakeLambda, tmp_path: Path) -> None:
    """A process that was stopped while its request hung sends it again when it goes on, and still trusts the sink."""
    clocks = Clocks(lambda_, tmp_path)
    begun = threading.Event()

    def freeze(_request: Request) -> Action:
        if begun.is_set():
            return OK
        begun.set()
        clocks.jump(3600.0)
        return Hang()

    with FaultServer(freeze) as server:
        await lambda_.start(
            **clocks.variables,
            FORWARDER_SINKS=f"{server.url}/",
            FORWARDER_FLUSH="interval",
            FORWARDER_FLUSH_INTERVAL_MS="100",
        )
        await lambda_.subscribe()
        await lambda_.invoke("r1", "one")
        first, again = await asyncio.to_thread(server.wait_for, 2)
        assert await lambda_.shut_down() == 0
    assert first.text == again.text  # the first may have been taken; the ids are the same
    assert [line for line in lambda_.log if line.get("message") == "sink fails; its records wait"] == []
    assert_balanced(lambda_.ledger)


@pytest.mark.parametrize("sink", OVER_HTTP)
async def test_a_connection_that_died_in_a_freeze_is_replaced(lambda_: FakeLambda, tmp_path: Path, sink: str) -> None:
    """A kept connection that is gone after a freeze is no failure of a sink, and nothing is sent twice for it."""
    receiver = contract.kind(sink).receiver(tmp_path)
    with FaultServer(receiver) as server:
        url = contract.destination(sink, server, tmp_path, receiver).url
        await lambda_.start(FORWARDER_SINKS=url, FORWARDER_FLUSH="invocation")
        await lambda_.subscribe()
        await lambda_.invoke("r1", "one")
        server.reset_connections()
        await lambda_.invoke("r2", "two")
        records = [json.loads(line) for line in receiver.lines()]
        assert [record["record"] for record in records if record["type"] == "function"] == ["one", "two"]
        assert await lambda_.shut_down() == 0
    assert [line["message"] for line in lambda_.log] == ["started", "ledger"]


async def test_the_fallback_takes_over_at_shutdown(lambda_: FakeLambda, tmp_path: Path) -> None:
    """With a dead sink every record is in the fallback at the end, saying from which sink it comes, and why."""
    path = tmp_path / "fallback"
    with FaultServer(otherwise=Answer(503)) as server:
        await lambda_.start(FORWARDER_SINKS=f"{server.url}/", FORWARDER_FALLBACK=f"file://{path}")
        await lambda_.subscribe()
        await lambda_.invoke("r1", "one")
        assert await lambda_.shut_down() == 0
    assert [record["record"] for record in delivered(path) if record["type"] == "function"] == ["one"]
    said = {(record["lambda"]["refusedBy"], record["lambda"]["reason"]) for record in delivered(path)}
    assert said == {(server.url, "not taken before SHUTDOWN")}
    accounts = lambda_.ledger["sinks"]
    assert accounts[server.url]["fellBack"] == accounts["file://"]["delivered"] == lambda_.ledger["received"]


async def test_a_restarted_forwarder_delivers_what_was_left(layer: Path, tmp_path: Path) -> None:
    """After a reset the new process, in the same environment, delivers first what the old one could not, and once."""
    executable = layer / "extensions" / "telemetry-forwarder"
    answers: list[Action] = []
    with FaultServer(lambda request: answers[0] if answers else OK) as server:
        answers.append(Answer(500))
        async with FakeLambda(executable, tmp_path) as first:
            await first.start(FORWARDER_SINKS=f"{server.url}/")
            await first.subscribe()
            await first.invoke("r1", "old")
            assert await first.shut_down("timeout") == 0
        [account] = first.ledger["sinks"].values()
        assert account["spooled"] == account["pending"] == first.ledger["received"] + first.ledger["added"]
        answers.clear()
        refused = len(server.requests)
        async with FakeLambda(executable, tmp_path) as second:
            await second.start(FORWARDER_SINKS=f"{server.url}/")
            await second.subscribe()
            await second.invoke("r2", "new")
            assert await second.shut_down() == 0
        taken = [json.loads(line) for request in server.requests[refused:] for line in request.text.splitlines()]
    assert [line["record"] for line in taken if line["type"] == "function"] == ["old", "new"]
    [account] = second.ledger["sinks"].values()
    assert (account["restored"], account["pending"]) == (first.ledger["received"] + first.ledger["added"], 0)
    assert_balanced(second.ledger)


@pytest.mark.parametrize("reason", ["Timeout", "failure"])
async def test_a_bad_end_is_told(lambda_: FakeLambda, tmp_path: Path, reason: str) -> None:
    """When SHUTDOWN says timeout or failure, in any case, a record names invocation, reason and function."""
    path = tmp_path / "out"
    await lambda_.start(FORWARDER_SINKS=f"file://{path}", FORWARDER_FLUSH="interval")
    await lambda_.subscribe()
    await lambda_.invoke("r1", "one", done=False)
    assert await lambda_.shut_down(reason) == 0
    [told] = [record for record in delivered(path) if record["type"] == "forwarder.invocationFailed"]
    assert told["record"] == {
        "requestId": "r1",
        "shutdownReason": reason.lower(),
        "functionArn": "arn:aws:lambda:eu-west-1:123456789012:function:orders",
    }
    assert told["lambda"]["requestId"] == "r1"


async def test_what_the_platform_dropped_is_told(lambda_: FakeLambda, tmp_path: Path) -> None:
    """platform.logsDropped is added up, and the sinks get the account as their last record."""
    path = tmp_path / "out"
    await lambda_.start(FORWARDER_SINKS=f"file://{path}")
    await lambda_.subscribe()
    lambda_.record("platform.logsDropped", {"droppedRecords": 3, "droppedBytes": 300, "reason": "slow"})
    lambda_.record("platform.logsDropped", {"droppedRecords": 4, "droppedBytes": 400, "reason": "slow"})
    await lambda_.invoke("r1", "one")
    assert await lambda_.shut_down() == 0
    assert lambda_.ledger["platformDropped"] == 7
    last = delivered(path)[-1]
    assert (last["type"], last["record"]["platformDropped"]) == ("forwarder.ledger", 7)


async def test_a_sink_that_recovers_gets_everything(lambda_: FakeLambda) -> None:
    """After an outage of some invocations, the next ones bring what was waiting, and nothing is missing."""
    outage = threading.Event()
    outage.set()
    with FaultServer(lambda request: Answer(500) if outage.is_set() else OK) as server:
        await lambda_.start(FORWARDER_SINKS=f"{server.url}/")
        await lambda_.subscribe()
        await lambda_.invoke("r1", "one")
        await lambda_.invoke("r2", "two")
        outage.clear()
        failed = len(server.requests)
        await lambda_.invoke("r3", "three")
        assert await lambda_.shut_down() == 0
        lines = [json.loads(line) for request in server.requests[failed:] for line in request.text.splitlines()]
    assert [line["record"] for line in lines if line["type"] == "function"] == ["one", "two", "three"]
    assert_balanced(lambda_.ledger)


async def test_a_line_that_comes_late_is_waited_for_the_next_time(lambda_: FakeLambda, tmp_path: Path) -> None:
    """A function whose lines come after runtimeDone has them delivered within the invocation from the second one on."""
    path = tmp_path / "out"
    await lambda_.start(FORWARDER_SINKS=f"file://{path}", FORWARDER_FLUSH="invocation")
    await lambda_.subscribe()
    await lambda_.invoke("r1", "one")
    lambda_.record("function", "late")
    invocation = asyncio.create_task(lambda_.invoke("r2", "two"))
    await asyncio.sleep(0)
    await invocation
    assert "late" in [record["record"] for record in delivered(path)]
    assert await lambda_.shut_down() == 0


async def test_a_done_that_was_dropped_does_not_hold_the_function(lambda_: FakeLambda, tmp_path: Path) -> None:
    """When the platform drops records, runtimeDone among them, the next event is asked for long before the deadline."""
    await lambda_.start(FORWARDER_SINKS=f"file://{tmp_path}/out", FORWARDER_FLUSH="invocation")
    await lambda_.subscribe()
    await lambda_.ready()
    invocation = asyncio.create_task(lambda_.invoke("r1", "one", timeout_s=60.0, done=False))
    await asyncio.sleep(0)  # platform.start is written
    lambda_.record("platform.logsDropped", {"droppedRecords": 3, "droppedBytes": 300, "reason": "slow"})
    async with asyncio.timeout(20):
        await invocation
    assert await lambda_.shut_down() == 0


async def saw_done(path: Path, request_id: str) -> None:
    """Wait until the forwarder has read platform.runtimeDone, for it has delivered it."""
    async with asyncio.timeout(20.0):
        while not has_done(path, request_id):
            await asyncio.sleep(0.02)


def has_done(path: Path, request_id: str) -> bool:
    """Whether it is in the file, whose last line may be one that is being written."""
    lines = path.read_text().splitlines() if path.exists() else []
    return any("platform.runtimeDone" in line and f'"requestId":"{request_id}"' in line for line in lines)


async def test_a_done_that_comes_again_is_waited_for_again(lambda_: FakeLambda, tmp_path: Path) -> None:
    """One runtimeDone that was missing does not end delivery within the invocation for good."""
    path = tmp_path / "out"
    await lambda_.start(
        FORWARDER_SINKS=f"file://{path}", FORWARDER_FLUSH="invocation", FORWARDER_FLUSH_INTERVAL_MS="100"
    )
    await lambda_.subscribe()
    await lambda_.invoke("r1", "one", timeout_s=0.5, done=False)
    await lambda_.invoke("r2", "two")
    await saw_done(path, "r2")
    await lambda_.invoke("r3", "three")
    assert "three" in [record["record"] for record in delivered(path)]
    assert await lambda_.shut_down() == 0


async def test_a_done_that_comes_behind_the_next_invoke_is_not_missed_for_ever(
    lambda_: FakeLambda, tmp_path: Path
) -> None:
    """The platform may gather it over the freeze, and send it when the next invocation has begun."""
    path = tmp_path / "out"
    await lambda_.start(
        FORWARDER_SINKS=f"file://{path}", FORWARDER_FLUSH="invocation", FORWARDER_FLUSH_INTERVAL_MS="100"
    )
    await lambda_.subscribe()
    await lambda_.invoke("r1", "one", timeout_s=0.5, done=False)
    await lambda_.invoke("r2", "two", done=False)
    lambda_.record("platform.runtimeDone", {"requestId": "r1", "status": "success"})
    await saw_done(path, "r1")
    await lambda_.invoke("r3", "three")
    assert "three" in [record["record"] for record in delivered(path)]
    assert await lambda_.shut_down() == 0


async def test_on_managed_instances_nothing_is_left_for_another_process(lambda_: FakeLambda, tmp_path: Path) -> None:
    """After a failure too: the environment is replaced, so its disk is no place for records."""
    await lambda_.start(FORWARDER_SINKS="http://127.0.0.1:9", AWS_LAMBDA_INITIALIZATION_TYPE="lambda-managed-instances")
    await lambda_.subscribe()
    await lambda_.ready()
    lambda_.record("function", {"message": "one"})
    assert await lambda_.shut_down("failure") == 0
    [sink] = lambda_.ledger["sinks"].values()
    assert (sink["dropped"], sink["pending"]) == ({"not delivered before SHUTDOWN": lambda_.ledger["received"]}, 0)


@pytest.mark.integration
@pytest.mark.timeout(150)
async def test_on_managed_instances_the_ledger_comes_every_minute(lambda_: FakeLambda, tmp_path: Path) -> None:
    """An environment that lives for weeks accounts for its records while it lives."""
    await lambda_.start(
        FORWARDER_SINKS=f"file://{tmp_path}/out",
        FORWARDER_FLUSH_INTERVAL_MS="100",
        AWS_LAMBDA_INITIALIZATION_TYPE="lambda-managed-instances",
    )
    await lambda_.subscribe()
    await lambda_.ready()
    lambda_.record("platform.start", {"requestId": "r1"})
    async with asyncio.timeout(90):
        while not any(line["message"] == "ledger" for line in lambda_.log):
            await asyncio.sleep(0.1)
    assert lambda_.ledger["received"] == 1
    assert_balanced(lambda_.ledger)
    assert await lambda_.shut_down() == 0

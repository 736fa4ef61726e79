"""The layer as it ships at SHUTDOWN: what the last seconds are used for, and what becomes of what is on disk."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from tests.support.changing_intake import ChangingIntake, pour
from tests.support.fake_lambda import FakeLambda
from tests.support.fault_server import OK, Answer, FaultServer, Hang
from tests.support.strict_aws import CREDENTIALS, Service

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.fault_server import Action, Request

MIB = 1 << 20
QUEUE_BYTES = 2 * MIB  # in memory, and as much on disk
PRINTED_BYTES = 75_000  # by one invocation; what the forwarder adds to a line comes to half as much
MORE_THAN_MEMORY = 20  # invocations
LESS_THAN_DISK = 14
SLOW_S = 0.1  # for a request
MANY = 450  # records, in requests of ten: fewer than a batch, which would be sent before
IN_A_REQUEST = 10
HOPELESS_S = 3.0  # where no sink answers


async def test_a_live_fallback_gets_all_that_dead_sinks_had_at_shutdown(lambda_: FakeLambda) -> None:
    """The queues of three dead sinks go to the fallback at the pace it takes them, and none evicts another's."""
    fallback = ChangingIntake()
    with FaultServer(otherwise=Answer(503)) as dead, FaultServer(fallback) as live:
        sinks = " ".join(f"{dead.url}/{name}" for name in "abc")
        await lambda_.start(
            FORWARDER_SINKS=sinks, FORWARDER_FALLBACK=f"{live.url}/", FORWARDER_QUEUE_BYTES=str(16 * MIB)
        )
        await lambda_.subscribe()
        await lambda_.invoke("r1", "one")
        lambda_.send(pour(3000))  # 3 MiB in memory of the 4 MiB that each sink and the fallback have
        await lambda_.sent_all()
        assert await lambda_.shut_down() == 0
    assert [account["dropped"] for account in lambda_.ledger["sinks"].values()] == [{}] * 4
    arrived = {(record["lambda"]["refusedBy"], record["lambda"]["id"]) for record in fallback.records()}
    assert len(arrived) == 3 * came(lambda_)


@pytest.mark.parametrize("reason", ["spindown", "SandboxTerminated"])
@pytest.mark.parametrize("fallback", [False, True])
async def test_what_is_left_at_the_end_of_the_disk_is_dropped_with_a_reason(
    lambda_: FakeLambda, tmp_path: Path, reason: str, fallback: bool
) -> None:
    """At spindown, and for reasons that nobody knows, /tmp dies: what no sink took is not said to be on disk."""
    with FaultServer(otherwise=Answer(503)) as dead:
        settings = {"FORWARDER_FALLBACK": f"{dead.url}/fallback"} if fallback else {}
        await start(lambda_, dead, tmp_path, **settings)
        await run_through_outage(lambda_, MORE_THAN_MEMORY)
        assert await lambda_.shut_down(reason, timeout_s=HOPELESS_S) == 0
    accounts = lambda_.ledger["sinks"].values()
    assert {(account["pending"], account["spooled"]) for account in accounts} == {(0, 0)}
    reasons = [item for account in accounts for item in account["dropped"].items()]
    assert sum(count for _, count in reasons) == came(lambda_)
    assert all(reason for reason, _ in reasons)


async def test_what_is_on_disk_is_sent_before_the_disk_is_gone(lambda_: FakeLambda, tmp_path: Path) -> None:
    """When the sink answers at spindown, what had been spilled is read back and sent within the time."""
    intake = ChangingIntake(Answer(503))
    with FaultServer(intake) as server:
        await start(lambda_, server, tmp_path)
        await run_through_outage(lambda_, MORE_THAN_MEMORY)
        intake.answer = OK
        assert await lambda_.shut_down("spindown") == 0
        account = lambda_.ledger["sinks"][server.url]
    assert (account["dropped"], account["pending"], account["delivered"]) == ({}, 0, came(lambda_))
    assert len({record["lambda"]["id"] for record in intake.records()}) == came(lambda_)


@pytest.mark.parametrize("reason", ["timeout", "failure"])
async def test_what_is_on_disk_serves_the_next_process(layer: Path, tmp_path: Path, reason: str) -> None:
    """At timeout and failure /tmp stays: nothing is dropped, and the next process delivers what was left."""
    executable = layer / "extensions" / "telemetry-forwarder"
    intake = ChangingIntake(Answer(503))
    with FaultServer(intake) as server:
        async with FakeLambda(executable, tmp_path) as first:
            await start(first, server, tmp_path)
            await run_through_outage(first, LESS_THAN_DISK)
            assert await first.shut_down(reason, timeout_s=HOPELESS_S) == 0
            account = first.ledger["sinks"][server.url]
        assert (account["dropped"], account["pending"], account["spooled"]) == ({}, came(first), came(first))
        intake.answer = OK
        async with FakeLambda(executable, tmp_path) as second:
            await start(second, server, tmp_path)
            await second.invoke("next", "life")
            assert await second.shut_down() == 0
            account = second.ledger["sinks"][server.url]
    assert (account["restored"], account["dropped"], account["pending"]) == (came(first), {}, 0)
    assert len({record["lambda"]["id"] for record in intake.records()}) == came(first) + came(second)


async def test_a_crash_leaves_on_disk_what_a_sink_that_hangs_has_not_taken(lambda_: FakeLambda) -> None:
    """The reset's 2 s run from runtimeDone, which is before /next: the tail leaves enough of them for the disk."""
    with FaultServer(otherwise=Hang()) as server:
        await lambda_.start(FORWARDER_SINKS=f"{server.url}/", FORWARDER_FLUSH="invocation")
        await lambda_.subscribe()
        assert await lambda_.crash("r1", "the last words") == 0
        account = lambda_.ledger["sinks"][server.url]
    assert (account["dropped"], account["spooled"]) == ({}, came(lambda_))


async def start(lambda_: FakeLambda, server: FaultServer, folder: Path, **settings: str) -> None:
    """Start with the server as a sink and a file beside it, for which invocations are held: it has all that came in."""
    await lambda_.start(
        FORWARDER_SINKS=f"{server.url}/ file://{folder}/live",
        FORWARDER_FLUSH="invocation",
        FORWARDER_QUEUE_BYTES=str(QUEUE_BYTES),
        **settings,
    )
    await lambda_.subscribe()


async def run_through_outage(lambda_: FakeLambda, invocations: int) -> None:
    """Invocations that print PRINTED_BYTES each, and the report of each, so that SHUTDOWN waits for none."""
    for number in range(invocations):
        await lambda_.invoke(f"r{number}", *["x" * 1000] * (PRINTED_BYTES // 1000))
        lambda_.record("platform.report", {"requestId": f"r{number}", "status": "success"})


def came(lambda_: FakeLambda) -> int:
    """How many records each sink was offered."""
    counted: int = lambda_.ledger["received"] + lambda_.ledger["added"]
    return counted


async def test_what_a_queue_took_before_the_end_is_counted(lambda_: FakeLambda) -> None:
    """A batch of many requests ends in time: what SQS took of it is delivered, but for the request under way."""
    service = Service()

    def slow(request: Request) -> Action:
        threading.Event().wait(SLOW_S)
        return service(request)

    with FaultServer(slow) as server:
        await lambda_.start(
            **CREDENTIALS,
            FORWARDER_SINKS="sqs://sqs.eu-west-1.amazonaws.com/1/queue",
            FORWARDER_FLUSH="interval",
            AWS_ENDPOINT_URL=server.url,
        )
        await lambda_.subscribe()
        for number in range(MANY):
            lambda_.record("function", f"line {number}")
        await lambda_.sent_all()
        assert await lambda_.shut_down() == 0
        taken = len(service.taken)
    [account] = lambda_.ledger["sinks"].values()
    assert 0 < account["delivered"] < MANY
    assert taken - account["delivered"] <= IN_A_REQUEST
    assert account["dropped"] == {"not delivered before SHUTDOWN": came(lambda_) - account["delivered"]}

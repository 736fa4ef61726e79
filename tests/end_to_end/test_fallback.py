"""The layer as it ships: what sinks cannot take reaches the fallback, in whatever order they give it up."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.support.changing_intake import ChangingIntake
from tests.support.fault_server import OK, Action, Answer, FaultServer, Hang, Request
from tests.support.forwarding import delivered
from tests.support.strict_aws import CREDENTIALS, Service

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.fake_lambda import FakeLambda

LATER_S = 0.3
NEEDED_S = 0.36  # by the fallback for one batch: more than the least that it is given


def refuses(text: bytes, after_s: float = 0.0) -> Callable[[Request], Action]:
    """An intake that refuses what contains `text`, late where it is alone."""

    def act(request: Request) -> Action:
        if text not in request.text:
            return OK
        return Answer(400, after_s=after_s if request.text.count(b"\n") == 1 else 0.0)

    return act


async def test_the_fallback_is_flushed_whatever_the_order_of_what_falls_back(
    lambda_: FakeLambda, tmp_path: Path
) -> None:
    """When a younger record falls back before an older one, both are in the fallback by the end of the invocation."""
    path = tmp_path / "fallback"
    with FaultServer(refuses(b"older", LATER_S)) as one, FaultServer(refuses(b"younger")) as two:
        await lambda_.start(
            FORWARDER_SINKS=f"{one.url}/ {two.url}/",
            FORWARDER_FALLBACK=f"file://{path}",
            FORWARDER_FLUSH="invocation",
        )
        await lambda_.subscribe()
        await lambda_.invoke("r1", "older", "younger", timeout_s=30.0)
        assert sorted(record["record"] for record in delivered(path)) == ["older", "younger"]
        assert await lambda_.shut_down() == 0


async def test_a_record_that_fell_back_twice_is_counted_twice(lambda_: FakeLambda) -> None:
    """When the fallback takes a record of one sink and not yet that of another, the ledger has each of them."""
    refusing, service = Answer(403), Service(fail=lambda number: number >= 3)
    with FaultServer(otherwise=refusing) as one, FaultServer(otherwise=refusing) as two, FaultServer(service) as aws:
        await lambda_.start(
            **CREDENTIALS,
            FORWARDER_SINKS=f"{one.url}/ {two.url}/",
            FORWARDER_FALLBACK="kinesis://stream",
            FORWARDER_FLUSH="interval",
            AWS_ENDPOINT_URL=aws.url,
        )
        await lambda_.subscribe()
        await lambda_.invoke("r1", "one")
        assert await lambda_.shut_down("timeout") == 0
    *sinks, fallback = lambda_.ledger["sinks"].values()
    fell_back = sum(account["fellBack"] for account in sinks)
    assert fell_back == 2 * (lambda_.ledger["received"] + lambda_.ledger["added"])
    assert fallback["delivered"] == len(service.lines()) == 3
    assert fallback["delivered"] + fallback["pending"] + sum(fallback["dropped"].values()) == fell_back


async def test_a_slow_fallback_that_was_never_used_has_time(lambda_: FakeLambda) -> None:
    """At SHUTDOWN a fallback that was not asked before gets the records of a sink that hangs, and is waited for."""
    fallback = ChangingIntake(Answer(after_s=NEEDED_S))
    with FaultServer(otherwise=Hang()) as sink, FaultServer(fallback) as server:
        await lambda_.start(
            FORWARDER_SINKS=f"{sink.url}/", FORWARDER_FALLBACK=f"{server.url}/", FORWARDER_FLUSH="interval"
        )
        await lambda_.subscribe()
        await lambda_.invoke("r1", "one")
        lambda_.record("platform.report", {"requestId": "r1", "status": "success"})
        assert await lambda_.shut_down() == 0
    assert fallback.texts() == ["one"]
    *_, account = lambda_.ledger["sinks"].values()
    assert (account["delivered"], account["pending"], account["dropped"]) == (len(lambda_.sent), 0, {})


@pytest.mark.parametrize("answer", [Answer(401), Answer(500)], ids=["401", "500"])
async def test_a_burst_is_not_lost_to_a_fallback_that_answers(lambda_: FakeLambda, answer: Answer) -> None:
    """50,000 short lines, a bound of 1 MiB, a sink that takes nothing: reading waits until the fallback has room."""
    fallback = ChangingIntake(Answer(after_s=0.005))
    with FaultServer(otherwise=answer) as sink, FaultServer(fallback) as server:
        await lambda_.start(
            FORWARDER_SINKS=f"{sink.url}/",
            FORWARDER_FALLBACK=f"{server.url}/",
            FORWARDER_QUEUE_BYTES=str(2 << 20),
            FORWARDER_FLUSH="invocation",
        )
        await lambda_.subscribe()
        lambda_.send(b'{"type":"function","record":"%s"}\n' % (b"x" * 40) * 50_000)
        for number in range(5):
            await lambda_.invoke(f"r{number}", timeout_s=30.0)
        assert await lambda_.shut_down() == 0
    accounts = lambda_.ledger["sinks"].values()
    assert [account["dropped"] for account in accounts] == [{}, {}]
    assert lambda_.ledger["unreadBytes"] == 0
    assert len({record["lambda"]["id"] for record in fallback.records() if record["type"] == "function"}) == 50_000


async def test_a_slow_fallback_has_the_time_it_needs(lambda_: FakeLambda) -> None:
    """At SHUTDOWN as much time is kept for the fallback as it is known to need, though a sink would use all of it."""
    dead = asyncio.Event()
    fallback = ChangingIntake(Answer(after_s=NEEDED_S))

    def act(_request: Request) -> Action:
        return Hang() if dead.is_set() else Answer(400)

    with FaultServer(act) as sink, FaultServer(fallback) as server:
        await lambda_.start(FORWARDER_SINKS=f"{sink.url}/", FORWARDER_FALLBACK=f"{server.url}/")
        await lambda_.subscribe()
        await lambda_.invoke("r1", "one", timeout_s=30.0)
        lambda_.record("platform.report", {"requestId": "r1", "status": "success"})
        dead.set()
        lambda_.record("function", "last")
        assert await lambda_.shut_down() == 0
    assert fallback.texts() == ["one", "last"]
    *_, account = lambda_.ledger["sinks"].values()
    assert (account["delivered"], account["pending"], account["dropped"]) == (len(lambda_.sent), 0, {})

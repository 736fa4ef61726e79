"""The layer as it ships where a destination refuses whole requests, as while a permission has yet to spread."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.changing_intake import ChangingIntake
from tests.clocks import Clocks
from tests.faults.aws import Service, refusing
from tests.faults.server import Answer, FaultServer
from tests.sinks.contract import CREDENTIALS
from tests.test_forwarding import delivered

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.fake_lambda import FakeLambda
    from tests.faults.server import Action, Request

PAUSES_S = (60, 120, 240, 480, 900, 900)

REFUSALS: dict[str, tuple[str, Callable[[Request], Action]]] = {
    "http 401": ("", lambda _request: Answer(401)),
    "http 403": ("", lambda _request: Answer(403)),
    "http 404": ("", lambda _request: Answer(404)),
    "s3 AccessDenied": ("s3://bucket", refusing("AccessDenied", 403)),
    "s3 NoSuchBucket": ("s3://bucket", refusing("NoSuchBucket", 404)),
    "firehose AccessDenied": ("firehose://stream", refusing("AccessDeniedException")),
}


@pytest.mark.xfail(strict=True, reason="what a refused request held is dropped at once")
@pytest.mark.parametrize("refusal", REFUSALS)
async def test_what_a_refused_request_held_is_kept(lambda_: FakeLambda, tmp_path: Path, refusal: str) -> None:
    """Without a fallback the records stay, and are delivered when the destination takes requests minutes later."""
    url, refuse = REFUSALS[refusal]
    refused: list[Request] = []
    take: Callable[[Request], Action] = Service() if url else ChangingIntake()

    def answer(request: Request) -> Action:
        if refused:
            return take(request)
        refused.append(request)
        return refuse(request)

    clocks = Clocks(lambda_, tmp_path, "wall")
    with FaultServer(answer) as server:
        await lambda_.start(
            **{**CREDENTIALS, **clocks.variables},
            AWS_ENDPOINT_URL=server.url,
            FORWARDER_SINKS=url or f"{server.url}/",
            FORWARDER_FLUSH="invocation",
        )
        await lambda_.subscribe()
        await lambda_.invoke("r1", "one")
        clocks.jump(90)
        await lambda_.invoke("r2", "two")
        assert await lambda_.shut_down(timeout_s=5.0) == 0
    [account] = lambda_.ledger["sinks"].values()
    assert (account["dropped"], account["delivered"]) == ({}, lambda_.ledger["received"] + lambda_.ledger["added"])


@pytest.mark.xfail(strict=True, reason="each invocation makes a request")
async def test_a_destination_that_refuses_is_asked_on_a_schedule(lambda_: FakeLambda, tmp_path: Path) -> None:
    """It gets one request after 1, 2, 4 ... 15 min of wall clock, however many invocations there are meanwhile."""
    clocks = Clocks(lambda_, tmp_path, "wall")
    with FaultServer(otherwise=Answer(403)) as server:
        await lambda_.start(**clocks.variables, FORWARDER_SINKS=f"{server.url}/", FORWARDER_FLUSH="invocation")
        await lambda_.subscribe()
        await lambda_.invoke("r")
        for tries, pause_s in enumerate(PAUSES_S, 1):
            clocks.jump(0.8 * pause_s)
            await lambda_.invoke(f"r{tries} a", "early")
            await lambda_.invoke(f"r{tries} b", "early")
            assert len(server.requests) == tries
            clocks.jump(0.3 * pause_s)
            await lambda_.invoke(f"r{tries} c", "due")
            await asyncio.to_thread(server.wait_for, tries + 1)


@pytest.mark.xfail(strict=True, reason="a sink that refuses counts as one that answers, and is waited for")
async def test_no_invocation_is_held_for_a_destination_that_refuses(lambda_: FakeLambda) -> None:
    """Once requests are refused the next event is asked for at once: nobody waits even for the runtime to be done."""
    with FaultServer(otherwise=Answer(403)) as server:
        await lambda_.start(FORWARDER_SINKS=f"{server.url}/", FORWARDER_FLUSH="invocation")
        await lambda_.subscribe()
        await lambda_.invoke("r1", "one")
        async with asyncio.timeout(10):
            await lambda_.invoke("r2", "two", timeout_s=60.0, done=False)


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_with_a_fallback_refused_requests_go_there_at_once(
    lambda_: FakeLambda, tmp_path: Path, status: int
) -> None:
    """At the end of the invocation whose request was refused, its records are in the fallback."""
    path = tmp_path / "fallback"
    with FaultServer(otherwise=Answer(status)) as server:
        await lambda_.start(
            FORWARDER_SINKS=f"{server.url}/", FORWARDER_FALLBACK=f"file://{path}", FORWARDER_FLUSH="invocation"
        )
        await lambda_.subscribe()
        await lambda_.invoke("r1", "one")
        assert "one" in [record["record"] for record in delivered(path)]
        assert await lambda_.shut_down() == 0
        account = lambda_.ledger["sinks"][server.url]
    assert (account["dropped"], account["fellBack"]) == ({}, lambda_.ledger["received"] + lambda_.ledger["added"])

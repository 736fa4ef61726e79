"""The layer as it ships: which sinks are worth waiting for. A sink is healthy until it fails, not until it is slow."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.support.changing_intake import ChangingIntake
from tests.support.clocks import Clocks
from tests.support.fault_server import OK, Action, Answer, FaultServer, Request, Reset
from tests.support.strict_aws import CREDENTIALS, Service

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from tests.support.fake_lambda import FakeLambda

WAIT_S = 10.0
PROBE_S = 0.3  # what the sink needs for an answer; a held probe may last 1 s
SINKS = {  # and the part of the variable that says where AWS's are
    "http": "",
    "s3://bucket": "S3",
    "firehose://stream": "FIREHOSE",
    "kinesis://stream": "KINESIS",
    "sqs://queue": "SQS",
    "logs://group": "CLOUDWATCH_LOGS",
}


async def test_a_sink_slower_than_one_short_tail_stays_healthy(lambda_: FakeLambda) -> None:
    """An invocation whose short tail ran out says little about the sink: the next one is held for it all the same."""
    release = threading.Event()
    intake = ChangingIntake()

    def slow(request: Request) -> Action:
        release.wait(WAIT_S)
        return intake(request)

    with FaultServer(slow) as server:
        await lambda_.start(FORWARDER_SINKS=f"{server.url}/", FORWARDER_FLUSH="invocation")
        await lambda_.subscribe()
        await lambda_.invoke("r1", "one", timeout_s=1.0)  # of which half at most is waited for the sink
        second = asyncio.create_task(lambda_.invoke("r2", "two", timeout_s=60.0, done=False))
        await asyncio.wait({second}, timeout=1.0)
        was_held = not second.done()
        release.set()
        lambda_.record("platform.runtimeDone", {"requestId": "r2", "status": "success"})
        await second
        assert was_held
        assert intake.texts() == ["one", "two"]


async def test_an_unhealthy_sink_is_probed_within_an_invocation(lambda_: FakeLambda, tmp_path: Path) -> None:
    """In a world where the network stands still as soon as nothing holds it, a sink that recovered is found to have."""
    failing = threading.Event()
    failing.set()
    clocks = Clocks(lambda_, tmp_path, "wall")

    def answer(request: Request) -> Action:
        if failing.is_set():
            return Answer(500)
        until = time.monotonic() + PROBE_S
        while time.monotonic() < until:
            if lambda_.is_parked:  # all is frozen now, and the answer will not arrive
                return Reset()
            time.sleep(0.01)
        return OK

    with FaultServer(answer) as server:
        await lambda_.start(**clocks.variables, FORWARDER_SINKS=f"{server.url}/", FORWARDER_FLUSH="invocation")
        await lambda_.subscribe()
        await lambda_.invoke("r1", "one")
        await lambda_.invoke("r2", "two")
        failing.clear()
        for number in range(3, 9):
            clocks.jump(1200)
            await lambda_.invoke(f"r{number}", "line")
        failing.set()
        assert await lambda_.shut_down() == 0
    [account] = lambda_.ledger["sinks"].values()
    assert account["delivered"] > 0


async def test_a_send_that_was_frozen_is_no_failure(lambda_: FakeLambda, tmp_path: Path) -> None:
    """However often the process is stopped in the middle of a send, nobody says that the sink fails."""
    clocks = Clocks(lambda_, tmp_path)
    stops = iter(range(5))

    def freeze(_request: Request) -> Action:
        if next(stops, None) is None:
            return OK
        clocks.jump(1200)
        return Reset()  # the peer has forgotten us meanwhile

    with FaultServer(freeze) as server:
        await lambda_.start(
            **clocks.variables,
            FORWARDER_SINKS=f"{server.url}/",
            FORWARDER_FLUSH="interval",
            FORWARDER_FLUSH_INTERVAL_MS="100",
        )
        await lambda_.subscribe()
        await lambda_.invoke("r1", "one")
        await asyncio.to_thread(server.wait_for, 6, 40.0)
        assert await lambda_.shut_down(timeout_s=5.0) == 0
    assert {line["message"] for line in lambda_.log} == {"started", "ledger"}


@pytest.mark.parametrize("status", [500, 503])
@pytest.mark.parametrize("url", SINKS)
async def test_one_500_costs_nothing(lambda_: FakeLambda, url: str, status: int) -> None:
    """Whatever the sink is, a batch that gets a 500 is sent again within the invocation, and the sink stays healthy."""
    with begin_with([Answer(status)], [url]) as (variables, [server]):
        await lambda_.start(**variables, FORWARDER_FLUSH="invocation")
        await lambda_.subscribe()
        await lambda_.invoke("r1", "one", timeout_s=10.0)
        assert len(server.requests) > 1
        assert await lambda_.shut_down() == 0
    [account] = lambda_.ledger["sinks"].values()
    assert (account["delivered"], account["dropped"]) == (3, {})
    assert [line["message"] for line in lambda_.log] == ["started", "ledger"]


async def test_a_row_of_500s_has_one_meaning(lambda_: FakeLambda) -> None:
    """As many 500s in a row as make one sink unhealthy make every other one so as well."""
    with begin_with([Answer(500)] * 3, SINKS) as (variables, servers):
        await lambda_.start(**variables, FORWARDER_FLUSH="interval", FORWARDER_FLUSH_INTERVAL_MS="100")
        await lambda_.subscribe()
        await lambda_.invoke("r1", "one")
        for server in servers:
            await asyncio.to_thread(server.wait_for, 4)
        assert await lambda_.shut_down() == 0
    unhealthy = {line["sink"] for line in lambda_.log if line.get("level") == "WARN"}
    assert len(unhealthy) in {0, len(servers)}


@contextmanager
def begin_with(script: Sequence[Action], urls: Iterable[str]) -> Iterator[tuple[dict[str, str], list[FaultServer]]]:
    """The variables for these sinks, and a server for each that answers its first requests so."""
    with ExitStack() as stack:
        variables = dict(CREDENTIALS)
        servers = []
        for url in urls:
            service = SINKS[url]
            servers.append(stack.enter_context(FaultServer(Service(first=script) if service else script)))
            variables[f"AWS_ENDPOINT_URL_{service}"] = servers[-1].url
            sink = url if service else f"{servers[-1].url}/"
            variables["FORWARDER_SINKS"] = f"{variables.get('FORWARDER_SINKS', '')} {sink}"
        yield variables, servers

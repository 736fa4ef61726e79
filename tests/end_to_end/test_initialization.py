"""The layer as it ships while its init is slow: the first /next comes in time, and what is not done then goes on."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

from tests.support.fake_lambda import HANG
from tests.support.fault_server import Action, FaultServer, Hang, Request
from tests.support.forwarding import assert_balanced, delivered
from tests.support.strict_aws import ContainerCredentials, Service

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.fake_lambda import FakeLambda

LIMIT_S = 8.0  # to the first /next: 3 s, and what a busy machine adds
AWS_SINKS = "s3://bucket firehose://stream kinesis://stream"


def snap_start(container: FaultServer) -> dict[str, str]:
    """The variables of a function whose credentials come from an endpoint."""
    return {
        "AWS_ACCESS_KEY_ID": "",
        "AWS_SECRET_ACCESS_KEY": "",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{container.url}/2021-04-23/credentials",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": "the-token",
    }


def hanging(times: int) -> Callable[[Request], Action]:
    """An endpoint of credentials that does not answer the first requests."""
    credentials, numbers = ContainerCredentials(), itertools.count()
    return lambda request: Hang() if next(numbers) < times else credentials(request)


async def ready(lambda_: FakeLambda) -> None:
    async with asyncio.timeout(LIMIT_S):
        await lambda_.ready()


async def test_slow_credentials_do_not_delay_the_first_next(lambda_: FakeLambda, tmp_path: Path) -> None:
    """Three sinks whose credentials do not come are opened behind /next; a sink after them works meanwhile."""
    path = tmp_path / "out"
    with FaultServer(otherwise=Hang()) as container:
        await lambda_.start(FORWARDER_SINKS=f"{AWS_SINKS} file://{path}", **snap_start(container))
        await ready(lambda_)
        await lambda_.subscribe()
        await lambda_.invoke("r1", "one")
        assert await lambda_.shut_down() == 0
    assert "one" in [record["record"] for record in delivered(path)]
    [line] = [line for line in lambda_.log if line["message"].startswith("sinks are still being opened")]
    assert line["sinks"] == AWS_SINKS.split()
    assert_balanced(lambda_.ledger)


async def test_records_wait_for_a_sink_that_is_opened_late(lambda_: FakeLambda) -> None:
    """What came before its sink was opened is delivered when it is, in batches that it takes."""
    service = Service()
    with FaultServer(service) as server, FaultServer(hanging(2)) as container:
        await lambda_.start(FORWARDER_SINKS="firehose://stream", AWS_ENDPOINT_URL=server.url, **snap_start(container))
        await ready(lambda_)
        assert server.requests == []
        await lambda_.subscribe()
        await lambda_.invoke("r1", *(f"line {number}" for number in range(1200)))
        await asyncio.to_thread(server.wait_for, 1, 30.0)
        await lambda_.invoke("r2", "last")
        assert await lambda_.shut_down() == 0
    assert [line["sinks"] for line in lambda_.log if line["message"].startswith("sinks are still being opened")] == [
        ["firehose://stream"]
    ]
    assert len(service.lines()) == len(lambda_.sent)
    assert_balanced(lambda_.ledger)


async def test_a_subscription_that_hangs_does_not_delay_the_first_next(lambda_: FakeLambda, tmp_path: Path) -> None:
    """Where the Telemetry API does not answer, that is said, and the function lives without telemetry."""
    lambda_.answers["telemetry"] = [HANG] * 6
    await lambda_.start(FORWARDER_SINKS=f"file://{tmp_path}/out")
    await ready(lambda_)
    await lambda_.invoke("r1")
    assert await lambda_.shut_down() == 0
    assert lambda_.log[-1]["message"] == "not subscribed to telemetry; nothing is forwarded"


async def test_bad_settings_beside_slow_credentials_do_not_delay_the_first_next(lambda_: FakeLambda) -> None:
    """Looking for all mistakes at once takes no longer than a good start."""
    with FaultServer(otherwise=Hang()) as container:
        await lambda_.start(FORWARDER_SINKS=AWS_SINKS, FORWARDER_FLUSH="often", **snap_start(container))
        await ready(lambda_)
        assert await lambda_.shut_down() == 0
    [line] = lambda_.log
    assert [problem.partition(" ")[0] for problem in line["problems"]] == ["FORWARDER_FLUSH"]


async def test_strict_is_about_settings_not_about_time(lambda_: FakeLambda) -> None:
    """With FORWARDER_ON_ERROR=strict too, a sink that is slow to open is opened behind /next; init does not fail."""
    with FaultServer(otherwise=Hang()) as container:
        await lambda_.start(FORWARDER_SINKS="s3://bucket", FORWARDER_ON_ERROR="strict", **snap_start(container))
        await ready(lambda_)
        await lambda_.subscribe()
        await lambda_.invoke("r1", "one")
        assert await lambda_.shut_down() == 0
    assert [request.path for request in lambda_.requests if request.path.endswith("/error")] == []
    [account] = lambda_.ledger["sinks"].values()
    assert account["pending"] + sum(account["dropped"].values()) == lambda_.ledger["received"] + lambda_.ledger["added"]

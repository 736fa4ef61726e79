"""The layer as it ships: a sink that asks to be left alone, and an environment that ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.changing_intake import ChangingIntake
from tests.support.fault_server import OK, Action, Answer, FaultServer
from tests.support.forwarding import delivered

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.fake_lambda import FakeLambda

LATER = Answer(429, {"Retry-After": "60"})
REPORT = {"requestId": "r1", "status": "success"}  # so that SHUTDOWN waits for none


@pytest.mark.parametrize("flush", ["invocation", "interval"])
async def test_a_sink_has_a_last_chance(lambda_: FakeLambda, flush: str) -> None:
    """However long a sink asked for, before SHUTDOWN or in it, it is tried once more before the end."""
    intake = ChangingIntake()
    answers = iter([LATER])

    def act(request: object) -> Action:
        return next(answers, None) or intake(request)  # type: ignore[arg-type] # FaultServer's own Request

    with FaultServer(act) as server:
        await lambda_.start(FORWARDER_SINKS=f"{server.url}/", FORWARDER_FLUSH=flush)
        await lambda_.subscribe()
        await lambda_.invoke("r1", "one")
        lambda_.record("platform.report", REPORT)
        assert await lambda_.shut_down() == 0
    assert intake.texts() == ["one"]


async def test_a_sink_that_asks_for_peace_is_not_hammered_at_the_end(lambda_: FakeLambda, tmp_path: Path) -> None:
    """A sink that asks for a minute again and again gets few requests at SHUTDOWN, and the fallback has its time."""
    path = tmp_path / "fallback"
    with FaultServer(otherwise=LATER) as server:
        await lambda_.start(
            FORWARDER_SINKS=f"{server.url}/", FORWARDER_FALLBACK=f"file://{path}", FORWARDER_FLUSH="interval"
        )
        await lambda_.subscribe()
        await lambda_.invoke("r1", "one")
        lambda_.record("platform.report", REPORT)
        assert await lambda_.shut_down() == 0
        assert len(server.requests) <= 3
    assert len(delivered(path)) == len(lambda_.sent)


@pytest.mark.parametrize("after_s", ["1", "300"])
async def test_the_last_try_is_the_last(lambda_: FakeLambda, after_s: str) -> None:
    """Without a fallback as well: what refuses the last try, and asks for time, is not asked again."""
    with FaultServer(otherwise=Answer(503, {"Retry-After": after_s})) as server:
        await lambda_.start(FORWARDER_SINKS=f"{server.url}/", FORWARDER_FLUSH="interval")
        await lambda_.subscribe()
        await lambda_.invoke("r1", "one")
        lambda_.record("platform.report", REPORT)
        assert await lambda_.shut_down() == 0
        assert len(server.requests) <= 4
    [account] = lambda_.ledger["sinks"].values()
    assert sum(account["dropped"].values()) == lambda_.ledger["received"] + lambda_.ledger["added"]


async def test_nobody_waits_for_a_sink_that_asked_for_longer(lambda_: FakeLambda) -> None:
    """An invocation is not held for the answer that cannot come in its time, from the first of them on."""
    with FaultServer(otherwise=Answer(429, {"Retry-After": "300"})) as server:
        await lambda_.start(FORWARDER_SINKS=f"{server.url}/", FORWARDER_FLUSH="invocation", FORWARDER_LOG_LEVEL="DEBUG")
        await lambda_.subscribe()
        for number in range(3):
            await lambda_.invoke(f"r{number}", "one", timeout_s=30.0)
        assert len(server.requests) == 1
        assert await lambda_.shut_down() == 0
    assert [
        line for line in lambda_.log if "sink fails" in line["message"]
    ] == []  # held for 2 s, it would be unhealthy


async def test_a_short_pause_is_kept_to_the_end(lambda_: FakeLambda) -> None:
    """What a sink asks for is kept where SHUTDOWN has the time: the second request comes no sooner."""
    with FaultServer([Answer(503, {"Retry-After": "1"}), OK]) as server:
        await lambda_.start(FORWARDER_SINKS=f"{server.url}/", FORWARDER_FLUSH="interval")
        await lambda_.subscribe()
        await lambda_.invoke("r1", "one")
        lambda_.record("platform.report", REPORT)
        assert await lambda_.shut_down() == 0
        assert len(server.requests) == 2
    [account] = lambda_.ledger["sinks"].values()
    assert account["delivered"] == len(lambda_.sent)

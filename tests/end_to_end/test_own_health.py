"""The layer as it ships: what it says of itself, to its log at the start and by FORWARDER_HEALTH."""

from __future__ import annotations

import asyncio
import json
import tomllib
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from tests.support import ROOT
from tests.support.emf import SCHEMA
from tests.support.fake_lambda import Answer as ApiAnswer
from tests.support.fault_server import Answer, FaultServer, Hang
from tests.support.forwarding import assert_balanced, delivered
from tests.support.vault import Vault

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.fake_lambda import FakeLambda

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
SECRET = "Pa55w0rd"


def health(path: Path) -> list[dict[str, Any]]:
    """The records of our own health in a file, without the rest of it."""
    records = delivered(path) if path.exists() else []
    return [record for record in records if record["type"] == "forwarder.health"]


def metrics(lambda_: FakeLambda) -> list[dict[str, Any]]:
    return [line for line in lambda_.log if line["message"] == "health"]


async def wait_for(lambda_: FakeLambda, message: str) -> None:
    async with asyncio.timeout(20):
        while not any(line["message"] == message for line in lambda_.log):
            await asyncio.sleep(0.01)


async def test_one_line_says_what_runs(lambda_: FakeLambda, tmp_path: Path) -> None:
    """Version, sinks, flush mode with its reason, and milliseconds are in one line, without any invocation."""
    await lambda_.start(
        FORWARDER_SINKS=f"file://{tmp_path}/a file://{tmp_path}/b",
        FORWARDER_FALLBACK=f"file://{tmp_path}/c",
        FORWARDER_FLUSH="interval",
    )
    await lambda_.subscribe()
    await wait_for(lambda_, "started")
    assert lambda_.is_parked
    assert await lambda_.shut_down() == 0
    line, ledger = lambda_.log
    assert 0 < line.pop("registerMs") < line.pop("nextMs")
    names = ["file:// (1)", "file:// (2)", "file:// (3)"]
    told = {"version": VERSION, "sinks": names, "flush": "interval", "because": "FORWARDER_FLUSH"}
    assert line == {"forwarder": True, "level": "INFO", "message": "started", **told}
    assert ledger["version"] == VERSION


async def test_the_line_comes_before_the_first_event_is_handled(lambda_: FakeLambda, tmp_path: Path) -> None:
    """A SHUTDOWN that waits already leaves neither the line out nor prints it twice."""
    event = {"eventType": "SHUTDOWN", "deadlineMs": 0, "shutdownReason": "spindown"}
    lambda_.answers["next"] = [ApiAnswer(200, json.dumps(event).encode())]
    await lambda_.start(FORWARDER_SINKS=f"file://{tmp_path}/a")
    assert lambda_.process is not None
    assert await lambda_.process.wait() == 0
    assert lambda_._reading is not None
    await lambda_._reading
    assert [line["message"] for line in lambda_.log] == ["started", "ledger"]


@pytest.mark.parametrize(
    ("variables", "mode", "because"),
    [
        ({}, "adaptive", "the default"),
        (
            {"FORWARDER_BUFFER_TIMEOUT_MS": "3000"},
            "adaptive",
            "no invocation is held, since FORWARDER_BUFFER_TIMEOUT_MS is long",
        ),
        (
            {"AWS_LAMBDA_INITIALIZATION_TYPE": "lambda-managed-instances"},
            "interval",
            "there are no INVOKE events, as on Managed Instances",
        ),
    ],
)
async def test_the_line_says_why(
    lambda_: FakeLambda, tmp_path: Path, variables: dict[str, str], mode: str, because: str
) -> None:
    """The reason for the flush mode is the one that counts."""
    await lambda_.start(FORWARDER_SINKS=f"file://{tmp_path}/a", **variables)
    await wait_for(lambda_, "started")
    [line] = [line for line in lambda_.log if line["message"] == "started"]
    assert (line["flush"], line["because"]) == (mode, because)


async def test_requests_say_the_version(lambda_: FakeLambda) -> None:
    """An intake sees in User-Agent which version sends."""
    with FaultServer() as server:
        await lambda_.start(FORWARDER_SINKS=f"{server.url}/in")
        await lambda_.subscribe()
        await lambda_.invoke("r1", "one")
        assert await lambda_.shut_down() == 0
    assert {request.headers["user-agent"] for request in server.requests} == {f"telemetry-forwarder/{VERSION}"}


async def test_a_sink_of_its_own_is_told_how_it_is(lambda_: FakeLambda, tmp_path: Path) -> None:
    """At start and at SHUTDOWN a record goes to that sink and to no other, which has all else; the ledger balances."""
    await lambda_.start(
        FORWARDER_SINKS=f"file://{tmp_path}/a", FORWARDER_HEALTH=f"file://{tmp_path}/h", FORWARDER_FLUSH="invocation"
    )
    await lambda_.subscribe()
    await lambda_.invoke("r1", "one")
    assert await lambda_.shut_down() == 0
    assert health(tmp_path / "a") == []
    first, last = (record["record"] for record in delivered(tmp_path / "h"))
    assert (first["why"], first["version"], first["delivered"], first["problems"]) == ("start", VERSION, 0, [])
    assert (last["why"], last["delivered"], last["dropped"], last["unhealthy"]) == ("shutdown", 4, 0, [])
    assert 0 < last["tailLastMs"] <= last["tailMaxMs"] <= last["addedMs"]
    assert "one" in [record["record"] for record in delivered(tmp_path / "a")]
    assert_balanced(lambda_.ledger)


@pytest.mark.parametrize("chosen", ["fallback", "a sink"])
async def test_a_sink_that_is_there_anyway_is_told(lambda_: FakeLambda, tmp_path: Path, chosen: str) -> None:
    """The fallback, or one of the sinks, gets the records beside all else, and is there once."""
    url = "fallback" if chosen == "fallback" else f"file://{tmp_path}/a"
    await lambda_.start(
        FORWARDER_SINKS=f"file://{tmp_path}/a", FORWARDER_FALLBACK=f"file://{tmp_path}/b", FORWARDER_HEALTH=url
    )
    await lambda_.subscribe()
    await lambda_.invoke("r1", "one")
    assert await lambda_.shut_down() == 0
    told, other = ("b", "a") if chosen == "fallback" else ("a", "b")
    assert [record["record"]["why"] for record in health(tmp_path / told)] == ["start", "shutdown"]
    assert health(tmp_path / other) == []
    assert len(lambda_.ledger["sinks"]) == 2


async def test_a_sink_that_fails_is_told(lambda_: FakeLambda, tmp_path: Path) -> None:
    """While a sink refuses everything, health says so once, however many invocations there are meanwhile."""
    with FaultServer(otherwise=Answer(403)) as server:
        await lambda_.start(
            FORWARDER_SINKS=f"{server.url}/{SECRET}",
            FORWARDER_HEALTH=f"file://{tmp_path}/h",
            FORWARDER_FLUSH="invocation",
        )
        await lambda_.subscribe()
        for number in range(1, 6):
            await lambda_.invoke(f"r{number}", "one")
        assert await lambda_.shut_down() == 0
    told = [record["record"] for record in health(tmp_path / "h")]
    assert [record["why"] for record in told] == ["start", "change", "shutdown"]
    assert [record["unhealthy"] for record in told] == [[], [f"http://{server.host}"], [f"http://{server.host}"]]
    assert SECRET not in (tmp_path / "h").read_text()


async def test_a_sink_of_health_that_is_dead_holds_nothing(lambda_: FakeLambda, tmp_path: Path) -> None:
    """Where nobody takes what is said of ourselves, all else is delivered as ever, and it is counted."""
    with FaultServer(otherwise=Answer(500)) as server:
        await lambda_.start(FORWARDER_SINKS=f"file://{tmp_path}/a", FORWARDER_HEALTH=f"{server.url}/h")
        await lambda_.subscribe()
        async with asyncio.timeout(20):
            await lambda_.invoke("r1", "one", timeout_s=60.0)
        assert "one" in [record["record"] for record in delivered(tmp_path / "a")]
        assert await lambda_.shut_down() == 0
    assert_balanced(lambda_.ledger)
    told = lambda_.ledger["sinks"][f"http://{server.host}"]
    assert sum(told["dropped"].values()) == 2


async def test_emf_is_what_cloudwatch_reads(lambda_: FakeLambda, tmp_path: Path) -> None:
    """Lines of the log are metrics by AWS's schema; what they count adds up over them."""
    await lambda_.start(
        FORWARDER_SINKS=f"file://{tmp_path}/a",
        FORWARDER_HEALTH="emf",
        FORWARDER_FLUSH="invocation",
        FORWARDER_LOG_LEVEL="ERROR",
    )
    await lambda_.subscribe()
    await lambda_.invoke("r1", "one")
    assert await lambda_.shut_down() == 0
    lines = metrics(lambda_)
    for line in lines:
        jsonschema.validate(line, SCHEMA)
        [directive] = line["_aws"]["CloudWatchMetrics"]
        assert all(isinstance(line[metric["Name"]], int | float) for metric in directive["Metrics"])
        assert all(isinstance(line[name], str) for names in directive["Dimensions"] for name in names)
    assert [line["why"] for line in lines] == ["start", "shutdown"]
    assert [line["Starts"] for line in lines] == [1, 0]
    assert sum(line["Delivered"] for line in lines) == 3
    assert {(line["FunctionName"], line["Version"]) for line in lines} == {("orders", VERSION)}
    assert "_aws" not in (tmp_path / "a").read_text()


@pytest.mark.parametrize("on_error", ["open", "strict"])
async def test_bad_settings_are_told_to_a_good_sink(lambda_: FakeLambda, tmp_path: Path, on_error: str) -> None:
    """A typo forwards nothing, and yet the sink of FORWARDER_HEALTH learns of it, with the problems of the log."""
    lambda_.answers["error"] = [ApiAnswer(202)]
    await lambda_.start(
        FORWARDER_SINK=f"file://{tmp_path}/{SECRET}",
        FORWARDER_SINKS=f"s3://user:{SECRET}@bucket/x",
        FORWARDER_HEALTH=f"file://{tmp_path}/h",
        FORWARDER_ON_ERROR=on_error,
    )
    if on_error == "open":
        async with asyncio.timeout(20):
            while not health(tmp_path / "h"):
                await asyncio.sleep(0.01)
        await lambda_.invoke("r1")
        assert await lambda_.shut_down() == 0
    else:
        assert lambda_.process is not None
        assert await lambda_.process.wait() == 1
    [record] = health(tmp_path / "h")
    [line] = lambda_.log
    assert record["record"]["problems"] == line["problems"]
    assert (record["record"]["why"], record["record"]["version"]) == ("bad settings", VERSION)
    assert record["lambda"]["functionName"] == "orders"
    assert SECRET not in json.dumps(record)


async def test_bad_settings_are_told_as_metrics(lambda_: FakeLambda) -> None:
    """With emf the log has a metric that counts what is wrong."""
    await lambda_.start(FORWARDER_SINKS="gopher://x", FORWARDER_FLUSH="often", FORWARDER_HEALTH="emf")
    assert await lambda_.shut_down() == 0
    [line] = metrics(lambda_)
    jsonschema.validate(line, SCHEMA)
    assert (line["BadSettings"], len(line["problems"]), line["Starts"]) == (2, 2, 1)


async def test_bad_settings_are_told_once_the_sink_answers(lambda_: FakeLambda) -> None:
    """A sink that fails at first gets the record a moment later, beside the invocations."""
    with FaultServer([Answer(503), Answer(503)]) as server:
        await lambda_.start(FORWARDER_FLUSH="often", FORWARDER_HEALTH=f"{server.url}/h")
        await lambda_.invoke("r1")
        *_, last = await asyncio.to_thread(server.wait_for, 3, 20.0)
        assert await lambda_.shut_down() == 0
    assert json.loads(last.text)["record"]["problems"] == lambda_.log[0]["problems"]


async def test_no_sinks_are_told(lambda_: FakeLambda, tmp_path: Path) -> None:
    """That FORWARDER_SINKS is not set is told as well."""
    await lambda_.start(FORWARDER_HEALTH=f"file://{tmp_path}/h")
    async with asyncio.timeout(20):
        while not health(tmp_path / "h"):
            await asyncio.sleep(0.01)
    assert await lambda_.shut_down() == 0
    [record] = health(tmp_path / "h")
    assert record["record"]["problems"] == ["FORWARDER_SINKS is not set"]


async def test_health_that_cannot_be_told_is_no_trouble(lambda_: FakeLambda) -> None:
    """Where FORWARDER_HEALTH is wrong itself, or its sink refuses the record, the function is left alone."""
    with FaultServer(otherwise=Answer(403)) as server:
        await lambda_.start(FORWARDER_FLUSH="often", FORWARDER_HEALTH=f"{server.url}/{SECRET}")
        await wait_for(lambda_, "health is not told")
        await lambda_.invoke("r1")
        assert await lambda_.shut_down() == 0
    assert SECRET not in json.dumps(lambda_.log)


async def test_health_is_told_nowhere_without_the_secrets_of_the_place(lambda_: FakeLambda) -> None:
    """With bad settings no secret is fetched, and no record goes to what stands in for one; the log says so."""
    with FaultServer() as server:
        await lambda_.start(
            FORWARDER_FLUSH="often",
            FORWARDER_FALLBACK=f"{server.url}/${{ssm:/token}}",
            FORWARDER_HEALTH="fallback",
        )
        await lambda_.invoke("r1")
        assert await lambda_.shut_down() == 0
        assert server.requests == []
        [told] = [line for line in lambda_.log if line["message"] == "health is not told"]
        assert "secret" in told["reason"]


async def test_a_sink_of_its_own_beside_a_fallback(lambda_: FakeLambda, tmp_path: Path) -> None:
    """A sink that is told of our health alone hands nothing over, and the fallback gets what others did not take."""
    with FaultServer(otherwise=Answer(500)) as server:
        await lambda_.start(
            FORWARDER_SINKS=server.url,
            FORWARDER_FALLBACK=f"file://{tmp_path}/b",
            FORWARDER_HEALTH=f"file://{tmp_path}/h",
        )
        await lambda_.subscribe()
        await lambda_.invoke("r1", "one")
        assert await lambda_.shut_down() == 0
    assert [line for line in lambda_.log if line.get("level") == "ERROR"] == []
    assert "one" in [record["record"] for record in delivered(tmp_path / "b")]
    assert [record["record"]["why"] for record in health(tmp_path / "h")][-1] == "shutdown"
    first, _, fallback = lambda_.ledger["sinks"].values()
    assert first["fellBack"] == fallback["delivered"] > 0


async def test_a_sink_that_is_not_open_is_told(lambda_: FakeLambda, tmp_path: Path) -> None:
    """While its secret does not come, a sink is unhealthy; once it is open, that is a change."""
    vault = Vault(first=[Hang()] * 1000, parameters={"token": "x"})
    with FaultServer(vault) as services, FaultServer() as server:
        await lambda_.start(
            FORWARDER_SINKS=f"{server.url}/${{ssm:token}}",
            FORWARDER_HEALTH=f"file://{tmp_path}/h",
            AWS_ENDPOINT_URL_SSM=services.url,
        )
        await lambda_.subscribe()
        await wait_for(lambda_, "started")
        vault.first.clear()
        await wait_for(lambda_, "sink is open now")
        await lambda_.invoke("r1", "one")
        assert await lambda_.shut_down() == 0
    told = [(record["record"]["why"], record["record"]["unhealthy"]) for record in health(tmp_path / "h")]
    assert told == [("start", [f"http://{server.host}"]), ("change", []), ("shutdown", [])]


async def test_a_sink_that_is_refused_is_told(lambda_: FakeLambda, tmp_path: Path) -> None:
    """A sink that can never be opened is unhealthy, and what is dropped for it is counted."""
    vault = Vault(first=[Hang()] * 1000)
    with FaultServer(vault) as services:
        await lambda_.start(
            FORWARDER_SINKS="http://h/${ssm:token}",
            FORWARDER_HEALTH=f"file://{tmp_path}/h",
            AWS_ENDPOINT_URL_SSM=services.url,
        )
        await lambda_.subscribe()
        await wait_for(lambda_, "started")
        vault.first.clear()
        await wait_for(lambda_, "sink cannot be opened; it gets nothing")
        await lambda_.invoke("r1", "one")
        assert await lambda_.shut_down() == 0
    *_, last = (record["record"] for record in health(tmp_path / "h"))
    assert (last["unhealthy"], last["dropped"]) == (["http://h"], 4)


@pytest.mark.parametrize("where", ["emf", "a sink", "fallback"])
async def test_what_is_dropped_at_the_end_is_told(lambda_: FakeLambda, tmp_path: Path, where: str) -> None:
    """What waits for a sink that does not answer is among what is dropped, as in the ledger."""
    path = tmp_path / "h"
    with FaultServer(otherwise=Answer(403)) as server:
        await lambda_.start(
            FORWARDER_SINKS=server.url,
            FORWARDER_HEALTH={"emf": "emf", "a sink": f"file://{path}", "fallback": "fallback"}[where],
            **({"FORWARDER_FALLBACK": f"file://{path}"} if where == "fallback" else {}),
            FORWARDER_FLUSH="invocation",
        )
        await lambda_.subscribe()
        await lambda_.invoke("r1", "one")
        assert await lambda_.shut_down() == 0
    dropped = sum(sum(account["dropped"].values()) for account in lambda_.ledger["sinks"].values())
    assert (dropped > 0) == (where != "fallback")
    if where == "emf":
        assert sum(line["Dropped"] for line in metrics(lambda_)) == dropped
        assert [line["message"] for line in lambda_.log][-2:] == ["health", "ledger"]
    else:
        *_, last = (record["record"] for record in health(path))
        assert (last["why"], last["dropped"]) == ("shutdown", dropped)


@pytest.mark.parametrize("has_fallback", [False, True])
async def test_what_is_capped_is_lost_where_there_is_no_fallback(
    lambda_: FakeLambda, tmp_path: Path, has_fallback: bool
) -> None:
    """Records over the cap are dropped in the sense of health, and a change, unless the fallback gets them."""
    fallback = {"FORWARDER_FALLBACK": f"file://{tmp_path}/b"} if has_fallback else {}
    await lambda_.start(
        FORWARDER_SINKS=f"file://{tmp_path}/a",
        FORWARDER_HEALTH=f"file://{tmp_path}/h",
        FORWARDER_MAX_BYTES_PER_MINUTE=str(1 << 16),
        FORWARDER_FLUSH="invocation",
        **fallback,
    )
    await lambda_.subscribe()
    await wait_for(lambda_, "started")
    await lambda_.invoke("r1", *["x" * 4000] * 40)
    assert await lambda_.shut_down() == 0
    capped = lambda_.ledger["capped"]
    told = [(record["record"]["why"], record["record"]["dropped"]) for record in health(tmp_path / "h")]
    assert capped > 0
    if has_fallback:
        assert told == [("start", 0), ("shutdown", 0)]
    else:
        assert told == [("start", 0), ("change", capped), ("shutdown", capped)]

"""The layer as it ships against sinks that fail: the invocation is never the one to pay."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest
import zstandard

from tests.support.fault_server import Answer, FaultServer, Hang, Reset, refused_port
from tests.support.forwarding import assert_balanced, received

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.fake_lambda import FakeLambda


async def test_http_delivers_gzipped_ndjson(lambda_: FakeLambda) -> None:
    """The http sink POSTs the records as gzipped NDJSON with the headers that were set."""
    with FaultServer() as server:
        await lambda_.start(FORWARDER_SINKS=f"{server.url}/v1/logs", FORWARDER_HEADERS="Api-Key: abc")
        await lambda_.subscribe()
        await lambda_.invoke("r1", "one", "two")
        assert await lambda_.shut_down() == 0
    first = server.requests[0]
    assert (first.method, first.path, first.headers["api-key"]) == ("POST", "/v1/logs", "abc")
    assert (first.headers["content-encoding"], first.headers["content-type"]) == ("gzip", "application/x-ndjson")
    assert received(server) == ["one", "two"]


@pytest.mark.parametrize(("compression", "unpack"), [("zstd", zstandard.decompress), ("none", bytes)])
async def test_http_compresses_as_it_is_told(
    lambda_: FakeLambda, compression: str, unpack: Callable[[bytes], bytes]
) -> None:
    """compression= says how bodies are packed, and the header names it, or is not there."""
    with FaultServer() as server:
        await lambda_.start(FORWARDER_SINKS=f"{server.url}/?compression={compression}&types=function")
        await lambda_.subscribe()
        await lambda_.invoke("r1", "one")
        assert await lambda_.shut_down() == 0
    [request] = server.requests
    assert request.headers.get("content-encoding", "none") == compression
    assert json.loads(unpack(request.body))["record"] == "one"


@pytest.mark.parametrize(
    "fault",
    [Answer(500), Answer(429, {"Retry-After": "0"}), Reset(), Reset(polite=True), Answer(200, {}, b"x" * 100, cut=5)],
)
async def test_a_fault_that_passes_costs_nothing(lambda_: FakeLambda, fault: Answer | Reset) -> None:
    """One failed request is repeated within the invocation, and every line is there."""
    with FaultServer([fault]) as server:
        await lambda_.start(FORWARDER_SINKS=f"{server.url}/")
        await lambda_.subscribe()
        await lambda_.invoke("r1", "one")
        assert await lambda_.shut_down() == 0
    assert "one" in received(server)
    [account] = lambda_.ledger["sinks"].values()
    assert (account["pending"], account["dropped"]) == (0, {})
    assert_balanced(lambda_.ledger)


@pytest.mark.parametrize("fault", [Answer(500), Hang(), Reset(), None])
async def test_a_dead_sink_never_fails_the_function(lambda_: FakeLambda, fault: Answer | Hang | Reset | None) -> None:
    """A sink that answers 500 for ever, hangs, resets or refuses connections: invocations end before their deadline,
    SHUTDOWN ends before its own, and every record is accounted for."""  # noqa: D209, D205 - one claim
    with FaultServer(otherwise=Answer() if fault is None else fault) as server:
        url = f"http://127.0.0.1:{refused_port()}/" if fault is None else f"{server.url}/"
        await lambda_.start(FORWARDER_SINKS=url)
        await lambda_.subscribe()
        for number in range(3):
            async with asyncio.timeout(8.0):  # it is held for 2 s at most
                await lambda_.invoke(f"r{number}", "line", timeout_s=8.0)
        assert await lambda_.shut_down() == 0
    [account] = lambda_.ledger["sinks"].values()
    assert account["delivered"] == 0
    assert account["pending"] + sum(account["dropped"].values()) == 9
    assert_balanced(lambda_.ledger)


async def test_a_slow_sink_delays_no_other(lambda_: FakeLambda, tmp_path: Path) -> None:
    """While one sink hangs, the other has every record of every invocation at its end."""
    path = tmp_path / "out"
    with FaultServer(otherwise=Hang()) as server:
        await lambda_.start(FORWARDER_SINKS=f"{server.url}/ file://{path}")
        await lambda_.subscribe()
        await lambda_.invoke("r1", "one")
        await lambda_.invoke("r2", "two")
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        assert [line["record"] for line in lines if line["type"] == "function"] == ["one", "two"]
        assert await lambda_.shut_down() == 0


async def test_a_refusal_is_said_once_with_its_reason(lambda_: FakeLambda) -> None:
    """Records that an intake refuses for good are dropped with the status as the reason, not tried for ever."""
    with FaultServer(otherwise=Answer(403)) as server:
        await lambda_.start(FORWARDER_SINKS=f"{server.url}/")
        await lambda_.subscribe()
        await lambda_.invoke("r1", "one")
        assert await lambda_.shut_down() == 0
    [account] = lambda_.ledger["sinks"].values()
    assert account["dropped"] == {"HTTP 403": lambda_.ledger["received"] + lambda_.ledger["added"]}
    assert len(server.requests) <= 2
    assert_balanced(lambda_.ledger)


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.0 200 OK\r\n\r\n",
        b"HTTP/1.1 202 Accepted\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
    ],
    ids=["HTTP/1.0", "close", "103"],
)
async def test_an_intake_that_ends_each_connection_gets_each_record_once(
    lambda_: FakeLambda, tmp_path: Path, raw: bytes
) -> None:
    """An intake that answers 200 and ends the connection has taken the batch: the ledger says so, and it comes once."""
    with FaultServer(otherwise=Answer(raw=raw, close=True)) as server:
        await lambda_.start(FORWARDER_SINKS=f"{server.url}/", FORWARDER_FALLBACK=f"file://{tmp_path}/fallback")
        await lambda_.subscribe()
        await lambda_.invoke("r1", "one")
        await lambda_.invoke("r2", "two")
        assert await lambda_.shut_down() == 0
    assert received(server) == ["one", "two"]
    account, fallback = lambda_.ledger["sinks"].values()
    assert (account["delivered"], account["fellBack"]) == (lambda_.ledger["received"], 0)
    assert fallback["delivered"] == 0


async def test_an_intake_that_takes_little_gets_everything(lambda_: FakeLambda) -> None:
    """An intake that takes but a few records in a request gets all of them, and soon no more at once than it takes."""
    lines = [f"line {number}" for number in range(300)]
    with FaultServer(lambda request: Answer(413 if request.text.count(b"\n") > 8 else 200)) as server:
        await lambda_.start(FORWARDER_SINKS=f"{server.url}/?types=function", FORWARDER_FLUSH="invocation")
        await lambda_.subscribe()
        await lambda_.invoke("r0", *lines, timeout_s=30.0)
        for number in range(1, 30):  # each is held for 2 s at most
            if sum(count for request in server.requests if (count := request.text.count(b"\n")) <= 8) >= len(lines):
                break
            await lambda_.invoke(f"r{number}", timeout_s=30.0)
        assert await lambda_.shut_down(timeout_s=9.0) == 0
        taken = [request for request in server.requests if request.text.count(b"\n") <= 8]
    texts = [json.loads(line)["record"] for request in taken for line in request.text.splitlines()]
    assert sorted(texts) == sorted(lines)
    [account] = lambda_.ledger["sinks"].values()
    assert account["dropped"] == {}
    assert_balanced(lambda_.ledger)

"""The layer as it ships: stack traces that a function prints line by line, each as one record."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import pytest

from simulator.environment import Environment
from simulator.report import picture
from tests.support import ROOT
from tests.support.fault_server import FaultServer
from tests.support.forwarding import assert_balanced, delivered
from tests.support.otlp_corpus import said
from tests.support.sink_cases.otlp import Collector

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.fake_lambda import FakeLambda

FUNCTION = ROOT / "tests" / "support" / "printing_traces"
TRACES = sorted((ROOT / "tests" / "support" / "data" / "traces").iterdir())
TEXTS = [path.read_text().removesuffix("\n") for path in TRACES]
WAIT_S = 8.0
LATE_S = 0.012


async def simulate(layer: Path, sinks: str, *events: dict[str, Any], **variables: str) -> dict[str, Any]:
    """The ledger of an environment that was invoked with these events."""
    env = {"FORWARDER_SINKS": sinks, "PATH": os.environ["PATH"], **variables}
    async with Environment(layer=layer, function=FUNCTION, env=env, timeout_s=20.0) as environment:
        for event in events:
            await environment.invoke(event)
    ledger = picture.ledger(environment)
    assert ledger
    assert_balanced(ledger)
    return ledger


def printed(path: Path) -> list[dict[str, Any]]:
    return [line for line in delivered(path) if line["type"] == "function"]


async def test_traces_are_records(layer: Path, tmp_path: Path) -> None:
    """Of all runtimes, each whole and in order; the ledger counts the lines that went into them."""
    path = tmp_path / "out"
    ledger = await simulate(layer, f"file://{path}", {"print": ["begin", *TEXTS, "end"]}, FORWARDER_JOIN="traces")
    lines = printed(path)
    assert [line["record"].removesuffix("\n") for line in lines] == ["begin", *TEXTS, "end"]
    assert [line["lambda"].get("joined") for line in lines] == [
        None,
        *[text.count("\n") + 1 for text in TEXTS],
        None,
    ]
    assert ledger["joined"] == sum(text.count("\n") for text in TEXTS)
    assert len({line["lambda"]["requestId"] for line in lines}) == 1


async def test_lines_are_records_unless_it_is_asked_for(layer: Path, tmp_path: Path) -> None:
    """Without the setting each line stays what it was."""
    path = tmp_path / "out"
    ledger = await simulate(layer, f"file://{path}", {"print": TEXTS})
    assert [line["record"].removesuffix("\n") for line in printed(path)] == "\n".join(TEXTS).split("\n")
    assert ledger["joined"] == 0


async def test_a_traceback_is_an_exception_of_opentelemetry(layer: Path) -> None:
    """What Python's logging wrote in six lines is one log record with a level, a type, a message and a trace."""
    with FaultServer(collector := Collector()) as server:
        await simulate(layer, f"otlp+{server.url}?signals=logs", {"fail": True}, FORWARDER_JOIN="traces")
    [found] = [one for one in map(said, collector.logs()) if not one["event"]]
    assert (found["level"], found["severity"]) == ("ERROR", 17)
    assert found["attributes"]["exception.type"] == "KeyError"
    assert found["attributes"]["exception.message"] == "17"
    assert found["attributes"]["exception.stacktrace"].startswith("Traceback (most recent call last):\n  File ")


@pytest.mark.parametrize("name", ["java.txt", "node.txt", "dotnet.txt"])
async def test_a_trace_is_an_exception_of_opentelemetry(layer: Path, name: str) -> None:
    """So is one that another runtime printed."""
    text = TEXTS[[path.name for path in TRACES].index(name)]
    with FaultServer(collector := Collector()) as server:
        await simulate(layer, f"otlp+{server.url}?signals=logs", {"print": [text]}, FORWARDER_JOIN="traces")
    [found] = [one for one in map(said, collector.logs()) if not one["event"]]
    assert found["attributes"]["exception.type"] in text.partition("\n")[0]
    assert found["attributes"]["exception.stacktrace"].removesuffix("\n") == text


async def test_managed_instances_join_nothing(layer: Path, tmp_path: Path) -> None:
    """Lines of several requests come in turn there, and plain text does not say whose it is."""
    path = tmp_path / "out"
    env = {"FORWARDER_SINKS": f"file://{path}", "FORWARDER_JOIN": "traces", "PATH": os.environ["PATH"]}
    managed = Environment(layer=layer, function=FUNCTION, env=env, init_type="lambda-managed-instances")
    async with managed as environment:
        await environment.invoke({"print": TEXTS[:1]})
    assert len(printed(path)) == TEXTS[0].count("\n") + 1


async def test_a_held_invocation_ends_with_all_its_lines(lambda_: FakeLambda, tmp_path: Path) -> None:
    """Nothing waits for more behind runtimeDone: not the last line before it, nor a late one that came with it."""
    path = tmp_path / "out"
    variables = {"FORWARDER_SINKS": f"file://{path}", "FORWARDER_FLUSH": "invocation", "FORWARDER_JOIN": "traces"}
    await lambda_.start(**variables)
    await lambda_.subscribe()
    await lambda_.ready()
    for number in range(5):
        held = asyncio.create_task(lambda_.invoke(f"r{number}", f"line {number}", done=False))
        await asyncio.sleep(0)  # it runs until it waits for the forwarder
        lambda_.record("platform.runtimeDone", {"requestId": f"r{number}", "status": "success"})
        lambda_.record("function", f"late {number}")
        await held
        assert [line["record"] for line in printed(path)][-2:] == [f"line {number}", f"late {number}"]
    assert await lambda_.shut_down() == 0
    assert_balanced(lambda_.ledger)


async def test_a_line_does_not_wait_for_long(lambda_: FakeLambda, tmp_path: Path) -> None:
    """In the middle of an invocation that prints no more, and with nothing else to send, it leaves all the same."""
    path = tmp_path / "out"
    await lambda_.start(
        FORWARDER_SINKS=f"file://{path}",
        FORWARDER_FLUSH="interval",
        FORWARDER_FLUSH_INTERVAL_MS="100",
        FORWARDER_JOIN="traces",
    )
    await lambda_.subscribe()
    await lambda_.invoke("r1", done=False)
    async with asyncio.timeout(WAIT_S):
        while not path.exists() or "platform.start" not in path.read_text():
            await asyncio.sleep(0.01)
        lambda_.record("function", "the only line")
        while "the only line" not in path.read_text():
            await asyncio.sleep(0.01)
    assert await lambda_.shut_down() == 0


async def test_shutdown_waits_for_no_more_lines(lambda_: FakeLambda, tmp_path: Path) -> None:
    """What a handler of SIGTERM prints last is delivered, joined as far as it goes."""
    path = tmp_path / "out"
    await lambda_.start(FORWARDER_SINKS=f"file://{path}", FORWARDER_JOIN="traces")
    await lambda_.subscribe()
    await lambda_.invoke("r1", "line")
    lambda_.record("platform.report", {"requestId": "r1", "status": "success"})  # which it would wait for
    ending = asyncio.create_task(lambda_.shut_down())
    await asyncio.sleep(LATE_S)  # not to wait for anything: that the lines come behind SHUTDOWN is what is tested
    lambda_.record("function", "java.lang.Error: no")
    lambda_.record("function", "\tat a.B.c(B.java:1)")
    assert await ending == 0
    assert printed(path)[-1]["record"] == "java.lang.Error: no\n\tat a.B.c(B.java:1)"
    assert_balanced(lambda_.ledger)

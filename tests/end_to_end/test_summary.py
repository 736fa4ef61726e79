"""The layer as it ships: one summary of each invocation, and what the key "lambda" says on request."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from simulator.environment import Environment
from simulator.report import picture
from tests.support.fault_server import FaultServer
from tests.support.forwarding import assert_balanced, delivered
from tests.support.otlp_corpus import said
from tests.support.probe_layer import EXAMPLE
from tests.support.sink_cases.otlp import Collector

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.fake_lambda import FakeLambda

GROUP = "summaries"
LINES = 4  # that the example function writes in an invocation


async def simulate(layer: Path, **variables: str) -> dict[str, Any]:
    """The ledger of an environment with three invocations."""
    async with Environment(layer=layer, function=EXAMPLE, env=variables, tracing=True) as environment:
        for number in range(3):
            await environment.invoke({"n": number})
    ledger = picture.ledger(environment)
    assert ledger
    assert_balanced(ledger)
    return ledger


async def test_each_invocation_has_a_summary(layer: Path, tmp_path: Path) -> None:
    """It counts what the function wrote although none of that is forwarded, and is counted as added."""
    path = tmp_path / "out"
    ledger = await simulate(layer, FORWARDER_SINKS=f"file://{path}?types=platform", FORWARDER_SUMMARY="json")
    lines = delivered(path)
    starts = [line["record"]["requestId"] for line in lines if line["type"] == "platform.start"]
    summaries = [line for line in lines if line["type"] == "forwarder.invocation"]
    assert [line["record"]["requestId"] for line in summaries] == starts
    assert [line["lambda"]["requestId"] for line in summaries] == starts
    assert [line["record"]["lines"] for line in summaries] == [LINES] * 3
    assert [line["record"]["coldStart"] for line in summaries] == [True, False, False]
    assert all(line["record"]["status"] == "success" and line["record"]["durationMs"] > 0 for line in summaries)
    assert all(line["record"]["levels"] == {"WARN": 1, "INFO": 1} for line in summaries)
    assert "initDurationMs" in summaries[0]["record"]
    assert not {line["type"] for line in lines} & {"forwarder.metric", "forwarder.span"}
    assert ledger["added"] == 3


async def test_cloudwatch_gets_metrics(lambda_: FakeLambda, moto: str, tmp_path: Path) -> None:
    """An event of the log group is the embedded metric format as a whole; other sinks have the same record."""
    logs = boto3.client(
        "logs", "eu-west-1", endpoint_url=moto, aws_access_key_id="testing", aws_secret_access_key="testing"
    )
    logs.create_log_group(logGroupName=GROUP)
    sinks = f"logs://{GROUP}/stream file://{tmp_path}/out"
    await lambda_.start(FORWARDER_SINKS=sinks, FORWARDER_SUMMARY="emf", AWS_ENDPOINT_URL=moto)
    await lambda_.subscribe()
    await lambda_.invoke("r1", "[ERROR] no", "line")
    lambda_.record("platform.report", {"requestId": "r1", "status": "error", "metrics": {"durationMs": 12.5}})
    assert await lambda_.shut_down() == 0
    events = logs.get_log_events(logGroupName=GROUP, logStreamName="stream", startFromHead=True)["events"]
    [event] = [found for found in map(json.loads, (one["message"] for one in events)) if "_aws" in found]
    [directive] = event["_aws"]["CloudWatchMetrics"]
    assert (directive["Namespace"], directive["Dimensions"]) == ("TelemetryForwarder", [["FunctionName"]])
    assert {metric["Name"]: event[metric["Name"]] for metric in directive["Metrics"]} == {
        "Duration": 12.5,
        "Lines": 2,
        "Bytes": event["record"]["bytes"],
        "ColdStart": 0,
        "Error": 1,
        "Timeout": 0,
    }
    assert event["FunctionName"] == "orders"
    assert event["lambda"]["requestId"] == "r1"
    assert [line for line in delivered(tmp_path / "out") if line["type"] == "forwarder.invocation"] == [event]
    assert_balanced(lambda_.ledger)


async def test_a_summary_holds_no_invocation(lambda_: FakeLambda, tmp_path: Path) -> None:
    """The report comes after /next; the summary leaves with the next invocation, or at SHUTDOWN."""
    path = tmp_path / "out"
    await lambda_.start(FORWARDER_SINKS=f"file://{path}", FORWARDER_SUMMARY="json", FORWARDER_FLUSH="invocation")
    await lambda_.subscribe()
    await lambda_.invoke("r1", "line")
    assert "forwarder.invocation" not in path.read_text()
    lambda_.record("platform.report", {"requestId": "r1", "status": "success", "metrics": {"durationMs": 12.5}})
    await lambda_.invoke("r2", "line")
    assert path.read_text().count('"forwarder.invocation"') == 1
    assert await lambda_.shut_down() == 0
    assert path.read_text().count('"forwarder.invocation"') == 2


async def test_the_trace_is_in_each_record(layer: Path, tmp_path: Path) -> None:
    """As a member of the key, and as the trace id of a log record of OpenTelemetry; not unless it is asked for."""
    path = tmp_path / "out"
    with FaultServer(collector := Collector()) as server:
        sinks = f"file://{path} otlp+{server.url}?signals=logs"
        await simulate(layer, FORWARDER_SINKS=sinks, FORWARDER_ENRICH="traceId,memorySizeMB")
    lines = delivered(path)
    of_invocations = [line for line in lines if line["lambda"].get("requestId")]
    traces = Counter(line["lambda"]["traceId"] for line in of_invocations)
    assert len(traces) == 3
    assert all(line["lambda"]["memorySizeMB"] == 128 for line in lines)
    logs = [one for one in map(said, collector.logs()) if one["invocation"]]
    assert Counter(one["trace"] for one in logs) == traces
    assert not any("aws.lambda.traceId" in one["attributes"] for one in logs)


@pytest.mark.parametrize("name", ["traceId", "initializationType", "memorySizeMB"])
async def test_nothing_is_said_that_was_not_asked_for(layer: Path, tmp_path: Path, name: str) -> None:
    """It would be in every record."""
    path = tmp_path / "out"
    await simulate(layer, FORWARDER_SINKS=f"file://{path}")
    assert name not in {member for line in delivered(path) for member in line["lambda"]}

"""What an OpenTelemetry backend gets of a function, from the frozen layer."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse

from tests.support.fault_server import Answer, FaultServer
from tests.support.otlp_corpus import nanoseconds, said
from tests.support.sink_cases.otlp import Collector, attributes

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.fake_lambda import FakeLambda
    from tests.support.fault_server import Action, Request

REQUEST = "8a3b6d9e-77a5-4f0e-9a53-3a4ab6f3d7d1"
FIELDS = {"userId": "user-123", "action": "login", "durationMs": 42}
STRINGIFIED = json.dumps({"msg": "JSON stringified message", **FIELDS})
WRITTEN = {"msg": "JSON stringified text written directly to stdout", **FIELDS}
PLAIN = "Plain text written directly to stdout"

# The four cases of open-telemetry/opentelemetry-lambda#2173, as the platform sends them for either log format.
TEXT, JSON = "text", "JSON"


def cases(log_format: str, time: str) -> list[object]:
    """What is printed, and the runtime logs at that time."""
    if log_format == TEXT:
        return [
            f"{time}\t{REQUEST}\tINFO\tHello World\n",
            f"{time}\t{REQUEST}\tINFO\t{STRINGIFIED}\n",
            f"{PLAIN}\n",
            f"{json.dumps(WRITTEN)}\n",
        ]
    return [
        {"timestamp": time, "level": "INFO", "requestId": REQUEST, "message": "Hello World"},
        {"timestamp": time, "level": "INFO", "requestId": REQUEST, "message": STRINGIFIED},
        f"{PLAIN}\n",
        WRITTEN,
    ]


async def run(lambda_: FakeLambda, url: str, *records: object, **environment: str) -> None:
    """One invocation whose function writes these records, and SHUTDOWN."""
    await lambda_.start(FORWARDER_SINKS=url, **environment)
    await lambda_.subscribe()
    await lambda_.ready()
    lambda_.record("platform.start", {"requestId": REQUEST, "version": "7"})
    for record in records:
        lambda_.record("function", record)
    await lambda_.invoke(REQUEST)
    assert await lambda_.shut_down() == 0


def printed(collector: Collector) -> list[dict[str, Any]]:
    """What the function's own records say."""
    return [found for found in map(said, collector.logs()) if not found["event"]]


@pytest.mark.parametrize("log_format", [TEXT, JSON])
async def test_nothing_of_a_nodes_logs_is_lost(lambda_: FakeLambda, log_format: str) -> None:
    """Text and JSON, through the runtime's logger and past it, keep body, severity, time, request id and fields."""
    # What is 45 minutes from the platform's time, which is now, would not be taken for the record's own.
    time = (datetime.now(UTC) - timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%S.117Z")
    with FaultServer(collector := Collector()) as server:
        await run(lambda_, f"otlp+{server.url}", *cases(log_format, time))
    found = printed(collector)
    assert [one["body"] for one in found] == ["Hello World", "JSON stringified message", PLAIN, WRITTEN["msg"]]
    assert [one["attributes"] for one in found] == [{}, FIELDS, {}, FIELDS]
    assert [(one["level"], one["severity"]) for one in found] == [("INFO", 9), ("INFO", 9), ("", 0), ("", 0)]
    assert {one["invocation"] for one in found} == {REQUEST}
    assert [one["time_ns"] == nanoseconds(time) for one in found] == [True, True, False, False]


async def test_resource_of_the_function(lambda_: FakeLambda) -> None:
    """The resource says which function it is, under the service name that the user gave it."""
    with FaultServer(collector := Collector()) as server:
        await run(lambda_, f"otlp+{server.url}?signals=logs", "x", OTEL_SERVICE_NAME="shop")
    found = attributes(collector.taken[-1][1].resource_logs[0].resource.attributes)
    assert found["service.name"] == "shop"
    assert found["cloud.resource_id"] == "arn:aws:lambda:eu-west-1:123456789012:function:orders:7"
    assert found["faas.max_memory"] == 128 << 20


async def test_tags_are_in_every_record(lambda_: FakeLambda, tmp_path: Path) -> None:
    """FORWARDER_TAGS are in the key of every line, and in the resource."""
    with FaultServer(collector := Collector()) as server:
        sinks = f"otlp+{server.url}?signals=logs file://{tmp_path}/out.ndjson"
        await run(lambda_, sinks, "x", FORWARDER_TAGS="team=shop,environment=prod,id=7")
    tags = {"team": "shop", "environment": "prod", "id": "7"}
    lines = [json.loads(line) for line in (tmp_path / "out.ndjson").read_bytes().splitlines()]
    assert [line["lambda"]["tags"] for line in lines] == [tags] * len(lines)
    for _, request in collector.taken:
        assert tags.items() <= attributes(request.resource_logs[0].resource.attributes).items()


async def test_partial_success_is_in_the_ledger(lambda_: FakeLambda) -> None:
    """What the backend rejects of a request is counted with a reason, and not sent again."""
    rejected = []

    def reject_one(request: Request) -> Action:
        response = ExportLogsServiceResponse()
        response.partial_success.rejected_log_records = 1
        rejected.append(request)
        return Answer(200, {"Content-Type": "application/x-protobuf"}, response.SerializeToString())

    with FaultServer(reject_one) as server:
        await run(lambda_, f"otlp+{server.url}?signals=logs", "one", "two")
    [account] = lambda_.ledger["sinks"].values()
    assert account["dropped"] == {"rejected, as its partial success says": len(rejected)}
    assert account["delivered"] == lambda_.ledger["received"] + lambda_.ledger["added"] - len(rejected)
    assert account["pending"] == 0


async def test_a_request_that_is_too_large_is_divided(lambda_: FakeLambda) -> None:
    """A backend that takes few records at once gets all of them, in order."""
    collector = Collector()

    def take_three(request: Request) -> Action:
        found = ExportLogsServiceRequest()
        found.ParseFromString(request.text)
        count = sum(len(scope.log_records) for scope in found.resource_logs[0].scope_logs)
        return Answer(413) if count > 3 else collector(request)

    with FaultServer(take_three) as server:
        await run(lambda_, f"otlp+{server.url}?signals=logs", *map(str, range(40)))
    assert [one["body"] for one in printed(collector)] == list(map(str, range(40)))


async def test_a_wrong_token_is_told(lambda_: FakeLambda, tmp_path: Path) -> None:
    """A backend that refuses the token gets a line in the log, and the records are in the fallback."""
    with FaultServer(lambda _: Answer(401, {}, b"token secret-1 is wrong")) as server:
        fallback = f"file://{tmp_path}/out.ndjson"
        token = {"FORWARDER_HEADERS": "api-key: secret-1", "FORWARDER_FALLBACK": fallback}
        await run(lambda_, f"otlp+{server.url}?signals=logs", "x", **token)
    assert b'"record": "x"' in (tmp_path / "out.ndjson").read_bytes()
    [line] = [line for line in lambda_.log if line["message"] == "sink refuses records"]
    assert line["reason"] == "HTTP 401"
    assert "secret-1" not in str(lambda_.log)

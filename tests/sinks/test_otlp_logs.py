"""What becomes of records as log records of OpenTelemetry, field by field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from extension.sinks._otlp_logs import encode
from extension.sinks._otlp_resource import build
from tests.support.otlp_corpus import CORPUS, KEY, REQUEST, expected, nanoseconds, record, said, typed
from tests.support.otlp_json import parse_json
from tests.support.sink_cases.otlp import attributes, check, value_of

if TYPE_CHECKING:
    from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

    from extension.records import Record


def logs(*records: Record, as_json: bool = False) -> list[LogRecord]:
    """The records as a receiver decodes them."""
    body = encode(records, build(KEY, {}), as_json=as_json)
    request = ExportLogsServiceRequest()
    if as_json:
        parse_json(body, request)
    else:
        request.ParseFromString(body)
    [of_resource] = request.resource_logs
    return [log for scope in of_resource.scope_logs for log in scope.log_records]


@pytest.mark.parametrize("as_json", [False, True], ids=["protobuf", "json"])
@pytest.mark.parametrize("case", CORPUS, ids=lambda case: case["name"])
def test_corpus(case: dict[str, Any], as_json: bool) -> None:
    """Every field, value and severity of a record is where the data model wants it, and nothing else is there."""
    [log] = logs(record(case["record"], case["type"]), as_json=as_json)
    check(log)
    assert typed(said(log)) == typed(expected(case))


def test_corpus_in_one_batch() -> None:
    """A batch of all of them is the same, each in the scope of its kind, in order."""
    every = [record(case["record"], case["type"]) for case in CORPUS]
    kinds = list(dict.fromkeys(one.kind for one in every))
    wanted = [case for kind in kinds for case, one in zip(CORPUS, every, strict=True) if one.kind == kind]
    assert [said(log)["body"] for log in logs(*every)] == [case["expect"]["body"] for case in wanted]


def test_huge_records_are_whole() -> None:
    """A text of a megabyte and an object of 20,000 fields arrive."""
    fields = {f"field {number}": number for number in range(20_000)}
    [text, wide] = logs(record("x" * (1 << 20)), record({"message": "m", **fields}))
    assert said(text)["body"] == "x" * (1 << 20)
    assert said(wide)["attributes"] == fields


def test_a_record_of_too_many_values_is_kept_as_its_line() -> None:
    """What takes too much memory to be read in full is the body as a text."""
    [log] = logs(sent := record([1] * 40_000))
    assert value_of(log.body) == sent.line.decode()
    assert attributes(log.attributes) == {"faas.invocation_id": REQUEST}


@pytest.mark.parametrize("as_json", [False, True], ids=["protobuf", "json"])
def test_a_record_that_is_nested_deeply(as_json: bool) -> None:
    """What is deeper than decoders go is JSON from there on."""
    deep: object = "end"
    for _ in range(60):
        deep = [deep]
    [log] = logs(record({"message": "m", "deep": deep}), as_json=as_json)
    found, depth = said(log)["attributes"]["deep"], 0
    while isinstance(found, list):
        [found], depth = found, depth + 1
    rest = orjson.loads(found)
    for _ in range(60 - depth):
        [rest] = rest
    assert rest == "end"


def test_a_broken_record_does_not_cost_the_others() -> None:
    """A line that cannot be read is a body as it came, and what is before and behind it is as ever."""
    broken = record("x")._replace(line=b'{"time":1,"record":\xff')
    assert [value_of(log.body) for log in logs(record("a"), broken, record("b"))] == [
        "a",
        '{"time":1,"record":\\xff',
        "b",
    ]


def test_time_that_cannot_be_read_is_kept() -> None:
    """Where the platform's time is none, the record was observed now, and what stood there is an attribute."""
    [log] = logs(record("x", time="soon"))
    assert attributes(log.attributes)["aws.lambda.time"] == "soon"
    assert log.observed_time_unix_nano == log.time_unix_nano > nanoseconds("2026-01-01T00:00:00Z")


def test_what_another_sink_said_is_kept() -> None:
    """Of a record that comes from another sink, who refused it and why are attributes."""
    [log] = logs(record("x").refused("s3://bucket", "AccessDenied", 2))
    found = attributes(log.attributes)
    assert (found["aws.lambda.refusedBy"], found["aws.lambda.reason"]) == ("s3://bucket", "AccessDenied")


def test_record_of_no_invocation() -> None:
    """Without a request id there is no faas.invocation_id."""
    key = {name: value for name, value in KEY.items() if name != "requestId"}
    [log] = logs(record("x", key=key))
    assert attributes(log.attributes) == {"log.record.uid": KEY["id"]}


def test_scope_tells_who_wrote_it() -> None:
    """The scope is named after the kind of record."""
    request = ExportLogsServiceRequest()
    request.ParseFromString(encode([record("x"), record("y", "extension")], build(KEY, {}), as_json=False))
    scopes = request.resource_logs[0].scope_logs
    assert [scope.scope.name for scope in scopes] == ["aws.lambda.function", "aws.lambda.extension"]


VARIABLES = {"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512"}


def test_resource() -> None:
    """The resource has the names and types of the semantic conventions."""
    assert attributes(build(KEY, VARIABLES).attributes) == {
        "service.name": "demo",
        "service.instance.id": "0f1e2d3c4b5a6978",
        "cloud.provider": "aws",
        "cloud.platform": "aws_lambda",
        "cloud.region": "eu-west-1",
        "cloud.account.id": "123456789012",
        "cloud.resource_id": "arn:aws:lambda:eu-west-1:123456789012:function:demo:7",
        "faas.name": "demo",
        "faas.version": "7",
        "faas.instance": "0f1e2d3c4b5a6978",
        "faas.max_memory": 512 << 20,
        "aws.log.group.names": ["/aws/lambda/demo"],
    }


@pytest.mark.parametrize(
    ("variables", "tags", "wanted"),
    [
        ({"OTEL_SERVICE_NAME": "shop"}, {}, {"service.name": "shop"}),
        (
            {"OTEL_RESOURCE_ATTRIBUTES": "service.name=a,team=x%2Cy , k="},
            {},
            {"service.name": "a", "team": "x,y", "k": ""},
        ),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=a", "OTEL_SERVICE_NAME": "b"}, {}, {"service.name": "b"}),
        ({"OTEL_RESOURCE_ATTRIBUTES": "team=a"}, {"team": "b"}, {"team": "b"}),
        ({"OTEL_RESOURCE_ATTRIBUTES": "team=a,nonsense"}, {}, {"service.name": "demo", "team": None}),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://elsewhere"}, {}, {"service.name": "demo"}),
    ],
)
def test_resource_as_the_user_wants_it(
    variables: dict[str, str], tags: dict[str, str], wanted: dict[str, object]
) -> None:
    """What the user says of the service wins over what was found; what is malformed counts for none."""
    found = attributes(build({**KEY, "tags": tags}, variables).attributes)
    assert {name: found.get(name) for name in wanted} == wanted


def test_resource_of_nothing() -> None:
    """A resource always has a service, by the specification's own name where none is known."""
    assert attributes(build({}, {}).attributes)["service.name"] == "unknown_service"

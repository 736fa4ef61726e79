"""What becomes of records as log records of OpenTelemetry, field by field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from extension.sinks._otlp_logs import encode
from extension.sinks._otlp_resource import build
from tests.support.otlp_corpus import CORPUS, KEY, REQUEST, TIME, expected, nanoseconds, record, said, typed
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
    assert attributes(log.attributes) == {"faas.invocation_id": REQUEST, "log.record.uid": KEY["id"]}


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
        ({"OTEL_RESOURCE_ATTRIBUTES": "a=%zz,team=2"}, {}, {"a": None, "team": None}),
        ({"OTEL_RESOURCE_ATTRIBUTES": "a=%FF,team=2"}, {}, {"a": None, "team": None}),
        ({"OTEL_RESOURCE_ATTRIBUTES": "a=100%,team=2"}, {}, {"a": None, "team": None}),
        ({"OTEL_RESOURCE_ATTRIBUTES": "a=%C3%A9,team=2"}, {}, {"a": "é", "team": "2"}),
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


TRACEBACK = {"errorType": "ValueError", "errorMessage": "no", "stackTrace": ['  File "app.py", line 3, in handler\n']}
EXCEPTION = {
    "exception.type": "ValueError",
    "exception.message": "no",
    "exception.stacktrace": '  File "app.py", line 3, in handler\n',
}


@pytest.mark.parametrize(
    "inner",
    [
        {"error": {"message": "card declined"}},
        {"errorMessage": "card declined"},
        {"errorType": "CardError", "stackTrace": "a\nb"},
        {"error.type": "CardError", "exception.type": "Other"},
    ],
)
def test_the_exception_of_a_runtimes_object_is_not_lost_for_one_in_its_message(inner: dict[str, object]) -> None:
    """What logger.exception logged is the exception, and what its message says of another stays a field."""
    printed = orjson.dumps({"msg": "charge failed", **inner}).decode()
    [log] = logs(record({"level": "ERROR", "message": printed, "logger": "app", **TRACEBACK}))
    moved = {f"record.{name}" if name in EXCEPTION else name: value for name, value in inner.items()}
    assert (said(log)["body"], said(log)["attributes"]) == ("charge failed", {**moved, **EXCEPTION, "logger": "app"})


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"error.type": "A", "exception.type": "B"}, {"exception.type": "A", "record.exception.type": "B"}),
        ({"exception.type": "B", "errorType": "A"}, {"exception.type": "B", "errorType": "A"}),
        ({"errorMessage": "A", "exception.message": "B"}, {"exception.message": "A", "record.exception.message": "B"}),
        ({"faas.invocation_id": "x"}, {"record.faas.invocation_id": "x"}),
        ({"log.record.uid": "x", "record.log.record.uid": "y"}, None),
    ],
)
def test_a_field_whose_name_is_taken_is_kept_under_another(
    fields: dict[str, object], wanted: dict[str, object] | None
) -> None:
    """It has `record.` before, as often as it takes."""
    [log] = logs(record({"msg": "m", **fields}))
    assert said(log)["attributes"] == (wanted or {"record.record.log.record.uid": "x", "record.log.record.uid": "y"})
    assert (said(log)["invocation"], said(log)["uid"]) == (REQUEST, KEY["id"])


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        (
            '{}\t{}\tINFO\t{{"msg":"m","level":"WARN","aws.lambda.log.level":"x"}}',
            {"aws.lambda.log.level": "INFO", "record.aws.lambda.log.level": "x"},
        ),
        ('{0} [main] INFO {{"msg":"m","thread.name":"x"}}', {"thread.name": "main", "record.thread.name": "x"}),
        ('INFO:root:{{"msg":"m","logger":"x"}}', {"logger": "root", "record.logger": "x"}),
    ],
)
def test_what_a_runtime_wrote_before_an_object_is_not_lost(line: str, wanted: dict[str, object]) -> None:
    """Nor is a field of the object that has the same name."""
    [log] = logs(record(line.format("2026-11-21T03:53:22.117Z", REQUEST)))
    assert (said(log)["body"], said(log)["attributes"]) == ("m", wanted)


LATEST, TOO_LATE, TOO_EARLY = "2026-11-21T04:38:22.117Z", "2026-11-21T04:38:22.118Z", "2026-11-21T03:08:22.116Z"
TOO_LATE_MS = 1795235902118


@pytest.mark.parametrize(
    ("content", "time", "attributes"),
    [
        ({"message": "m", "time": LATEST}, LATEST, {}),
        ({"message": "m", "time": TOO_LATE}, TIME, {"time": TOO_LATE}),
        ({"message": "m", "timestamp": TOO_EARLY}, TIME, {"timestamp": TOO_EARLY}),
        ({"message": "m", "ts": TOO_LATE_MS}, TIME, {"ts": TOO_LATE_MS}),
        ({"message": "m", "time": TOO_LATE, "timestamp": LATEST}, LATEST, {"time": TOO_LATE}),
        (
            {"timestamp": LATEST, "message": f'{{"msg":"m","timestamp":"{TOO_EARLY}"}}'},
            LATEST,
            {"timestamp": TOO_EARLY},
        ),
        (f'{{"msg":"m","time":"{TOO_LATE}"}}', TIME, {"time": TOO_LATE}),
        (f'{LATEST}\t{REQUEST}\tINFO\t{{"msg":"m","ts":"{TOO_LATE}"}}', LATEST, {"ts": TOO_LATE}),
        (f"{TOO_LATE}\t{REQUEST}\tINFO\tm", TIME, {"time": TOO_LATE}),
        (f'{TOO_LATE}\t{REQUEST}\tINFO\t{{"msg":"m","time":1}}', TIME, {"time": TOO_LATE, "record.time": 1}),
        (f"{TOO_LATE} {REQUEST} INFO m", TIME, {"time": TOO_LATE}),
        (f"{TOO_LATE.replace('T', ' ')} INFO m", TIME, {"time": TOO_LATE.replace("T", " ")}),
        (f"[INFO]\t{TOO_LATE}\t{REQUEST}\tm", TIME, {"time": TOO_LATE}),
        (f"I, [{TOO_LATE} #8]  INFO {REQUEST} -- : m", TIME, {"time": TOO_LATE, "process.pid": 8}),
    ],
)
def test_a_time_that_is_far_from_the_platforms_is_a_field(
    content: object, time: str, attributes: dict[str, object]
) -> None:
    """Backends drop what is years old or to come; a booking's time, or a row's, is not when it was written."""
    [log] = logs(record(content))
    assert (log.time_unix_nano, log.observed_time_unix_nano) == (nanoseconds(time), nanoseconds(TIME))
    assert (said(log)["body"], said(log)["attributes"]) == ("m", attributes)


def test_without_a_time_of_the_platforms_any_time_is_the_records_own() -> None:
    """There is nothing to measure it by."""
    [log] = logs(record({"message": "m", "time": TOO_LATE}, time="never"))
    assert log.time_unix_nano == nanoseconds(TOO_LATE)


def test_an_events_field_does_not_replace_the_request_id() -> None:
    """It is kept beside it."""
    [log] = logs(record({"requestId": REQUEST, "faas.invocation_id": "x"}, "platform.start"))
    assert (said(log)["invocation"], said(log)["attributes"]) == (REQUEST, {"record.faas.invocation_id": "x"})


@pytest.mark.parametrize("type_", ["function", "platform.start"])
def test_other_members_of_the_platforms_line_are_kept(type_: str) -> None:
    """What stands beside time, type and record is an attribute."""
    plain = record({"message": "m"}, type_)
    [log] = logs(plain._replace(line=plain.line.replace(b',"record"', b',"extra":{"a":1},"reason":"x","record"')))
    assert said(log)["attributes"].items() >= {"aws.lambda.extra": {"a": 1}, "aws.lambda.reason": "x"}.items()


def test_a_float_beyond_double_keeps_its_digits() -> None:
    """As a string, as an integer beyond 64 bits does."""
    plain = record({"message": "m", "value": 0})
    [log] = logs(plain._replace(line=plain.line.replace(b'"value":0', b'"value":1e99999')))
    assert said(log)["attributes"] == {"value": "1e99999"}


def test_a_line_without_type_has_its_id() -> None:
    """What is kept as its whole line can be told from others too."""
    plain = record("m")
    [log] = logs(plain._replace(line=plain.line.replace(b'"type":"function",', b"")))
    assert said(log)["uid"] == KEY["id"]

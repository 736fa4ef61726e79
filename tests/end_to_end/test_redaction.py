"""What a record says that nobody shall read is in nothing that leaves the layer as it ships, whichever way it takes."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import exports
from tests.support.fault_server import Answer, FaultServer, Request, refused_port
from tests.support.forwarding import assert_balanced, delivered

if TYPE_CHECKING:
    from pathlib import Path

    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    from tests.support.fake_lambda import FakeLambda

EMAIL, CARD, OWN, FIELD = "anna.lee@example.com", "4111111111111111", "hunter-31337", "open-sesame"
SECRETS = (EMAIL, CARD, OWN, FIELD)
SETTINGS = {
    "FORWARDER_REDACT": "email, card, jwt, aws-key, ipv4, bearer",
    "FORWARDER_REDACT_EXPRESSIONS": r"hunter-\d+",
    "FORWARDER_REDACT_FIELDS": "user.password",
    "FORWARDER_LOG_LEVEL": "DEBUG",
}
ESCAPED = EMAIL.replace("@", "\\u0040")


def nested(value: object, depth: int) -> str:
    """JSON in a string of JSON, so many times."""
    text = json.dumps(value)
    for _ in range(depth):
        text = json.dumps({"a": text})
    return text


LINES = [
    f"mail to {EMAIL} paid by 4111 1111 1111 1111, {OWN}",
    json.dumps({"user": {"password": FIELD, "mail": EMAIL}, "card": int(CARD)}),
    f'{{"message":"{ESCAPED}"}}',
    f'INFO {{"body":"{{\\"mail\\":\\"{EMAIL.replace("@", chr(92) * 2 + "u0040")}\\"}}"}}',
    nested({"mail": EMAIL, "user": {"password": FIELD}}, 9),
]
OBJECTS: list[Any] = [
    {"message": EMAIL, EMAIL: OWN, "user": {"password": {"old": FIELD, "new": [FIELD]}}},
    {"card": int(CARD), "list": [CARD, {"deep": [OWN]}]},
]
BROKEN = [
    f"no JSON at all {EMAIL} {OWN}".encode(),
    f'{{"time":"2026-11-21T00:00:00.000Z","type":"function","record":"{ESCAPED} {CARD}'.encode(),
    EMAIL.encode("utf-16-le"),
    b"\xff\xfe " + EMAIL.encode() + b" \xe9 " + OWN.encode(),
]


def shown(data: bytes) -> list[str]:
    """Which of the secrets are in it, in whatever way JSON may write them."""
    texts = [data.decode("utf-8", "replace")]
    while (plain := unescaped(texts[-1])) != texts[-1]:
        texts.append(plain)
    found = {secret for text in texts for secret in SECRETS if secret in text or secret in text.replace("\0", "")}
    return sorted(found)


def unescaped(text: str) -> str:
    """The text with one level of escapes undone; what is none is left alone."""
    return re.sub(r"\\(?:u([0-9a-f]{4})|([\"\\/]))", lambda found: found[2] or chr(int(found[1], 16)), text)


def test_the_search_finds_what_is_written_in_any_way() -> None:
    """Each of the lines has a secret in it, as far as the search of these tests can tell."""
    assert all(shown(json.dumps(line).encode()) for line in LINES)
    assert all(shown(line) for line in BROKEN)


async def print_all(lambda_: FakeLambda) -> int:
    """Every line and object with a secret in it, platform records and lines that are none; how many lines in all."""
    await lambda_.subscribe()
    await lambda_.ready()
    for broken in BROKEN:
        lambda_.send(broken + b"\n")
    for content in OBJECTS:
        lambda_.record("function", content)
        lambda_.record("extension", content)
    lambda_.record("platform.fault", f"RequestId: r1 Error: {EMAIL}")
    lambda_.record("platform.report", {"requestId": EMAIL, "status": "error", "errorType": OWN})
    lambda_.record(f"unheard.{OWN}", {"any": "thing"})
    await lambda_.invoke("r1", *LINES)
    return len(BROKEN) + 2 * len(OBJECTS) + 3 + len(LINES) + 2


async def test_no_secret_is_in_what_leaves(lambda_: FakeLambda, tmp_path: Path) -> None:
    """Neither a sink that takes records, nor the fallback of one that does not, /tmp, nor the log shows a secret."""
    fallback = tmp_path / "fallback.ndjson"
    with FaultServer() as server, FaultServer(otherwise=Answer(403)) as refusing:
        await lambda_.start(
            FORWARDER_SINKS=f"{server.url}/a {refusing.url}/b http://127.0.0.1:{refused_port()}/c",
            FORWARDER_FALLBACK=f"file://{fallback}",
            **SETTINGS,
        )
        count = await print_all(lambda_)
        assert await lambda_.shut_down() == 0
    assert [shown(request.text) for request in server.requests if shown(request.text)] == []
    records = [json.loads(line) for request in server.requests for line in request.text.splitlines()]
    assert len(records) == count
    assert shown(fallback.read_bytes()) == shown(json.dumps(lambda_.log).encode()) == []
    assert len(delivered(fallback)) == 2 * count


async def test_no_secret_is_on_disk(lambda_: FakeLambda, tmp_path: Path) -> None:
    """What a crash leaves in /tmp for the next process shows none of them, and is not empty."""
    await lambda_.start(FORWARDER_SINKS=f"http://127.0.0.1:{refused_port()}/", **SETTINGS)
    count = await print_all(lambda_)
    assert await lambda_.shut_down("failure") == 0
    [account] = lambda_.ledger["sinks"].values()
    assert account["spooled"] > count
    written = b"".join(path.read_bytes() for path in (tmp_path / "tmp").rglob("*") if path.is_file())
    assert b"[redacted:email]" in written
    assert shown(written) == []


async def test_records_and_ledger_say_what_was_done(lambda_: FakeLambda, tmp_path: Path) -> None:
    """A redacted record says how often in its key, one that was withheld says why; the ledger counts both."""
    path = tmp_path / "out.ndjson"
    await lambda_.start(FORWARDER_SINKS=f"file://{path}", **SETTINGS)
    await lambda_.subscribe()
    await lambda_.invoke("r1", f"{EMAIL} {CARD}", "nothing", nested(EMAIL, 9))
    assert await lambda_.shut_down() == 0
    records = [record for record in delivered(path) if record["type"] == "function"]
    assert [record["record"] for record in records] == [
        "[redacted:email] [redacted:card]",
        "nothing",
        "[withheld: nested too deeply]",
    ]
    keys = [{name: record["lambda"].get(name) for name in ("redacted", "withheld")} for record in records]
    assert [list(key.values()) for key in keys] == [[2, None], [None, None], [None, "nested too deeply"]]
    assert (lambda_.ledger["redacted"], lambda_.ledger["withheld"]) == (1, {"nested too deeply": 1})
    assert_balanced(lambda_.ledger)


async def test_derived_signals_show_nothing(lambda_: FakeLambda) -> None:
    """Spans and metrics are made of what is left of platform records, error types and request ids among them."""
    key = "AKIAIOSFODNN7EXAMPLE"
    with FaultServer() as server:
        await lambda_.start(FORWARDER_SINKS=f"otlp+{server.url}", **SETTINGS)
        await lambda_.subscribe()
        await lambda_.invoke("r1", done=False)
        for request_id in ("r1", EMAIL):
            lambda_.record("platform.runtimeDone", {"requestId": request_id, "status": "error", "errorType": key})
            metrics = {"durationMs": 10.0, "billedDurationMs": 10}
            lambda_.record("platform.report", {"requestId": request_id, "status": "error", "metrics": metrics})
        assert await lambda_.shut_down() == 0
    sent = {request.path: request.text for request in server.requests}
    assert set(sent) == {"/v1/logs", "/v1/metrics", "/v1/traces"}
    assert [path for path, text in sent.items() if key.encode() in text or EMAIL.encode() in text] == []


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("FORWARDER_REDACT", "email,s3cr3t", "FORWARDER_REDACT: preset 2 is not known"),
        ("FORWARDER_REDACT", "email,", "FORWARDER_REDACT: preset 2 is not known"),
        ("FORWARDER_REDACT_EXPRESSIONS", "a\ns3cr3t(", "FORWARDER_REDACT_EXPRESSIONS: expression 2 is none"),
        ("FORWARDER_REDACT_EXPRESSIONS", "(s3cr3t{1,99}){1,99}", "FORWARDER_REDACT_EXPRESSIONS: expression 1 is none"),
        ("FORWARDER_REDACT_FIELDS", "a.b,s3cr3t..c", "FORWARDER_REDACT_FIELDS: path 2 is none"),
        ("FORWARDER_REDACT_FIELDS", "s3cr3t*", "FORWARDER_REDACT_FIELDS: path 1 is none"),
        ("FORWARDER_OTLP_UNREDACTED", "s3cr3t!", "FORWARDER_OTLP_UNREDACTED is something else"),
    ],
)
@pytest.mark.parametrize("others", [{}, {"FORWARDER_TYPO": "1"}], ids=["alone", "with another mistake"])
async def test_a_mistake_is_told_by_number(
    lambda_: FakeLambda, variable: str, value: str, said: str, others: dict[str, str]
) -> None:
    """A bad preset, expression or path is one configuration error with its variable and number, not with its text."""
    await lambda_.start(FORWARDER_SINKS="discard://", **{variable: value, **others})
    assert await lambda_.shut_down() == 0
    [line] = [one for one in lambda_.log if "problems" in one]
    assert [problem for problem in line["problems"] if problem.startswith(said)] != []
    assert len(line["problems"]) == 1 + len(others)
    assert "s3cr3t" not in json.dumps(lambda_.log)


async def test_exports_of_traces_go_on_unredacted_only_where_that_is_said(lambda_: FakeLambda) -> None:
    """With redaction the endpoint for exports is a configuration error, unless the user knows what is not redacted."""
    await lambda_.start(
        FORWARDER_SINKS="otlp+http://127.0.0.1:1", FORWARDER_OTLP_LISTEN=str(refused_port()), FORWARDER_REDACT="email"
    )
    assert await lambda_.shut_down() == 0
    [line] = [one for one in lambda_.log if "problems" in one]
    [problem] = line["problems"]
    assert "FORWARDER_OTLP_UNREDACTED=1" in problem


def log_request() -> ExportLogsServiceRequest:
    """A log record with secrets in all places that a program may put them."""
    request = exports.logs(f"mail {EMAIL} {OWN}", f'{{"m":"{ESCAPED}"}}')
    [resource] = request.resource_logs
    resource.resource.attributes.add(key="owner").value.string_value = EMAIL
    [scope] = resource.scope_logs
    scope.scope.name = OWN
    log = scope.log_records.add(severity_text=EMAIL, event_name=OWN, trace_id=b"0123456789abcdef", span_id=b"01234567")
    log.body.kvlist_value.values.add(key="user").value.kvlist_value.values.add(key="password").value.int_value = 31337
    log.body.kvlist_value.values.add(key="card").value.int_value = int(CARD)
    log.body.kvlist_value.values.add(key="raw").value.bytes_value = EMAIL.encode()
    log.attributes.add(key="user.password").value.string_value = FIELD
    log.attributes.add(key=EMAIL).value.array_value.values.add().string_value = f"Bearer {'a1' * 10}"
    return request


async def post(port: int, path: str, type_: str, body: bytes) -> int:
    """The status that the endpoint answers with."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {type_}\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    status = int((await reader.readline()).split()[1])
    writer.close()
    await writer.wait_closed()
    return status


async def exporting(lambda_: FakeLambda, server: FaultServer, **variables: str) -> int:
    """Start a layer that takes exports; its port."""
    port = refused_port()
    await lambda_.start(
        FORWARDER_SINKS=f"otlp+{server.url}",
        FORWARDER_OTLP_LISTEN=str(port),
        FORWARDER_OTLP_UNREDACTED="1",
        **{**SETTINGS, **variables},
    )
    await lambda_.subscribe()
    await lambda_.ready()
    return port


def sent_to(server: FaultServer, path: str) -> list[Request]:
    return [request for request in server.requests if request.path == path]


@pytest.mark.parametrize("type_", [exports.PROTOBUF, exports.JSON])
async def test_exported_logs_are_redacted(lambda_: FakeLambda, type_: str) -> None:
    """Log records that a program exports are decoded and redacted, in both encodings; ids and order are kept."""
    request = log_request()
    body = request.SerializeToString() if type_ == exports.PROTOBUF else otlp_json(request)
    with FaultServer() as server:
        port = await exporting(lambda_, server)
        assert await post(port, "/v1/logs", type_, body) == 200
        assert await lambda_.shut_down() == 0
        [found] = sent_to(server, "/v1/logs")
    assert shown(found.text) == []
    assert b"31337" not in found.text
    assert found.text.count(b"[redacted:") == 13
    assert b"0123456789abcdef" in found.text or b"0123456789abcdef".hex().encode() in found.text
    assert lambda_.ledger["redacted"] == 1
    assert lambda_.ledger["otlp"]["logs"] == {"received": 3, "rejected": 0}


@pytest.mark.parametrize("body", [b"\x0a\x04\x12\x02\x12\xff", b"\x0a\x03abc"], ids=["cut off", "no resource"])
async def test_an_export_that_cannot_be_decoded_is_refused(lambda_: FakeLambda, body: bytes) -> None:
    """A body that is walked well but decodes to nothing is answered 400 and counted; nothing of it goes on."""
    with FaultServer() as server:
        port = await exporting(lambda_, server)
        assert await post(port, "/v1/logs", exports.PROTOBUF, body) == 400
        assert await lambda_.shut_down() == 0
        assert sent_to(server, "/v1/logs") == []
    assert lambda_.ledger["otlp"]["refused"] == {"400": 1}


async def test_exported_traces_go_on_as_they_came(lambda_: FakeLambda) -> None:
    """With FORWARDER_OTLP_UNREDACTED=1 spans are not looked at."""
    with FaultServer() as server:
        port = await exporting(lambda_, server, FORWARDER_REDACT="email")
        assert await post(port, "/v1/traces", exports.PROTOBUF, exports.traces(EMAIL).SerializeToString()) == 200
        assert await lambda_.shut_down() == 0
        assert EMAIL.encode() in b"".join(request.text for request in sent_to(server, "/v1/traces"))


def otlp_json(request: ExportLogsServiceRequest) -> bytes:
    """A request as in "OTLP Specification", JSON Protobuf Encoding, by hand."""
    ids = {"traceId": b"0123456789abcdef".hex(), "spanId": b"01234567".hex()}
    text = json.dumps(exports.as_dict(request))
    for name, value in ids.items():
        _, _, rest = text.partition(f'"{name}": "')
        text = text.replace(rest.partition('"')[0], value, 1)
    return text.encode()

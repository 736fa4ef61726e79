"""How the otlp sink speaks to its server, beside the claims on every sink."""

from __future__ import annotations

import hashlib
import hmac
import re
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import orjson
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse

from extension import sinks
from extension.records import Batch, Record
from extension.sinks import BadSetting, Failure, Outcome, Refused, Scope, Throttled, Unavailable
from extension.sinks._otlp_sigv4 import Signer
from tests.support import ROOT
from tests.support.batches import ENVIRONMENT, batch, line, open_sink, record, sink_url
from tests.support.fault_server import Action, Answer, FaultServer, Reset
from tests.support.signals import Derived, invocation
from tests.support.sink_cases.otlp import Collector, attributes
from tests.support.strict_aws import CREDENTIALS, Sts, refusing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from extension.sinks import Sink
    from tests.support.fault_server import Request, Script

OTHER = ENVIRONMENT[::-1]
OUTCOMES = {
    400: (Refused, Scope.RECORD),
    401: (Refused, Scope.EVERYTHING),
    403: (Refused, Scope.EVERYTHING),
    404: (Refused, Scope.EVERYTHING),
    408: (Refused, Scope.EVERYTHING),
    413: (Refused, Scope.SIZE),
    429: (Throttled, None),
    500: (Refused, Scope.EVERYTHING),
    502: (Unavailable, None),
    503: (Unavailable, None),
    504: (Unavailable, None),
}


@contextmanager
def opened(
    script: Script, rest: str = "", headers: Sequence[tuple[str, str]] = ()
) -> Iterator[tuple[Sink, FaultServer]]:
    """A sink and its server, `rest` being what its URL says behind the host."""
    with FaultServer(script) as server:
        sink = open_sink(f"otlp+{server.url}{rest}", headers)
        try:
            yield sink, server
        finally:
            sink.close()


def sent(rest: str = "", headers: Sequence[tuple[str, str]] = ()) -> Request:
    """The request that a batch of two lines becomes, which a collector has taken."""
    collector = Collector()
    with opened(collector, rest, headers) as (sink, server):
        assert list(sink.send(batch(line(1), line(2)), 5.0)) == []
    assert collector.lines() == [line(1), line(2)]
    return server.requests[0]


def two_environments() -> Batch:
    """Lines of this execution environment at 0, 2 and 4, and of another at 1 and 3."""
    other = ENVIRONMENT.encode(), OTHER.encode()
    lines = [line(at) if at % 2 == 0 else line(at).replace(*other) for at in range(5)]
    return Batch(f"{ENVIRONMENT}-b1", [record(at, text) for at, text in enumerate(lines)])


def of_other(request: Request) -> bool:
    """Whether a request is about the other environment."""
    return OTHER.encode() in request.text


def test_request_is_gzipped_protobuf() -> None:
    """A batch is one POST to /v1/logs, in protobuf, gzipped."""
    request = sent()
    assert (request.method, request.path) == ("POST", "/v1/logs")
    assert request.headers["content-type"] == "application/x-protobuf"
    assert request.headers["content-encoding"] == "gzip"


@pytest.mark.parametrize("rest", ["/a/b", "/a/b/", "/a/b/v1/logs", "/a/b/v1/logs/", "/a/b/v1/logs/v1/logs"])
def test_prefix_is_kept(rest: str) -> None:
    """The path of the signal stands behind the path of the URL, which may name it already."""
    assert sent(rest).path == "/a/b/v1/logs"


@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
def test_json_on_request(compression: str) -> None:
    """With encoding=json the body is OTLP's JSON, in any compression."""
    request = sent(f"/?encoding=json&compression={compression}")
    assert request.headers["content-type"] == "application/json"
    assert request.headers.get("content-encoding", "none") == compression


def test_headers_of_the_user() -> None:
    """Headers that a backend asks for are sent with every request."""
    assert sent(headers=[("api-key", "k")]).headers["api-key"] == "k"


def test_variables_of_the_functions_sdk_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """OTEL_EXPORTER_OTLP_* belong to the function: neither endpoint, headers nor protocol come from them."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=k")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")
    request = sent()
    assert request.headers["content-type"] == "application/x-protobuf"
    assert "api-key" not in request.headers


@pytest.mark.parametrize("status", OUTCOMES)
def test_statuses(status: int) -> None:
    """The four statuses that the specification lists may be tried again, and no other."""
    kind, scope = OUTCOMES[status]
    with opened(lambda _: Answer(status)) as (sink, _), pytest.raises(kind) as caught:
        sink.send(batch(line(1)), 5.0)
    assert getattr(caught.value, "scope", None) is scope


def test_a_part_that_is_throttled_says_for_how_long() -> None:
    """Where one request was taken, and time is asked for another, its records carry the wait."""
    throttled, collector = Answer(429, {"Retry-After": "7"}), Collector()
    with opened(lambda request: throttled if of_other(request) else collector(request)) as (sink, _):
        failures = sink.send(two_environments(), 5.0)
    assert [(failure.outcome, failure.retry_after_s) for failure in failures] == [(Outcome.RETRY, 7.0)] * 2


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after(status: int) -> None:
    """The time that the server asks for is told."""
    with opened(lambda _: Answer(status, {"Retry-After": "7"})) as (sink, _), pytest.raises(Throttled) as caught:
        sink.send(batch(line(1)), 5.0)
    assert caught.value.retry_after_s == 7.0


def partial(rejected: int, *, as_json: bool, message: str = "") -> Answer:
    """An answer that says how many records were rejected."""
    response = ExportLogsServiceResponse()
    response.partial_success.rejected_log_records = rejected
    response.partial_success.error_message = message
    if not as_json:
        return Answer(200, {"Content-Type": "application/x-protobuf"}, response.SerializeToString())
    body = {"partialSuccess": {"rejectedLogRecords": str(rejected), "errorMessage": message}}
    return Answer(200, {"Content-Type": "application/json; charset=utf-8"}, orjson.dumps(body))


@pytest.mark.parametrize("as_json", [False, True], ids=["protobuf", "json"])
def test_partial_success_is_counted(as_json: bool) -> None:
    """So many records as the server rejects are refused for good, without its own words, and the rest is delivered."""
    with opened(lambda _: partial(2, as_json=as_json, message="secret")) as (sink, server):
        failures = sink.send(batch(line(1), line(2), line(3)), 5.0)
    reason = "rejected, as its partial success says"
    assert list(failures) == [Failure(at, reason, Outcome.RECORD_REFUSED) for at in (0, 1)]
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        partial(0, as_json=False, message="a warning"),
        partial(-1, as_json=False),
        Answer(200, {"Content-Type": "application/json"}, b'{"partialSuccess":null}'),
        Answer(200, {"Content-Type": "application/json"}, b"[]"),
        Answer(200, {"Content-Type": "application/json"}, b"no JSON"),
        Answer(202),
        Answer(200, {"Content-Type": "text/html; charset=utf-8"}, b""),  # as a framework labels what says nothing
    ],
)
def test_answers_that_reject_nothing(answer: Answer) -> None:
    """What says of no rejected record that it is one, or cannot be read, means that all were taken."""
    with opened(lambda _: answer) as (sink, _):
        assert list(sink.send(batch(line(1)), 5.0)) == []


def test_partial_success_of_more_than_was_sent() -> None:
    """A server that rejects more than it was sent rejects all."""
    with opened(lambda _: partial(9, as_json=False)) as (sink, _):
        assert [failure.position for failure in sink.send(batch(line(1), line(2)), 5.0)] == [0, 1]


@pytest.mark.parametrize("status", [200, 202])
def test_a_page_is_no_answer(status: int) -> None:
    """A proxy or a portal may answer any request with a page; what was sent is then to be sent again."""
    page = Answer(status, {"Content-Type": "text/html; charset=utf-8"}, b"<html>welcome</html>")
    with opened([page]) as (sink, server):
        with pytest.raises(Unavailable, match=rf"^HTTP {status}, but no answer of an OTLP server$"):
            sink.send(batch(line(1)), 5.0)
        assert list(sink.send(batch(line(1)), 5.0)) == []
    assert server.requests[0].body == server.requests[1].body


@pytest.mark.parametrize(
    ("apart_ms", "rejected", "refused"),
    [(1, 0, 0), (1, 1, 4), (1, 5, 20), (1, 9, 20), (10_000, 1, 1), (10_000, 5, 1), (10_000, 6, 2), (10_000, 100, 20)],
)
def test_points_that_are_rejected_are_no_records(apart_ms: int, rejected: int, refused: int) -> None:
    """Of metrics, whose records of ten seconds make five points here, as large a part is refused as of the points."""
    derived = Derived(traces=False)
    for number in range(20):
        derived.feed(*invocation(f"r{number}", 300 + number * apart_ms))
    with opened(lambda _: partial(rejected, as_json=False)) as (sink, _):
        failures = sink.send(Batch("e-1", derived.records), 5.0)
    assert [failure.position for failure in failures] == list(range(refused))


def test_partial_success_that_comes_late() -> None:
    """The body of the answer is waited for, since it may say that records were rejected."""
    late = partial(1, as_json=False)._replace(byte_s=0.05)
    with opened(lambda _: late) as (sink, _):
        assert len(sink.send(batch(line(1), line(2)), 5.0)) == 1


def test_each_environment_has_its_resource() -> None:
    """Records of two execution environments are two requests, each with the resource of its own."""
    collector = Collector()
    with opened(collector) as (sink, _):
        assert list(sink.send(two_environments(), 5.0)) == []
    instances = [
        attributes(of.resource.attributes)["faas.instance"] for _, one in collector.taken for of in one.resource_logs
    ]
    assert instances == sorted([ENVIRONMENT, OTHER])
    assert len(collector.logs()) == 5


def test_lines_that_say_nothing_of_where_they_are_from() -> None:
    """A line without the key, or with one of nothing but ids, is sent, and gives its resource to no other line."""
    collector = Collector()
    odd = [
        b'{"time":"x","type":"function","record":"bare"}',
        b'{"time":"x","type":"function","record":1,"lambda":{"id":"e-1"}}',
    ]
    records = [record(at, text) for at, text in enumerate([odd[0], line(1), odd[1], line(2)])]
    with opened(lambda request: Answer(200) if b"bare" in request.text else collector(request)) as (sink, server):
        assert list(sink.send(Batch("e-b1", records), 5.0)) == []
    assert len(server.requests) == 2
    assert collector.lines() == [line(1), line(2)]


@pytest.mark.parametrize(
    "members",
    [
        {"tags": {"environment": "prod", "id": "2", "requestId": "x", "lambda": "y"}},
        {"phase": "init"},
    ],
)
def test_a_key_with_more_in_it(members: dict[str, object]) -> None:
    """Members that are yet to come, and names in them that are ours as well, confuse nobody."""
    found = orjson.loads(line(1))
    found["lambda"] = {**members, **found["lambda"]}
    collector = Collector()
    with opened(collector) as (sink, server):
        assert list(sink.send(batch(orjson.dumps(found), orjson.dumps(found)), 5.0)) == []
    assert len(server.requests) == 1
    [of_resource] = collector.taken[0][1].resource_logs
    tags = members.get("tags", {})
    assert isinstance(tags, dict)
    assert tags.items() <= attributes(of_resource.resource.attributes).items()


@pytest.mark.parametrize("name", ["phase", "tenantId", "traceId", "joined", "redacted", "withheld", "sampleRate"])
def test_what_is_of_one_invocation_has_the_same_resource(name: str) -> None:
    """A batch of many invocations is one request, whatever their keys say of each of them."""
    lines = []
    for number in (1, 2, 3):
        found = orjson.loads(line(number))
        found["lambda"] |= {name: f"{number:032x}"}
        lines.append(orjson.dumps(found))
    collector = Collector()
    with opened(collector) as (sink, server):
        assert list(sink.send(batch(*lines), 5.0)) == []
    assert len(server.requests) == 1
    assert len(collector.taken[0][1].resource_logs) == 1


def test_a_record_belongs_to_the_trace_of_its_invocation() -> None:
    """Where its key names one, and the record itself none."""
    found = orjson.loads(line(1))
    found["lambda"]["traceId"] = "62e900b2710d76f009d6e7785905449a"
    own = {**found, "record": {"message": "x", "trace_id": "0" * 31 + "1"}}
    collector = Collector()
    with opened(collector) as (sink, _):
        assert list(sink.send(batch(orjson.dumps(found), orjson.dumps(own)), 5.0)) == []
    assert [log.trace_id.hex() for log in collector.logs()] == ["62e900b2710d76f009d6e7785905449a", "0" * 31 + "1"]


@pytest.mark.parametrize(
    ("answer", "outcome", "reason"),
    [
        (Answer(503), Outcome.RETRY, "HTTP 503"),
        (Answer(429), Outcome.RETRY, "HTTP 429"),
        (Reset(), Outcome.RETRY, "ConnectionResetError"),
        (Answer(404), Outcome.RECORD_REFUSED, "HTTP 404 (logs)"),
        (Answer(500), Outcome.RECORD_REFUSED, "HTTP 500 (logs)"),
    ],
)
def test_what_was_taken_is_not_sent_again(answer: Action, outcome: Outcome, reason: str) -> None:
    """When one request of a batch fails and another is taken, the records of the former alone fail."""
    collector = Collector()
    with opened(lambda request: answer if of_other(request) else collector(request)) as (sink, _):
        failures = list(sink.send(two_environments(), 5.0))
    assert sorted(failure.position for failure in failures) == [1, 3]
    assert {failure.outcome for failure in failures} == {outcome}
    assert all(failure.reason.startswith(reason) for failure in failures)
    assert len(collector.logs()) == 3


@pytest.mark.parametrize("status", [400, 413])
def test_parts_of_what_is_refused_are_tried(status: int) -> None:
    """Where one request was taken and one record of another is bad, that record alone is refused."""
    collector = Collector()
    bad = line(3).replace(ENVIRONMENT.encode(), OTHER.encode()).partition(b'"id":"')[2].partition(b'"')[0]
    with opened(lambda request: Answer(status) if bad in request.text else collector(request)) as (sink, _):
        failures = list(sink.send(two_environments(), 5.0))
    assert failures == [Failure(3, f"HTTP {status} (logs)", Outcome.RECORD_REFUSED)]
    assert len(collector.logs()) == 4


def test_where_nothing_was_taken_it_raises() -> None:
    """When every request fails the batch is sent again as a whole, when a failure that passes asks for it."""
    with (
        opened(lambda request: Answer(503) if of_other(request) else Answer(404)) as (sink, _),
        pytest.raises(Unavailable),
    ):
        sink.send(two_environments(), 5.0)


def test_a_server_that_is_down_is_asked_once() -> None:
    """Once the connection broke, the other requests of the batch are not tried."""
    with opened(lambda _: Reset()) as (sink, server), pytest.raises(OSError):  # noqa: PT011 - any of them
        sink.send(two_environments(), 5.0)
    assert len(server.requests) == 1


def test_a_batch_that_is_tried_again_is_the_same() -> None:
    """The body of a second try is byte for byte that of the first."""
    with opened([Answer(503)]) as (sink, server):
        sent = batch(line(1))
        with pytest.raises(Unavailable):
            sink.send(sent, 5.0)
        sink.send(sent, 5.0)
    assert server.requests[0].body == server.requests[1].body


def span() -> Record:
    """A record that is a span."""
    content = {
        "traceId": "62e900b2710d76f009d6e7785905449a",
        "spanId": "54565fb41ac79632",
        "parentSpanId": "",
        "flags": 1,
        "name": "invoke",
        "kind": "server",
        "startTimeUnixNano": 1,
        "endTimeUnixNano": 2,
        "status": "unset",
        "statusMessage": "",
        "attributes": {},
    }
    text = line(1).replace(b'"record":"hello"', b'"record":' + orjson.dumps(content))
    return Record(0, "span", text)


def test_each_signal_has_a_path() -> None:
    """Spans and metrics go to paths of their own, behind the logs, and what fails of one does not touch another."""
    pytest.importorskip("extension.sinks._otlp_spans")
    records = [span(), record(1, line(1))]
    collector = Collector()
    with opened(collector, "/p") as (sink, server):
        assert list(sink.send(Batch("e-b1", records), 5.0)) == []
    assert [request.path for request in server.requests] == ["/p/v1/logs", "/p/v1/traces"]
    with opened(lambda request: Answer(503) if "traces" in request.path else collector(request)) as (sink, _):
        assert list(sink.send(Batch("e-b1", records), 5.0)) == [Failure(0, "HTTP 503", Outcome.RETRY)]


@pytest.mark.parametrize(
    ("rest", "left_out"),
    [
        ("", set()),
        ("?signals=logs", {"span", "metric"}),
        ("?signals=metrics,Traces", {"platform", "function", "extension", "other"}),
        ("?signals=traces&types=platform", {"platform", "function", "extension", "other", "metric"}),
        ("?types=platform", {"function", "extension"}),
    ],
)
def test_signals_choose_records(rest: str, left_out: set[str]) -> None:
    """Records of a signal that was not chosen never get into the sink's queue."""
    kinds = {"platform", "function", "extension", "other", "span", "metric"}
    url = sink_url(f"otlp+https://host{rest}")
    if types := url.parameters.get("types"):
        url = url._replace(types=types.split(","))
    assert sinks.excluded_kinds(url) & kinds == left_out


SIGV4 = "auth=sigv4&signals=logs"


@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        ("?signals=", "signals= is none of logs, traces, metrics"),
        ("?signals=logs,profiles", "signals= is none of logs, traces, metrics"),
        ("?encoding=xml", "encoding= is none of protobuf, json"),
        ("?compression=br", "compression= is none of gzip, zstd, none"),
        ("?auth=basic", "auth= is none of none, sigv4"),
        ("?auth=sigv4", "one signal"),
        ("?auth=sigv4&signals=logs,traces", "one signal"),
        (f"?{SIGV4}", "expected group= and stream="),
        (f"?{SIGV4}&group=g", "expected group= and stream="),
        (f"?{SIGV4}&group=g&stream=a:b", "expected group= and stream="),
        ("?signals=traces&group=g&stream=s", "expected group= and stream="),
        ("?group=g&stream=s", "expected group= and stream="),
        ("?signals=logs,traces&group=g&stream=s", "expected group= and stream="),
        ("?signals=logs,traces&temporality=delta", "temporality= is about metrics, which signals= leaves out"),
        ("?signals=logs&invoke_span=no", "invoke_span= is about traces, which signals= leaves out"),
        ("?region=eu-west-1", "region= and role= are for auth=sigv4"),
        ("?role=arn:aws:iam::123456789012:role/r&auth=none", "region= and role= are for auth=sigv4"),
        ("?signals=logs&signals=traces", "there already, number 2 of the query"),
        (f"?{SIGV4}&group=g&stream=s&compression=zstd", "compression= is none of gzip, none"),
        (f"?{SIGV4}&group=g&stream=s&role=me", "role= is no ARN of a role"),
        (f"?{SIGV4}&group=g&stream=s&region=mars", "region= names no region"),
    ],
)
def test_bad_settings(rest: str, expected: str) -> None:
    """What a URL must not say is told with what was expected."""
    with pytest.raises(BadSetting, match=re.escape(expected)):
        open_sink(f"otlp+https://host{rest}")


@pytest.mark.parametrize(("signal", "service"), [("logs", "logs"), ("traces", "xray")])
def test_requests_to_aws_are_signed(signal: str, service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With auth=sigv4 a request is signed, all of it, for the service and region of the endpoint."""
    if signal == "traces":
        pytest.importorskip("extension.sinks._otlp_spans")
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    sent = Batch("e-b1", [record(1, line(1)) if signal == "logs" else span()])
    group = "&group=/my/group&stream=of%20mine" if signal == "logs" else ""
    with opened(Collector(), f"?auth=sigv4&signals={signal}&region=eu-central-1{group}") as (sink, server):
        sink.send(sent, 5.0)
    [request] = server.requests
    assert request.headers["authorization"] == signature_of(request, service)
    if signal == "logs":
        headers = request.headers
        assert (headers["x-aws-log-group"], headers["x-aws-log-stream"]) == ("/my/group", "of mine")
        assert "x-aws-log-group;x-aws-log-stream" in headers["authorization"]


@pytest.mark.parametrize(
    ("signal", "records", "size"),
    [("logs", 10_000, 1_000_000), ("traces", 10_000, 5_000_000), ("metrics", 100, 1_000_000)],
)
def test_requests_to_aws_are_as_large_as_it_takes_them(
    signal: str, records: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each signal has limits of its own there; a record of metrics is up to ten of the 1,000 points of a request."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    group = "&group=g&stream=s" if signal == "logs" else ""
    limits = open_sink(f"otlp+https://host?auth=sigv4&signals={signal}&region=eu-central-1{group}").limits
    assert limits.records <= records
    assert limits.bytes <= size
    assert open_sink(f"otlp+https://host?signals={signal}").limits.bytes == 4_000_000


@pytest.mark.parametrize(
    ("script", "meant", "said"),
    [
        (refusing("AccessDenied", 403), Refused, "allow sts:AssumeRole on role arn:aws:iam::210987654321:role/writer"),
        ([Answer(403, {}, b"<html>blocked<br></html>")], Unavailable, "not the service's"),
        ([Answer(200, {}, b"<html>Sign in<br></html>")], Unavailable, "not the service's"),
    ],
)
def test_role_that_sts_does_not_give(
    script: Script, meant: type[Exception], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What STS, or a proxy in its place, says in the place of credentials is no fault of ours, nor of the records."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    rest = f"?{SIGV4}&group=g&stream=s&role=arn:aws:iam::210987654321:role/writer"
    with FaultServer(script) as sts, opened(Collector(), rest) as (sink, _):
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", sts.url)
        with pytest.raises(meant, match=said):
            sink.send(batch(line(1)), 5.0)


def test_role_that_comes_too_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the credentials took all the time there was, nothing is sent: it is being sent again by then."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    rest = f"?{SIGV4}&group=g&stream=s&role=arn:aws:iam::210987654321:role/writer"
    given = Sts()

    def slow(request: Request) -> Action:
        answer = given(request)
        assert isinstance(answer, Answer)
        return answer._replace(after_s=0.3)

    with FaultServer(slow) as sts, opened(Collector(), rest) as (sink, server):
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", sts.url)
        with pytest.raises(OSError, match="no time left"):
            sink.send(batch(line(1)), 0.2)
        assert server.requests == []


def signature_of(request: Request, service: str) -> str:
    """The header that must sign a request ("Create a signed AWS API request", IAM User Guide), put together by hand."""
    headers = request.headers
    names = headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0]
    canonical = "\n".join(
        [
            f"POST\n{request.path}\n",
            *[f"{name}:{headers[name]}" for name in names.split(";")],
            f"\n{names}",
            hashlib.sha256(request.body).hexdigest(),
        ]
    )
    date = headers["x-amz-date"]
    scope = f"{date[:8]}/eu-central-1/{service}/aws4_request"
    key = f"AWS4{CREDENTIALS['AWS_SECRET_ACCESS_KEY']}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    signature = hmac.digest(key, f"AWS4-HMAC-SHA256\n{date}\n{scope}\n{hashed}".encode(), "sha256").hex()
    credential = f"{CREDENTIALS['AWS_ACCESS_KEY_ID']}/{scope}"
    return f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("logs.us-west-2.amazonaws.com", "us-west-2"),
        ("xray.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("logs.eu-west-1.api.aws:443", "eu-west-1"),
        ("vpce-1.logs.us-west-2.vpce.amazonaws.com", "ap-south-1"),
    ],
)
def test_region_is_that_of_the_host(host: str, region: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The endpoint's own name tells the region; else it is the function's."""
    for name, value in {**CREDENTIALS, "AWS_REGION": "ap-south-1"}.items():
        monkeypatch.setenv(name, value)
    signer = Signer(sink_url(f"otlp+https://{host}"), "logs")
    assert f"/{region}/logs/aws4_request" in signer.sign(f"https://{host}/v1/logs", {}, b"")["Authorization"]


@pytest.mark.parametrize(
    ("sink", "heavy"),
    [("https://127.0.0.1:9/", True), ("file:///dev/null", True), ("otlp+http://127.0.0.1:9", False)],
)
def test_only_this_sink_imports_protobuf(sink: str, heavy: bool) -> None:
    """Without an OTLP sink nothing of it is imported, and without auth=sigv4 it imports nothing of AWS."""
    unwanted = "('google', 'opentelemetry', 'extension.sinks._otlp')" if heavy else "('botocore', 'boto3', 'requests')"
    script = f"""
import sys
from extension import config, lifecycle, sinks
[url] = config.parse({{"FORWARDER_SINKS": {sink!r}}}).sinks
sinks.load(url)
print(sorted(name for name in sys.modules if name.startswith({unwanted})))
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

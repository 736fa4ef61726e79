"""What the loki sink pushes, and what it makes of Loki's answers, beside the claims on every sink."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from extension.records import Batch, Record
from extension.sinks import BadSetting, Refused, Scope, Throttled, Unavailable, load
from tests.support.batches import ENVIRONMENT, batch, line, open_sink, record, sink_url
from tests.support.fault_server import Answer, FaultServer
from tests.support.reach import settle
from tests.support.sink_cases.loki import MAX_LINE_BYTES, Loki

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from extension.delivery.queue import Queue
    from extension.sinks import Sink
    from tests.support.fault_server import Request, Script

TIME = "2026-11-21T04:05:06.789Z"
TIME_NS = "1795233906789000000"
OUTCOMES = {
    400: (Refused, Scope.RECORD),
    401: (Refused, Scope.EVERYTHING),
    403: (Refused, Scope.EVERYTHING),
    404: (Refused, Scope.EVERYTHING),
    413: (Refused, Scope.SIZE),
    429: (Throttled, None),
    500: (Unavailable, None),
    503: (Unavailable, None),
}


@contextmanager
def opened(
    script: Script, rest: str = "", headers: Sequence[tuple[str, str]] = ()
) -> Iterator[tuple[Sink, FaultServer]]:
    """A sink and its server, `rest` being what its URL says behind the host."""
    with FaultServer(script) as server:
        sink = open_sink(f"loki+{server.url}{rest}", headers)
        try:
            yield sink, server
        finally:
            sink.close()


def sent(*lines: bytes, rest: str = "", headers: Sequence[tuple[str, str]] = ()) -> tuple[Any, Request]:
    """What a batch of lines becomes: the push that was taken, and its request."""
    loki = Loki()
    with opened(loki, rest, headers) as (sink, server):
        assert list(sink.send(batch(*lines), 5.0)) == []
    return loki.pushes[0], server.requests[0]


def with_record(content: object, time: str = TIME) -> bytes:
    return orjson.dumps({"time": time, "type": "function", "record": content, "lambda": {"id": f"{ENVIRONMENT}-1"}})


def test_push_is_gzipped_json() -> None:
    """A batch is one push of labels and of pairs of nanoseconds, as text, with our line as it is."""
    body, request = sent(line(1))
    labels = {"service": "demo", "function": "demo", "type": "function", "level": "unknown"}
    assert body == {"streams": [{"stream": labels, "values": [[TIME_NS, line(1).decode()]]}]}
    assert (request.method, request.path) == ("POST", "/loki/api/v1/push")
    assert (request.headers["content-type"], request.headers["content-encoding"]) == ("application/json", "gzip")


@pytest.mark.parametrize("rest", ["/a/b", "/a/b/", "/a/b/loki/api/v1/push"])
def test_prefix_is_kept(rest: str) -> None:
    """The push API is looked for behind the path of the URL, which may name it already."""
    assert sent(line(1), rest=rest)[1].path == "/a/b/loki/api/v1/push"


def test_compression_is_left_out_on_request() -> None:
    """With compression=none the body is plain JSON."""
    body, request = sent(line(1), rest="/?compression=none")
    assert orjson.loads(request.body) == body
    assert "content-encoding" not in request.headers


def test_tenant_is_a_header() -> None:
    """FORWARDER_HEADERS say whose the lines are, as X-Scope-OrgID."""
    assert sent(line(1), headers=[("X-Scope-OrgID", "team-a")])[1].headers["x-scope-orgid"] == "team-a"


@pytest.mark.parametrize(
    ("content", "level"),
    [
        ({"level": "ERROR", "message": "x"}, "error"),
        ({"level": "Warning"}, "warn"),
        ({"level": "fatal"}, "fatal"),
        ({"level": "8a3b6d9e-77a5-4f0e-9a53-3a4ab6f3d7d1"}, "unknown"),
        ({"level": 30}, "unknown"),
        ({"level": {"level": "info"}}, "unknown"),
        ({"message": "x"}, "unknown"),
        ([{"level": "info"}], "unknown"),
        ('{"level":"error"}', "unknown"),
        ("ERROR", "unknown"),
    ],
)
def test_level_is_one_of_few(content: object, level: str) -> None:
    """The level of a record that is an object is its label in Loki's own words; all else is unknown."""
    [stream] = sent(with_record(content))[0]["streams"]
    assert stream["stream"]["level"] == level


@pytest.mark.parametrize("body", [b"<html>Sign in, please.</html>", b"{}"])
def test_page_is_no_answer_of_lokis(body: bytes) -> None:
    """A 200 with a body came from something between us: Loki says 204, and what speaks like it says nothing."""
    with opened([Answer(200, {}, body), Answer(204)]) as (sink, _):
        with pytest.raises(Unavailable, match="HTTP 200 with a body"):
            sink.send(batch(line(1)), 5.0)
        assert list(sink.send(batch(line(1)), 5.0)) == []


def test_empty_answer_is_taken() -> None:
    """Servers that speak like Loki, as VictoriaLogs did until 2025, say 200 and nothing more."""
    with opened([Answer(200)]) as (sink, _):
        assert list(sink.send(batch(line(1)), 5.0)) == []


def test_line_that_orjson_does_not_read_has_no_level() -> None:
    """A line that cannot be parsed is sent as any other."""
    text = with_record({"level": "info"}).replace(b'"info"', b'"info","deep":' + b"[" * 2000 + b"]" * 2000)
    loki = Loki()
    with opened(loki) as (sink, _):
        sink.send(Batch(f"{ENVIRONMENT}-b1", [Record(1, "function", text, "function", TIME)]), 5.0)
    [stream] = loki.pushes[0]["streams"]
    assert stream["stream"]["level"] == "unknown"


def test_streams_are_of_types_and_levels_and_in_order_of_time() -> None:
    """Records are grouped by type and level, and ids are in no label, so that streams stay few."""
    later, error = with_record("b", "2026-11-21T04:05:07Z"), with_record({"level": "error"})
    records = [record(0, later), record(1, error), record(2, with_record("a"))]
    start = Record(3, "platform", with_record({}), "platform.start", TIME, "8a3b6d9e-77a5-4f0e-9a53-3a4ab6f3d7d1")
    loki = Loki()
    with opened(loki) as (sink, _):
        sink.send(Batch(f"{ENVIRONMENT}-b1", [*records, start]), 5.0)
    streams = loki.pushes[0]["streams"]
    assert [tuple(stream["stream"].values())[2:] for stream in streams] == [
        ("function", "error"),
        ("function", "unknown"),
        ("platform", "unknown"),
    ]
    assert [text for _, text in streams[1]["values"]] == [with_record("a").decode(), later.decode()]


@pytest.mark.parametrize("time", ["", "yesterday", "9999-12-31T23:59:59.999999-23:59"])
def test_time_that_cannot_be_read_is_now(time: str) -> None:
    """A record without a time of its own gets one that Loki takes, and the same when it is tried again."""
    loki, answers = Loki(), iter([Answer(503)])
    with opened(lambda request: next(answers, None) or loki(request)) as (sink, server):
        tried = batch(with_record("x", time))
        with pytest.raises(Unavailable):
            sink.send(tried, 5.0)
        sink.send(tried, 5.0)
    assert server.requests[0].body == server.requests[1].body


@pytest.mark.parametrize("status", OUTCOMES)
def test_statuses(status: int) -> None:
    """What Loki's statuses mean to delivery; their texts are not shown."""
    expected, scope = OUTCOMES[status]
    with (
        opened([Answer(status, {}, b"secret")]) as (sink, _),
        pytest.raises(expected, match=rf"^HTTP {status}$") as caught,
    ):
        sink.send(batch(line(1)), 5.0)
    assert getattr(caught.value, "scope", None) is scope


def deliver(loki: Loki, records: Sequence[Record]) -> Queue:
    """The queue, once each of the records has come to its end."""
    with opened(loki) as (sink, _):
        return asyncio.run(settle(sink, records))


def test_all_arrive_but_those_that_loki_refuses() -> None:
    """Of a push that is partly taken, the lines that are refused are counted, and each other is there once."""
    records = [record(number, line(number, "poison" if number % 1000 == 7 else "fine")) for number in range(3000)]
    loki = Loki(poison=b"poison")
    queue = deliver(loki, records)
    assert loki.lines() == [one.line for one in records if b"poison" not in one.line]
    assert (queue.delivered, sum(queue.dropped.values())) == (2997, 3)


def test_line_that_is_too_long_is_not_sent() -> None:
    """A line above Loki's limit is counted, and costs no push."""
    loki = Loki()
    queue = deliver(loki, [record(0, line(0, "x" * MAX_LINE_BYTES)), record(1, line(1))])
    assert loki.lines() == [line(1)]
    assert len(loki.pushes) == 1
    assert (queue.delivered, sum(queue.dropped.values())) == (1, 1)


@pytest.mark.parametrize("rest", ["?compression=zstd", "?tenant=a"])
def test_parameters_are_checked(rest: str) -> None:
    """Loki takes no zstd, and a tenant is a header."""
    with pytest.raises(BadSetting):
        load(sink_url(f"loki+https://host/{rest}"))

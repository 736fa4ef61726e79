"""What the elasticsearch sink sends, and what it makes of the answers of _bulk, beside the claims on every sink."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from extension.records import Batch, Record
from extension.sinks import BadSetting, Outcome, Refused, Scope, Throttled, Unavailable, load
from tests.support.batches import ENVIRONMENT, batch, line, open_sink, record, sink_url
from tests.support.fault_server import Answer, FaultServer, Reset
from tests.support.reach import settle
from tests.support.sink_cases.elasticsearch import DataStream

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from extension.sinks import Sink
    from tests.support.fault_server import Script

TIME = "2026-11-21T04:05:06.789Z"
FILTER = "filter_path=errors,items.*.status,items.*.error.type"


@contextmanager
def opened(
    script: Script, rest: str = "/logs", headers: Sequence[tuple[str, str]] = ()
) -> Iterator[tuple[Sink, FaultServer]]:
    """A sink and its server, `rest` being what its URL says behind the host."""
    with FaultServer(script) as server:
        sink = open_sink(f"elasticsearch+{server.url}{rest}", headers)
        try:
            yield sink, server
        finally:
            sink.close()


def documents(*lines: bytes) -> list[dict[str, Any]]:
    """The documents that became of lines, all of which were taken into one index."""
    stream = DataStream()
    with opened(stream) as (sink, _):
        assert list(sink.send(batch(*lines), 5.0)) == []
    return list(stream.documents.values())


def with_record(content: object, number: int = 1, type_: str = "function") -> bytes:
    key = {"environment": ENVIRONMENT, "id": f"{ENVIRONMENT}-{number}"}
    return orjson.dumps({"time": TIME, "type": type_, "record": content, "lambda": key})


def answered(*items: dict[str, Any]) -> Answer:
    """An answer with errors in it."""
    return Answer(200, {}, orjson.dumps({"errors": True, "items": [{"create": item} for item in items]}))


def test_text_is_a_message() -> None:
    """What a function prints is the field that text has everywhere, beside @timestamp, type and our key."""
    assert documents(line(1, 'say "ü"\n')) == [
        {
            "@timestamp": TIME,
            "type": "function",
            "message": 'say "ü"\n',
            "lambda": orjson.loads(line(1))["lambda"],
        }
    ]


def test_object_is_a_record() -> None:
    """What is logged in JSON stays an object, byte for byte."""
    [found] = documents(with_record({"level": "INFO", "n": [1, {"lambda": {"id": "x"}}]}))
    assert found["record"] == {"level": "INFO", "n": [1, {"lambda": {"id": "x"}}]}
    assert found["lambda"] == {"environment": ENVIRONMENT, "id": f"{ENVIRONMENT}-1"}


@pytest.mark.parametrize("content", [1, 1.5, True, None, [], ["a", {"b": 1}], ""])
def test_what_is_neither_is_a_message(content: object) -> None:
    """Any other value is text, so that no document is refused for a field that was of another kind before."""
    [found] = documents(with_record(content))
    assert found["message"] == (content if isinstance(content, str) else orjson.dumps(content).decode())


def test_texts_and_objects_go_into_one_index() -> None:
    """A mapping made of the first document takes all others, in whatever order the kinds of records come."""
    assert len(documents(*[with_record(content, n) for n, content in enumerate(["a", {"a": 1}, 1, "2026-01-01"])])) == 4


@pytest.mark.parametrize(
    "text",
    [
        b'{"lambda":{"id":"x-1"}}',
        b'{"record":{"lambda":{"id":"a"}},"lambda":{"tags":{"lambda":"b","id":"c"},"id":"x-1","refusedBy":"s3://d","reason":"e"}}',
        b'{"record":"a","lambda":{"id":"x-1"}}',
        b'{"record":{"a":1},"type":"function","time":"2026-11-21T04:05:06.789Z","lambda":{"id":"x-1"}}',
        b'{ "time" : "2026-11-21T04:05:06.789Z" ,"type": "function",\t"record" : "a" ,"lambda":{"id":"x-1"}}',
        b'{"time":"2026-11-21T04:05:06.789Z","type":"function","record":"a","new":{"b":1},"lambda":{"id":"x-1"}}',
        b'{"time":"2026-11-21T04:05:06.789Z","type":"f","record":1e999,"lambda":{"id":"x-1","reason":"\\"id\\":\\"y\\""}}',
        b'{"record":' + b"[" * 2000 + b"]" * 2000 + b',"lambda":{"id":"x-1"}}',
    ],
)
def test_lines_of_other_forms(text: bytes) -> None:
    """A line that is not as the platform writes it becomes a document all the same, with its id."""
    stream = DataStream()
    with opened(stream) as (sink, _):
        assert list(sink.send(Batch("x-b1", [Record(1, "function", text, "function", TIME)]), 5.0)) == []
    assert list(stream.documents) == ["x-1"]


def test_line_without_ids() -> None:
    """A line that says nothing of where it is from is a document without an id of ours, which the index gives it."""
    text = b'{"time":"2026-11-21T04:05:06.789Z","type":"function","record":"a"}'
    with opened([Answer(200, {}, b'{"errors":false}')]) as (sink, server):
        sink.send(Batch("x-b1", [Record(1, "function", text, "function", TIME)]), 5.0)
    action, source = server.requests[0].text.splitlines()
    assert orjson.loads(action) == {"create": {}}
    assert orjson.loads(source) == {"@timestamp": TIME, "type": "function", "message": "a", "lambda": {}}


@pytest.mark.parametrize(
    "time", ["", "yesterday", "2026-13-01T00:00:00Z", "9999-12-31T23:59:59Z", "1960-01-01T00:00:00Z"]
)
def test_time_is_one_that_is_taken(time: str) -> None:
    """A document always has an @timestamp that the index takes."""
    assert len(documents(line(1, time=time))) == 1


def test_request() -> None:
    """A request is gzipped NDJSON to the index of the URL, whose answer holds no more than is needed."""
    with opened(DataStream(), headers=[("Authorization", "ApiKey 0f1e")]) as (sink, server):
        sink.send(batch(line(1)), 5.0)
    [request] = server.requests
    assert (request.method, request.path) == ("POST", f"/logs/_bulk?{FILTER}")
    assert (request.headers["content-encoding"], request.headers["authorization"]) == ("gzip", "ApiKey 0f1e")
    assert request.text.startswith(b'{"create":{"_id":"%b-1"}}\n{' % ENVIRONMENT.encode())


@pytest.mark.parametrize(
    ("rest", "path"),
    [
        ("/logs/", f"/logs/_bulk?{FILTER}"),
        ("/logs/_bulk", f"/logs/_bulk?{FILTER}"),
        ("/prefix/logs", f"/prefix/logs/_bulk?{FILTER}"),
        ("/logs?pipeline=lambda&types=function&routing=a", f"/logs/_bulk?pipeline=lambda&routing=a&{FILTER}"),
    ],
)
def test_path_and_query(rest: str, path: str) -> None:
    """The path is that of the index; a pipeline, and what else _bulk knows, goes on."""
    with opened([Answer(200, {}, b'{"errors":false}')], rest) as (sink, server):
        sink.send(batch(line(1)), 5.0)
    assert server.requests[0].path == path


@pytest.mark.parametrize("rest", ["", "/", "/_bulk", "/logs?filter_path=took", "/logs?compression=zstd"])
def test_what_a_url_must_not_say(rest: str) -> None:
    """An index is needed, and how the answer is filtered is ours."""
    with pytest.raises(BadSetting, match=r"expected elasticsearch\+https://host/index|filter_path=|compression="):
        load(sink_url(f"elasticsearch+https://host{rest}"))


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, Outcome.RECORD_REFUSED),
        (403, Outcome.RETRY),
        (404, Outcome.RETRY),
        (409, None),
        (413, Outcome.RECORD_REFUSED),
        (429, Outcome.RETRY),
        (500, Outcome.RETRY),
        (503, Outcome.RETRY),
    ],
)
def test_status_of_a_document(status: int, expected: Outcome | None) -> None:
    """Each document has a status of its own; that one is there already means that it was taken."""
    items: list[dict[str, Any]] = [
        {"status": 201},
        {"status": status, "error": {"type": "some_exception", "reason": "secret"}},
    ]
    with opened([answered(*items)]) as (sink, _):
        failures = sink.send(batch(line(1), line(2)), 5.0)
    expected_failures = [(1, expected, f"HTTP {status}: some_exception")] if expected else []
    assert [(failure.position, failure.outcome, failure.reason) for failure in failures] == expected_failures


@pytest.mark.parametrize("error", [None, "secret words", {"type": "Secret words"}, {"type": ["secret"]}, {}])
def test_reason_is_a_word(error: object) -> None:
    """What an item says is told only where it is a name: other texts may quote the document."""
    with opened([answered({"status": 201}, {"status": 400, "error": error})]) as (sink, _):
        [failure] = sink.send(batch(line(1), line(2)), 5.0)
    assert failure.reason == "HTTP 400: error"


@pytest.mark.parametrize(
    ("status", "type_"),
    [
        *((status, "index_not_found_exception") for status in (401, 403, 404)),
        (400, "validation_exception"),
        (400, "index_closed_exception"),
        (400, "invalid_index_name_exception"),
    ],
)
def test_index_that_takes_nothing(status: int, type_: str) -> None:
    """Where no document may be created, for want of a permission, of the index or of shards, all is refused."""
    item = {"status": status, "error": {"type": type_}}
    with opened([answered(item, item)]) as (sink, _), pytest.raises(Refused, match=type_) as caught:
        sink.send(batch(line(1), line(2)), 5.0)
    assert caught.value.scope is Scope.EVERYTHING


@pytest.mark.parametrize(
    ("status", "expected", "scope"),
    [
        (400, Refused, Scope.RECORD),
        (401, Refused, Scope.EVERYTHING),
        (404, Refused, Scope.EVERYTHING),
        (413, Refused, Scope.SIZE),
        (429, Throttled, None),
        (503, Unavailable, None),
    ],
)
def test_status_of_a_request(status: int, expected: type[Exception], scope: Scope | None) -> None:
    """What statuses of the whole request mean to delivery."""
    with (
        opened([Answer(status, {}, b"secret")]) as (sink, _),
        pytest.raises(expected, match=f"^HTTP {status}$") as caught,
    ):
        sink.send(batch(line(1)), 5.0)
    assert getattr(caught.value, "scope", None) is scope


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>Welcome to the proxy</html>",
        b"[]",
        b"{}",
        b'{"errors":true}',
        b'{"errors":true,"items":[]}',
        b'{"errors":true,"items":[{"create":{"status":201}}]}',
        b'{"errors":true,"items":[{"create":{"status":"201"}},{"create":{"status":201}}]}',
        b'{"errors":true,"items":[1,2]}',
        b'{"errors":true,"items":[{},{}]}',
        b'{"errors":true,"items":[{"create":{"status":201}},{"crea',
    ],
)
def test_answer_of_something_else(body: bytes) -> None:
    """An answer that does not tell what became of each document is none, and all are sent again."""
    with opened([Answer(200, {}, body)]) as (sink, _), pytest.raises(Unavailable):
        sink.send(batch(line(1), line(2)), 5.0)


def test_lost_answer_makes_no_duplicate() -> None:
    """What was taken, though its answer was lost, is answered 409 when it is sent again, and counts as taken."""
    stream, lost = DataStream(), iter([True])

    def losing(request: Any) -> Any:
        answer = stream(request)
        return Reset() if next(lost, False) else answer

    with opened(losing) as (sink, _):
        sent = batch(line(1), line(2))
        with pytest.raises(OSError):  # noqa: PT011 - however the connection ends
            sink.send(sent, 5.0)
        assert list(sink.send(sent, 5.0)) == []
    assert stream.lines() == [line(1), line(2)]


def test_all_arrive_but_those_that_are_refused() -> None:
    """Through delivery, each document that is taken is there once, though some had to wait, and others are counted."""
    records = [record(number, line(number, "poison" if number % 1000 == 7 else "fine")) for number in range(3000)]
    stream = DataStream(b"poison", full=frozenset(range(1, 3000, 3)))
    with opened(stream) as (sink, _):
        queue = asyncio.run(settle(sink, records))
    assert sorted(stream.lines()) == sorted(one.line for one in records if b"poison" not in one.line)
    assert (queue.delivered, dict(queue.dropped)) == (2997, {"HTTP 400: document_parsing_exception": 3})

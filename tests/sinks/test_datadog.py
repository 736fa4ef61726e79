"""What the datadog sink sends, and what it makes of the intake's answers, beside the claims on every sink."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from extension.records import Batch, Record
from extension.sinks import Refused, Scope, Throttled, Unavailable
from tests.support.batches import ENVIRONMENT, batch, line, open_sink, record
from tests.support.fault_server import Answer, FaultServer
from tests.support.reach import settle
from tests.support.sink_cases.datadog import MAX_LOG_BYTES, Intake

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from extension.sinks import Sink
    from tests.support.fault_server import Script

TIME = "2026-11-21T04:05:06.789Z"
OUTCOMES: dict[int, tuple[type[Exception], Scope | None]] = {  # "Send logs"
    400: (Refused, Scope.RECORD),
    401: (Refused, Scope.EVERYTHING),
    403: (Refused, Scope.EVERYTHING),
    408: (Unavailable, None),
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
        sink = open_sink(f"datadog+{server.url}{rest}", headers)
        try:
            yield sink, server
        finally:
            sink.close()


def logs(*lines: bytes, rest: str = "", type_: str = "function") -> list[dict[str, Any]]:
    """The logs that became of lines."""
    intake = Intake()
    records = [Record(number, "function", text, type_, TIME) for number, text in enumerate(lines)]
    with opened(intake, rest) as (sink, _):
        assert list(sink.send(Batch(f"{ENVIRONMENT}-b1", records), 5.0)) == []
    return intake.logs


def with_record(content: object) -> bytes:
    key = {"environment": ENVIRONMENT, "id": f"{ENVIRONMENT}-1"}
    return orjson.dumps({"time": TIME, "type": "function", "record": content, "lambda": key})


def test_log() -> None:
    """A log is the text that was printed, with Datadog's reserved attributes, and ours beside them."""
    assert logs(line(1, 'say "ü"\n')) == [
        {
            "ddsource": "lambda",
            "ddtags": "functionname:demo",
            "hostname": "demo",
            "service": "demo",
            "timestamp": 1795233906789,
            "type": "function",
            "message": 'say "ü"\n',
            "lambda": orjson.loads(line(1))["lambda"],
        }
    ]


@pytest.mark.parametrize("content", [{"level": "ERROR", "message": 'say "ü"', "n": [1]}, {}, [1, "a"], 1.5, None])
def test_what_is_no_text_is_its_json(content: object) -> None:
    """Any other record is the text of its JSON, which Datadog parses where it is an object."""
    [log] = logs(with_record(content))
    assert log["message"] == orjson.dumps(content).decode()


def test_metrics_embedded_for_cloudwatch_are_left_out() -> None:
    """A summary whose line begins with other members is the log of its record."""
    text = orjson.dumps({"_aws": {"Timestamp": 1}, "Duration": 12.5, **orjson.loads(with_record({"durationMs": 12.5}))})
    [log] = logs(text, type_="forwarder.invocation")
    assert log["message"] == '{"durationMs":12.5}'


@pytest.mark.parametrize(("level", "status"), [("ERROR", "error"), ("warning", "warn"), ("loud", None), (30, None)])
def test_status_is_the_level(level: object, status: str | None) -> None:
    """The level of a record that is an object is the status; without one that is known, there is none."""
    [log] = logs(with_record({"level": level}))
    assert log.get("status") == status


def test_request() -> None:
    """A request is a gzipped array, and the key is in the header that the user names."""
    with opened(Intake(), headers=[("DD-API-KEY", "0f1e")]) as (sink, server):
        sink.send(batch(line(1), line(2)), 5.0)
    [request] = server.requests
    assert (request.method, request.path) == ("POST", "/api/v2/logs")
    assert (request.headers["content-encoding"], request.headers["dd-api-key"]) == ("gzip", "0f1e")


@pytest.mark.parametrize("rest", ["/", "/api/v2/logs", "/api/v2/logs/"])
def test_path(rest: str) -> None:
    """The URL may name the API, or leave it out."""
    with opened(Intake(), rest) as (sink, server):
        sink.send(batch(line(1)), 5.0)
    assert server.requests[0].path == "/api/v2/logs"


def test_attributes_of_the_query() -> None:
    """What the query says of all logs goes on, and no log says otherwise."""
    intake = Intake()
    rest = "?ddsource=nodejs&ddtags=env:a%2Cteam:b&types=function&query.service=orders"
    with opened(intake, rest) as (sink, server):
        sink.send(batch(line(1)), 5.0)
    assert server.requests[0].path == "/api/v2/logs?ddsource=nodejs&ddtags=env:a%2Cteam:b&service=orders"
    assert set(intake.logs[0]) == {"hostname", "timestamp", "type", "message", "lambda"}


@pytest.mark.parametrize("status", OUTCOMES)
def test_statuses(status: int) -> None:
    """What the intake's statuses mean to delivery; their texts are not shown."""
    expected, scope = OUTCOMES[status]
    with (
        opened([Answer(status, {}, b"secret")]) as (sink, _),
        pytest.raises(expected, match=f"^HTTP {status}$") as caught,
    ):
        sink.send(batch(line(1)), 5.0)
    assert getattr(caught.value, "scope", None) is scope


def test_a_page_is_no_answer_of_the_intake() -> None:
    """What a proxy shows in the intake's place, whatever its status, has taken nothing."""
    page = Answer(200, {"Content-Type": "text/html; charset=utf-8"}, b"<html>sign in</html>")
    with opened([page]) as (sink, _), pytest.raises(Unavailable, match=r"^HTTP 200, but no answer of Datadog's$"):
        sink.send(batch(line(1)), 5.0)


@pytest.mark.parametrize("character", ['"', "\\", "\n", "x", "é"])
@pytest.mark.parametrize("is_object", [True, False])
def test_no_log_is_cut(character: str, is_object: bool) -> None:
    """A record as long as the limit says is never a log that Datadog would cut, whatever is escaped in it."""
    with opened(Intake()) as (sink, _):
        limit = sink.limits.record_bytes
    frame = len(with_record({"a": ""}))
    content = character * ((limit - frame) // (len(with_record({"a": character})) - frame))
    text = with_record({"a": content} if is_object else content)
    assert limit - 100 < len(text) <= limit
    [log] = logs(text)
    assert len(orjson.dumps(log)) <= MAX_LOG_BYTES


def test_all_arrive_but_those_that_are_refused() -> None:
    """Of a request that is refused for one of its logs the others arrive, each once, and that one is counted."""
    records = [record(number, line(number, "poison" if number % 1000 == 7 else "fine")) for number in range(3000)]
    intake = Intake("poison")
    with opened(intake) as (sink, _):
        queue = asyncio.run(settle(sink, records))
    assert sorted(intake.lines()) == sorted(one.line for one in records if b"poison" not in one.line)
    assert (queue.delivered, dict(queue.dropped)) == (2997, {"HTTP 400": 3})

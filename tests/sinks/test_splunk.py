"""What the splunk sink sends, and what it makes of HEC's answers, beside the claims on every sink."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING

import orjson
import pytest

from extension.records import Batch, Record
from extension.sinks import Outcome, Refused, Scope, Throttled, Unavailable
from tests.support.batches import ENVIRONMENT, batch, line, open_sink, record
from tests.support.fault_server import Answer, FaultServer
from tests.support.reach import settle
from tests.support.sink_cases.splunk import Hec, answer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from extension.sinks import Sink
    from tests.support.fault_server import Script

# "Troubleshoot HTTP Event Collector", Possible error codes: code, status, and what it means to delivery.
CODES: list[tuple[int, int, type[Exception] | None, Scope | None]] = [
    (0, 200, None, None),  # Success
    (1, 403, Refused, Scope.EVERYTHING),  # Token disabled
    (2, 401, Refused, Scope.EVERYTHING),  # Token is required
    (3, 401, Refused, Scope.EVERYTHING),  # Invalid authorization
    (4, 403, Refused, Scope.EVERYTHING),  # Invalid token
    (5, 400, Refused, Scope.EVERYTHING),  # No data
    (6, 400, Refused, Scope.RECORD),  # Invalid data format
    (7, 400, Refused, Scope.EVERYTHING),  # Incorrect index
    (8, 500, Unavailable, None),  # Internal server error
    (9, 503, Unavailable, None),  # Server is busy
    (10, 400, Refused, Scope.EVERYTHING),  # Data channel is missing
    (11, 400, Refused, Scope.EVERYTHING),  # Invalid data channel
    (12, 400, Refused, Scope.RECORD),  # Event field is required
    (13, 400, Refused, Scope.RECORD),  # Event field cannot be blank
    (14, 400, Refused, Scope.EVERYTHING),  # ACK is disabled
    (15, 400, Refused, Scope.RECORD),  # Error in handling indexed fields
    (16, 400, Refused, Scope.EVERYTHING),  # Query string authorization is not enabled
    (17, 200, Refused, Scope.EVERYTHING),  # HEC is healthy: said of its health alone
    (18, 503, Unavailable, None),  # HEC is unhealthy, queues are full
    (19, 503, Unavailable, None),  # HEC is unhealthy, ack service unavailable
    (20, 503, Unavailable, None),  # both
    (21, 400, Refused, Scope.EVERYTHING),  # Invalid token
    (22, 400, Refused, Scope.EVERYTHING),  # Token disabled
    (23, 503, Unavailable, None),  # Server is shutting down
    (24, 200, None, None),  # HEC queue approaching capacity
    (25, 200, None, None),  # HEC ACK approaching capacity
    (26, 429, Throttled, None),  # HEC queue at capacity
    (27, 429, Throttled, None),  # HEC ACK channel at capacity
]


@contextmanager
def opened(
    script: Script, rest: str = "", headers: Sequence[tuple[str, str]] = ()
) -> Iterator[tuple[Sink, FaultServer]]:
    """A sink and its server, `rest` being what its URL says behind the host."""
    with FaultServer(script) as server:
        sink = open_sink(f"splunk+{server.url}{rest}", headers)
        try:
            yield sink, server
        finally:
            sink.close()


def sent(rest: str = "", *records: Record) -> list[dict[str, object]]:
    """The events that became of records."""
    hec = Hec()
    with opened(hec, rest) as (sink, _):
        assert list(sink.send(Batch(f"{ENVIRONMENT}-b1", list(records or [record(0, line(1))])), 5.0)) == []
    return hec.events


def test_event() -> None:
    """An event is our line as an object, with the metadata that HEC knows, and fields that are flat and few."""
    assert sent() == [
        {
            "host": "demo",
            "source": "lambda:demo",
            "sourcetype": "_json",
            "time": 1795233906.789,
            "fields": {"function": "demo", "type": "function"},
            "event": orjson.loads(line(1)),
        }
    ]


def test_request() -> None:
    """Events are gzipped, one object behind the other, and the token is in the header that the user names."""
    with opened(Hec(), headers=[("Authorization", "Splunk 0f1e")]) as (sink, server):
        sink.send(batch(line(1), line(2)), 5.0)
    [request] = server.requests
    assert (request.headers["content-encoding"], request.headers["authorization"]) == ("gzip", "Splunk 0f1e")
    assert request.text.count(b'}\n{"host":"demo"') == 1


@pytest.mark.parametrize(
    "rest", ["", "/", "/services/collector", "/services/collector/event", "/services/collector/event/"]
)
def test_path(rest: str) -> None:
    """The URL may name the collector, or leave it out."""
    with opened(Hec(), rest) as (sink, server):
        sink.send(batch(line(1)), 5.0)
    assert server.requests[0].path == "/services/collector/event"


def test_metadata_is_chosen() -> None:
    """Index, source and sourcetype are those of the URL where it names them."""
    [event] = sent("?index=main&source=a%2Fb&sourcetype=aws:lambda")
    assert (event["index"], event["source"], event["sourcetype"]) == ("main", "a/b", "aws:lambda")


def test_channel_goes_on() -> None:
    """A channel is HEC's own parameter, beside those that are ours."""
    with opened(Hec(), "?channel=fe0ecfad-13d5-401b-847d-77833bd77131&index=main") as (sink, server):
        sink.send(batch(line(1)), 5.0)
    assert server.requests[0].path == "/services/collector/event?channel=fe0ecfad-13d5-401b-847d-77833bd77131"


@pytest.mark.parametrize(
    "time", ["", "yesterday", "1970-01-01T00:00:00.001Z", "2262-01-01T00:00:00Z", "1969-01-01T00:00:00Z"]
)
def test_time_is_in_plain_decimals(time: str) -> None:
    """A time of any kind is one that HEC takes: no exponent, and none before 1970."""
    [event] = sent("", record(0, line(1, time=time)))
    assert isinstance(event["time"], float)
    assert event["time"] >= 0


def test_record_without_a_type() -> None:
    """A line without a type is still an event with fields."""
    [event] = sent("", Record(0, "other", b'{"a":1,"lambda":{"id":"x"}}'))
    assert event["fields"] == {"function": "demo", "type": "other"}


@pytest.mark.parametrize(("code", "status", "expected", "scope"), CODES)
def test_codes(code: int, status: int, expected: type[Exception] | None, scope: Scope | None) -> None:
    """What HEC's codes mean to delivery; their texts are not shown."""
    with opened([answer(status, code, "secret")]) as (sink, _):
        try:
            outcome: Exception | None = None
            assert list(sink.send(batch(line(1), line(2)), 5.0)) == []
        except (Refused, Throttled, Unavailable) as error:
            outcome = error
    assert (type(outcome) if outcome else None, getattr(outcome, "scope", None)) == (expected, scope)
    assert outcome is None or str(outcome) == f"HTTP {status}, HEC code {code}"


@pytest.mark.parametrize("code", [6, 12, 13, 15])
def test_event_that_is_refused(code: int) -> None:
    """The event whose number HEC gives is refused alone; the others are to be sent again."""
    with opened([answer(400, code, "x", 1)]) as (sink, _):
        failures = sink.send(batch(line(1), line(2), line(3)), 5.0)
    assert [(failure.position, failure.outcome) for failure in failures] == [
        (0, Outcome.RETRY),
        (1, Outcome.RECORD_REFUSED),
        (2, Outcome.RETRY),
    ]


@pytest.mark.parametrize("number", [3, -1, 10**30])
def test_number_of_no_event(number: int) -> None:
    """A number that is none of the batch's blames a record that is to be found."""
    body = b'{"text":"x","code":6,"invalid-event-number":%d}' % number
    with opened([Answer(400, {}, body)]) as (sink, _), pytest.raises(Refused) as caught:
        sink.send(batch(line(1), line(2), line(3)), 5.0)
    assert caught.value.scope is Scope.RECORD


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (Answer(200, {}, b"<html>Welcome to the proxy</html>"), Unavailable),
        (Answer(502, {}, b"<html>Bad gateway</html>"), Unavailable),
        (Answer(413, {}, b"<html>Content-Length too large</html>"), Refused),
        (Answer(200, {}, b'"OK"'), None),  # OpenTelemetry's splunkhecreceiver
        (Answer(200, {}, b'{"text":"Success"}'), None),
        (Answer(200), None),
        (Answer(204), None),
    ],
)
def test_answers_without_a_code(given: Answer, expected: type[Exception] | None) -> None:
    """A page is not taken for HEC's answer, but those of other makers' collectors are."""
    with opened([given]) as (sink, _):
        outcome: type[Exception] | None = None
        try:
            sink.send(batch(line(1)), 5.0)
        except (Refused, Unavailable) as error:
            outcome = type(error)
    assert outcome is expected


@pytest.mark.parametrize("keeps_begun", [False, True])
def test_all_arrive_but_those_that_are_refused(keeps_begun: bool) -> None:
    """Through delivery every event that HEC takes is there, and each that it refuses is counted.

    None is there twice, unless HEC has taken what stood before a refused one.
    """
    records = [record(number, line(number, "poison" if number % 1000 == 7 else "fine")) for number in range(3000)]
    hec = Hec(b"poison", keeps_begun=keeps_begun)
    with opened(hec) as (sink, _):
        queue = asyncio.run(settle(sink, records))
    assert sorted(set(hec.lines())) == sorted(one.line for one in records if b"poison" not in one.line)
    assert (len(hec.lines()) > 2997) == keeps_begun
    assert (queue.delivered, sum(queue.dropped.values())) == (2997, 3)

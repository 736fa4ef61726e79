"""What programs exported, as the otlp sink sends it on."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import orjson
import pytest
from google.protobuf.json_format import MessageToDict, Parse
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from extension.records import Batch, Record
from extension.sinks import Outcome, Refused, Scope
from extension.sinks._otlp_carried import complete
from tests.support.batches import open_sink
from tests.support.exports import JSON, PROTOBUF, carried, logs, metrics, span_names, traces
from tests.support.fault_server import Answer, FaultServer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from extension.sinks import Failure
    from tests.support.fault_server import Request, Script

A, B = traces("a", "b").SerializeToString(), traces("c", service="stock").SerializeToString()
AS_JSON = orjson.dumps(MessageToDict(traces("d")))
PLACES = ("cloud.provider", "cloud.region", "faas.name")


@contextmanager
def sent(
    records: Sequence[Record], query: str = "", script: Script = ()
) -> Iterator[tuple[list[Request], list[Failure]]]:
    """What a server gets of the records, and which of them a sink says were not taken."""
    with FaultServer(script) as server:
        sink = open_sink(f"otlp+{server.url}{query}")
        failures = list(sink.send(Batch("e1-1", list(records)), 10.0))
        sink.close()
        yield server.requests, failures


def attributes(resource: Resource) -> dict[str, str]:
    return {one.key: one.value.string_value for one in resource.attributes}


@pytest.mark.parametrize("encoding", ["protobuf", "json"])
def test_bodies_are_put_together_as_they_came(encoding: str) -> None:
    """One request for all of them, in protobuf whatever the sink's own encoding, byte by byte what was exported."""
    with sent(carried(A, B, A), f"?encoding={encoding}") as ([request], failures):
        assert (request.path, request.headers["content-type"], request.text) == ("/v1/traces", PROTOBUF, A + B + A)
        assert span_names(request.text) == ["a", "b", "c", "a", "b"]
        assert failures == []


def test_json_goes_on_as_json() -> None:
    """One body as it came, several as one list; what was exported in protobuf has a request of its own."""
    with sent(carried(AS_JSON, type_=JSON)) as ([request], _):
        assert (request.headers["content-type"], request.text) == (JSON, AS_JSON)
    records = [*carried(AS_JSON, AS_JSON, type_=JSON), *carried(A)]
    with sent(records) as (requests, _):
        as_json, as_protobuf = sorted(requests, key=lambda request: request.headers["content-type"])
        assert orjson.loads(as_json.text) == {"resourceSpans": orjson.loads(AS_JSON)["resourceSpans"] * 2}
        assert as_protobuf.text == A


def test_each_signal_has_its_path() -> None:
    """Beside records of our own, which are requests of their own."""
    bodies = {"traces": A, "metrics": metrics(1).SerializeToString(), "logs": logs("x").SerializeToString()}
    records = [record for signal, body in bodies.items() for record in carried(body, signal=signal)]
    own = Record(1, "function", b'{"time":"","type":"function","record":"x","lambda":{"environment":"e1","id":"e1-1"}}')
    with sent([*records, own]) as (requests, _):
        assert {request.path: request.text for request in requests if request.text in bodies.values()} == {
            f"/v1/{signal}": body for signal, body in bodies.items()
        }
        assert len(requests) == 4


def test_what_the_fallback_gets_is_what_was_exported() -> None:
    """An otlp sink that is the fallback sends the same body, out of the line that other sinks would write."""
    refused = [record.refused("otlp+https://x", "HTTP 400", 7) for record in carried(A)]
    assert b"\n" not in refused[0].line
    said = orjson.loads(refused[0].line)
    assert (said["record"]["items"], said["lambda"]["refusedBy"]) == (1, "otlp+https://x")
    with sent([*refused, *carried(B)]) as ([request], _):
        assert request.text == A + B
    [record] = [
        record.refused("a", "b", 1).refused("c", "d", 2) for record in carried(b'{"resourceSpans":\n[]}', type_=JSON)
    ]
    assert b"\n" not in record.line
    with sent([record]) as ([request], _):
        assert request.text == b'{"resourceSpans":[]}'


@pytest.mark.parametrize(("rejected", "failed"), [(0, 0), (1, 1), (10, 1), (11, 2), (99, 3)])
def test_a_partial_success_is_of_as_many_bodies_as_it_may_mean(rejected: int, failed: int) -> None:
    """It counts spans, and does not say which: none that may be among them counts as delivered."""
    told = ExportTraceServiceResponse(partial_success=ExportTracePartialSuccess(rejected_spans=rejected))
    answer = Answer(200, {"Content-Type": PROTOBUF}, told.SerializeToString())
    with sent(carried(A, A, A, items=10), script=[answer]) as (_, failures):
        assert [failure.position for failure in failures] == list(range(failed))
        assert {failure.outcome for failure in failures} <= {Outcome.RECORD_REFUSED}


def test_a_content_type_that_is_not_taken_is_no_denial() -> None:
    """A server that takes no JSON may take all else: the batch alone is refused."""
    with FaultServer([Answer(415)]) as server:
        sink = open_sink(f"otlp+{server.url}")
        with pytest.raises(Refused) as caught:
            sink.send(Batch("e1-1", carried(AS_JSON, type_=JSON)), 10.0)
        sink.close()
    assert caught.value.scope is Scope.BATCH


@pytest.mark.parametrize("null", [b'{"resource":null}', b'{"resource":{"attributes":null}}'])
def test_a_resource_that_is_null_is_completed(null: bytes) -> None:
    """ProtoJSON has null for what is not there."""
    with sent(carried(b'{"resourceSpans":[%b]}' % null, type_=JSON), "?resource=complete") as ([request], _):
        [found] = Parse(request.text, ExportTraceServiceRequest()).resource_spans
        assert attributes(found.resource)["faas.name"] == "demo"


@pytest.mark.parametrize("type_", [PROTOBUF, JSON])
def test_resources_are_completed_on_request(type_: str) -> None:
    """With resource=complete they say where they ran; what they said themselves stays, and so does all else."""
    request = traces("a", "b")
    request.resource_spans[0].resource.attributes.add(key="cloud.region").value.string_value = "mine"
    request.resource_spans[0].resource.dropped_attributes_count = 3
    request.resource_spans[0].schema_url = "https://opentelemetry.io/schemas/1.37.0"
    body = request.SerializeToString() if type_ == PROTOBUF else orjson.dumps(MessageToDict(request))
    with sent(carried(body, body, type_=type_), "?resource=complete") as ([sent_on], _):
        text = sent_on.text
    got = ExportTraceServiceRequest.FromString(text) if type_ == PROTOBUF else Parse(text, ExportTraceServiceRequest())
    assert len(got.resource_spans) == 2
    for one in got.resource_spans:
        known = attributes(one.resource)
        assert [known.get(place) for place in PLACES] == ["aws", "mine", "demo"]
        assert known["service.name"] == "orders"
        assert "service.instance.id" not in known
        del one.resource.attributes[2:]
        assert one == request.resource_spans[0]


@given(st.binary(max_size=100))
def test_what_cannot_be_completed_stays_as_it_is(inside: bytes) -> None:
    """Whatever is inside a resource that nobody has looked at, it raises nothing, and the spans are still there."""
    body = b"\x0a" + bytes([len(inside)]) + inside + A
    whole = complete(body, Resource())
    assert whole.endswith(complete(A, Resource()))

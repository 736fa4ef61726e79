from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from extension.sinks._otlp_spans import encode
from tests.support.signals import BEGAN_NS, MS, PARENT_ID, TRACE, TRACE_ID, Derived, done, report, span, start

if TYPE_CHECKING:
    from extension.records import Record

RESOURCE = Resource(attributes=[KeyValue(key="faas.instance", value=AnyValue(string_value="e1"))])


def records() -> list[Record]:
    """The spans of an invocation that failed."""
    derived = Derived(temporalities=())
    latency = span("responseLatency", 0, 8.25)
    derived.feed(
        start("r1", 0, tracing=TRACE),
        done("r1", 10, spans=[latency]),
        report("r1", 12, "error", errorType="Function.X"),
    )
    return derived.records


def spans() -> dict[str, Span]:
    request = ExportTraceServiceRequest.FromString(encode(records(), RESOURCE, as_json=False))
    [of_resource] = request.resource_spans
    assert of_resource.resource == RESOURCE
    [scope] = of_resource.scope_spans
    assert scope.scope.name == "telemetry-forwarder"
    return {found.name: found for found in scope.spans}


def test_a_span_is_encoded_field_by_field() -> None:
    """Ids are bytes, times nanoseconds, attributes keep their types."""
    found = spans()["orders"]
    assert (found.trace_id.hex(), found.parent_span_id.hex(), found.flags) == (TRACE_ID, PARENT_ID, 0x301)
    assert found.kind == Span.SPAN_KIND_SERVER
    assert (found.start_time_unix_nano, found.end_time_unix_nano) == (BEGAN_NS, BEGAN_NS + 12 * MS)
    assert found.status == Status(code=Status.STATUS_CODE_ERROR, message="error")
    attributes = {pair.key: pair.value for pair in found.attributes}
    assert attributes["faas.invocation_id"].string_value == "r1"
    assert attributes["faas.coldstart"].HasField("bool_value")
    assert attributes["error.type"].string_value == "Function.X"


def test_a_child_names_its_parent() -> None:
    """It is internal, and its status is not set."""
    found = spans()
    child = found["responseLatency"]
    assert (child.trace_id, child.parent_span_id) == (found["orders"].trace_id, found["orders"].span_id)
    assert (child.kind, child.status.code) == (Span.SPAN_KIND_INTERNAL, Status.STATUS_CODE_UNSET)
    assert child.end_time_unix_nano - child.start_time_unix_nano == 8_250_000


def test_json_is_otlps_own() -> None:
    """Ids are hexadecimal, enums numbers, 64-bit integers strings ("OTLP Specification", JSON Protobuf Encoding)."""
    found = orjson.loads(encode(records(), RESOURCE, as_json=True))
    one = found["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    assert (one["traceId"], one["parentSpanId"], one["kind"]) == (TRACE_ID, PARENT_ID, 2)
    assert one["startTimeUnixNano"] == str(BEGAN_NS)
    assert one["status"] == {"code": 2, "message": "error"}


def test_a_batch_sent_twice_is_the_same_bytes() -> None:
    """So a store that knows ids drops the second."""
    assert encode(records(), RESOURCE, as_json=False) == encode(records(), RESOURCE, as_json=False)

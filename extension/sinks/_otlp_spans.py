"""Span records as an ExportTraceServiceRequest of opentelemetry-proto; docs/signals.md has their shape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from extension.sinks._otlp_values import put_all, serialize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.proto.resource.v1.resource_pb2 import Resource

    from extension.records import Record

SCOPE = "telemetry-forwarder"
KINDS: dict[str, Any] = {"internal": Span.SPAN_KIND_INTERNAL, "server": Span.SPAN_KIND_SERVER}
STATUSES: dict[str, Any] = {"unset": Status.STATUS_CODE_UNSET, "error": Status.STATUS_CODE_ERROR}


def encode(records: Sequence[Record], resource: Resource, *, as_json: bool) -> bytes:
    """The body of a request to /v1/traces."""
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add(resource=resource).scope_spans.add()
    scope.scope.name = SCOPE
    for record in records:
        content = orjson.loads(record.line)["record"]
        span = scope.spans.add(
            trace_id=bytes.fromhex(content["traceId"]),
            span_id=bytes.fromhex(content["spanId"]),
            parent_span_id=bytes.fromhex(content["parentSpanId"]),
            flags=content["flags"],
            name=content["name"],
            kind=KINDS[content["kind"]],
            start_time_unix_nano=content["startTimeUnixNano"],
            end_time_unix_nano=content["endTimeUnixNano"],
            status=Status(code=STATUSES[content["status"]], message=content["statusMessage"]),
        )
        put_all(span.attributes, content["attributes"])
    return serialize(request, as_json=as_json)

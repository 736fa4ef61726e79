"""What SDKs export by OTLP, as messages and as records."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    ExponentialHistogramDataPoint,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    SummaryDataPoint,
)

from extension.pipeline.pipeline import Pipeline

if TYPE_CHECKING:
    from extension.records import Record

Request = ExportTraceServiceRequest | ExportMetricsServiceRequest | ExportLogsServiceRequest
REQUESTS: dict[str, Any] = {
    "traces": ExportTraceServiceRequest,
    "metrics": ExportMetricsServiceRequest,
    "logs": ExportLogsServiceRequest,
}
PROTOBUF, JSON = "application/x-protobuf", "application/json"


def traces(*names: str, service: str = "orders") -> ExportTraceServiceRequest:
    """A request with a span of each name."""
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.add(key="service.name").value.string_value = service
    scope = resource.scope_spans.add()
    for number, name in enumerate(names):
        span = scope.spans.add(name=name, trace_id=b"%016d" % number, span_id=b"%08d" % number)
        span.attributes.add(key="url.path").value.string_value = "/orders/" * 30
    return request


def metrics(points: int) -> ExportMetricsServiceRequest:
    """A request with so many points of each kind of metric there is."""
    request = ExportMetricsServiceRequest()
    scope = request.resource_metrics.add().scope_metrics.add()
    found: list[Metric] = [scope.metrics.add(name=f"m{number}", description="a metric") for number in range(5)]
    for number in range(points):
        found[0].gauge.data_points.append(NumberDataPoint(as_int=number))
        found[1].sum.data_points.append(NumberDataPoint(as_double=number))
        found[2].histogram.data_points.append(HistogramDataPoint(count=number, explicit_bounds=[1.0, 2.0]))
        found[3].exponential_histogram.data_points.append(ExponentialHistogramDataPoint(count=number))
        found[4].summary.data_points.append(SummaryDataPoint(count=number))
    return request


def logs(*texts: str) -> ExportLogsServiceRequest:
    """A request with a log record of each text."""
    request = ExportLogsServiceRequest()
    scope = request.resource_logs.add().scope_logs.add()
    for text in texts:
        scope.log_records.add().body.string_value = text
    return request


def span_names(body: bytes) -> list[str]:
    """The names of the spans in a body, in order."""
    resources = ExportTraceServiceRequest.FromString(body).resource_spans
    return [span.name for one in resources for scope in one.scope_spans for span in scope.spans]


def carried(*bodies: bytes, signal: str = "traces", type_: str = PROTOBUF, items: int = 1) -> list[Record]:
    """Records that carry the bodies, as the pipeline makes them."""
    pipeline = Pipeline(lambda _: [], [], itertools.count())
    pipeline.identify({"functionName": "demo", "region": "us-east-1"}, "e1")
    content = {"contentType": type_, "items": items}
    return [pipeline.carry(f"otlp-{signal}", f"otlp.{signal}", content, body, "r1") for body in bodies]


def as_dict(request: Request) -> dict[str, Any]:
    """A request as protobuf's own JSON, whose ids are base64."""
    found: dict[str, Any] = MessageToDict(request, use_integers_for_enums=True)
    return found

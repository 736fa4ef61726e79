"""Metric records as an ExportMetricsServiceRequest of opentelemetry-proto; docs/signals.md has their shape.

A record is of one event. Here the records of each stream are put together that fell into the same ten seconds, as an
SDK does that exports so often: 1,000 invocations make no more points than one, and what waited through an outage keeps
its time. A request is a function of its records alone, so that it may be sent again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, Metric

from extension.sinks._otlp_values import put_all, serialize

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from opentelemetry.proto.metrics.v1.metrics_pb2 import ScopeMetrics
    from opentelemetry.proto.resource.v1.resource_pb2 import Resource

    from extension.records import Record

SCOPE = "telemetry-forwarder"
WINDOW_NS = 10_000_000_000
TEMPORALITIES: dict[str, Any] = {
    "delta": AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA,
    "cumulative": AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE,
}

Measured = tuple[dict[str, Any], dict[str, Any]]  # the content of a record, and one of its metrics


def encode(records: Sequence[Record], resource: Resource, *, as_json: bool) -> bytes:
    """The body of a request to /v1/metrics."""
    request = ExportMetricsServiceRequest()
    scope = request.resource_metrics.add(resource=resource).scope_metrics.add()
    scope.scope.name = SCOPE
    named: dict[tuple[str, str], Metric] = {}
    for stream in _streams([orjson.loads(record.line)["record"] for record in records]):
        content, measured = stream[0]
        key = measured["name"], content["temporality"]
        if key not in named:
            named[key] = _add_metric(scope, measured, TEMPORALITIES[content["temporality"]])
        (_put_histogram if measured["type"] == "histogram" else _put_sum)(named[key], stream)
    return serialize(request, as_json=as_json)


def count_points(records: Sequence[Record]) -> int:
    """How many data points a request of these records has, which is not how many they are."""
    return len(_streams([orjson.loads(record.line)["record"] for record in records]))


def _streams(contents: Iterable[dict[str, Any]]) -> Collection[list[Measured]]:
    """What makes one point: the metrics of a stream in a window, in order of time; of totals the last alone."""
    found: dict[tuple[object, ...], list[Measured]] = {}
    for content in sorted(contents, key=lambda content: int(content["timeUnixNano"])):
        temporality, window = content["temporality"], content["timeUnixNano"] // WINDOW_NS
        for metric in content["metrics"]:
            key = metric["name"], frozenset(metric["attributes"].items()), temporality, window
            if temporality == "delta":
                found.setdefault(key, []).append((content, metric))
            else:
                found[key] = [(content, metric)]
    return found.values()


def _add_metric(scope: ScopeMetrics, measured: dict[str, Any], temporality: Any) -> Metric:
    metric = scope.metrics.add(name=measured["name"], unit=measured["unit"])
    if measured["type"] == "histogram":
        metric.histogram.aggregation_temporality = temporality
    else:
        metric.sum.aggregation_temporality = temporality
        metric.sum.is_monotonic = True
    return metric


def _put_sum(metric: Metric, stream: Sequence[Measured]) -> None:
    point = metric.sum.data_points.add(
        start_time_unix_nano=stream[0][0]["startTimeUnixNano"],
        time_unix_nano=stream[-1][0]["timeUnixNano"],
        as_int=sum(measured["value"] for _, measured in stream),
    )
    put_all(point.attributes, stream[0][1]["attributes"])


def _put_histogram(metric: Metric, stream: Sequence[Measured]) -> None:
    values = [measured for _, measured in stream]
    point = metric.histogram.data_points.add(
        start_time_unix_nano=stream[0][0]["startTimeUnixNano"],
        time_unix_nano=stream[-1][0]["timeUnixNano"],
        count=sum(value["count"] for value in values),
        sum=sum(value["sum"] for value in values),
        min=min(value["min"] for value in values),
        max=max(value["max"] for value in values),
        bucket_counts=[sum(counts) for counts in zip(*(value["buckets"] for value in values), strict=True)],
        explicit_bounds=values[0]["bounds"],
    )
    put_all(point.attributes, values[0]["attributes"])

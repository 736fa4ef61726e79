"""Metric records as an ExportMetricsServiceRequest of opentelemetry-proto; docs/signals.md has their shape.

A record is of one event. Here the points of each stream are put together that fell into the same ten seconds, as an
SDK does that exports so often: 1,000 invocations make no more points than one, and what waited through an outage keeps
its time. A request is a function of its records alone, so that it may be sent again.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Any

import orjson
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, Metric

from extension.sinks._otlp_values import put_all, serialize

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from opentelemetry.proto.metrics.v1.metrics_pb2 import ScopeMetrics
    from opentelemetry.proto.resource.v1.resource_pb2 import Resource

    from extension.records import Record

SCOPE = "telemetry-forwarder"
WINDOW_NS = 10_000_000_000
DELTA = AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
CUMULATIVE = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE


def encode(records: Sequence[Record], resource: Resource, *, as_json: bool, is_cumulative: bool = False) -> bytes:
    """The body of a request to /v1/metrics. Cumulative totals are only there where the records were made with them."""
    request = ExportMetricsServiceRequest()
    found = request.resource_metrics.add(resource=resource)
    scope = found.scope_metrics.add()
    scope.scope.name = SCOPE
    named: dict[str, Metric] = {}
    for stream in _streams([orjson.loads(record.line)["record"] for record in records]):
        metric = _metric(named, scope, stream[0][1], CUMULATIVE if is_cumulative else DELTA)
        if is_cumulative:
            _put_total(metric, *stream[-1])
        else:
            _put_delta(metric, stream)
    return serialize(request, as_json=as_json)


Measured = tuple[dict[str, Any], dict[str, Any]]  # the content of a record, and one of its metrics


def _streams(contents: Iterable[dict[str, Any]]) -> Iterable[list[Measured]]:
    """The metrics of the records, by stream and window, in the order in which they were measured."""
    found: dict[tuple[str, frozenset[tuple[str, object]], int], list[Measured]] = {}
    for content in sorted(contents, key=lambda content: int(content["timeUnixNano"])):
        for metric in content["metrics"]:
            key = metric["name"], frozenset(metric["attributes"].items()), content["timeUnixNano"] // WINDOW_NS
            found.setdefault(key, []).append((content, metric))
    return found.values()


def _metric(named: dict[str, Metric], scope: ScopeMetrics, metric: dict[str, Any], temporality: Any) -> Metric:
    """The one message of a metric's name, to which its points are added."""
    name = metric["name"]
    if name in named:
        return named[name]
    made = named[name] = scope.metrics.add(name=name, unit=metric["unit"])
    if metric["type"] == "histogram":
        made.histogram.aggregation_temporality = temporality
    else:
        made.sum.aggregation_temporality = temporality
        made.sum.is_monotonic = True
    return made


def _put_delta(metric: Metric, stream: list[Measured]) -> None:
    """One point of what was measured in a window: it begins where the first record does."""
    times = stream[0][0]["startTimeUnixNano"], stream[-1][0]["timeUnixNano"]
    one = stream[0][1]
    values = [measured["value"] for _, measured in stream]
    if one["type"] != "histogram":
        _put_sum(metric, times, one, sum(values))
        return
    buckets = [0] * (len(one["bounds"]) + 1)
    for value in values:
        buckets[bisect_left(one["bounds"], value)] += 1
    total = {"count": len(values), "sum": sum(values), "min": min(values), "max": max(values), "buckets": buckets}
    _put_histogram(metric, times, one, total)


def _put_total(metric: Metric, content: dict[str, Any], measured: dict[str, Any]) -> None:
    """One point of what a stream had come to at the end of a window."""
    times = content["cumulativeStartTimeUnixNano"], content["timeUnixNano"]
    put = _put_histogram if measured["type"] == "histogram" else _put_sum
    put(metric, times, measured, measured["total"])


def _put_sum(metric: Metric, times: tuple[int, int], measured: dict[str, Any], value: int) -> None:
    point = metric.sum.data_points.add(start_time_unix_nano=times[0], time_unix_nano=times[1], as_int=value)
    put_all(point.attributes, measured["attributes"])


def _put_histogram(metric: Metric, times: tuple[int, int], measured: dict[str, Any], total: dict[str, Any]) -> None:
    point = metric.histogram.data_points.add(
        start_time_unix_nano=times[0],
        time_unix_nano=times[1],
        count=total["count"],
        sum=total["sum"],
        min=total["min"],
        max=total["max"],
        bucket_counts=total["buckets"],
        explicit_bounds=measured["bounds"],
    )
    put_all(point.attributes, measured["attributes"])

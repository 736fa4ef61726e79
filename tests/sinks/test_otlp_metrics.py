from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from extension.sinks._otlp_metrics import encode
from tests.support.signals import BEGAN_NS, MS, Derived, done, init, invocation, report, start

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.proto.metrics.v1.metrics_pb2 import HistogramDataPoint, Metric, NumberDataPoint

    from extension.records import Record

RESOURCE = Resource(attributes=[KeyValue(key="faas.instance", value=AnyValue(string_value="e1"))])


def decoded(records: Sequence[Record]) -> dict[str, Metric]:
    """The metrics of the request that these records make, by name."""
    request = ExportMetricsServiceRequest.FromString(encode(records, RESOURCE, as_json=False))
    [of_resource] = request.resource_metrics
    assert of_resource.resource == RESOURCE
    [scope] = of_resource.scope_metrics
    assert scope.scope.name == "telemetry-forwarder"
    metrics = {metric.name: metric for metric in scope.metrics}
    assert len(metrics) == len(scope.metrics)
    return metrics


def times(point: NumberDataPoint | HistogramDataPoint) -> tuple[float, float]:
    return (point.start_time_unix_nano - BEGAN_NS) / MS, (point.time_unix_nano - BEGAN_NS) / MS


def three(**options: Any) -> Derived:
    """A cold start and two more invocations, which took 10, 10 and 300 ms."""
    derived = Derived(traces=False, **options)
    derived.feed(*init(), *invocation("r1", 300), *invocation("r2", 400))
    derived.feed(start("r3", 500), done("r3", 800, duration_ms=300.0), report("r3", 801))
    return derived


def test_counters_are_monotonic_sums_of_deltas() -> None:
    """What was counted in a window is one point, from where the first record begins to where the last ends."""
    metric = decoded(three().records)["faas.invocations"]
    assert (metric.unit, metric.sum.is_monotonic) == ("{invocation}", True)
    assert metric.sum.aggregation_temporality == AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
    [point] = metric.sum.data_points
    assert (point.as_int, times(point)) == (3, (200, 801))


def test_durations_are_histograms_of_deltas() -> None:
    """Count, sum, least, largest and buckets, whose upper bounds are inclusive."""
    metric = decoded(three().records)["faas.invoke_duration"]
    assert metric.unit == "s"
    assert metric.histogram.aggregation_temporality == AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
    [point] = metric.histogram.data_points
    assert (point.count, point.min, point.max) == (3, 0.01, 0.3)
    assert point.sum == pytest.approx(0.32)
    bounds = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10]
    assert list(point.explicit_bounds) == bounds
    assert list(point.bucket_counts) == [2 if bound == 0.01 else int(bound == 0.5) for bound in bounds] + [0]
    assert times(point) == (200, 801)


def test_a_stream_is_a_name_and_attributes() -> None:
    """Points of other attributes are other points of the same metric."""
    derived = Derived()
    for request_id, error_type in [("r1", "Function.A"), ("r2", "Function.B"), ("r3", "Function.A")]:
        derived.feed(start(request_id, 0), report(request_id, 1, "error", errorType=error_type))
    points = decoded([record for record in derived.records if record.kind == "metric"])["faas.errors"].sum.data_points
    found = {point.attributes[0].value.string_value: point.as_int for point in points}
    assert found == {"Function.A": 2, "Function.B": 1}
    assert {point.attributes[0].key for point in points} == {"error.type"}


def test_what_waited_long_keeps_its_time() -> None:
    """Of each ten seconds there is one point."""
    derived = Derived(traces=False)
    for number in range(5):
        derived.feed(*invocation(f"r{number}", number * 4000))
    points = decoded(derived.records)["faas.invocations"].sum.data_points
    assert [(point.as_int, times(point)) for point in points] == [(3, (0, 8012)), (2, (8012, 16012))]


def test_cumulative_points_are_totals_since_one_time() -> None:
    """The last total of a window, whatever batch it comes in: to send a batch twice counts nothing twice."""
    derived = three(temporalities={"cumulative"})
    halves = derived.records[:2], derived.records[2:]
    found = [decoded(half) for half in (*halves, halves[1])]
    sums = [metrics["faas.invocations"].sum for metrics in found]
    assert {one.aggregation_temporality for one in sums} == {AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE}
    assert [[(point.as_int, times(point)) for point in one.data_points] for one in sums] == [
        [(1, (0, 312))],
        [(3, (0, 801))],
        [(3, (0, 801))],
    ]
    [point] = found[1]["faas.invoke_duration"].histogram.data_points
    assert (point.count, point.max, sum(point.bucket_counts)) == (3, 0.3, 3)
    assert point.sum == pytest.approx(0.32)


@given(st.lists(st.integers(0, 60_000), max_size=20), st.lists(st.integers(0, 20), max_size=3))
def test_however_records_are_batched_nothing_is_lost_or_counted_twice(starts: list[int], cuts: list[int]) -> None:
    """The sums of all points are the totals, and the intervals of a stream do not overlap."""
    derived = Derived(traces=False)
    derived.feed(*init(), *(event for number, ms in enumerate(starts) for event in invocation(f"r{number}", ms)))
    edges = [0, *sorted(min(cut, len(derived.records)) for cut in cuts), len(derived.records)]
    batches = [derived.records[begin:end] for begin, end in itertools.pairwise(edges) if begin < end]
    found = [decoded(batch) for batch in batches]
    counted = [
        point
        for metrics in found
        if "faas.invocations" in metrics
        for point in metrics["faas.invocations"].sum.data_points
    ]
    assert sum(point.as_int for point in counted) == len(starts)
    until = 0
    for point in counted:
        assert until <= point.start_time_unix_nano < point.time_unix_nano
        until = point.time_unix_nano
    durations = [metrics["faas.invoke_duration"].histogram for metrics in found if "faas.invoke_duration" in metrics]
    assert sum(point.count for one in durations for point in one.data_points) == len(starts)


def test_json_is_otlps_own() -> None:
    """Enums are numbers, 64-bit integers strings ("OTLP Specification", JSON Protobuf Encoding)."""
    found = orjson.loads(encode(three().records, RESOURCE, as_json=True))
    metrics = {metric["name"]: metric for metric in found["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]}
    counted = metrics["faas.invocations"]["sum"]
    assert (counted["aggregationTemporality"], counted["isMonotonic"]) == (1, True)
    assert counted["dataPoints"] == [
        {
            "startTimeUnixNano": str(BEGAN_NS + 200 * MS),
            "timeUnixNano": str(BEGAN_NS + 801 * MS),
            "asInt": "3",
        }
    ]
    [point] = metrics["faas.invoke_duration"]["histogram"]["dataPoints"]
    assert (point["count"], point["max"], point["bucketCounts"][1]) == ("3", 0.3, "2")

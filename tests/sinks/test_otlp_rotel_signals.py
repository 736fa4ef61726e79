"""Metrics and traces as the otlp sink sends them, past a collector that we did not write."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from extension.pipeline.correlate import Correlate
from extension.pipeline.pipeline import Pipeline
from extension.records import Batch
from extension.sinks import _otlp_metrics, _otlp_spans
from tests.support import rotel
from tests.support.batches import open_sink
from tests.support.fault_server import FaultServer
from tests.support.signals import TRACE, Derived, done, init, invocation, report, span, start

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from extension.records import Record
    from tests.support.fault_server import Request

TEMPORALITIES = {
    "delta": AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA,
    "cumulative": AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE,
}


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, FaultServer]]:
    """The URL of rotel, and the server that it passes on to."""
    folder: Path = tmp_path_factory.mktemp("rotel")
    with FaultServer() as server, rotel.running(server.url, folder) as url:
        yield url, server


def records(temporality: str) -> list[Record]:
    """An environment with a success, an error and a timeout, as its records leave the pipeline."""
    derived = Derived(temporalities={temporality})
    parts = [span("responseLatency", 300, 8.25), span("responseDuration", 308, 0.5)]
    derived.feed(*init(), start("r1", 300, tracing=TRACE), done("r1", 310, spans=parts), report("r1", 312))
    derived.feed(*invocation("r2", 400, "error"), *invocation("r3", 20_000, "timeout"))
    derived.shut_down()
    pipeline = Pipeline(Correlate(in_order=True), [], itertools.count())
    pipeline.identify({"functionName": "orders"}, "e1")
    return pipeline.add_derived(lambda: derived.records)


def measured(bodies: list[bytes]) -> list[tuple[str, str, int, str]]:
    """The points of requests: name, unit and temporality of each, and all that it says."""
    found = []
    for body in bodies:
        for of_resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
            for metric in (metric for scope in of_resource.scope_metrics for metric in scope.metrics):
                data = metric.sum if metric.HasField("sum") else metric.histogram
                found += [
                    (metric.name, metric.unit, int(data.aggregation_temporality), str(point))
                    for point in data.data_points
                ]
    return sorted(found)


def spanned(bodies: list[bytes]) -> list[str]:
    """All that the spans of requests say."""
    requests = [ExportTraceServiceRequest.FromString(body) for body in bodies]
    resources = [of_resource for request in requests for of_resource in request.resource_spans]
    return sorted(str(one) for of_resource in resources for scope in of_resource.scope_spans for one in scope.spans)


def bodies(requests: list[Request], path: str) -> list[bytes]:
    return [request.text for request in requests if request.path == path]


def send(url: str, server: FaultServer, sent: list[Record], query: str) -> list[Request]:
    """Send the records to rotel; what it passed on."""
    before = len(server.requests)
    sink = open_sink(f"otlp+{url}{query}")
    assert list(sink.send(Batch("e-1", sent), 10.0)) == []
    sink.close()
    return server.wait_for(before + 1)[before:]


@pytest.mark.parametrize("temporality", TEMPORALITIES)
def test_rotel_passes_metrics_on(temporality: str, chain: tuple[str, FaultServer]) -> None:
    """It understood every point: what it passes on says the same, field by field.

    Of OTLP's JSON, rotel 0.0.1a15 loses every 64-bit integer, counts among them (opentelemetry-rust#3527).
    """
    sent = [one for one in records(temporality) if one.kind != "span"]
    points = measured([_otlp_metrics.encode(sent, Resource(), as_json=False)])
    assert measured(bodies(send(*chain, sent, ""), "/v1/metrics")) == points
    assert {point[2] for point in points} == {int(TEMPORALITIES[temporality])}


@pytest.mark.parametrize("query", ["", "?encoding=json"])
def test_rotel_passes_spans_on(query: str, chain: tuple[str, FaultServer]) -> None:
    """It understood every span: what it passes on says the same, field by field."""
    sent = [one for one in records("delta") if one.kind == "span"]
    spans = spanned([_otlp_spans.encode(sent, Resource(), as_json=False)])
    assert spanned(bodies(send(*chain, sent, query), "/v1/traces")) == spans
    assert len(spans) == 6

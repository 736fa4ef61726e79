"""The layer as it ships: metrics and traces of whole environments, as an OTLP backend decodes them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality

from simulator.environment import Environment
from simulator.report import picture
from tests.support.fault_server import Answer, FaultServer
from tests.support.forwarding import assert_balanced, delivered
from tests.support.probe_layer import EXAMPLE

if TYPE_CHECKING:
    from pathlib import Path

    from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
    from opentelemetry.proto.resource.v1.resource_pb2 import Resource
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

INVOCATIONS = 3
CUMULATIVE = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
OUTCOMES = ("faas.invocations", "faas.errors", "faas.timeouts")


def metrics(body: bytes) -> list[Metric]:
    """The metrics of a request."""
    of_resources = ExportMetricsServiceRequest.FromString(body).resource_metrics
    return [metric for one in of_resources for scope in one.scope_metrics for metric in scope.metrics]


class Backend:
    """What came in at an OTLP endpoint."""

    def __init__(self, server: FaultServer) -> None:
        self.counts: Counter[str] = Counter()  # of sums their values, of histograms how many were measured
        self.spans: list[Span] = []
        self.instances: set[str] = set()
        for request in server.requests:
            if request.path == "/v1/metrics":
                self._add_metrics(request.text)
            elif request.path == "/v1/traces":
                self._add_spans(ExportTraceServiceRequest.FromString(request.text))

    def _add_metrics(self, body: bytes) -> None:
        for of_resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
            self._add_instance(of_resource.resource)
        for metric in metrics(body):
            self.counts[metric.name] += sum(point.as_int for point in metric.sum.data_points)
            self.counts[metric.name] += sum(point.count for point in metric.histogram.data_points)

    def _add_spans(self, request: ExportTraceServiceRequest) -> None:
        for of_resource in request.resource_spans:
            self._add_instance(of_resource.resource)
            self.spans += [span for scope in of_resource.scope_spans for span in scope.spans]

    def _add_instance(self, resource: Resource) -> None:
        [found] = [pair.value.string_value for pair in resource.attributes if pair.key == "faas.instance"]
        self.instances.add(found)


async def simulate(layer: Path, sinks: str, **settings: Any) -> Environment:
    environment = Environment(layer=layer, function=EXAMPLE, env={"FORWARDER_SINKS": sinks}, **settings)
    async with environment:
        for number in range(INVOCATIONS):
            await environment.invoke({"n": number})
    return environment


@pytest.mark.parametrize(
    ("settings", "cold", "inits"),
    [
        ({}, 1, 1),
        ({"init_type": "provisioned-concurrency"}, 0, 1),
        ({"init_type": "snap-start"}, 1, 0),
        ({"init_type": "lambda-managed-instances"}, 0, 1),
    ],
    ids=lambda value: value.get("init_type", "on-demand") if isinstance(value, dict) else str(value),
)
async def test_each_invocation_is_counted_once(
    layer: Path, tmp_path: Path, settings: dict[str, Any], cold: int, inits: int
) -> None:
    """Whatever kind of environment it is, and what a sink of lines gets beside it are lines alone."""
    with FaultServer() as server:
        sinks = f"otlp+{server.url}?signals=metrics,traces file://{tmp_path}/out"
        environment = await simulate(layer, sinks, **settings)
        backend = Backend(server)
    assert {name: backend.counts[name] for name in OUTCOMES} == {
        OUTCOMES[0]: INVOCATIONS,
        OUTCOMES[1]: 0,
        OUTCOMES[2]: 0,
    }
    assert backend.counts["faas.invoke_duration"] == INVOCATIONS
    assert (backend.counts["faas.coldstarts"], backend.counts["faas.init_duration"]) == (cold, inits)
    assert backend.counts["aws.lambda.shutdowns"] == 1
    assert len([span for span in backend.spans if span.name == "function"]) == INVOCATIONS
    lines = delivered(tmp_path / "out")
    assert {line["lambda"]["environment"] for line in lines} >= backend.instances
    assert not {line["type"] for line in lines} & {"forwarder.metric", "forwarder.span"}
    ledger = picture.ledger(environment)
    assert ledger
    assert_balanced(ledger)
    before = ledger["received"] - backend.counts["telemetry_forwarder.received"]
    assert bool(before) == ("snap-start" in settings.values())  # what came before a snapshot is in every copy of it


async def test_spans_join_the_trace_of_x_ray(layer: Path, tmp_path: Path) -> None:
    """Each invocation is below the span that its platform.start names, and what the platform spans is below that."""
    with FaultServer() as server:
        await simulate(layer, f"otlp+{server.url}?signals=traces file://{tmp_path}/out", tracing=True)
        spans = Backend(server).spans
    starts = {
        line["record"]["requestId"]: line for line in delivered(tmp_path / "out") if line["type"] == "platform.start"
    }
    for request_id, start in starts.items():
        header = start["record"]["tracing"]["value"]
        [invoke] = [span for span in spans if request_id in [pair.value.string_value for pair in span.attributes]]
        assert invoke.trace_id.hex() == header.partition("Root=1-")[2][:33].replace("-", "")
        assert invoke.parent_span_id.hex() == header.partition("Parent=")[2][:16]
        children = [span for span in spans if span.parent_span_id == invoke.span_id]
        assert sorted(span.name for span in children) == [
            "extensionOverhead",
            "responseDuration",
            "responseLatency",
            "runtimeOverhead",
        ]
        assert {span.trace_id for span in children} == {invoke.trace_id}
    assert len(starts) == INVOCATIONS
    assert len({span.span_id for span in spans}) == len(spans)


async def test_without_the_invoke_span_its_children_are_left(layer: Path, tmp_path: Path) -> None:
    """They are below the span that X-Ray names."""
    with FaultServer() as server:
        sinks = f"otlp+{server.url}?signals=traces&invoke_span=no file://{tmp_path}/out"
        await simulate(layer, sinks, tracing=True)
        spans = Backend(server).spans
    headers = [
        line["record"]["tracing"]["value"] for line in delivered(tmp_path / "out") if line["type"] == "platform.start"
    ]
    parents = {header.partition("Parent=")[2][:16] for header in headers}
    assert "function" not in {span.name for span in spans}
    assert {span.parent_span_id.hex() for span in spans} == parents


async def test_deltas_and_totals_say_the_same(layer: Path) -> None:
    """Of two sinks each gets its own temporality, and the last total is the sum of all deltas."""
    with FaultServer() as one, FaultServer() as two:
        deltas, totals = f"otlp+{one.url}?signals=metrics", f"otlp+{two.url}?signals=metrics&temporality=cumulative"
        environment = await simulate(layer, f"{deltas} {totals}")
        counts = Backend(one).counts
        points = [metric for request in two.requests for metric in metrics(request.text)]
    last = {metric.name: metric.sum.data_points[-1].as_int for metric in points if metric.sum.data_points}
    assert last["faas.invocations"] == counts["faas.invocations"] == INVOCATIONS
    assert {metric.sum.aggregation_temporality for metric in points if metric.sum.data_points} == {CUMULATIVE}
    ledger = picture.ledger(environment)
    assert ledger
    assert_balanced(ledger)


async def test_a_timeout_is_counted_with_the_environment_that_it_ends(layer: Path, tmp_path: Path) -> None:
    """The report of an invocation that timed out may come too late for this process; it is a timeout all the same."""
    slow = tmp_path / "slow"
    slow.mkdir()
    (slow / "app.py").write_text("import time\n\n\ndef handler(event, context):\n    time.sleep(60)\n")
    with FaultServer() as server:
        sinks = f"otlp+{server.url}?signals=metrics,traces"
        async with Environment(layer=layer, function=slow, env={"FORWARDER_SINKS": sinks}, timeout_s=1) as environment:
            await environment.invoke({})
        backend = Backend(server)
    assert {name: backend.counts[name] for name in OUTCOMES} == {OUTCOMES[0]: 0, OUTCOMES[1]: 0, OUTCOMES[2]: 1}
    [invoke] = [span for span in backend.spans if span.name == "function"]
    assert invoke.status.message == "timeout"


async def test_what_no_backend_takes_goes_to_the_fallback(layer: Path, tmp_path: Path) -> None:
    """Metrics and spans are lines there, which say who refused them; the ledger accounts for each."""
    with FaultServer(otherwise=Answer(403)) as server:
        variables = {
            "FORWARDER_SINKS": f"otlp+{server.url}?signals=metrics,traces",
            "FORWARDER_FALLBACK": f"file://{tmp_path}/fallback",
        }
        async with Environment(layer=layer, function=EXAMPLE, env=variables) as environment:
            await environment.invoke({})
    lines = delivered(tmp_path / "fallback")
    assert {line["type"] for line in lines} == {"forwarder.metric", "forwarder.span"}
    assert {line["lambda"]["refusedBy"] for line in lines} == {f"otlp+{server.url}"}
    named = Counter(metric["name"] for line in lines for metric in line["record"].get("metrics", ()))
    assert named["faas.invocations"] == 1
    ledger = picture.ledger(environment)
    assert ledger
    account = ledger["sinks"][f"otlp+{server.url}"]
    assert account["fellBack"] == ledger["added"] == len(lines)
    assert account["excluded"] == ledger["received"] - ledger["filtered"]

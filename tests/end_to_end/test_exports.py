"""The layer as it ships takes what functions export by OpenTelemetry's SDK, and delivers it with the invocation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from simulator.environment import Environment
from simulator.report import picture
from tests.support import ROOT
from tests.support.fault_server import FaultServer, refused_port
from tests.support.forwarding import assert_balanced

if TYPE_CHECKING:
    from pathlib import Path

FUNCTION = ROOT / "tests" / "support" / "exporting"
INVOCATIONS = 3
NAMES = {f"order {number}-0" for number in range(INVOCATIONS)}


def environment(layer: Path, destination: str, **variables: str) -> Environment:
    port = refused_port()
    env = {
        "FORWARDER_SINKS": f"otlp+{destination}",
        "FORWARDER_OTLP_LISTEN": str(port),
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://localhost:{port}",
        **variables,
    }
    return Environment(layer=layer, function=FUNCTION, env=env, timeout_s=20.0)


def ledger(running: Environment) -> dict[str, Any]:
    found = picture.ledger(running)
    assert found
    return found


def spans(server: FaultServer) -> list[str]:
    """The names of the spans that a server got of the function, in order."""
    requests = [ExportTraceServiceRequest.FromString(one.text) for one in server.requests if one.path == "/v1/traces"]
    scopes = [scope for one in requests for resource in one.resource_spans for scope in resource.scope_spans]
    return [span.name for scope in scopes if scope.scope.name == "orders" for span in scope.spans]


def orders(server: FaultServer) -> int:
    """The last total of the function's own counter that a server got."""
    requests = [ExportMetricsServiceRequest.FromString(one.text) for one in server.requests if one.path == "/v1/metrics"]
    scopes = [scope for one in requests for resource in one.resource_metrics for scope in resource.scope_metrics]
    metrics = [metric for scope in scopes if scope.scope.name == "orders" for metric in scope.metrics]
    return max((int(point.as_int) for metric in metrics for point in metric.sum.data_points), default=0)


async def test_what_is_flushed_is_delivered_with_its_invocation(layer: Path) -> None:
    """Spans and metrics that the SDK flushes before the handler returns are delivered before the freeze."""
    with FaultServer() as server:
        async with environment(layer, server.url) as running:
            for number in range(INVOCATIONS):
                await running.invoke({"n": number, "flush": "force"})
                assert spans(server) == [f"order {n}-0" for n in range(number + 1)]
                assert orders(server) == number + 1
    assert_balanced(ledger(running))

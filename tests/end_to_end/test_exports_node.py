"""The integration tier of what functions export: OpenTelemetry's SDK for Node, in JSON and in protobuf."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from google.protobuf.json_format import Parse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from simulator.environment import Environment
from simulator.phases import shutdown
from tests.support import ROOT
from tests.support.exports import JSON
from tests.support.fault_server import FaultServer, refused_port

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.fault_server import Request

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

LOCK = ROOT / "requirements" / "opentelemetry-js"
FUNCTION = ROOT / "tests" / "support" / "exporting_node"
INVOCATIONS = 3


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the SDK and its exporters."""
    if not shutil.which("npm"):
        pytest.skip("npm is not there, and the SDK is a Node package")
    folder: Path = tmp_path_factory.mktemp("node")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(LOCK / name, folder)
    subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"], cwd=folder, check=True)
    return folder / "node_modules"


def environment(layer: Path, modules: Path, server: FaultServer, exporter: str) -> Environment:
    port = refused_port()
    env = {
        "FORWARDER_SINKS": f"otlp+{server.url}",
        "FORWARDER_OTLP_LISTEN": str(port),
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://localhost:{port}",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
        "EXPORTER": exporter,
        "NODE_PATH": str(modules),
        "PATH": os.environ["PATH"],
    }
    return Environment(layer=layer, function=FUNCTION, env=env, timeout_s=20.0)


def decoded(request: Request, message: Any) -> Any:
    """A request as its message; OTLP's JSON has ids in hex, which protobuf's reader takes for base64."""
    if request.headers["content-type"] != JSON:
        return message.FromString(request.text)
    assert orjson.loads(request.text)
    return Parse(request.text, message())


def exported(server: FaultServer) -> tuple[list[str], int, set[str]]:
    """The names of the function's spans, its last count, and in which content types its spans came."""
    spans, total, types = [], 0, set()
    for request in server.requests:
        if request.path == "/v1/traces":
            for resource in decoded(request, ExportTraceServiceRequest).resource_spans:
                found = [
                    span.name for scope in resource.scope_spans for span in scope.spans if scope.scope.name == "orders"
                ]
                types |= {request.headers["content-type"]} if found else set()
                spans += found
        elif request.path == "/v1/metrics":
            for resource in decoded(request, ExportMetricsServiceRequest).resource_metrics:
                metrics = [one for scope in resource.scope_metrics for one in scope.metrics if one.name == "orders"]
                points = [point for metric in metrics for point in metric.sum.data_points]
                total = max([total, *(int(point.as_double or point.as_int) for point in points)])
    return spans, total, types


@pytest.mark.parametrize("exporter", ["http", "proto"])
async def test_what_node_flushes_is_delivered_with_its_invocation(layer: Path, modules: Path, exporter: str) -> None:
    """Before the freeze, in the content type that the SDK chose."""
    with FaultServer() as server:
        async with environment(layer, modules, server, exporter) as running:
            for number in range(INVOCATIONS):
                await running.invoke({"n": number, "flush": "force"})
                names, total, types = exported(server)
                assert (names, total) == ([f"order {n}-0" for n in range(number + 1)], number + 1)
    assert types == {JSON if exporter == "http" else "application/x-protobuf"}


async def test_what_node_exports_on_sigterm_is_delivered(
    layer: Path, modules: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was flushed before."""
    monkeypatch.setattr(shutdown, "EXTERNAL_BUDGET_S", 20.0)  # a busy machine may need more than Lambda's 0.6 s
    with FaultServer() as server:
        async with environment(layer, modules, server, "http") as running:
            for number in range(INVOCATIONS):
                await running.invoke({"n": number, "flush": "none"})
            assert exported(server)[0] == []
        names, total, _ = exported(server)
    assert (sorted(names), total) == ([f"order {number}-0" for number in range(INVOCATIONS)], INVOCATIONS)

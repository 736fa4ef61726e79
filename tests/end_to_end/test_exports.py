"""The layer as it ships takes what functions export by OpenTelemetry's SDK, and delivers it with the invocation."""

from __future__ import annotations

import base64
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from simulator.environment import Environment
from simulator.phases import shutdown
from simulator.report import picture
from tests.support import ROOT, rotel
from tests.support.fault_server import Answer, FaultServer, refused_port
from tests.support.forwarding import assert_balanced, delivered

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.support.fake_lambda import FakeLambda

FUNCTION = ROOT / "tests" / "support" / "exporting"
INVOCATIONS = 3
NAMES = {f"order {number}-0" for number in range(INVOCATIONS)}


def environment(layer: Path, destination: str, timeout_s: float = 20.0, **variables: str) -> Environment:
    port = refused_port()
    env = {
        "FORWARDER_SINKS": f"otlp+{destination}",
        "FORWARDER_OTLP_LISTEN": str(port),
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://localhost:{port}",
        **variables,
    }
    return Environment(layer=layer, function=FUNCTION, env=env, timeout_s=timeout_s)


def ledger(running: Environment) -> dict[str, Any]:
    found = picture.ledger(running)
    assert found
    return found


def spans(server: FaultServer) -> list[str]:
    """The names of the spans that a server got of the function, in order."""
    return names_in([one.text for one in server.requests if one.path == "/v1/traces"])


def names_in(bodies: Iterable[bytes]) -> list[str]:
    requests = [ExportTraceServiceRequest.FromString(body) for body in bodies]
    scopes = [scope for one in requests for resource in one.resource_spans for scope in resource.scope_spans]
    return [span.name for scope in scopes if scope.scope.name == "orders" for span in scope.spans]


def orders(server: FaultServer) -> int:
    """The last total of the function's own counter that a server got."""
    requests = [
        ExportMetricsServiceRequest.FromString(one.text) for one in server.requests if one.path == "/v1/metrics"
    ]
    scopes = [scope for one in requests for resource in one.resource_metrics for scope in resource.scope_metrics]
    metrics = [metric for scope in scopes if scope.scope.name == "orders" for metric in scope.metrics]
    return max((int(point.as_int) for metric in metrics for point in metric.sum.data_points), default=0)


def mapped_files(pid: int) -> str:
    return Path(f"/proc/{pid}/maps").read_text()


async def test_what_is_flushed_is_delivered_with_its_invocation(layer: Path) -> None:
    """Spans and metrics that the SDK flushes before the handler returns are delivered before the freeze."""
    with FaultServer() as server:
        async with environment(layer, server.url) as running:
            for number in range(INVOCATIONS):
                await running.invoke({"n": number, "flush": "force"})
                assert spans(server) == [f"order {n}-0" for n in range(number + 1)]
                assert orders(server) == number + 1
    assert_balanced(ledger(running))


async def test_what_is_not_flushed_comes_when_the_sdk_sends_it(layer: Path) -> None:
    """Exported by the SDK's own threads, in whatever invocation or between them, it is delivered, nothing twice."""
    with FaultServer() as server:
        async with environment(layer, server.url, INTERVAL_MS="20") as running:
            for number in range(INVOCATIONS):
                await running.invoke({"n": number, "flush": "none", "sleep": 0.1})
    assert sorted(spans(server)) == sorted(NAMES)
    assert orders(server) == INVOCATIONS
    assert_balanced(ledger(running))


async def test_what_is_flushed_on_sigterm_is_delivered(layer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A handler of SIGTERM exports to the forwarder, which lives longer, and delivers it before its own end."""
    monkeypatch.setattr(shutdown, "EXTERNAL_BUDGET_S", 20.0)  # a busy machine may need more than Lambda's 0.6 s
    with FaultServer() as server:
        async with environment(layer, server.url) as running:
            for number in range(INVOCATIONS):
                await running.invoke({"n": number, "flush": "none"})
            assert spans(server) == []
    assert sorted(spans(server)) == sorted(NAMES)
    assert orders(server) == INVOCATIONS
    assert_balanced(ledger(running))


async def test_rotel_passes_on_what_functions_export(layer: Path, tmp_path: Path) -> None:
    """A collector that others wrote takes the requests, and understands all of them."""
    with FaultServer() as server, rotel.running(server.url, tmp_path) as collector:
        async with environment(layer, collector) as running:
            for number in range(INVOCATIONS):
                await running.invoke({"n": number, "flush": "force"})
        server.wait_for(1)
        assert sorted(spans(server)) == sorted(NAMES)
        assert orders(server) == INVOCATIONS
    assert ledger(running)["otlp"]["refused"] == {}


async def test_a_dead_collector_leaves_the_function_alone(layer: Path, tmp_path: Path) -> None:
    """Its flushes are answered as if all was well; what is not delivered goes to the fallback, and is counted."""
    fallback = tmp_path / "fallback"
    destination = f"http://127.0.0.1:{refused_port()}"
    async with environment(layer, destination, FORWARDER_FALLBACK=f"file://{fallback}") as running:
        for number in range(INVOCATIONS):
            done = await running.invoke({"n": number, "flush": "force"})
            assert done.status == "success"
    found = ledger(running)
    assert found["otlp"]["traces"] == {"received": INVOCATIONS, "rejected": 0}
    assert_balanced(found)
    lines = [line for line in delivered(fallback) if line["type"] == "otlp.traces"]
    bodies = [base64.b64decode(line["record"]["base64"]) for line in lines]
    assert sorted(names_in(bodies)) == sorted(NAMES)
    assert {line["lambda"]["refusedBy"] for line in lines} == {f"otlp+{destination}"}
    # A body may be here before the line that says that its invocation has begun.
    assert {line["lambda"].get("requestId") for line in lines} <= {
        None,
        *(done.request_id for done in running.invocations),
    }


async def test_what_a_timeout_leaves_is_on_disk(layer: Path, tmp_path: Path) -> None:
    """What the destination does not take before the end of one process the next one delivers, as it was exported."""
    answers = [False]
    with FaultServer(lambda _: Answer(200 if answers[0] else 503)) as server:
        async with environment(layer, server.url, timeout_s=10.0, TMPDIR=str(tmp_path)) as running:
            done = await running.invoke({"n": 0, "flush": "force", "end": "timeout"})
            assert done.status == "timeout"
            answers[0] = True
            server.requests.clear()
            await running.invoke({"n": 1, "flush": "force"})
    assert sorted(spans(server)) == ["order 0-0", "order 1-0"]
    assert orders(server) == 1


async def test_a_port_that_is_taken_is_told(lambda_: FakeLambda, tmp_path: Path) -> None:
    """By another layer perhaps, on both addresses; the function's lines go on as without."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        port = one.getsockname()[1]
        with FaultServer() as server, socket.create_server(("::1", port), family=socket.AF_INET6):
            await lambda_.start(FORWARDER_SINKS=f"otlp+{server.url}", FORWARDER_OTLP_LISTEN=str(port))
            await lambda_.subscribe()
            await lambda_.ready()
            await lambda_.invoke("r1", "hello")
            assert await lambda_.shut_down() == 0
    told = [line["message"] for line in lambda_.log if line.get("level") == "WARN"]
    assert told == [f"FORWARDER_OTLP_LISTEN {port} of {address} is not free" for address in ("127.0.0.1", "::1")]
    assert lambda_.ledger["otlp"]["traces"] == {"received": 0, "rejected": 0}


@pytest.mark.parametrize("is_on", [True, False])
async def test_off_it_costs_nothing(lambda_: FakeLambda, is_on: bool) -> None:
    """It listens before the first event is asked for; where nobody asked for it, not a module of it is loaded."""
    port = refused_port()
    with FaultServer() as server:
        setting = {"FORWARDER_OTLP_LISTEN": str(port)} if is_on else {}
        await lambda_.start(FORWARDER_SINKS=f"otlp+{server.url}", **setting)
        await lambda_.subscribe()
        await lambda_.ready()
        assert lambda_.process is not None
        assert ("httptools" in mapped_files(lambda_.process.pid)) == is_on
        for host in ("127.0.0.1", "::1"):
            if is_on:
                socket.create_connection((host, port)).close()
            else:
                with pytest.raises(ConnectionRefusedError):
                    socket.create_connection((host, port))
        await lambda_.shut_down()
        assert ("otlp" in lambda_.ledger) == is_on

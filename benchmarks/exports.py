"""What it costs to take what a function exports: the frozen layer's endpoint beside rotel's own receiver, in one run.

python -m benchmarks.exports [--requests N] [--spans N] [--rounds N]

Both get the same requests over one kept connection, in turn, and pass them on to a server that takes everything. The
first table has the time until the answer and the CPU time of a request; of the forwarder, that of the thread which
takes it, and that of all threads, with what is sent on, as Linux accounts for them. Then a million spans go through it.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from benchmarks.under_fire import started
from layer import built
from tests.support import rotel, unzip
from tests.support.exports import PROTOBUF
from tests.support.fault_server import FaultServer, refused_port

if TYPE_CHECKING:
    from collections.abc import Iterator

MILLION = 1_000_000
SPANS_OF_MILLION = 1000  # in a request


class Measured(NamedTuple):
    """Of one round: seconds until each answer, and of CPU for all requests, of the main thread and of the process."""

    answers_s: list[float]
    main_s: float
    all_s: float


def request(spans: int, first: int = 0, attributes: int = 8) -> bytes:
    """A request with so many spans, as an SDK makes them; the ids count from `first`."""
    made = ExportTraceServiceRequest()
    resource = made.resource_spans.add()
    resource.resource.attributes.add(key="service.name").value.string_value = "orders"
    scope = resource.scope_spans.add()
    for number in range(first, first + spans):
        span = scope.spans.add(trace_id=b"%016d" % number, span_id=b"%08d" % number, name="GET /orders")
        span.start_time_unix_nano = span.end_time_unix_nano = time.time_ns()
        for attribute in range(attributes):
            span.attributes.add(key=f"http.attribute.{attribute}").value.string_value = f"value {attribute} of it"
    return made.SerializeToString()


def cpu_s(pid: int) -> tuple[float, float]:
    """Seconds of CPU of the main thread, and of all threads that there are."""
    found = {int(task.name): int((task / "schedstat").read_text().split()[0]) for task in threads(pid)}
    return found[pid] / 1e9, sum(found.values()) / 1e9


def threads(pid: int) -> Iterator[Path]:
    """The folders of its threads."""
    return Path(f"/proc/{pid}/task").iterdir()


def post(connection: http.client.HTTPConnection, body: bytes) -> None:
    """Export the body, and read the answer."""
    connection.request("POST", "/v1/traces", body, {"Content-Type": PROTOBUF})
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (200, b"")


def measure(url: str, pid: int, body: bytes, requests: int) -> Measured:
    """Send the request so often; what it took."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc)
    post(connection, body)
    main_s, all_s = cpu_s(pid)
    answers = []
    for _ in range(requests):
        began = time.perf_counter()
        post(connection, body)
        answers.append(time.perf_counter() - began)
    time.sleep(1.0)  # until all is sent on
    main_after_s, all_after_s = cpu_s(pid)
    connection.close()
    return Measured(answers, main_after_s - main_s, all_after_s - all_s)


def pid_of(port: str) -> int:
    """The process that rotel's command line says listens there."""
    [found] = [
        int(path.name)
        for path in Path("/proc").iterdir()
        if path.name.isdecimal() and f"127.0.0.1:{port}".encode() in command_line(path)
    ]
    return found


def command_line(path: Path) -> bytes:
    """Of a process; empty where it has ended."""
    try:
        return (path / "cmdline").read_bytes()
    except OSError:
        return b""


async def compare(executable: Path, body: bytes, requests: int, rounds: int) -> dict[str, list[Measured]]:
    """Both in turn."""
    port = refused_port()
    measured: dict[str, list[Measured]] = {"the layer": [], "rotel": []}
    with ExitStack() as stack:
        ours, theirs = stack.enter_context(FaultServer()), stack.enter_context(FaultServer())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(rotel.running(theirs.url, folder, batching=True))
        settings = {"FORWARDER_SINKS": f"otlp+{ours.url}?signals=traces", "FORWARDER_OTLP_LISTEN": str(port)}
        async with started(executable, FORWARDER_FLUSH_INTERVAL_MS="200", **settings) as (lambda_, pid):
            for _ in range(rounds):
                for name, (where, process) in {
                    "the layer": (f"http://127.0.0.1:{port}", pid),
                    "rotel": (url, pid_of(url.rpartition(":")[2])),
                }.items():
                    measured[name].append(await asyncio.to_thread(measure, where, process, body, requests))
            assert await lambda_.shut_down() == 0
            assert lambda_.ledger["otlp"]["traces"]["rejected"] == 0
    return measured


async def send_a_million(executable: Path) -> None:
    """A million spans through the layer: all there, none twice."""
    port = refused_port()
    with FaultServer() as server:
        settings = {"FORWARDER_SINKS": f"otlp+{server.url}?signals=traces", "FORWARDER_OTLP_LISTEN": str(port)}
        async with started(executable, FORWARDER_FLUSH_INTERVAL_MS="200", **settings) as (lambda_, _):
            connection = http.client.HTTPConnection("127.0.0.1", port)
            began = time.perf_counter()
            for first in range(0, MILLION, SPANS_OF_MILLION):
                body = request(SPANS_OF_MILLION, first, attributes=0)
                await asyncio.to_thread(post, connection, body)
            took = time.perf_counter() - began
            assert await lambda_.shut_down() == 0
            account = lambda_.ledger["otlp"]["traces"]
        assert account == {"received": MILLION, "rejected": 0}, account
        ids: list[bytes] = []
        for one in server.requests:
            for resource in ExportTraceServiceRequest.FromString(one.text).resource_spans:
                ids += [span.span_id for scope in resource.scope_spans for span in scope.spans]
    assert len(ids) == len(set(ids)) == MILLION, (len(ids), len(set(ids)))
    print(f"\n{MILLION} spans in, {len(ids)} out, none twice; {took:.1f} s, most of it to make them")


def main() -> None:
    """Print both."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--spans", type=int, default=28, help="in a request: 28 make 10 kB")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    body = request(options.spans)
    with tempfile.TemporaryDirectory() as folder:
        executable = unzip(built(), Path(folder)) / "extensions" / "telemetry-forwarder"
        measured = asyncio.run(compare(executable, body, options.requests, options.rounds))
        print(f"{len(body)} bytes, {options.spans} spans, {options.rounds} rounds of {options.requests} requests\n")
        print("| receiver | answer, us, median | 99th of 100 | CPU, us: main thread | all threads |")
        print("|---|---|---|---|---|")
        for name, rounds in measured.items():
            answers = sorted(second for one in rounds for second in one.answers_s)
            main_s = statistics.median(one.main_s for one in rounds) / options.requests
            all_s = statistics.median(one.all_s for one in rounds) / options.requests
            print(
                f"| {name} | {statistics.median(answers) * 1e6:.0f} | {answers[len(answers) * 99 // 100] * 1e6:.0f}"
                f" | {main_s * 1e6:.0f} | {all_s * 1e6:.0f} |"
            )
        asyncio.run(send_a_million(executable))


if __name__ == "__main__":
    main()

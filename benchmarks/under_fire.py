"""Memory under a dead sink, what a dead sink costs an invocation, and throughput: the frozen layer in one run.

python -m benchmarks.under_fire [--records N] [--invocations N]
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
import zipfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.results import add_json, save
from layer import built
from tests.support.fake_lambda import FakeLambda
from tests.support.fault_server import refused_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LINE = b'{"time":"2026-11-21T00:00:00.000Z","type":"function","record":"%s"}\n' % (b"x" * 233)
CHUNK = 500  # records in one write
MIB = 1 << 20


def status(pid: int, field: str) -> float:
    """A field of /proc/PID/status in MiB: VmRSS now, VmHWM the highest so far."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise ValueError(field)


def cpu_s(pid: int) -> float:
    """User and system time of a process so far, to the microsecond: its clock, as clock_getcpuclockid(3) names it."""
    return time.clock_gettime((~pid << 3) | 2)


@asynccontextmanager
async def started(executable: Path, **environment: str) -> AsyncIterator[tuple[FakeLambda, int]]:
    """A forwarder that has asked for its first event, and its process id."""
    with tempfile.TemporaryDirectory() as temporary:
        async with FakeLambda(executable, Path(temporary)) as lambda_:
            await lambda_.start(**environment)
            await lambda_.subscribe()
            await lambda_.ready()
            assert lambda_.process is not None
            yield lambda_, lambda_.process.pid


async def send(lambda_: FakeLambda, count: int) -> None:
    """Send records as fast as they are read."""
    for _ in range(count // CHUNK):
        lambda_.send(LINE * CHUNK)
        await lambda_.sent_all()


async def memory(executable: Path, count: int) -> list[list[float]]:
    """RSS with a dead sink and `count` records, by the bound."""
    print(f"| FORWARDER_QUEUE_BYTES | RSS at /next | highest RSS, {count} records, dead sink | above the bound |")
    print("|---|---|---|---|")
    rows = []
    for bound in (1 * MIB, 8 * MIB, 32 * MIB):
        url = f"http://127.0.0.1:{refused_port()}/"
        async with started(executable, FORWARDER_SINKS=url, FORWARDER_QUEUE_BYTES=str(bound)) as (lambda_, pid):
            before = status(pid, "VmRSS")
            await lambda_.invoke("r1", "noticed")
            await send(lambda_, count)
            await lambda_.invoke("r2", "all read")
            peak = status(pid, "VmHWM")
            assert await lambda_.shut_down() == 0
            [account] = lambda_.ledger["sinks"].values()
            assert lambda_.ledger["received"] >= count
            assert account["pending"] + sum(account["dropped"].values()) >= count
        print(f"| {bound // MIB} MiB | {before:.1f} MiB | {peak:.1f} MiB | {peak - before - bound / MIB:.1f} MiB |")
        rows.append([bound / MIB, before, peak])
    return rows


async def dead_sink(executable: Path, invocations: int) -> dict[str, list[float]]:
    """From INVOKE to the next /next, with a dead sink that was noticed and with a sink nobody waits for, in turn."""
    dead = {"FORWARDER_SINKS": f"http://127.0.0.1:{refused_port()}/", "FORWARDER_FLUSH": "invocation"}
    idle = {"FORWARDER_SINKS": "file:///dev/null", "FORWARDER_FLUSH": "interval"}
    took: dict[str, list[float]] = {"dead": [], "never held": []}
    async with started(executable, **dead) as (first, _), started(executable, **idle) as (second, _):
        await first.invoke("r0", "noticed")
        for number in range(invocations):
            for name, lambda_ in (("dead", first), ("never held", second)):
                began = time.perf_counter()
                await lambda_.invoke(f"r{number + 1}", "line")
                took[name].append((time.perf_counter() - began) * 1000)
        assert await first.shut_down() == 0
        assert await second.shut_down() == 0
    print("\n| sink | INVOKE to /next: median | 95 % | most |\n|---|---|---|---|")
    for name, times in took.items():
        often = sorted(times)[len(times) * 95 // 100]
        print(f"| {name} | {statistics.median(times):.2f} ms | {often:.2f} | {max(times):.2f} |")
    return took


async def throughput(executable: Path, count: int) -> list[float]:
    """Records through the file sink."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/out.ndjson"
        async with started(executable, FORWARDER_SINKS=f"file://{path}") as (lambda_, pid):
            began, used = time.perf_counter(), cpu_s(pid)
            await send(lambda_, count)
            await lambda_.invoke("r1", "the last")
            seconds, cpu = time.perf_counter() - began, cpu_s(pid) - used
            peak = status(pid, "VmHWM")
            assert await lambda_.shut_down() == 0
            account: dict[str, Any] = lambda_.ledger["sinks"]["file://"]
    print("\n| records | delivered | a second | us of CPU a record | highest RSS |\n|---|---|---|---|---|")
    print(f"| {count} | {account['delivered']} | {count / seconds:,.0f} | {cpu / count * 1e6:.1f} | {peak:.1f} MiB |")
    return [count / seconds, cpu / count * 1e6, peak]


async def run(executable: Path, records: int, invocations: int) -> dict[str, object]:
    """All of it; the figures."""
    return {
        "memory": await memory(executable, records),
        "dead sink": await dead_sink(executable, invocations),
        "throughput": await throughput(executable, records),
    }


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.under_fire", description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--invocations", type=int, default=200)
    add_json(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(built()) as archive:
        for member in archive.infolist():
            Path(archive.extract(member, folder)).chmod((member.external_attr >> 16) & 0o777 or 0o644)
        executable = Path(folder) / "extensions" / "telemetry-forwarder"
        figures = asyncio.run(run(executable, options.records, options.invocations))
    save(options.json, "under_fire", figures)


if __name__ == "__main__":
    main()

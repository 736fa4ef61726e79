"""What a record costs, by sink, by size and by number: records a second, CPU, memory, and what was lost.

    python -m benchmarks.throughput [--records N] [--rounds N] [--layer ZIP]

CPU is that of the forwarder alone. Beside it the floor: a socket read by a plain loop, on the CPython that runs this;
it splits, parses each line with orjson and compresses what it read. Each round goes once through everything.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import itertools
import multiprocessing
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

import botocore.session

from benchmarks.intake import intake
from benchmarks.results import add_json, layer_folder, machine, paired, save, table
from benchmarks.under_fire import cpu_s, started, status
from layer import built
from tests.support import sink_contract as contract
from tests.support.fault_server import FaultServer
from tests.support.moto import running_moto
from tests.support.strict_aws import CREDENTIALS, REGION, Service, decompress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from multiprocessing.connection import Connection

    from tests.support.fault_server import Action, Request

LINE = b'{"time":"2026-11-21T00:00:00.000Z","type":"function","record":"%s"}\n'
WRITE_BYTES = 1 << 18  # at once; the platform's buffers are as large
BLOCK_BYTES = 4 << 20  # of different lines, which then come again: farther apart than a compressor looks
PLAIN_BYTES = 300
SMALL_BYTES = 210  # what a line of an invocation has
TEXTS = (50, 300, 1024, 8192, 65536)  # bytes of a record's text
SIZED_BYTES = 128 << 20  # of records of one size, at most
FLOOR = "the floor"


class Destination(NamedTuple):
    """A sink URL with its variables, and how many lines have arrived there, where somebody counts."""

    url: str
    variables: Mapping[str, str] = {}
    arrived: Callable[[], int] | None = None


class Cost(NamedTuple):
    """What records took; of the floor only its CPU is known."""

    records: int
    cpu_us: float  # each
    rate: float = 0.0  # a second
    peak_mib: float = 0.0
    lost: int = 0


def text_bytes(size: int) -> int:
    """How long the text of a record is whose line has `size` bytes, newline not counted."""
    return size - len(LINE) + 3


@functools.cache
def block(size: int) -> list[bytes]:
    """Different lines of `size` bytes, each with its newline, that compress as logs do."""
    dice = random.Random(size)  # noqa: S311 - the same in every run
    wanted, lines = text_bytes(size), []
    for _ in range(max(1, min(10_000, BLOCK_BYTES // size))):
        text = f"{dice.getrandbits(32):08x}"
        while len(text) < wanted:
            text += f" INFO path=/orders/{dice.getrandbits(10)} status={200 + dice.getrandbits(2)}"
            text += f" took={dice.getrandbits(8)} ms request={dice.getrandbits(64):016x}"
        lines.append(LINE % text[:wanted].encode())
    return lines


def writes(size: int, count: int) -> Iterator[bytes]:
    """`count` lines of `size` bytes, as many at once as the platform would write."""
    lines, at_once = block(size), max(1, WRITE_BYTES // size)
    ready = [b"".join(lines[start : start + at_once]) for start in range(0, len(lines) // at_once * at_once, at_once)]
    whole = itertools.islice(itertools.cycle(ready), count // at_once)
    return itertools.chain(whole, [b"".join(lines[: count % at_once])])


async def pour(executable: Path, to: Destination, size: int, count: int) -> Cost:
    """Records as fast as they are read, in one invocation."""
    variables = {"FORWARDER_SINKS": to.url, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512", **to.variables}
    before = to.arrived() if to.arrived else 0
    async with started(executable, **variables) as (lambda_, pid):
        await lambda_.invoke("r0", "warm")
        began, used = perf_counter(), cpu_s(pid)
        for chunk in writes(size, count):
            lambda_.send(chunk)
            await lambda_.sent_all()
        await lambda_.invoke("r1", "the last", timeout_s=60.0)
        seconds, cpu = perf_counter() - began, cpu_s(pid) - used
        peak = status(pid, "VmHWM")
        assert await lambda_.shut_down() == 0
        ledger, sent = lambda_.ledger, count + len(lambda_.sent)
    return _cost(ledger, to, before, sent, Cost(count, cpu / count * 1e6, count / seconds, peak))


async def invocations(executable: Path, to: Destination, count: int, lines: int, size: int) -> Cost:
    """`count` invocations of so many lines."""
    before = to.arrived() if to.arrived else 0
    chunk = b"".join(block(size)[:lines])
    async with started(executable, FORWARDER_SINKS=to.url, **to.variables) as (lambda_, pid):
        for number in range(3):
            await lambda_.invoke(f"w{number}", "warm")
        began, used = perf_counter(), cpu_s(pid)
        for number in range(count):
            lambda_.send(chunk)
            await lambda_.invoke(f"r{number}")
        seconds, cpu = perf_counter() - began, cpu_s(pid) - used
        peak = status(pid, "VmHWM")
        assert await lambda_.shut_down() == 0
        ledger, sent = lambda_.ledger, count * lines + len(lambda_.sent)
    records = count * lines
    return _cost(ledger, to, before, sent, Cost(records, cpu / records * 1e6, records / seconds, peak))


def _cost(ledger: Mapping[str, Any], to: Destination, before: int, sent: int, cost: Cost) -> Cost:
    """The cost with what was lost; what the ledger says is what was sent and what arrived."""
    assert ledger["received"] == sent, ledger
    [account] = ledger["sinks"].values()
    if to.arrived:
        arrived = to.arrived() - before
        assert arrived == account["delivered"], f"{arrived} lines arrived: {ledger}"
    return cost._replace(lost=sent - account["delivered"])


FLOOR_SOURCE = """
import os, socket, sys, time
import orjson
from isal import igzip
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
connection, _ = server.accept()
began, count, rest = time.process_time(), 0, b""
while data := connection.recv(65536):
    lines = (rest + data).split(b"\\n")
    rest = lines.pop()
    for line in lines:
        orjson.loads(line)
    count += len(lines)
    igzip.compress(data, compresslevel=1)
print(count, (time.process_time() - began) / count * 1e6)
"""


def floor(size: int, count: int) -> Cost:
    """What the floor takes."""
    process = subprocess.Popen([sys.executable, "-c", FLOOR_SOURCE], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with socket.create_connection(("127.0.0.1", int(process.stdout.readline()))) as connection:
        for chunk in writes(size, count):
            connection.sendall(chunk)
    text, _ = process.communicate()
    read, each_us = text.split()
    assert int(read) == count
    return Cost(count, float(each_us))


@contextmanager
def over_http() -> Iterator[Destination]:
    """An HTTP sink in another process."""
    with intake() as sink:
        yield Destination(sink.url, arrived=sink.count_lines)


@contextmanager
def on_moto() -> Iterator[Destination]:
    """A bucket in moto."""
    with running_moto() as url:
        session = botocore.session.Session()
        session.set_credentials("AKIDEXAMPLE", "secret")
        kind = contract.kind("s3")
        assert kind.prepare is not None
        kind.prepare(lambda service: session.create_client(service, region_name=REGION, endpoint_url=url))
        client: Any = session.create_client("s3", region_name=REGION, endpoint_url=url)
        [bucket] = [one["Name"] for one in client.list_buckets()["Buckets"]]

        def count() -> int:
            keys = [one["Key"] for one in client.list_objects_v2(Bucket=bucket).get("Contents", ())]
            bodies = ((key, client.get_object(Bucket=bucket, Key=key)["Body"].read()) for key in keys)
            return sum(decompress(key, body).count(b"\n") for key, body in bodies)

        yield Destination(kind.url(url, Path()), {**CREDENTIALS, "AWS_ENDPOINT_URL": url}, count)
        client.close()


@contextmanager
def in_firehose() -> Iterator[Destination]:
    """A Firehose stream of ours in another process, as strict as AWS's; moto would be the bottleneck."""
    fork = multiprocessing.get_context("fork")
    here, there = fork.Pipe()
    process = fork.Process(target=_firehose, args=(there,), daemon=True)
    process.start()
    url = here.recv()

    def count() -> int:
        here.send("how many?")
        taken: int = here.recv()
        return taken

    try:
        variables = {**CREDENTIALS, "AWS_ENDPOINT_URL": url}
        yield Destination(contract.kind("firehose").url(url, Path()), variables, count)
    finally:
        process.kill()
        process.join()


def _firehose(asked: Connection) -> None:
    service, lock = Service(), threading.Lock()
    taken = 0

    def act(request: Request) -> Action:
        nonlocal taken
        with lock:
            action = service(request)
            taken += len(service.lines())
            for kept in (service.taken, service.bodies, service.calls, server.requests):
                kept.clear()  # it would grow for ever
        return action

    with FaultServer(act) as server:
        asked.send(server.url)
        while asked.recv():
            asked.send(taken)


@contextmanager
def destinations() -> Iterator[dict[str, Destination]]:
    """Where records go, by name."""
    with ExitStack() as stack:
        yield {
            "discard://": Destination("discard://"),
            "file:///dev/null": Destination("file:///dev/null"),
            "http, gzip": stack.enter_context(over_http()),
            "s3, on moto": stack.enter_context(on_moto()),
            "firehose": stack.enter_context(in_firehose()),
        }


def measure(executable: Path, to: Mapping[str, Destination], options: argparse.Namespace) -> dict[str, Cost]:
    """One round of everything, by table and row: "sinks: discard://" for one."""
    costs = {f"sinks: {FLOOR}": floor(PLAIN_BYTES, options.records)}
    for name, one in to.items():
        costs[f"sinks: {name}"] = asyncio.run(pour(executable, one, PLAIN_BYTES, options.records))
    costs[f"invocations: {FLOOR}"] = floor(SMALL_BYTES, options.invocations * 1000)
    for name in ("discard://", "file:///dev/null", "http, gzip"):
        running = invocations(executable, to[name], options.invocations, 1000, SMALL_BYTES)
        costs[f"invocations: {name}"] = asyncio.run(running)
    for text in TEXTS:
        size = text + len(LINE) - 3
        count = min(options.records // 4, SIZED_BYTES // size)
        costs[f"sizes: {text:,} bytes"] = asyncio.run(pour(executable, to["http, gzip"], size, count))
        costs[f"sizes: {text:,} bytes, {FLOOR}"] = floor(size, count)
    for part in (100, 10, 1):
        count = options.records // part
        costs[f"counts: {count:,}"] = asyncio.run(pour(executable, to["discard://"], PLAIN_BYTES, count))
    return costs


class Row(NamedTuple):
    """Medians of all rounds, and the ratio to the row of the same table that `x` is about, in the same rounds."""

    what: str
    cost: Cost
    x: float


def rows(rounds: Sequence[Mapping[str, Cost]], title: str, base: Callable[[str], str]) -> list[Row]:
    """The rows of one table; `base` names the row to which one is compared."""
    prefix = f"{title}: "
    found = []
    for key in (key for key in rounds[0] if key.startswith(prefix)):
        costs = [one[key] for one in rounds]
        other = [one[prefix + base(key.removeprefix(prefix))].cpu_us for one in rounds]
        cost = Cost(*(statistics.median(column) for column in zip(*costs, strict=True)))
        cost = cost._replace(lost=max(one.lost for one in costs))
        found.append(Row(key.removeprefix(prefix), cost, paired([one.cpu_us for one in costs], other)))
    return found


def show(found: Sequence[Row], what: str, ratio: str) -> None:
    """Print one table."""
    titles = [what, "records", "records/s", "us of CPU a record", ratio, "peak RSS, MiB", "lost"]
    lines = []
    for name, cost, x in found:
        cells = [f"{cost.rate:,.0f}", f"{cost.cpu_us:.2f}", f"{x:.2f}", f"{cost.peak_mib:.1f}", str(cost.lost)]
        if not cost.rate:
            cells = ["", cells[1], cells[2], "", ""]
        lines.append([name, f"{cost.records:,.0f}", *cells])
    print(table(titles, lines))


def report(rounds: Sequence[Mapping[str, Cost]]) -> dict[str, list[Row]]:
    """Print all tables; their rows."""
    first_count = next(key for key in rounds[0] if key.startswith("counts: ")).removeprefix("counts: ")
    wanted: list[tuple[str, str, str, Callable[[str], str]]] = [
        ("sinks", f"{PLAIN_BYTES} bytes, as fast as they are read", "x floor", lambda _: FLOOR),
        ("invocations", f"invocations of 1,000 lines of {SMALL_BYTES} bytes", "x floor", lambda _: FLOOR),
        ("sizes", "text of a record, http, gzip", "x floor", lambda name: f"{name.partition(', ')[0]}, {FLOOR}"),
        ("counts", "number of records, discard://", f"x {first_count}", lambda _: first_count),
    ]
    found = {}
    for title, what, ratio, base in wanted:
        found[title] = rows(rounds, title, base)
        show(found[title], what, ratio)
        print()
    return found


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.throughput", description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--invocations", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--layer", type=Path, default=built())
    add_json(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, destinations() as to:
        executable = layer_folder(options.layer, Path(folder)) / "extensions" / "telemetry-forwarder"
        rounds = [measure(executable, to, options) for _ in range(options.rounds)]
    print(f"{machine()}; medians of {options.rounds} rounds\n")
    found = report(rounds)
    flat = {title: [[row.what, row.cost._asdict(), row.x] for row in some] for title, some in found.items()}
    save(options.json, "throughput", flat)


if __name__ == "__main__":
    main()

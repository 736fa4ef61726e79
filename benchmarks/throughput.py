"""What a record costs, by sink: records a second, CPU, memory, and what was lost; beside it the floor.

    python -m benchmarks.throughput [--records N] [--invocations N] [--layer ZIP]

The floor is a socket read by a plain loop, on the CPython that runs this: it splits, parses each line with orjson and
compresses what it read.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.under_fire import cpu_s, started, status
from layer import built
from tests.support import unzip

if TYPE_CHECKING:
    from collections.abc import Iterator

LINE = b'{"time":"2026-11-21T00:00:00.000Z","type":"function","record":"%s"}\n'
WRITE_BYTES = 1 << 18  # at once; the platform's buffers are as large
PLAIN_BYTES = 300
SMALL_BYTES = 210  # what a line of an invocation has
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Cost(NamedTuple):
    """What `records` took."""

    records: int
    seconds: float
    cpu_s: float
    peak_mib: float
    delivered: int
    lost: int

    def row(self, name: str) -> str:
        """A row of the table."""
        each_us = self.cpu_s / self.records * 1e6
        rate = self.records / self.seconds
        return f"| {name} | {self.records:,} | {rate:,.0f} | {each_us:.2f} | {self.peak_mib:.1f} | {self.lost} |"


def line(size: int) -> bytes:
    """A line of `size` bytes and its newline."""
    return LINE % (b"x" * text_bytes(size))


def text_bytes(size: int) -> int:
    """How long the text of a record is whose line has `size` bytes."""
    return size - len(LINE) + 3


def intake(listening: socket.socket) -> None:
    """Take every POST, in a process of its own: what it costs is not the forwarder's."""
    while True:
        connection, _ = listening.accept()
        data = b""
        while more := connection.recv(1 << 20):
            data += more
            head, found, _ = data.partition(b"\r\n\r\n")
            if found and len(data) >= len(head) + 4 + int(head.lower().partition(b"content-length:")[2].split()[0]):
                data = b""
                connection.sendall(OK)


@contextmanager
def running_intake() -> Iterator[str]:
    """The URL of such an intake."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        process = multiprocessing.get_context("fork").Process(target=intake, args=(listening,), daemon=True)
        process.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        process.kill()
        process.join()


async def pour(executable: Path, url: str, count: int, size: int) -> Cost:
    """Records as fast as they are read, in one invocation."""
    one = line(size)
    per_write = max(1, WRITE_BYTES // len(one))
    async with started(executable, FORWARDER_SINKS=url, AWS_LAMBDA_FUNCTION_MEMORY_SIZE="512") as (lambda_, pid):
        await lambda_.invoke("r0", "warm")
        began, used = time.perf_counter(), cpu_s(pid)
        for start in range(0, count, per_write):
            lambda_.send(one * min(per_write, count - start))
            await lambda_.sent_all()
        await lambda_.invoke("r1", "the last")
        seconds, cpu = time.perf_counter() - began, cpu_s(pid) - used
        peak = status(pid, "VmHWM")
        assert await lambda_.shut_down() == 0
        ledger = lambda_.ledger
        assert ledger["received"] == count + len(lambda_.sent), ledger
        [account] = ledger["sinks"].values()
    lost = ledger["received"] - account["delivered"]
    return Cost(count, seconds, cpu, peak, account["delivered"], lost)


async def invocations(executable: Path, url: str, count: int, lines: int, size: int) -> Cost:
    """`count` invocations of so many lines."""
    chunk = line(size) * lines
    async with started(executable, FORWARDER_SINKS=url) as (lambda_, pid):
        for number in range(3):
            await lambda_.invoke(f"w{number}", "warm")
        began, used = time.perf_counter(), cpu_s(pid)
        for number in range(count):
            lambda_.send(chunk)
            await lambda_.invoke(f"r{number}")
        seconds, cpu = time.perf_counter() - began, cpu_s(pid) - used
        peak = status(pid, "VmHWM")
        assert await lambda_.shut_down() == 0
        ledger = lambda_.ledger
        [account] = ledger["sinks"].values()
    lost = ledger["received"] - account["delivered"]
    return Cost(count * lines, seconds, cpu, peak, account["delivered"], lost)


FLOOR = """
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
print((time.process_time() - began) / count * 1e6)
"""


def floor_us(count: int, size: int) -> float:
    """CPU a record of the floor."""
    process = subprocess.Popen([sys.executable, "-c", FLOOR], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    one = line(size)
    per_write = max(1, WRITE_BYTES // len(one))
    with socket.create_connection(("127.0.0.1", int(process.stdout.readline()))) as connection:
        for start in range(0, count, per_write):
            connection.sendall(one * min(per_write, count - start))
    text, _ = process.communicate()
    return float(text)


async def run(executable: Path, count: int, rounds: int) -> None:
    """All of it."""
    with running_intake() as http, tempfile.TemporaryDirectory() as folder:
        urls = {"file:///dev/null": "file:///dev/null", "file": f"file://{folder}/out", "http, gzip": http}
        head = "| sink | records | records/s | us of CPU a record | peak RSS, MiB | lost |\n|---|---|---|---|---|---|"
        print(f"{count} records of {PLAIN_BYTES} bytes, as fast as they are read\n\n{head}")
        print(f"| the floor | {count:,} | | {floor_us(count, PLAIN_BYTES):.2f} | | |")
        for name, url in urls.items():
            print((await pour(executable, url, count, PLAIN_BYTES)).row(name), flush=True)
        print(f"\n{rounds} invocations of 1,000 lines of {SMALL_BYTES} bytes\n\n{head}")
        for name, url in urls.items():
            print((await invocations(executable, url, rounds, 1000, SMALL_BYTES)).row(name), flush=True)


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.throughput", description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--invocations", type=int, default=40)
    parser.add_argument("--layer", type=Path, default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        layer = unzip(options.layer or built(), Path(folder))
        executable = layer / "extensions" / "telemetry-forwarder"
        asyncio.run(run(executable, options.records, options.invocations))


if __name__ == "__main__":
    main()

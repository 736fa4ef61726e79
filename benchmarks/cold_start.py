"""Exec to register, exec to first /next, and memory: the layer per sink, beside what one would build otherwise.

    python -m benchmarks.cold_start [--rounds N] [--layer ZIP]

Every round starts each subject once, one after the other, so that what else the machine does hits all of them alike.
"""

from __future__ import annotations

import argparse
import filecmp
import json
import os
import platform
import shutil
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import trustme

from benchmarks.results import add_json, save
from layer import built
from tests.support import sink_contract as contract
from tests.support.fault_server import FaultServer
from tests.support.strict_aws import CREDENTIALS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parent.parent
PYTHON = os.path.realpath(sys.executable)
LINES = 200  # of 250 bytes, in the invocation after which memory is read again
TIMEOUT_S = 30.0
REQUEST_ID = "8a3b6d9e-77a5-4f0e-9a53-3a4ab6f3d7d1"


class Subject(NamedTuple):
    """Something that is started: a forwarder that `flushes`, or a comparator that is stopped at its first /next."""

    name: str
    command: list[str]
    environment: Mapping[str, str]
    flushes: bool = False


class Run(NamedTuple):
    """What one start showed; nan where it does not apply."""

    register_ms: float
    next_ms: float = float("nan")
    next_mib: float = float("nan")
    flushed_mib: float = float("nan")


class Platform:
    """As much of the Extensions API and the Telemetry API as one start needs."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.settimeout(TIMEOUT_S)
        self.address = f"127.0.0.1:{self._listening.getsockname()[1]}"
        self.telemetry_port = 0

    def close(self) -> None:
        """Stop listening."""
        self._listening.close()

    def until(self, word: str) -> tuple[float, socket.socket]:
        """Answer calls until the one whose path ends with `word`; when it came, and its connection."""
        while True:
            connection, _ = self._listening.accept()
            came = time.perf_counter()
            path, body = _read(connection)
            if path.endswith(word):
                return came, connection
            if path.endswith("telemetry"):
                self.telemetry_port = json.loads(body)["destination"].get("port", 0)
            answer(connection, b'{"functionName":"f","functionVersion":"1","handler":"app.handler"}')


def answer(connection: socket.socket, body: bytes) -> None:
    """Answer a call with 200, and what register answers."""
    head = (
        f"HTTP/1.1 200 OK\r\nLambda-Extension-Identifier: 1\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    connection.sendall(head.encode() + body)
    connection.close()


def start(subject: Subject, settle_s: float = 0.0) -> Run:
    """Start a subject once, and stop it. Its memory is read `settle_s` after the first /next."""
    api = Platform()
    environment = {"AWS_LAMBDA_RUNTIME_API": api.address, "PATH": "/usr/bin:/bin", **subject.environment}
    with tempfile.TemporaryDirectory(dir=subject.environment.get("TMPDIR")) as temporary:
        environment["TMPDIR"] = temporary
        began = time.perf_counter()
        process = os.posix_spawn(subject.command[0], subject.command, environment, setpgroup=0)
        try:
            registered, connection = api.until("register")
            answer(connection, b'{"functionName":"f","functionVersion":"1","handler":"app.handler"}')
            ready, connection = api.until("next")
            time.sleep(settle_s)
            at_next = _rss_mib(process)
            flushed = _flush(api, connection, process) if subject.flushes else float("nan")
        finally:
            os.killpg(process, signal.SIGKILL)
            os.waitpid(process, 0)
            connection.close()
            api.close()
    return Run((registered - began) * 1000, (ready - began) * 1000, at_next, flushed)


def start_bare() -> Run:
    """Start and end CPython itself: the whole run, in the place of register."""
    began = time.perf_counter()
    process = os.posix_spawn(PYTHON, [PYTHON, "-I", "-S", "-c", "pass"], {})
    os.waitpid(process, 0)
    return Run((time.perf_counter() - began) * 1000)


def _flush(api: Platform, connection: socket.socket, process: int) -> float:
    """One invocation with its records; the memory when the next event is asked for."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
    records: list[tuple[str, object]] = [
        ("platform.start", {"requestId": REQUEST_ID}),
        *[("function", f"{number:05d} " + "x" * 180) for number in range(LINES)],
        ("platform.runtimeDone", {"requestId": REQUEST_ID, "status": "success"}),
    ]
    lines = [json.dumps({"time": stamp, "type": kind, "record": record}) + "\n" for kind, record in records]
    event = {
        "eventType": "INVOKE",
        "deadlineMs": int((time.time() + TIMEOUT_S) * 1000),
        "requestId": REQUEST_ID,
        "invokedFunctionArn": "arn:aws:lambda:eu-west-1:123456789012:function:f",
    }
    answer(connection, json.dumps(event).encode())
    with socket.create_connection(("127.0.0.1", api.telemetry_port)) as telemetry:
        telemetry.sendall("".join(lines).encode())
        _, parked = api.until("next")
        with parked:
            memory = _rss_mib(process)
            os.killpg(process, signal.SIGKILL)  # before it notices that nobody answers any more
    return memory


def _read(connection: socket.socket) -> tuple[str, bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    while len(body) < sum(lengths):
        body += connection.recv(65536)
    return head.split()[1].decode(), body


def _rss_mib(group: int) -> float:
    """Resident memory of a process group: a onefile binary is two processes."""
    pages = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # gone since
        if int(fields[2]) == group:
            pages += int(fields[21])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


@contextmanager
def subjects(layer: Path) -> Iterator[list[Subject]]:
    """Everything that is compared: the layer with each sink, then the comparators."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        subprocess.run(["unzip", "-q", layer, "-d", folder / "layer"], check=True)
        command = [str(folder / "layer" / "extensions" / "telemetry-forwarder")]
        destinations = stack.enter_context(contract.open_destinations(folder))
        urls = contract.sink_urls(destinations)
        urls["https"] = stack.enter_context(_https(folder))
        source = {**urls["file"][1], "FORWARDER_SINKS": urls["file"][0], "PYTHONPATH": str(ROOT)}
        yield [
            *(
                Subject(f"the layer, {scheme}", command, {**env, "FORWARDER_SINKS": url}, flushes=True)
                for scheme, (url, env) in sorted(urls.items(), key=lambda item: (bool(item[1][1]), item[0]))
            ),
            Subject("the forwarder's source, file", [sys.executable, "-m", "extension", "x"], source, flushes=True),
            *_comparators(),
        ]


@contextmanager
def _https(folder: Path) -> Iterator[tuple[str, Mapping[str, str]]]:
    # One authority in a file, for the one that OpenSSL would read from the layer's folder.
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with FaultServer(contract.Intake(), tls=context) as server:
        yield server.url, {"SSL_CERT_FILE": str(folder / "ca.pem")}


def freeze_usual() -> Path:
    """The folder with the usual extension as `onefile` and `onedir/onedir`, built anew when its source has changed."""
    work, source = ROOT / ".work" / "comparators", ROOT / "benchmarks" / "usual.py"
    if not (work / "usual.py").exists() or not filecmp.cmp(source, work / "usual.py", shallow=False):
        shutil.rmtree(work, ignore_errors=True)
        for form in ("onefile", "onedir"):
            command = [sys.executable, "-m", "PyInstaller", f"--{form}", "--log-level", "ERROR", "--name", form, source]
            paths: list[str | Path] = ["--distpath", work, "--workpath", work / "build", "--specpath", work / "build"]
            # only what `pip install boto3 pyinstaller` would have brought, not the rest of the development environment
            others = [f"--exclude-module={name}" for name in ("cryptography", "certifi", "setuptools")]
            subprocess.run([*command, *paths, *others], check=True)
        shutil.copy(source, work)
    return work


def _comparators() -> list[Subject]:
    """The usual extension in three forms.

    A onefile binary unpacks itself into TMPDIR at each start, so it is tried on this disk and in memory.
    """
    work, source = freeze_usual(), ROOT / "benchmarks" / "usual.py"
    usual = [
        Subject("usual extension, onefile", [str(work / "onefile")], {}),
        Subject("usual extension, onefile, /tmp in memory", [str(work / "onefile")], {"TMPDIR": "/dev/shm"}),  # noqa: S108 - the point
        Subject("usual extension, onedir", [str(work / "onedir" / "onedir")], {}),
        Subject("usual extension, its source", [sys.executable, str(source)], {}),
    ]
    return [one._replace(environment={**CREDENTIALS, **one.environment}) for one in usual]


def table(runs: Mapping[str, list[Run]], baseline: str, slowest: str) -> str:
    """Medians with the range of the middle half, and the ratios that the project promises, as Markdown."""
    bare = statistics.median(run.register_ms for run in runs[baseline])
    onefile = statistics.median(run.next_ms for run in runs[slowest])
    rows = [
        "| what | register, ms | x bare | first next, ms | x onefile | RSS at next, MiB | RSS after a flush, MiB |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, measured in runs.items():
        register, ready, at_next, flushed = (sorted(column) for column in zip(*measured, strict=True))
        cells = [
            f"{_middle(register)}",
            f"{statistics.median(register) / bare:.2f}",
            f"{_middle(ready)}",
            f"{statistics.median(ready) / onefile:.3f}",
            f"{statistics.median(at_next):.1f}",
            f"{statistics.median(flushed):.1f}",
        ]
        rows.append(f"| {name} | {' | '.join(cells)} |".replace("nan (nan-nan)", "").replace("nan", ""))
    return "\n".join(rows)


def _middle(values: list[float]) -> str:
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:.1f} ({low:.1f}-{high:.1f})"


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--layer", type=Path, default=built())
    add_json(parser)
    options = parser.parse_args()
    runs: dict[str, list[Run]] = {"bare python3 -I -S -c pass": []}
    with subjects(options.layer) as started, zipfile.ZipFile(options.layer) as content:
        for round_ in range(-1, options.rounds):  # one round to warm the file cache
            measured = {"bare python3 -I -S -c pass": start_bare(), **{one.name: start(one) for one in started}}
            for name, run in measured.items() if round_ >= 0 else ():
                runs.setdefault(name, []).append(run)
        unzipped = sum(entry.file_size for entry in content.infolist()) / 1e6
    print(f"{options.rounds} rounds; median (middle half); {platform.platform()}, {os.cpu_count()} CPUs")
    print(f"layer: {options.layer.stat().st_size / 1e6:.1f} MB zipped, {unzipped:.1f} MB unzipped\n")
    print(table(runs, "bare python3 -I -S -c pass", "usual extension, onefile"))
    medians = {name: [statistics.median(column) for column in zip(*some, strict=True)] for name, some in runs.items()}
    save(options.json, "cold_start", {"titles": Run._fields, "rows": medians})


if __name__ == "__main__":
    main()

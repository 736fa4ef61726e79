"""rotel, a native collector that others wrote, as a child process that passes on by OTLP what it takes."""

from __future__ import annotations

import subprocess
import time
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import TYPE_CHECKING

import rotel

from tests.support.fault_server import refused_port

if TYPE_CHECKING:
    from collections.abc import Iterator

AGENT = Path(rotel.__file__).parent / "rotel-agent"
START_S = 20.0
TRIES = 3


@contextmanager
def running(destination: str, folder: Path, *, batching: bool = False) -> Iterator[str]:
    """A collector that exports to the OTLP/HTTP server at a URL, as a rule without batching; its own URL."""
    for left in reversed(range(TRIES)):
        grpc, http = refused_port(), refused_port()  # it cannot be asked to choose ports, and others may be quicker
        with (folder / "rotel.log").open("wb") as log:
            command = [
                *(str(AGENT), "start", "--pid-file", str(folder / "rotel.pid")),
                *("--otlp-grpc-endpoint", f"127.0.0.1:{grpc}", "--otlp-http-endpoint", f"127.0.0.1:{http}"),
                *("--exporter", "otlp", "--otlp-exporter-protocol", "http"),
                *("--otlp-exporter-endpoint", destination),
                *(() if batching else ("--disable-batching",)),
            ]
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            if answers(http, process):
                yield f"http://127.0.0.1:{http}"
                return
            assert left, (folder / "rotel.log").read_text()
        finally:
            process.kill()
            process.wait()


def answers(port: int, process: subprocess.Popen[bytes]) -> bool:
    """Wait for an answer to any request; False where the process ends before."""
    deadline = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(OSError, HTTPException):
            connection = HTTPConnection("127.0.0.1", port, timeout=START_S)
            connection.request("GET", "/")
            connection.getresponse().read()
            connection.close()
            return True
        time.sleep(0.01)
    return False

"""An HTTP sink in a process of its own, which takes every body and keeps it until it is counted.

What arrived before a moment can be told exactly: a body is there before its request is answered.
"""

from __future__ import annotations

import gzip
import itertools
import multiprocessing
import re
import tempfile
import time
import zlib
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import zstandard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MARKER = re.compile(rb"L(\d{8}) INFO")  # how the lines of the functions in native/ begin
DECODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.decompress,
    "deflate": zlib.decompress,
    "zstd": lambda body: zstandard.ZstdDecompressor().decompressobj().decompress(body),
}


class Intake(NamedTuple):
    """Where to send, and where the bodies are."""

    url: str
    folder: Path

    def lines(self) -> list[int]:
        """The numbers of the lines that are in the bodies of answered requests, in no order, with repetitions."""
        return [line for body in self.bodies() for line in self.lines_of(body)]

    def bodies(self) -> set[Path]:
        """The bodies of answered requests."""
        return set(self.folder.glob("*.body"))

    def lines_of(self, body: Path) -> list[int]:
        """The numbers of the lines in one body."""
        return [int(number) for number in MARKER.findall(_content(body))]

    def count_lines(self) -> int:
        """How many lines of NDJSON are in the bodies."""
        return sum(_content(body).count(b"\n") for body in self.bodies())


def _content(body: Path) -> bytes:
    encoding, _, content = body.read_bytes().partition(b"\n")
    return DECODERS.get(encoding.decode(), bytes)(content)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    numbers = itertools.count()

    def __init__(self, folder: Path, delay_s: float, *arguments: Any) -> None:
        self._folder = folder
        self._delay_s = delay_s
        super().__init__(*arguments)

    def take(self) -> None:
        """Keep one body."""
        length = self.headers["Content-Length"]
        body = self.rfile.read(int(length)) if length else b"".join(self._chunks())
        time.sleep(self._delay_s)
        path = self._folder / str(next(self.numbers))
        path.write_bytes(self.headers.get("Content-Encoding", "").encode() + b"\n" + body)
        path.rename(path.with_suffix(".body"))
        answer = b"{}" if self.command == "POST" else b""  # of an S3 object nothing is said, and JSON would be no XML
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_POST = do_PUT = take  # noqa: N815 - the names that http.server looks for

    def log_message(self, *_: Any) -> None:
        """Nothing is said."""

    def _chunks(self) -> Iterator[bytes]:
        if not self.headers.get("Transfer-Encoding"):
            return
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # trailers


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 100


@contextmanager
def intake(delay_s: float = 0.0) -> Iterator[Intake]:
    """Such a sink, which takes `delay_s` for each request."""
    with tempfile.TemporaryDirectory(prefix="intake-") as folder:
        server = _Server(("127.0.0.1", 0), partial(_Handler, Path(folder), delay_s))
        process = multiprocessing.get_context("fork").Process(target=server.serve_forever, daemon=True)
        process.start()
        server.socket.close()
        try:
            yield Intake(f"http://127.0.0.1:{server.server_address[1]}/", Path(folder))
        finally:
            process.kill()
            process.join()

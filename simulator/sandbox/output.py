"""Reads what processes print. The pipes are always drained: a full pipe would block the function.

Two framings: lines (stdout and stderr of anything) and the frames that AWS's managed runtimes write to
_LAMBDA_TELEMETRY_LOG_FD (aws-lambda-python-runtime-interface-client, lambda_runtime_log_utils.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import socket
from typing import TYPE_CHECKING

from simulator.telemetry.records import Printed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

READ_BYTES = 1 << 16
PIPE_BYTES = 1 << 20
# Where Lambda cuts a line for telemetry is not documented; CloudWatch takes events of up to 1 MiB.
MAX_LINE_BYTES = 1 << 20
MAX_FRAME_BYTES = 1 << 24
FRAME_HEAD_BYTES = 16


class Lines:
    """Cuts a byte stream into lines, without their line feed; a line over MAX_LINE_BYTES is cut into pieces."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Printed]:
        """The lines that `data` completes."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        while len(self._rest) >= MAX_LINE_BYTES:
            lines.append(self._rest[:MAX_LINE_BYTES])
            self._rest = self._rest[MAX_LINE_BYTES:]
        return [Printed(lines)] if lines else []

    def end(self) -> list[Printed]:
        """The last line, when it had no line feed."""
        rest, self._rest = self._rest, b""
        return [Printed([rest])] if rest else []


class Frames:
    """Cuts the log stream of a managed runtime: type, length and microseconds, all big-endian, then the message."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Printed]:
        """The frames that `data` completes."""
        self._rest += data
        found: list[Printed] = []
        while len(self._rest) >= FRAME_HEAD_BYTES:
            kind = int.from_bytes(self._rest[:4], "big")
            length = int.from_bytes(self._rest[4:8], "big")
            if kind >> 8 != 0xA55A00 or length > MAX_FRAME_BYTES:
                return [*found, *self.end()]  # not a frame: what there is goes out as it is
            if len(self._rest) < FRAME_HEAD_BYTES + length:
                break
            epoch_ms = int.from_bytes(self._rest[8:16], "big") / 1000
            message = self._rest[FRAME_HEAD_BYTES : FRAME_HEAD_BYTES + length]
            self._rest = self._rest[FRAME_HEAD_BYTES + length :]
            found.append(Printed([message], epoch_ms, not kind & 1))  # ...2 is JSON, ...3 is text
        return found

    def end(self) -> list[Printed]:
        """What is left of a writer that died inside a frame."""
        rest, self._rest = self._rest, b""
        return [Printed([rest])] if rest else []


class Pipe:
    """The reading end of a pipe on the running loop; `writer` is the child's end, closed here after its start."""

    def __init__(self, framing: Lines | Frames, sink: Callable[[Printed], None], reader: int | None = None) -> None:
        self.writer = -1
        if reader is None:
            reader, self.writer = os.pipe()
            with contextlib.suppress(OSError):  # over the user's share of pipe memory: the usual 64 KiB will do
                fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._reader = reader
        self._framing = framing
        self._sink = sink
        os.set_blocking(reader, False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(reader, self._readable)

    def started(self) -> None:
        """Close the child's end here, so that the end of the child is the end of the stream."""
        if self.writer >= 0:
            os.close(self.writer)
            self.writer = -1

    def drain(self) -> None:
        """Read what was printed up to now, bounded by what a pipe holds."""
        for _ in range(PIPE_BYTES // READ_BYTES + 1):
            if not self._readable():
                return

    def close(self) -> None:
        """Read the rest and close. A grandchild that still holds the other end is not waited for."""
        self.started()
        self.drain()
        self._end()

    def _readable(self) -> bool:
        if self._reader < 0:
            return False
        try:
            data = os.read(self._reader, READ_BYTES)
        except BlockingIOError:
            return False
        except OSError:  # a connection that was reset ends as one that was closed
            data = b""
        if not data:
            self._end()
            return False
        for printed in self._framing.feed(data):
            self._sink(printed)
        return True

    def _end(self) -> None:
        if self._reader < 0:
            return
        self._loop.remove_reader(self._reader)
        os.close(self._reader)
        self._reader = -1
        for printed in self._framing.end():
            self._sink(printed)


class LogSocket:
    """On Managed Instances each worker of a runtime fetches an output of its own: a connection to this Unix socket.

    (aws-lambda-python-runtime-interface-client, lambda_multi_concurrent_utils.py.) It is used as a Pipe is.
    """

    def __init__(self, path: Path, sink: Callable[[Printed], None]) -> None:
        path.unlink(missing_ok=True)
        self._pipes: list[Pipe] = []
        self._sink = sink
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._listener.setblocking(False)
        asyncio.get_running_loop().add_reader(self._listener, self._accept)

    def started(self) -> None:
        """Nothing: the children connect by themselves."""

    def drain(self) -> None:
        """Read what was printed up to now."""
        for pipe in self._pipes:
            pipe.drain()

    def close(self) -> None:
        """Read the rest and close; once more does no harm."""
        if self._listener.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
        for pipe in self._pipes:
            pipe.close()

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError):
            connection, _ = self._listener.accept()
            self._pipes.append(Pipe(Lines(), self._sink, connection.detach()))

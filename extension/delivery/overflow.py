"""Records of one sink on disk: what memory had no room for, and what a SHUTDOWN left undelivered. All of it blocks.

After a timeout or a crash Lambda starts a new process in the same environment, where /tmp is as it was; that process
delivers what it finds first. A file appears whole or not at all: a line of JSON that describes it, then for each record
what is known of it and the length of its line, as JSON, a tab, the line, and a newline.
"""

from __future__ import annotations

import errno
import os
import stat
import time
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import orjson

from extension.delivery.disk import File
from extension.log import describe, log
from extension.records import RECORD_OVERHEAD_BYTES, Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

FORMAT = 3
SUFFIX = ".spool"
SET_ASIDE = ".bad"
PART = ".part"
MAX_FILE_BYTES = 1 << 26  # far above what is ever written at once; a file that is larger is not ours
MAX_HEADER_BYTES = 4096
LEAST_RECORD_BYTES = 20  # in a file: what is known of a record is 16 bytes of JSON at least
READ_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW  # to open a FIFO must not hang


class Damaged(Exception):
    """A file is not as it was written."""


def default_folder(extension_name: str) -> str:
    """Where the files are: Lambda has /tmp; TMPDIR moves it elsewhere.

    Two layers in one environment share /tmp, and may have the same sinks; the names of their extensions differ.
    """
    temporary = os.environ.get("TMPDIR") or "/tmp"  # noqa: S108 - Lambda has no other
    return os.path.join(temporary, "telemetry-forwarder", extension_name)


class Overflow:
    """The files in `folder` of the sink called `name`."""

    def __init__(self, folder: str, name: str) -> None:
        self._folder = folder
        self._name = name
        self._prefix = f"{zlib.crc32(name.encode()):08x}-"

    def find(self, sequence: int, arrived: float) -> list[File]:
        """What an earlier process left, oldest first; their records get the sequences from `sequence` on.

        A file that is not ours, or not as it was written, is set aside with a message.
        """
        try:
            names = sorted(name for name in os.listdir(self._folder) if name.startswith(self._prefix))
        except OSError:
            return []
        found = []
        for name in names:
            if name.endswith(PART):  # of a process that was killed while it wrote
                with suppress(OSError):
                    os.unlink(os.path.join(self._folder, name))
            elif name.endswith(SUFFIX) and (header := self._try(name, self._read_header)):
                count, body = header["records"], header["bytes"]
                memory = body + count * RECORD_OVERHEAD_BYTES
                found.append(File(name, sequence, count, body, memory, arrived))
                sequence += count
        return found

    def write(self, records: Sequence[Record]) -> File:
        """Write the records to a file of their own. Raises OSError."""
        body = b"".join([b"%b\t%b\n" % (_known(record), record.line) for record in records])
        header = orjson.dumps(
            {
                "telemetry-forwarder": FORMAT,
                "sink": self._name,
                "records": len(records),
                "bytes": len(body),
                "crc32": zlib.crc32(body),
            }
        )
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        name = f"{self._prefix}{time.time_ns():020d}{SUFFIX}"
        path = os.path.join(self._folder, name)
        descriptor = os.open(path + PART, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with open(descriptor, "wb") as part:
                part.write(header + b"\n" + body)
            os.rename(path + PART, path)
        except OSError:
            with suppress(OSError):
                os.unlink(path + PART)  # /tmp is the function's as well
            raise
        memory = sum(record.size for record in records)
        return File(name, records[0].sequence, len(records), len(header) + 1 + len(body), memory, 0.0)

    def read(self, file: File) -> list[Record]:
        """The records of the file, which stays until it is forgotten; none where it is not as it was written."""
        return self._try(file.name, lambda name: self._read_records(name, file.first_sequence)) or []

    def forget(self, file: File) -> None:
        """Delete the file. Raises OSError."""
        with suppress(FileNotFoundError):
            os.unlink(os.path.join(self._folder, file.name))

    def _read_header(self, name: str) -> dict[str, Any]:
        with self._open(name) as content:
            header = orjson.loads(content.readline(MAX_HEADER_BYTES))
        if header["telemetry-forwarder"] != FORMAT or header["sink"] != self._name:
            raise Damaged("written by another program, or for another sink")
        count, size = header["records"], header["bytes"]
        if {type(count), type(size)} != {int} or count < 1 or not count * LEAST_RECORD_BYTES <= size <= MAX_FILE_BYTES:
            raise Damaged("not as it was written")
        found: dict[str, Any] = header
        return found

    def _read_records(self, name: str, first_sequence: int) -> list[Record]:
        header = self._read_header(name)
        with self._open(name) as content:
            content.readline(MAX_HEADER_BYTES)
            body = content.read(header["bytes"] + 1)
        if header["bytes"] != len(body) or header["crc32"] != zlib.crc32(body):
            raise Damaged("not as it was written")
        records = list(_parse(body, first_sequence))
        if header["records"] != len(records):
            raise Damaged("not as it was written")
        return records

    def _open(self, name: str) -> Any:
        descriptor = os.open(os.path.join(self._folder, name), READ_FLAGS)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(errno.EINVAL, "no regular file")
        return open(descriptor, "rb")

    def _try(self, name: str, read: Callable[[str], Any]) -> Any:
        try:
            return read(name)
        except Exception as error:  # noqa: BLE001 - one odd file must not keep the others from being read
            log("ERROR", "spooled file set aside", file=name, reason=describe(error))
        path = os.path.join(self._folder, name)
        try:
            os.rename(path, path + SET_ASIDE)
        except OSError as error:
            log("WARN", "spooled file stays", file=name, reason=describe(error))
        return None


def _known(record: Record) -> bytes:
    return orjson.dumps((record.kind, record.type, record.time, record.request_id, len(record.line)))


def _parse(body: bytes, first_sequence: int) -> Iterator[Record]:
    """The records in a file; a line that carries a body may have newlines in it."""
    at, sequence = 0, first_sequence
    while at < len(body):
        tab = body.index(b"\t", at)
        kind, type_, time_, request_id, length = orjson.loads(body[at:tab])
        at, line = tab + length + 2, body[tab + 1 : tab + 1 + length]
        record = Record(sequence, kind, line, type_, time_, request_id)
        if not record.head.startswith(b"{") or not record.head.endswith(b"}}"):
            raise Damaged("a line is no record")
        yield record
        sequence += 1

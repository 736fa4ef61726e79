"""Records of one sink on disk: what did not fit into memory, and what SHUTDOWN left undelivered.

After a timeout or a crash Lambda starts a new process in the same environment, where /tmp is as it was; that process
delivers what it finds first. Everything here blocks; files appear whole or not at all.
"""

from __future__ import annotations

import errno
import os
import time
import zlib
from collections import deque
from contextlib import suppress

import orjson

from extension.log import describe, log

FORMAT = 1
SUFFIX = ".spool"
SET_ASIDE = ".bad"
PART = ".part"


class Damaged(Exception):
    """A file is not as it was written."""


def default_folder(extension_name: str) -> str:
    """Where the files are: Lambda has /tmp; TMPDIR moves it elsewhere.

    Two layers in one environment share /tmp, and may have the same sinks; the names of their extensions differ.
    """
    temporary = os.environ.get("TMPDIR") or "/tmp"  # noqa: S108 - Lambda has no other
    return os.path.join(temporary, "telemetry-forwarder", extension_name)


class Spool:
    """The files of the sink called `name` in `folder`, oldest first; all files there together hold `max_bytes`.

    `records` is what this process has on disk; what an earlier one left is not counted before it is taken back.
    """

    def __init__(self, folder: str, name: str, max_bytes: int) -> None:
        self.records = 0
        self._folder = folder
        self._name = name
        self._max_bytes = max_bytes
        self._prefix = f"{zlib.crc32(name.encode()):08x}-"
        self._own: set[str] = set()
        try:
            found = sorted(entry for entry in os.listdir(folder) if entry.startswith(self._prefix))
        except OSError:
            found = []
        self._waiting = deque(entry for entry in found if entry.endswith(SUFFIX))
        for entry in found:
            if entry.endswith(PART):  # of a process that was killed while it wrote
                with suppress(OSError):
                    os.unlink(os.path.join(folder, entry))

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def has_room(self, size: int) -> bool:
        """Whether so many bytes may still be written."""
        try:
            used = sum(entry.stat().st_size for entry in os.scandir(self._folder) if not entry.name.endswith(SET_ASIDE))
        except OSError:
            used = 0
        return used + size <= self._max_bytes

    def put(self, lines: list[bytes]) -> None:
        """Write the lines to a file of their own. Raises OSError when they do not fit."""
        body = b"\n".join(lines) + b"\n"
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        if not self.has_room(len(body)):
            raise OSError(errno.ENOSPC, f"more than {self._max_bytes} bytes would be spooled")
        header = {"telemetry-forwarder": FORMAT, "sink": self._name, "records": len(lines), "crc32": zlib.crc32(body)}
        file = f"{self._prefix}{time.time_ns():020d}{SUFFIX}"
        path = os.path.join(self._folder, file)
        descriptor = os.open(path + PART, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with open(descriptor, "wb") as part:
                part.write(orjson.dumps(header) + b"\n" + body)
            os.rename(path + PART, path)
        except OSError:
            os.unlink(path + PART)  # /tmp is the function's as well
            raise
        self.records += len(lines)
        self._own.add(file)
        self._waiting.append(file)

    def take(self) -> tuple[str, list[bytes], bool]:
        """The oldest file: its name, its lines, and whether this process wrote it. It stays until it is forgotten.

        A file that is not as it was written, or not ours, is set aside with a message, and has no lines.
        """
        file = self._waiting.popleft()
        own = file in self._own
        try:
            with open(os.path.join(self._folder, file), "rb") as content:
                lines = self._parse(content.readline(), content.read())
        except (OSError, Damaged, ValueError, KeyError, TypeError) as error:
            log("ERROR", "spooled file set aside", file=file, reason=describe(error))
            self._set_aside(file)
            return file, [], own
        if own:
            self.records -= len(lines)
        return file, lines, own

    def forget(self, file: str) -> None:
        """What was in the file has come to its end."""
        self._own.discard(file)
        try:
            os.unlink(os.path.join(self._folder, file))
        except OSError as error:
            log("WARN", "spooled file stays", file=file, reason=describe(error))

    def _parse(self, header: bytes, body: bytes) -> list[bytes]:
        said = orjson.loads(header)
        if said["telemetry-forwarder"] != FORMAT or said["sink"] != self._name:
            raise Damaged("written by another program, or for another sink")
        lines = body.split(b"\n")[:-1]
        if said["crc32"] != zlib.crc32(body) or said["records"] != len(lines):
            raise Damaged("not as it was written")
        return lines

    def _set_aside(self, file: str) -> None:
        path = os.path.join(self._folder, file)
        try:
            os.rename(path, path + SET_ASIDE)
        except OSError as error:
            log("WARN", "spooled file stays", file=file, reason=describe(error))

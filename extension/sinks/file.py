"""file:///path.ndjson: appends NDJSON to a file. For trying things out, for tests, and for a mounted EFS."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
import time
from typing import TYPE_CHECKING

from extension.sinks import BadSetting, Limits, Refused, Scope

if TYPE_CHECKING:
    from collections.abc import Sequence

    from extension.records import Batch
    from extension.sinks import Failure, SinkURL

SCHEMES = ("file",)
URL = "file:///path.ndjson"
SUMMARY = "a file, to try things out"
PARAMETERS: frozenset[str] = frozenset()
HARMLESS: frozenset[str] = frozenset()
IAM_ACTIONS: tuple[str, ...] = ()
PROBE = "one line"

EXPECTED = "expected the path of a plain file, file:///path.ndjson, or file:///dev/null"
NULL = os.makedev(1, 3)  # devices.txt of Linux
NO_FILES = ("/dev/fd/", "/dev/std", "/proc/", "/sys/")
OUTPUTS = (1, 2)  # what is written there comes back as telemetry
NETWORKED = ("9p", "afs", "ceph", "cifs", "fuse", "gluster", "lustre", "nfs", "smb", "virtiofs")
LOCK_PAUSE_S = 0.005


class FileSink:
    """Appends whole batches; one that could not be written whole is cut off again, so no line is ever half there.

    On a file system that other environments may have mounted as well, each has a file of its own: NFS does not append.
    """

    limits = Limits()

    def __init__(self, path: str, *, shared: bool) -> None:
        self._path = path
        self._shared = shared

    def send(self, batch: Batch, timeout_s: float) -> Sequence[Failure]:
        """Append the batch. Raises OSError; Refused where the path leads to no file any more."""
        path = self._path
        if self._shared:
            stem, suffix = os.path.splitext(path)
            path = f"{stem}-{batch.environment}{suffix}"
        descriptor = _open(path)
        try:
            _lock(descriptor, timeout_s)
            _append(descriptor, batch.ndjson())
        finally:
            os.close(descriptor)
        return ()

    def close(self) -> None:
        """Nothing is kept open between batches."""


def open_sink(target: SinkURL) -> FileSink:
    """Make a sink of file:///absolute/path."""
    path = target.path
    is_absolute = re.match("/+[^/]", path)
    if target.host or not is_absolute or os.path.normpath("/" + path.lstrip("/")).startswith(NO_FILES):
        raise BadSetting(EXPECTED)
    try:
        is_fit = _is_fit(os.stat(path))
    except OSError:
        is_fit = True  # not there yet; what cannot be had later is the sink's trouble, not a mistake
    if not is_fit:
        raise BadSetting(EXPECTED)
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as mounts:
        return FileSink(path, shared=is_shared(path, mounts.read()))


def is_shared(path: str, mounts: str) -> bool:
    """Whether other machines may write there: it is in a mount of a networked type, and /tmp is in another.

    `mounts` is as in proc_pid_mountinfo(5).
    """
    point, type_ = _mount_of(os.path.realpath(path), mounts)
    return type_.startswith(NETWORKED) and point != _mount_of("/tmp", mounts)[0]  # noqa: S108 - Lambda's own word


def _mount_of(path: str, mounts: str) -> tuple[str, str]:
    """Mount point and file system type of the innermost mount that holds the path, the last one where several do."""
    found = ("", "")
    for line in mounts.splitlines():
        fields = line.split(" ")
        point = re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), fields[4])
        if f"{path}/".startswith(f"{point.rstrip('/')}/") and len(point) >= len(found[0]):
            found = (point, fields[fields.index("-") + 1])
    return found


def _open(path: str) -> int:
    """A descriptor that appends, of what is fit to be written to. A FIFO is neither waited for nor written to."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    try:
        descriptor = os.open(path, flags, 0o644)
    except OSError as error:
        if error.errno == errno.ENXIO:  # a FIFO that nobody reads, a socket
            raise Refused("not a plain file", Scope.EVERYTHING) from None
        raise
    if not _is_fit(os.fstat(descriptor)):
        os.close(descriptor)
        raise Refused("not a plain file", Scope.EVERYTHING)
    return descriptor


def _is_fit(status: os.stat_result) -> bool:
    """Whether it is /dev/null, or a plain file that is not our own output."""
    if stat.S_ISCHR(status.st_mode):
        return status.st_rdev == NULL
    return stat.S_ISREG(status.st_mode) and not any(os.path.samestat(status, os.fstat(output)) for output in OUTPUTS)


def _lock(descriptor: int, timeout_s: float) -> None:
    """Keep others out, as another layer with the same settings: what one cuts off must not be the other's.

    Raises TimeoutError. Where a file system has no locks there is none.
    """
    until = time.monotonic() + timeout_s
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise TimeoutError("another process keeps the file locked") from None
            time.sleep(LOCK_PAUSE_S)
        except OSError:
            return None


def _append(descriptor: int, data: bytes) -> None:
    written = 0
    try:
        while written < len(data):
            written += os.write(descriptor, data[written:])
    except OSError:
        if written:
            os.ftruncate(descriptor, os.fstat(descriptor).st_size - written)
        raise

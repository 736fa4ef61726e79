"""file:///path.ndjson: appends NDJSON to a file. For trying things out, for tests, and for a mounted EFS."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from extension.sinks import Limits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from extension.records import Batch
    from extension.sinks import Failure, Target

PARAMETERS: frozenset[str] = frozenset()


class FileSink:
    """Appends whole batches; one that could not be written whole is cut off again, so no line is ever half there."""

    limits = Limits()

    def __init__(self, path: str) -> None:
        self._path = path

    def send(self, batch: Batch, timeout_s: float) -> Sequence[Failure]:  # noqa: ARG002 - a file has no timeout
        """Append the batch. Raises OSError."""
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            _append(descriptor, batch.ndjson())
        finally:
            os.close(descriptor)
        return ()

    def close(self) -> None:
        """Nothing is kept open between batches."""


def open_sink(target: Target) -> FileSink:
    """Make a sink of file:///absolute/path."""
    if target.host or not target.path.strip("/"):
        message = "expected file:///absolute/path/of/a/file"
        raise ValueError(message)
    return FileSink(target.path)


def _append(descriptor: int, data: bytes) -> None:
    written = 0
    try:
        while written < len(data):
            written += os.write(descriptor, data[written:])
    except OSError:
        if written:
            os.ftruncate(descriptor, os.fstat(descriptor).st_size - written)
        raise

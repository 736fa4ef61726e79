"""Compression of bodies and objects: the fastest well-kept libraries that write what every reader takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isal import isal_zlib

from extension.records import Batch

if TYPE_CHECKING:
    from collections.abc import Callable


class Packed:
    """The compressed body of the batch at hand: a batch that is tried again, as in an outage, is not packed again.

    `encode` makes what is compressed of a batch.
    """

    def __init__(self, compress: Callable[[bytes], bytes], encode: Callable[[Batch], bytes] = Batch.ndjson) -> None:
        self._compress = compress
        self._encode = encode
        self._packed = ("", b"")

    def body(self, batch: Batch) -> bytes:
        """The batch, compressed."""
        id_, body = self._packed
        if id_ != batch.id:
            body = self._compress(self._encode(batch))
            self._packed = (batch.id, body)
        return body

    def forget(self) -> None:
        """Give up the memory: the batch was taken."""
        self._packed = ("", b"")


def compress_gzip(data: bytes) -> bytes:
    """Gzip by ISA-L at level 1: a seventh of the CPU of zlib's own level 1, for less output."""
    compressor = isal_zlib.compressobj(1, isal_zlib.DEFLATED, 16 + isal_zlib.MAX_WBITS)
    compressed: bytes = compressor.compress(data) + compressor.flush()
    return compressed


def compress_zstd(data: bytes) -> bytes:
    """Zstandard at level 1: a little more CPU than ISA-L, for a little less output."""
    import zstandard  # noqa: PLC0415 - 4 ms and 1 MB that most functions never need

    return zstandard.compress(data, 1)


def uncompressed(data: bytes) -> bytes:
    """The data as they are."""
    return data

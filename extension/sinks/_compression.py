"""Compression of bodies and objects: the fastest well-kept libraries that write what every reader takes."""

from __future__ import annotations

from isal import isal_zlib


def compress_gzip(data: bytes) -> bytes:
    """Gzip by ISA-L at level 1: a seventh of the CPU of zlib's own level 1, for less output."""
    compressor = isal_zlib.compressobj(1, isal_zlib.DEFLATED, 16 + isal_zlib.MAX_WBITS)
    compressed: bytes = compressor.compress(data) + compressor.flush()
    return compressed


def compress_zstd(data: bytes) -> bytes:
    """Zstandard at level 1: a little more CPU than ISA-L, for a little less output."""
    import zstandard  # noqa: PLC0415 - 4 ms and 1 MB that most functions never need

    return zstandard.compress(data, 1)

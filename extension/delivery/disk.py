"""How much of the disk the queues of all sinks use together, and what a file of theirs holds. Pure."""

from __future__ import annotations

from typing import NamedTuple

BLOCK_BYTES = 4096  # what a file takes is a multiple of it, as on ext4


class File(NamedTuple):
    """Records of one sink on disk, in order. Their sequences begin with `first_sequence`, one after the other.

    `size` is in bytes on disk, `memory` what the records cost once they are back, `arrived` when the first came.
    """

    name: str
    first_sequence: int
    records: int
    size: int
    memory: int
    arrived: float


class Disk:
    """A bound in bytes on what all queues together have on disk, in whole blocks of each file."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.used = 0

    @property
    def room(self) -> int:
        """Bytes that may still be written to one file."""
        return max(0, self.max_bytes - self.used) // BLOCK_BYTES * BLOCK_BYTES

    def reserve(self, size: int) -> None:
        """Count a file of so many bytes that is being written, or is there."""
        self.used += _in_blocks(size)

    def release(self, size: int) -> None:
        """Count such a file no longer."""
        self.used -= _in_blocks(size)


def _in_blocks(size: int) -> int:
    return -(-size // BLOCK_BYTES) * BLOCK_BYTES

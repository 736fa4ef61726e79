"""The GLIBC audit: the highest GLIBC_ symbol version that each ELF file of a bundle needs.

A layer that needs more than the glibc it meets does not start, and nothing in its build says so (glibc, "Symbol
Versioning"; ELF's SHT_GNU_verneed).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection

if TYPE_CHECKING:
    from pathlib import Path


class Version(NamedTuple):
    """Of a symbol: GLIBC_2.34 is (2, 34)."""

    major: int
    minor: int

    def __str__(self) -> str:
        """As it is written: 2.34."""
        return f"{self.major}.{self.minor}"


def audit(folder: Path) -> dict[str, Version]:
    """The version needed, by path, for every ELF file in a folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.read_bytes().startswith(b"\x7fELF"):
            with path.open("rb") as file:
                found[str(path.relative_to(folder))] = _needed(ELFFile(file))
    return found


def report(found: dict[str, Version]) -> str:
    """The floor in the first line, then a line for each file, the most demanding first."""
    files = sorted(found.items(), key=lambda file: (-file[1].major, -file[1].minor, file[0]))
    lines = [f"{version!s:>6}  {path}" for path, version in files]
    return "\n".join([f"GLIBC floor: {max(found.values())} (of {len(found)} files)", *lines]) + "\n"


def _needed(elf: ELFFile) -> Version:
    names = (
        symbol.name
        for section in elf.iter_sections()
        if isinstance(section, GNUVerNeedSection)
        for _, needed in section.iter_versions()
        for symbol in needed
    )
    matches = filter(None, (re.fullmatch(r"GLIBC_(\d+)\.(\d+)(\.\d+)?", name) for name in names))
    return max((Version(int(match[1]), int(match[2])) for match in matches), default=Version(0, 0))

"""The GLIBC audit: the highest GLIBC_ symbol version that each ELF file of a bundle needs.

A layer that needs more than the glibc it meets does not start, and nothing in its build says so (glibc, "Symbol
Versioning"; ELF's SHT_GNU_verneed).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import cast

from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection

Version = tuple[int, int]


def audit(folder: Path) -> dict[str, tuple[Version, str]]:
    """By path, for every ELF file in a folder: the version needed, and the machine it is for, such as EM_X86_64."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.open("rb").read(4) == b"\x7fELF":
            with path.open("rb") as file:
                elf = ELFFile(file)
                found[str(path.relative_to(folder))] = (_needed(elf), cast(str, elf["e_machine"]))
    return found


def report(found: dict[str, tuple[Version, str]]) -> str:
    """The floor in the first line, then a line for each file, the most demanding first."""
    lines = [f"{dotted(version):>6}  {path}" for path, (version, _) in sorted(found.items())]
    lines.sort(key=lambda line: Version(map(int, line.split()[0].split("."))), reverse=True)
    floor = max(version for version, _ in found.values())
    return "\n".join([f"GLIBC floor: {dotted(floor)} (of {len(found)} files)", *lines]) + "\n"


def dotted(version: Version) -> str:
    """As it is written: 2.34."""
    return ".".join(map(str, version))


def _needed(elf: ELFFile) -> Version:
    versions = [(0, 0)]
    for section in elf.iter_sections():
        if isinstance(section, GNUVerNeedSection):
            for _, needed in section.iter_versions():
                for symbol in needed:
                    if match := re.fullmatch(r"GLIBC_(\d+)\.(\d+)(\.\d+)?", symbol.name):
                        versions.append((int(match[1]), int(match[2])))
    return max(versions)

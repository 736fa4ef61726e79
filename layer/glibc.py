"""The audit of a bundle: what each of its ELF files needs of the system that it is loaded on.

A layer that needs a newer glibc than it meets, or a library that is not there, does not start, and nothing in its build
says so (glibc, "Symbol Versioning"; ELF's SHT_GNU_verneed and DT_NEEDED).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection

if TYPE_CHECKING:
    from pathlib import Path

# The loader and what is released with it, in one version; every image that a program was linked for has them.
GLIBC = re.compile(r"(ld-linux[\w-]*|lib(c|m|dl|pthread|rt|util|resolv))\.so\.\d+")


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
    for path in elf_files(folder):
        with path.open("rb") as file:
            found[str(path.relative_to(folder))] = _needed(ELFFile(file))
    return found


def strangers(folder: Path) -> dict[str, list[str]]:
    """The libraries that the system would have to bring besides its glibc, by path, for every file that needs some."""
    files = {path: _libraries(path) for path in elf_files(folder)}
    bundled = {path.name for path in files}
    needed = {
        str(path.relative_to(folder)): [name for name in names if name not in bundled and not GLIBC.fullmatch(name)]
        for path, names in files.items()
    }
    return {path: names for path, names in needed.items() if names}


def report(found: dict[str, Version]) -> str:
    """The floor in the first line, then a line for each file, the most demanding first."""
    files = sorted(found.items(), key=lambda file: (-file[1].major, -file[1].minor, file[0]))
    lines = [f"{version!s:>6}  {path}" for path, version in files]
    return "\n".join([f"GLIBC floor: {max(found.values())} (of {len(found)} files)", *lines]) + "\n"


def elf_files(folder: Path) -> list[Path]:
    """Every ELF file in a folder, however deep."""
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and path.read_bytes()[:4] == b"\x7fELF"]


def _libraries(path: Path) -> list[str]:
    with path.open("rb") as file:
        dynamic: Any = ELFFile(file).get_section_by_name(".dynamic")  # its tags get their attributes at run time
        return [tag.needed for tag in dynamic.iter_tags("DT_NEEDED")] if dynamic else []


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

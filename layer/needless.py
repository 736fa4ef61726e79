"""Libraries that a file asks for and never uses, taken off its list, so that it loads where they are not.

protobuf's wheels are linked with libstdc++, though what is in them is C: an image without C++ would not load them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection

from layer.glibc import elf_files

if TYPE_CHECKING:
    from pathlib import Path

LIBRARIES = frozenset({"libstdc++.so.6"})  # each of its symbols has a version, so that a use of it shows


def drop(folder: Path, libraries: frozenset[str] = LIBRARIES) -> dict[str, list[str]]:
    """Take off these libraries wherever no symbol of theirs is used; those taken off, by path."""
    dropped = {}
    for path in elf_files(folder):
        content = bytearray(path.read_bytes())
        if names := _drop(path, content, libraries):
            path.write_bytes(content)
            dropped[str(path.relative_to(folder))] = names
    return dropped


def _drop(path: Path, content: bytearray, libraries: frozenset[str]) -> list[str]:
    """Move the entries behind an unused one up ("Dynamic Section" of the System V ABI; the table ends in nulls)."""
    with path.open("rb") as file:
        elf = ELFFile(file)
        dynamic: Any = elf.get_section_by_name(".dynamic")
        if dynamic is None:
            return []
        used = _used(elf)
        size, start = dynamic["sh_entsize"], dynamic["sh_offset"]
        tags = list(dynamic.iter_tags())
        names = [tag.needed if tag.entry.d_tag == "DT_NEEDED" else "" for tag in tags]
    needless = [name in libraries and name not in used for name in names]
    table = [bytes(content[start + at * size : start + (at + 1) * size]) for at in range(len(tags))]
    kept = [entry for entry, leave in zip(table, needless, strict=True) if not leave]
    content[start : start + len(tags) * size] = b"".join(kept).ljust(len(tags) * size, b"\0")
    return [name for name, leave in zip(names, needless, strict=True) if leave]


def _used(elf: ELFFile) -> set[str | None]:
    """The libraries of which a file needs some version of a symbol."""
    sections = (section for section in elf.iter_sections() if isinstance(section, GNUVerNeedSection))
    return {needed.name for section in sections for needed, _ in section.iter_versions()}

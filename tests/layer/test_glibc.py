"""The GLIBC audit."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from layer import glibc

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A folder with a shared library that needs memcpy of GLIBC_2.14, one that needs nothing, and a text."""
    folder = tmp_path / "bundle"
    (folder / "deep").mkdir(parents=True)
    (tmp_path / "needs.c").write_text(
        "extern void *old(void *, const void *, unsigned long);\n"
        '__asm__(".symver old, memcpy@GLIBC_2.14");\n'
        "void *call(void *to, const void *from) { return old(to, from, 8); }\n"
    )
    (tmp_path / "lone.c").write_text("int lone(void) { return 0; }\n")
    compiler = shutil.which("cc") or shutil.which("gcc")
    assert compiler, "a C compiler is needed"
    for source, target in (("needs.c", "deep/needs.so"), ("lone.c", "lone.so")):
        command = [compiler, "-shared", "-fPIC", "-nostartfiles", "-o", str(folder / target), str(tmp_path / source)]
        subprocess.run(command, check=True)
    (folder / "text.so").write_text("GLIBC_2.99")
    return folder


def test_every_elf_file_is_read(bundle: Path) -> None:
    """Each ELF file, however deep, is listed with the highest version that it needs; other files are not."""
    assert glibc.audit(bundle) == {"deep/needs.so": (2, 14), "lone.so": (0, 0)}


def test_report_begins_with_the_floor(bundle: Path) -> None:
    """The first line is the floor, the next the file that sets it."""
    lines = glibc.report(glibc.audit(bundle)).splitlines()
    assert lines[0] == "GLIBC floor: 2.14 (of 2 files)"
    assert lines[1].split() == ["2.14", "deep/needs.so"]


def test_versions_compare_as_numbers() -> None:
    """2.4 is below 2.34."""
    assert glibc.Version(2, 4) < glibc.Version(2, 34)

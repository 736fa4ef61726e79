"""The GLIBC audit."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from layer import glibc
from layer.__main__ import refusal

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


def test_other_libraries_are_named(bundle: Path) -> None:
    """What a file needs is the bundle's, glibc's, or named."""
    for library, links in (("libbundled.so.1", []), ("user.so", ["-lz", "-lm", "-L.", "-l:libbundled.so.1"])):
        command = ["cc", "-shared", "-fPIC", "-Wl,--no-as-needed", "-o", library, "../lone.c", *links]
        subprocess.run(command, check=True, cwd=bundle)
    assert glibc.strangers(bundle) == {"user.so": ["libz.so.1"]}


def test_too_new_for_lambda() -> None:
    """A file that needs more than the oldest runtime has is refused by name."""
    said = refusal({"a.so": glibc.Version(2, 27), "b.so": glibc.Version(2, 26)}, {})
    assert said == "--lambda: GLIBC_2.27 is needed by a.so, and Lambda has 2.26"


def test_library_that_lambda_lacks() -> None:
    """A file that needs a library which not every image has is refused with it."""
    said = refusal({"a.so": glibc.Version(2, 17)}, {"a.so": ["libz.so.1"]})
    assert said == "--lambda: libraries that not every runtime has: a.so needs libz.so.1"


def test_fit_for_lambda() -> None:
    """What every runtime can load is not refused."""
    assert refusal({"a.so": glibc.Version(2, 26)}, {}) is None

"""build.sh: what it refuses, and that it makes the same bytes each time."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ARCH = platform.machine().replace("aarch64", "arm64")
BASE_PYTHON = os.path.realpath(sys.executable)


@pytest.fixture
def clone(tmp_path: Path) -> Callable[[str], Path]:
    """Copy what a build needs, with the build environment that is there already."""

    def copy(name: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for entry in ("extension", "layer", "requirements"):
            shutil.copytree(ROOT / entry, folder / entry, ignore=shutil.ignore_patterns("__pycache__"))
        for entry in ("bootstrap", "build.sh", "LICENSE"):
            shutil.copy(ROOT / entry, folder)
        (folder / ".work").mkdir()
        (folder / ".work" / "build-venv").symlink_to(ROOT / ".work" / "build-venv")
        return folder

    return copy


def build(folder: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [folder / "build.sh", "--native", *options],
        env={**os.environ, "PYTHON": BASE_PYTHON, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def written(folder: Path) -> list[str]:
    """What a build has left behind, but for its own scratch."""
    assert not list((folder / ".work").glob("out.*"))
    return sorted(path.name for path in (folder / "dist").iterdir()) if (folder / "dist").exists() else []


def test_same_bytes_each_time(clone: Callable[[str], Path]) -> None:
    """Two builds of the same sources, in two folders, give the same zip, SBOM, audit and licences."""
    first, second = clone("one"), clone("another-place")
    for folder in (first, second):
        done = build(folder)
        assert done.returncode == 0, done.stderr
    names = [
        f"telemetry-forwarder-{ARCH}.{end}" for end in ("cdx.json", "glibc.txt", "licences.txt", "zip", "zip.sha256")
    ]
    assert written(first) == written(second) == names
    for name in names:
        assert (first / "dist" / name).read_bytes() == (second / "dist" / name).read_bytes(), name


def test_unknown_arch(clone: Callable[[str], Path]) -> None:
    """An architecture that Lambda does not have is refused by name."""
    folder = clone("a")
    done = build(folder, "--arch", "sparc")
    assert done.returncode != 0
    assert "unknown --arch 'sparc'; expected x86_64 or arm64" in done.stderr
    assert written(folder) == []


def test_other_arch_without_docker(clone: Callable[[str], Path]) -> None:
    """The other architecture cannot be built natively, and that is said before anything is done."""
    folder = clone("a")
    other = {"x86_64": "arm64", "arm64": "x86_64"}[ARCH]
    done = build(folder, "--arch", other)
    assert done.returncode != 0
    assert f"--arch {other} on {ARCH} needs a Docker engine" in done.stderr


def test_option_without_value(clone: Callable[[str], Path]) -> None:
    """An option that lacks its value is a mistake, not a default."""
    done = build(clone("a"), "--arch")
    assert done.returncode != 0
    assert "--arch lacks its value" in done.stderr


def test_dirty_dist(clone: Callable[[str], Path]) -> None:
    """A file in dist/ that no build wrote is neither removed nor shipped beside the layer."""
    folder = clone("a")
    (folder / "dist").mkdir()
    (folder / "dist" / "notes.txt").write_text("mine")
    done = build(folder)
    assert done.returncode != 0
    assert "dist is dirty: dist/notes.txt is not of a build; move it away" in done.stderr
    assert written(folder) == ["notes.txt"]


def test_missing_python(clone: Callable[[str], Path]) -> None:
    """An interpreter that is not there is named, with the variable that chooses another."""
    folder = clone("a")
    done = build(folder, PYTHON="/nonexistent/python3.11")
    assert done.returncode != 0
    assert "there is no /nonexistent/python3.11; set PYTHON" in done.stderr
    assert written(folder) == []


@pytest.mark.parametrize(
    ("question", "complaint"),
    [("Py_ENABLE_SHARED", "was built without --enable-shared"), ("version_info", "is older than 3.11")],
)
def test_unfit_python(clone: Callable[[str], Path], question: str, complaint: str) -> None:
    """An interpreter without a shared libpython, or too old, is refused in words before PyInstaller meets it."""
    folder = clone("a")
    python = folder / "python"
    python.write_text(f'#!/bin/sh\ncase $2 in *{question}*) exit 1 ;; esac\nexec {BASE_PYTHON} "$@"\n')
    python.chmod(0o755)
    done = build(folder, PYTHON=str(python))
    assert done.returncode != 0
    assert complaint in done.stderr
    assert written(folder) == []


@pytest.mark.parametrize("tool", ["strip", "objdump", "ldd"])
def test_missing_tool(clone: Callable[[str], Path], tool: str) -> None:
    """A tool that is missing is named, with the packages that have them."""
    folder = clone("a")
    bin_ = folder / "bin"
    bin_.mkdir()
    for name in ("sh", "dirname", "uname", "sed", "mkdir", "mktemp", "rm", "strip", "objdump", "ldd"):
        found = shutil.which(name)
        assert found
        if name != tool:
            (bin_ / name).symlink_to(found)
    done = build(folder, PATH=str(bin_))
    assert done.returncode != 0
    assert f"{tool} is missing; install " in done.stderr
    assert written(folder) == []


def test_glibc_too_new_for_lambda(clone: Callable[[str], Path]) -> None:
    """With --lambda, a file that needs more than Lambda's glibc is named, and nothing is written."""
    folder = clone("a")
    source = folder / "layer" / "__main__.py"
    source.write_text(source.read_text().replace("glibc.Version(2, 34)", "glibc.Version(2, 3)"))
    done = build(folder, "--lambda")
    assert done.returncode != 0
    assert "and Lambda has 2.3; build with Docker, or with `make layer-bullseye`" in done.stderr
    assert "libpython3" in done.stderr
    assert written(folder) == []


def test_root_that_is_none(clone: Callable[[str], Path]) -> None:
    """--root wants a root file system."""
    folder = clone("a")
    done = build(folder, "--root", str(folder))
    assert done.returncode != 0
    assert "is no root file system; layer/bullseye.sh makes one" in done.stderr

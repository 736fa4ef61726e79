"""build.sh: what it refuses, what it leaves behind, and that it makes the same bytes each time."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from layer import DIST, built
from tests.support import ROOT
from tests.support.mounts import NEEDS_MOUNTS

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
        for installed in (ROOT / ".work").glob("*/installed"):
            (folder / ".work" / installed.parent.name).symlink_to(installed.parent)
        return folder

    return copy


def build(folder: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [folder / "build.sh", *options],
        env={**os.environ, "PYTHON": BASE_PYTHON, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def written(folder: Path) -> list[str]:
    """What a build has left behind, but for its own scratch."""
    assert not list((folder / ".work").glob("out.*"))
    return sorted(path.name for path in (folder / "dist").iterdir()) if (folder / "dist").exists() else []


@pytest.mark.timeout(900)  # it builds
def test_same_bytes_each_time(clone: Callable[[str], Path]) -> None:
    """A build in another folder, with other variables of Python's, gives the same of everything as the one in dist."""
    folder, layer = clone("another place"), built()
    done = build(folder, *([] if layer.stem.endswith("-local") else ["--lambda"]), PYTHONOPTIMIZE="2")
    assert done.returncode == 0, done.stderr
    names = [f"{layer.stem}.{end}" for end in ("cdx.json", "glibc.txt", "licences.txt", "zip", "zip.sha256")]
    assert written(folder) == names
    for name in names:
        assert (folder / "dist" / name).read_bytes() == (DIST / name).read_bytes(), name


def test_unknown_arch(clone: Callable[[str], Path]) -> None:
    """An architecture that Lambda does not have is refused by name."""
    folder = clone("a")
    done = build(folder, "--arch", "sparc")
    assert done.returncode != 0
    assert "unknown --arch 'sparc'; expected x86_64 or arm64" in done.stderr
    assert written(folder) == []


def test_other_arch_is_for_lambda(clone: Callable[[str], Path]) -> None:
    """The other architecture cannot be built with this machine's Python, and that is said before anything is done."""
    folder = clone("a")
    other = {"x86_64": "arm64", "arm64": "x86_64"}[ARCH]
    done = build(folder, "--arch", other)
    assert done.returncode != 0
    assert f"--arch {other} on {ARCH} needs --lambda" in done.stderr


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


@pytest.mark.parametrize("tool", ["strip", "objcopy", "objdump", "ldd"])
def test_missing_tool(clone: Callable[[str], Path], tool: str) -> None:
    """A tool that is missing is named, with the packages that have them."""
    folder = clone("a")
    bin_ = folder / "bin"
    bin_.mkdir()
    for name in (
        "sh",
        "dirname",
        "uname",
        "env",
        "find",
        "sed",
        "mkdir",
        "mktemp",
        "touch",
        "rm",
        "strip",
        "objcopy",
        "objdump",
        "ldd",
    ):
        found = shutil.which(name)
        assert found
        if name != tool:
            (bin_ / name).symlink_to(found)
    done = build(folder, PATH=str(bin_))
    assert done.returncode != 0
    assert f"{tool} is missing; install " in done.stderr
    assert written(folder) == []


def test_failed_build_leaves_nothing_to_publish(clone: Callable[[str], Path]) -> None:
    """A --lambda that fails takes the zip of an earlier one away, and leaves the local build alone."""
    folder = clone("a")
    (folder / "dist").mkdir()
    for name in (f"telemetry-forwarder-{ARCH}.zip", f"telemetry-forwarder-{ARCH}-local.zip"):
        (folder / "dist" / name).touch()
    done = build(folder, "--lambda", TOOLCHAINS="/dev/null/none")
    assert done.returncode != 0
    assert written(folder) == [f"telemetry-forwarder-{ARCH}-local.zip"]


@NEEDS_MOUNTS
def test_a_full_disk_leaves_nothing_to_publish(clone: Callable[[str], Path], tmp_path: Path) -> None:
    """Where dist/ is another disk, and too small, there is no part of a zip in it afterwards."""
    folder = clone("a")
    name = f"telemetry-forwarder-{ARCH}-local.zip"
    (folder / "layer" / "freeze.sh").write_text(f'#!/bin/sh\nhead -c 4000000 /dev/zero >"$2/{name}"\n')
    small = tmp_path / "small"
    small.mkdir()
    start = f"mount -t tmpfs -o size=1m none {small} && DIST={small} ./build.sh; echo status $?; ls {small}"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", start],
        cwd=folder,
        env={**os.environ, "PYTHON": BASE_PYTHON},
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"cannot write to {small}" in done.stderr
    assert done.stdout.endswith("status 1\n")


def test_a_folder_of_the_same_name_elsewhere(clone: Callable[[str], Path], tmp_path: Path) -> None:
    """CDPATH does not lead the build into another folder."""
    folder = clone("a")
    other = tmp_path / "other" / "a" / "dist"
    other.mkdir(parents=True)
    (other / f"telemetry-forwarder-{ARCH}-local.zip").touch()
    done = subprocess.run(
        ["a/build.sh", "--arch"],
        cwd=folder.parent,
        env={**os.environ, "CDPATH": str(tmp_path / "other")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "--arch lacks its value" in done.stderr
    assert done.stdout == ""
    assert list(other.iterdir())


def test_lambda_without_apt_and_docker(clone: Callable[[str], Path]) -> None:
    """Where neither is on the PATH, that is said."""
    folder = clone("a")
    bin_ = folder / "bin"
    bin_.mkdir()
    for name in ("sh", "dirname", "uname", "env", "find", "sed", "mkdir", "mktemp", "touch", "rm"):
        (bin_ / name).symlink_to(str(shutil.which(name)))
    done = build(folder, "--lambda", PATH=str(bin_))
    assert done.returncode != 0
    assert "--lambda needs apt-get, for Debian's sources, or a Docker engine" in done.stderr
    assert written(folder) == []

"""layer/toolchain.sh: its cache, with short scripts in place of the compiling and of Debian."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

    Make = Callable[..., subprocess.CompletedProcess[str]]

ARCH = platform.machine().replace("aarch64", "arm64")
COMPILE = 'mkdir -p "$work/out/python" && echo "$1" >>"$work/out/python/parts"\n'


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The scripts, with zig installed, a compiler that writes a line, and sources that are none."""
    folder = tmp_path / "clone"
    shutil.copytree(ROOT / "layer", folder / "layer", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "requirements", folder / "requirements")
    (folder / "requirements" / "toolchain.txt").write_text("none")
    zig = tmp_path / "cache" / f"zig-{hashlib.sha256(b'none').hexdigest()[:12]}"
    zig.mkdir(parents=True)
    (zig / "zig").touch()
    (zig / "zig").chmod(0o644)
    (zig / "MANIFEST").write_text(f"./zig 644 \n{hashlib.sha256(b'').hexdigest()}  ./zig\n")
    script(folder / "layer" / "compile.sh", COMPILE)
    script(
        folder / "layer" / "sources.sh",
        'cp requirements/sources.txt "$1" && mkdir -p "$1/zlib/debian" && touch "$1/zlib/debian/copyright"\n',
    )
    (folder / "bin").mkdir()
    return folder


def script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\nset -eu\n{text}")
    path.chmod(0o755)


def test_docker_has_all_that_the_toolchain_calls() -> None:
    """Dockerfile.build copies each script and source that the step which compiles CPython names."""
    copied = set(re.findall(r"layer/[\w.]+", (ROOT / "Dockerfile.build").read_text()))
    scripts = [ROOT / "layer" / name for name in ("toolchain.sh", "cache.sh", "compile.sh", "sources.sh")]
    called = {found for script in scripts for found in re.findall(r"layer/[\w]+\.\w+", script.read_text())}
    assert called
    assert called <= copied


@pytest.fixture
def make(clone: Path, tmp_path: Path) -> Make:
    """Run it."""

    def run(arch: str = ARCH) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [clone / "layer" / "toolchain.sh", arch, tmp_path / "cache"],
            env={**os.environ, "PATH": f"{clone / 'bin'}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def made(cache: Path) -> list[str]:
    """What is in the cache, but for zig and the output of what failed."""
    names = [path.name for path in cache.iterdir()] if cache.exists() else []
    return [name for name in names if not name.startswith("zig-") and name != "failed.log"]


def test_made_once(make: Make) -> None:
    """What is in the cache is taken from there."""
    first, second = make(), make()
    assert first.returncode == second.returncode == 0, first.stderr
    assert first.stdout == second.stdout
    assert "openssl" in first.stderr
    assert second.stderr == ""


def test_new_version_is_made(make: Make, clone: Path) -> None:
    """With another version of a source package, the cache is no good."""
    first = make()
    pins = clone / "requirements" / "sources.txt"
    pins.write_text(pins.read_text().replace("zlib 1:", "zlib 2:"))
    second = make()
    assert second.returncode == 0
    assert second.stdout != first.stdout


def test_layers_requirements_do_not_matter(make: Make, clone: Path) -> None:
    """A new version of what is frozen, but for PyInstaller, does not compile CPython again."""
    first = make()
    pins = clone / "requirements" / "build.txt"
    pins.write_text(pins.read_text().replace("urllib3==2", "urllib3==3"))
    second = make()
    assert first.returncode == second.returncode == 0
    assert first.stdout == second.stdout


@pytest.mark.parametrize("harm", ["truncated", "missing", "another mode", "added", "half a manifest"])
def test_half_a_toolchain(make: Make, harm: str) -> None:
    """A toolchain of which something is missing is told and made anew."""
    folder = Path(make().stdout.strip())
    parts = folder / "python" / "parts"
    whole = parts.read_text()
    manifest = folder / "MANIFEST"
    match harm:
        case "truncated":
            parts.write_text(whole[:5])
        case "missing":
            parts.unlink()
        case "another mode":
            parts.chmod(0o600)
        case "added":
            (folder / "python" / "sitecustomize.py").touch()
        case "half a manifest":
            manifest.write_text(manifest.read_text()[:40])
    done = make()
    assert done.returncode == 0
    assert f"{folder} is damaged, so it is made anew" in done.stderr
    assert parts.read_text() == whole


def test_failure(make: Make, clone: Path, tmp_path: Path) -> None:
    """When compiling fails, its output is shown, nothing half-made stays, and the next run mends it."""
    script(
        clone / "layer" / "compile.sh", COMPILE + '[ "$1" != python ] || { echo "No space left on device" && exit 1; }'
    )
    done = make()
    assert done.returncode != 0
    assert "No space left on device" in done.stderr
    assert "compiling python failed" in done.stderr
    assert made(tmp_path / "cache") == []
    script(clone / "layer" / "compile.sh", COMPILE)
    assert make().returncode == 0


def test_killed(make: Make, clone: Path, tmp_path: Path) -> None:
    """A run that is killed leaves nothing that the next one takes for a toolchain."""
    script(clone / "layer" / "compile.sh", COMPILE + '[ "$1" != openssl ] || kill -9 "$PPID"')
    assert make().returncode < 0
    assert all(name.startswith("making.") for name in made(tmp_path / "cache"))
    script(clone / "layer" / "compile.sh", COMPILE)
    folder = Path(make().stdout.strip())
    assert (folder / "python" / "parts").read_text().splitlines()[-1] == "python"


def test_killed_long_ago(make: Make, tmp_path: Path) -> None:
    """What runs that were killed have left is removed once no such run can be alive."""
    left = tmp_path / "cache" / "making.a"
    left.mkdir()
    os.utime(left, (0, 0))
    assert make().returncode == 0
    assert not left.exists()


def test_no_disk(make: Make, clone: Path, tmp_path: Path) -> None:
    """Too little room is said before anything is done."""
    script(clone / "bin" / "df", 'echo "Filesystem 1024-blocks Used Available Capacity Mounted on\nx 9 9 20480 9% /"\n')
    done = make()
    assert done.returncode != 0
    assert "has 20 MB left; compiling CPython needs 1500" in done.stderr
    assert made(tmp_path / "cache") == []


def test_unknown_architecture(make: Make, tmp_path: Path) -> None:
    """An architecture that Lambda does not have is refused."""
    done = make("sparc")
    assert done.returncode != 0
    assert "unknown architecture 'sparc'; expected x86_64 or arm64" in done.stderr
    assert made(tmp_path / "cache") == []


def test_two_at_once(make: Make, clone: Path, tmp_path: Path) -> None:
    """Of two that make the same, both take what the first has finished."""
    script(clone / "layer" / "compile.sh", f"{COMPILE}[ $1 != zlib ] || layer/other.sh\n")
    script(
        clone / "layer" / "other.sh",
        f"[ ! -e {tmp_path}/once ] || exit 0\ntouch {tmp_path}/once\nlayer/toolchain.sh {ARCH} {tmp_path}/cache\n",
    )
    done = make()
    assert done.returncode == 0, done.stderr
    assert made(tmp_path / "cache") == [Path(done.stdout.strip()).name]

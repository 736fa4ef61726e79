"""layer/sources.sh: what it does when Debian cannot be reached, or has something else than was pinned."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support import ROOT

pytestmark = pytest.mark.skipif(
    not shutil.which("apt-get") or not Path("/usr/share/keyrings/debian-archive-keyring.gpg").exists(),
    reason="needs apt-get and Debian's keys",
)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The script, and of the pins the smallest package."""
    (tmp_path / "layer").mkdir()
    (tmp_path / "requirements").mkdir()
    shutil.copy(ROOT / "layer" / "sources.sh", tmp_path / "layer")
    pins = (ROOT / "requirements" / "sources.txt").read_text().splitlines()
    (tmp_path / "requirements" / "sources.txt").write_text(pins[-1] + "\n")
    return tmp_path


def fetch(clone: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [clone / "layer" / "sources.sh", clone / "out"]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)


def test_no_network(clone: Path) -> None:
    """Without a network, that is said, and nothing is left."""
    done = fetch(clone, http_proxy="http://127.0.0.1:9")
    assert done.returncode != 0
    assert "cannot read Debian's archive" in done.stderr
    assert not (clone / "out").exists()


@pytest.mark.integration
def test_pinned_package(clone: Path) -> None:
    """What is pinned is unpacked, and what it is is written beside it."""
    done = fetch(clone)
    assert done.returncode == 0, done.stderr
    assert (clone / "out" / "libffi" / "src" / "closures.c").exists()
    assert (clone / "out" / "sources.txt").read_text() == (clone / "requirements" / "sources.txt").read_text()


@pytest.mark.integration
def test_checksum_that_does_not_match(clone: Path) -> None:
    """A package that is not what it was when it was pinned is refused by name."""
    pins = clone / "requirements" / "sources.txt"
    name, version, digest = pins.read_text().split()
    pins.write_text(f"{name} {version} {digest[::-1]}\n")
    done = fetch(clone)
    assert done.returncode != 0
    assert f"its sha256 is not {digest[::-1]}" in done.stderr
    assert not (clone / "out" / "libffi").exists()


@pytest.mark.integration
def test_version_that_was_withdrawn(clone: Path) -> None:
    """Where Debian has replaced a version, its newer one is taken, and that is said."""
    pins = clone / "requirements" / "sources.txt"
    name, version, digest = pins.read_text().split()
    pins.write_text(f"{name} 1.0-1 {digest}\n")
    done = fetch(clone)
    assert done.returncode == 0, done.stderr
    assert f"Debian has withdrawn {name} 1.0-1, so this build takes {version}" in done.stderr
    assert (clone / "out" / "sources.txt").read_text().split()[1] == version

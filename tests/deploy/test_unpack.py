"""What `sam build` takes for a layer."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.deploy.examples import copied

if TYPE_CHECKING:
    from pathlib import Path


def unpack(repository: Path, architecture: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run layer/sam/unpack.sh from elsewhere, as sam does, into the folder `out`."""
    out = repository / "out"
    out.mkdir()
    (repository / "build.sh").write_text("#!/bin/sh\necho build.sh $*; exit 1\n")
    (repository / "build.sh").chmod(0o755)
    env = {name: value for name, value in os.environ.items() if name != "ARCH"} | variables
    command = [str(repository / "layer" / "sam" / "unpack.sh"), architecture, str(out)]
    return subprocess.run(command, cwd="/", env=env, capture_output=True, text=True, timeout=50, check=False)


@pytest.mark.parametrize("architecture", ["x86_64", "arm64"])
def test_the_zip_that_is_there_is_taken(tmp_path: Path, architecture: str) -> None:
    """A zip in dist/ is unpacked, its modes kept, whichever the architecture."""
    assert unpack(copied(tmp_path, architecture), architecture).returncode == 0
    extension = tmp_path / "out" / "extensions" / "telemetry-forwarder"
    assert (extension.read_bytes(), extension.stat().st_mode & 0o777) == (b"\x7fELF", 0o755)


@pytest.mark.parametrize(("layer", "architecture"), [("X86", "x86_64"), ("Arm64", "arm64")])
def test_sam_calls_make_wherever_the_repository_is(tmp_path: Path, layer: str, architecture: str) -> None:
    """Each layer's own target fills the folder that sam names, from a path with blanks as well."""
    folder = tmp_path / "my own code"
    folder.mkdir()
    repository = copied(folder, architecture)
    out = tmp_path / "what sam wants"
    out.mkdir()
    makefile = repository / "layer" / "sam" / "Makefile"
    command = ["make", "--makefile", str(makefile), f"build-ForwarderLayer{layer}"]
    env = {**os.environ, "ARTIFACTS_DIR": str(out)}
    done = subprocess.run(command, cwd=repository, env=env, capture_output=True, text=True, timeout=50, check=False)
    assert (done.stderr, done.returncode) == ("", 0)
    assert (out / "extensions" / "telemetry-forwarder").read_bytes() == b"\x7fELF"


def test_a_damaged_zip_is_refused(tmp_path: Path) -> None:
    """A zip that is not what its checksum says stops the build."""
    repository = copied(tmp_path, "x86_64")
    with (repository / "dist" / "telemetry-forwarder-x86_64.zip").open("ab") as archive:
        archive.write(b"more")
    assert unpack(repository, "x86_64").returncode != 0
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("there", "wanted", "variables", "built"),
    [
        ("arm64", "x86_64", {}, "build.sh --lambda --arch x86_64\n"),
        ("x86_64", "arm64", {}, ""),
        ("x86_64", "arm64", {"ARCH": "arm64"}, "build.sh --lambda --arch arm64\n"),
        ("arm64", "x86_64", {"ARCH": "arm64"}, ""),
    ],
)
def test_what_is_missing_is_built_where_it_is_asked_for(
    tmp_path: Path, there: str, wanted: str, variables: dict[str, str], built: str
) -> None:
    """A zip that is not there is built for the architecture that ARCH names, by default x86-64, and else left out."""
    done = unpack(copied(tmp_path, there), wanted, **variables)
    assert (done.stdout, done.returncode) == (built, 1 if built else 0)
    assert list((tmp_path / "out").iterdir()) == []

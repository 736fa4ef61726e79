"""The layer that goes to Lambda: what it asks of the image that it is loaded in."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from layer import built, glibc
from tests.support import ROOT
from tests.support import sink_contract as contract
from tests.support.fake_lambda import FakeLambda
from tests.support.fault_server import FaultServer
from tests.support.mounts import NEEDS_MOUNTS

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _for_lambda() -> None:
    if built().stem.endswith("-local"):
        pytest.skip("the layer that was built last is of this machine's own libraries; `make lambda` builds the other")


async def forward(extension: Path, temporary: Path, **environment: str) -> None:
    """One invocation and SHUTDOWN; everything arrives."""
    intake = contract.Intake()
    with FaultServer(intake) as server:
        async with FakeLambda(extension, temporary) as lambda_:
            await lambda_.start(FORWARDER_SINKS=server.url, **environment)
            await lambda_.subscribe()
            await lambda_.invoke("8a3b6d9e-77a5-4f0e-9a53-3a4ab6f3d7d1", "one")
            assert await lambda_.shut_down() == 0
            assert len(intake.lines()) == len(lambda_.sent), lambda_.log


def test_floor(layer: Path) -> None:
    """Every file loads where glibc is of 2012."""
    audit = glibc.audit(layer)
    assert len(audit) > 20
    assert max(audit.values()) <= (2, 17), glibc.report(audit)


def test_no_library_of_the_system(layer: Path) -> None:
    """Nothing but the loader and glibc is asked of the system."""
    assert glibc.strangers(layer) == {}


def test_sbom_names_the_sources() -> None:
    """CPython, OpenSSL, zlib and RE2 are in the SBOM in the version that is pinned, with its checksum."""
    sbom = json.loads(built().with_suffix(".cdx.json").read_text())
    found = {
        (part["name"], part["version"], part["hashes"][0]["content"]) for part in sbom["components"] if "hashes" in part
    }
    files = [(ROOT / "requirements" / name).read_text() for name in ("sources.txt", "re2-sources.txt")]
    lines = "".join(files).replace("python3.13 ", "cpython ").splitlines()
    pinned = {tuple(line.split()) for line in lines if not line.startswith(("#", "libffi"))}  # ctypes is left out
    assert found == pinned


def test_no_path_of_the_build(layer: Path) -> None:
    """No file names a folder of the machine that it was built on."""
    here = str(ROOT).encode()
    assert [path for path in layer.rglob("*") if path.is_file() and here in path.read_bytes()] == []


async def test_bad_libraries_of_the_system(layer: Path, tmp_path: Path) -> None:
    """Libraries that are broken in the image, but in the bundle as well, do no harm."""
    for name in ("libz.so.1", "libssl.so.3", "libcrypto.so.3", "libpython3.13.so.1.0"):
        (tmp_path / name).write_bytes(b"no library")
    await forward(layer / "extensions" / "telemetry-forwarder", tmp_path, LD_LIBRARY_PATH=str(tmp_path))


@pytest.mark.parametrize("given", ["telemetry-forwarder", "/elsewhere/telemetry-forwarder"])
async def test_started_by_another_path(layer: Path, tmp_path: Path, given: str) -> None:
    """It finds its binary whatever it was called by, and is not misled by what PyInstaller tells its own processes."""
    start = tmp_path / "start"
    file = layer / "extensions" / "telemetry-forwarder"
    start.write_text(f"#!{sys.executable}\nimport os\nos.execv({str(file)!r}, [{given!r}])\n")
    start.chmod(0o755)
    misleading = {
        "_PYI_ARCHIVE_FILE": str(layer / "telemetry-forwarder" / "telemetry-forwarder"),
        "_PYI_PARENT_PROCESS_LEVEL": "2",
    }
    await forward(start, tmp_path, **misleading)


def namespace(start: Path, commands: str) -> Path:
    """A program that runs these commands in a mount namespace of its own; the last is to `exec` the extension."""
    start.write_text(f"#!/bin/sh\nexec unshare --mount --propagation private /bin/sh -eu -c '{commands}'\n")
    start.chmod(0o755)
    return start


@contextmanager
def public_folder() -> Iterator[Path]:
    """A folder that another user may write to; pytest's own are private."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@NEEDS_MOUNTS
async def test_read_only_as_another_user(layer: Path, tmp_path: Path) -> None:
    """From a read-only /opt, as a user who is not its owner, it forwards."""
    with public_folder() as folder:
        shutil.copytree(layer, folder / "opt")
        (folder / "opt").chmod(0o755)
        (folder / "tmp").mkdir()
        (folder / "tmp").chmod(0o777)
        start = namespace(
            tmp_path / "telemetry-forwarder",
            f"mount --bind {folder}/opt /opt; mount -o remount,ro,bind /opt; ! touch /opt/new 2>/dev/null; "
            "exec setpriv --reuid 993 --regid 990 --clear-groups /opt/extensions/telemetry-forwarder",
        )
        await forward(start, folder / "tmp")


@pytest.fixture
def bare_root(layer: Path, tmp_path: Path) -> Path:
    """A root that holds glibc, as what is in the bundle needs it, and the layer; no shell, and nothing else."""
    root = tmp_path / "root"
    internal = layer / "telemetry-forwarder" / "_internal"
    libraries = [internal / "libpython3.13.so.1.0", *internal.glob("uvloop/loop.*.so")]
    needed = subprocess.run(["ldd", *libraries], capture_output=True, text=True, check=True).stdout
    for path in set(re.findall(r"\s(/\S+\.so[\d.]*) \(", needed)):
        target = root / path[1:]
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(Path(path).resolve(), target)
    for folder in ("proc", "tmp"):
        (root / folder).mkdir()
    shutil.copytree(layer, root / "opt")
    return root


@NEEDS_MOUNTS
async def test_image_without_a_shell(bare_root: Path, tmp_path: Path) -> None:
    """In a root that has nothing but glibc, it forwards."""
    start = namespace(
        tmp_path / "telemetry-forwarder",
        f"mount --bind /proc {bare_root}/proc; exec chroot {bare_root} /opt/extensions/telemetry-forwarder",
    )
    await forward(start, Path("/tmp"))  # noqa: S108 - the root's, not ours

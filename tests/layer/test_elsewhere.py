"""The layer for Lambda with every sink where this machine is not: under an old glibc, and on the other architecture."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import tempfile
from typing import TYPE_CHECKING

import pytest

from layer import glibc
from tests.support import ROOT, unzip
from tests.support.frozen_claims import (  # noqa: F401 - claims and fixtures that run in this module
    destinations,
    test_client_certificate_is_shown,
    test_every_aws_sink_delivers_to_moto,
    test_every_sink_delivers,
    test_https_is_verified,
    test_stranger_is_refused,
)
from tests.support.moto import moto, moto_process  # noqa: F401 - as above
from tests.support.mounts import NEEDS_MOUNTS

if TYPE_CHECKING:
    from pathlib import Path

OLD_ROOT = ROOT / ".work" / "xenial"

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for chroot and for what apt installs"),
    NEEDS_MOUNTS,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="what is elsewhere is told from x86_64"),
]


@pytest.fixture(scope="module", params=["under glibc 2.23", "on arm64"])
def layer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A layer whose extension is a script that starts the real one elsewhere."""
    folder = tmp_path_factory.mktemp("elsewhere")
    arch = "arm64" if request.param == "on arm64" else "x86_64"
    command = ["./build.sh", "--lambda", "--arch", arch]
    subprocess.run(command, check=True, cwd=ROOT, env={**os.environ, "DIST": str(folder / "dist")})
    real = unzip(folder / "dist" / f"telemetry-forwarder-{arch}.zip", folder / "real")
    assert max(glibc.audit(real).values()) <= (2, 17)
    assert glibc.strangers(real) == {}
    extension = real / "extensions" / "telemetry-forwarder"
    start = folder / "extensions" / "telemetry-forwarder"
    start.parent.mkdir()
    start.write_text(f"#!/bin/sh\n{on_arm64() if arch == 'arm64' else under_old_glibc()} {extension}\n")
    start.chmod(0o755)
    return folder


def under_old_glibc() -> str:
    """What starts a program in a root of Ubuntu 16.04, the oldest that can be made, with this one's /tmp."""
    tools("debootstrap:debootstrap")
    if not (OLD_ROOT / "etc" / "debian_version").exists():
        mirror = "https://archive.ubuntu.com/ubuntu"  # Debian has not its keys, so it's TLS that vouches for it
        making = OLD_ROOT.with_suffix(".new")
        shutil.rmtree(making, ignore_errors=True)
        command = ["debootstrap", "--variant=minbase", "--no-check-gpg", "xenial", str(making), mirror]
        subprocess.run(command, check=True)
        making.rename(OLD_ROOT)
    shared = tempfile.gettempdir()
    (OLD_ROOT / shared[1:]).mkdir(parents=True, exist_ok=True)
    return (
        f"exec unshare --mount --propagation private /bin/sh -euc 'mount --bind /proc {OLD_ROOT}/proc; "
        f'mount --bind {shared} {OLD_ROOT}{shared}; exec chroot {OLD_ROOT} "$1"\' start'
    )


def on_arm64() -> str:
    """What starts a program of the other architecture, and what that executes, in an emulator."""
    libraries = "/usr/aarch64-linux-gnu"
    tools("proot:proot", "qemu-aarch64-static:qemu-user-static", f"{libraries}/lib/libc.so.6:libc6-arm64-cross")
    return f"exec proot -q '{shutil.which('qemu-aarch64-static')} -L {libraries}'"


def tools(*wanted: str) -> None:
    subprocess.run([ROOT / "layer" / "tools.sh", *wanted], check=True)

"""A layer that Lambda loads, without Docker: frozen in a root with glibc 2.31, and run in there."""

from __future__ import annotations

import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import orjson
import pytest

from simulator.environment import Environment
from tests.support import ROOT
from tests.support.fake_lambda import FakeLambda

BULLSEYE = ROOT / ".work" / "bullseye"

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(
        os.geteuid() != 0 or not shutil.which("debootstrap"), reason="needs root and debootstrap (apt-get install it)"
    ),
]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The layer, built in the bullseye root, which is made first where it is not there."""
    dist = tmp_path_factory.mktemp("dist")
    subprocess.run([ROOT / "layer" / "bullseye.sh", BULLSEYE], check=True)
    subprocess.run(
        [ROOT / "build.sh", "--lambda", "--root", BULLSEYE],
        check=True,
        env={**os.environ, "DIST": str(dist)},
    )
    return next(dist.glob("*.zip"))


@pytest.fixture
def extension(archive: Path, tmp_path: Path) -> Path:
    """The layer unzipped into the root's /opt, and something that starts it in there."""
    shutil.rmtree(BULLSEYE / "opt", ignore_errors=True)
    subprocess.run(["unzip", "-q", archive, "-d", BULLSEYE / "opt"], check=True)
    (BULLSEYE / "tmp" / "out.ndjson").unlink(missing_ok=True)
    start = tmp_path / "telemetry-forwarder"
    start.write_text(f"#!/bin/sh\nPATH=/usr/sbin:/usr/bin exec chroot {BULLSEYE} /opt/extensions/telemetry-forwarder\n")
    start.chmod(0o755)
    return start


async def test_runs_where_glibc_is_old(extension: Path) -> None:
    """In the root, with its own glibc, the layer forwards what it is sent."""
    async with FakeLambda(extension, Path("/tmp")) as lambda_:  # noqa: S108 - the root's, not ours
        await lambda_.start(FORWARDER_SINKS="file:///tmp/out.ndjson")
        await lambda_.subscribe()
        await lambda_.invoke("8a3b6d9e-77a5-4f0e-9a53-3a4ab6f3d7d1", "one")
        assert await lambda_.shut_down() == 0
    delivered = [orjson.loads(line) for line in (BULLSEYE / "tmp" / "out.ndjson").read_bytes().splitlines()]
    assert [record["record"] for record in delivered] == [orjson.loads(line)["record"] for line in lambda_.sent]


async def test_runs_in_the_simulator(archive: Path, tmp_path: Path) -> None:
    """The same zip forwards a real function's telemetry on this host, whose glibc is newer."""
    out = tmp_path / "out.ndjson"
    function = ROOT / "examples" / "function"
    async with Environment(layer=archive, function=function, env={"FORWARDER_SINKS": f"file://{out}"}) as environment:
        for number in range(3):
            assert (await environment.invoke({"n": number})).status == "success"
        await environment.shutdown("spindown")
        sent = [orjson.loads(line)["record"] for line in environment.sent["telemetry-forwarder"]]
    assert [orjson.loads(line)["record"] for line in out.read_bytes().splitlines()] == sent


def test_zip_is_small(archive: Path) -> None:
    """What goes to Lambda is within the size gate, too."""
    with zipfile.ZipFile(archive) as content:
        assert sum(entry.file_size for entry in content.infolist()) <= 32e6
    assert archive.stat().st_size <= 12e6

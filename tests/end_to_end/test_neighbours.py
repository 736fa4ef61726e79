"""The layer as it ships beside another: two layers in one environment, two environments on one file system."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from tests.support.fake_lambda import FakeLambda
from tests.support.fault_server import OK, Action, Answer, FaultServer
from tests.support.forwarding import assert_balanced, delivered, received
from tests.support.mounts import NEEDS_MOUNTS

if TYPE_CHECKING:
    from pathlib import Path


async def live(executable: Path, temporary: Path, url: str, line: str) -> FakeLambda:
    """One life of a forwarder, from start to a SHUTDOWN after which Lambda would start it again."""
    async with FakeLambda(executable, temporary) as running:
        await running.start(FORWARDER_SINKS=url)
        await running.subscribe()
        await running.invoke("r1", line)
        assert await running.shut_down("timeout", timeout_s=5.0) == 0  # time enough for a slow disk
    assert_balanced(running.ledger)
    return running


async def test_two_layers_leave_each_others_records_alone(layer: Path, tmp_path: Path) -> None:
    """Of two layers with the same settings, and the same /tmp, each takes back what itself had left on disk."""
    first = layer / "extensions" / "telemetry-forwarder"
    second = tmp_path / "opt" / "extensions" / "another-forwarder"
    second.parent.mkdir(parents=True)
    shutil.copy(first, second)
    (tmp_path / "opt" / "telemetry-forwarder").symlink_to(layer / "telemetry-forwarder")
    answers: list[Action] = [Answer(500)]
    with FaultServer(lambda _request: answers[0]) as server:
        await live(first, tmp_path, f"{server.url}/", "of the first")
        await live(second, tmp_path, f"{server.url}/", "of the second")
        answers[0] = OK
        for executable, line in ((first, "of the first"), (second, "of the second")):
            server.requests.clear()
            await live(executable, tmp_path, f"{server.url}/", "new")
            assert received(server) == [line, "new"]


@NEEDS_MOUNTS
async def test_two_environments_write_two_files_on_a_shared_file_system(layer: Path, tmp_path: Path) -> None:
    """On EFS, which all environments of a function mount, the file's name is followed by the environment's."""
    shared = tmp_path / "mnt" / "logs"
    shared.mkdir(parents=True)
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard\n"
        f"31 27 0:29 / {shared.parent} rw,relatime shared:1 - nfs4 127.0.0.1:/ rw,vers=4.1\n"
    )
    start = tmp_path / "telemetry-forwarder"
    script = f"mount --bind {mounts} /proc/$$/mountinfo && exec {layer}/extensions/telemetry-forwarder"
    start.write_text(f"#!/bin/sh\nPATH=/usr/sbin:/usr/bin:/sbin:/bin exec unshare -m sh -c '{script}'\n")
    start.chmod(0o755)
    for line in ("one", "two"):
        await live(start, tmp_path, f"file://{shared}/out.ndjson", line)
    written = {path.name: delivered(path) for path in shared.iterdir()}
    assert set(written) == {f"out-{records[0]['lambda']['environment']}.ndjson" for records in written.values()}
    lines = [record["record"] for records in written.values() for record in records if record["type"] == "function"]
    assert sorted(lines) == ["one", "two"]

"""The layer as it ships in an outage: memory and disk are used up to their bounds, whatever the disk does."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING

import pytest

from tests.support.changing_intake import ChangingIntake, pour
from tests.support.fake_lambda import FakeLambda
from tests.support.fault_server import OK, Answer, FaultServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

MIB = 1 << 20
QUEUE_BYTES = 8 * MIB  # half of it for each of two sinks; a line of 1,000 characters takes 1.6 kB at most
TIMEOUT_S = 30.0  # for a machine that is busy


def file_in_the_way(executable: Path, folder: Path) -> Path:
    """The folder cannot be made: something else has its name."""
    (folder / "telemetry-forwarder").write_bytes(b"")
    return executable


def no_room(executable: Path, folder: Path) -> Path:
    """No file can grow beyond 8 blocks of 512 bytes, which is as if the file system were full."""
    limited = folder / "limited"
    limited.write_text(f'#!/bin/sh\nulimit -f 8\nexec "{executable}"\n')
    limited.chmod(0o755)
    return limited


@pytest.mark.parametrize("obstacle", [file_in_the_way, no_room])
async def test_without_a_disk_memory_keeps_what_it_has_room_for(
    layer: Path, tmp_path: Path, obstacle: Callable[[Path, Path], Path]
) -> None:
    """In an outage records that fit into memory stay there when they cannot be written to disk."""
    executable = obstacle(layer / "extensions" / "telemetry-forwarder", tmp_path)
    async with outage(executable, tmp_path) as (lambda_, intake):
        lambda_.send(pour(2300, size=1000))  # 3.5 MiB in memory
        await lambda_.invoke("r2", "the last", timeout_s=TIMEOUT_S)  # held for the sink that lives: all was read
        await recover(lambda_, intake)
    assert [account["dropped"] for account in lambda_.ledger["sinks"].values()] == [{}, {}]
    assert len(set(intake.texts())) == 2300 + 2


@pytest.mark.parametrize("obstacle", [file_in_the_way, no_room])
async def test_without_a_disk_the_functions_records_are_the_last_to_go(
    layer: Path, tmp_path: Path, obstacle: Callable[[Path, Path], Path]
) -> None:
    """What fits neither into memory nor onto a disk that fails is dropped in order of importance, not of age."""
    executable = obstacle(layer / "extensions" / "telemetry-forwarder", tmp_path)
    async with outage(executable, tmp_path) as (lambda_, intake):
        lambda_.send(pour(1500, size=1000))  # 2.3 MiB in memory
        lambda_.send(pour(6000, size=1000, type_="extension"))  # 9.2 MiB
        await lambda_.invoke("r2", "the last", timeout_s=TIMEOUT_S)
        await recover(lambda_, intake)
    assert any(account["dropped"] for account in lambda_.ledger["sinks"].values())
    assert len(set(intake.texts())) == 1500 + 2


async def test_the_disk_is_used_up_to_its_bound(layer: Path, tmp_path: Path) -> None:
    """When far more comes than memory and disk hold, the disk has at least 95 % of its bound, and no more than that."""
    async with outage(layer / "extensions" / "telemetry-forwarder", tmp_path) as (lambda_, _):
        lambda_.send(pour(18_000, size=1000))  # 24 MB
        async with asyncio.timeout(10):
            while disk_bytes(tmp_path) < 0.95 * QUEUE_BYTES:
                await asyncio.sleep(0.05)
        assert disk_bytes(tmp_path) <= QUEUE_BYTES


@contextlib.asynccontextmanager
async def outage(executable: Path, folder: Path) -> AsyncIterator[tuple[FakeLambda, ChangingIntake]]:
    """One sink that fails, and one that lives: an invocation is held until all that came in is there."""
    intake = ChangingIntake(Answer(503))
    with FaultServer(intake) as server, FaultServer() as live:
        async with FakeLambda(executable, folder) as lambda_:
            await lambda_.start(
                FORWARDER_SINKS=f"{server.url}/ {live.url}/",
                FORWARDER_FLUSH="invocation",
                FORWARDER_QUEUE_BYTES=str(QUEUE_BYTES),
            )
            await lambda_.subscribe()
            await lambda_.invoke("r1", "the first", timeout_s=TIMEOUT_S)
            yield lambda_, intake


async def recover(lambda_: FakeLambda, intake: ChangingIntake) -> None:
    """The outage ends, and then the environment."""
    intake.answer = OK
    assert await lambda_.shut_down() == 0


def disk_bytes(folder: Path) -> int:
    """The bytes of all files in the forwarder's folder below `folder`."""
    total = 0
    for path in folder.glob("telemetry-forwarder/*"):
        for name in os.listdir(path):  # noqa: PTH208 - one system call, between which and the next a file may go
            with contextlib.suppress(FileNotFoundError):
                total += (path / name).stat().st_size
    return total

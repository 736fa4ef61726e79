"""Lines that are as large as a good part of a queue: they pass, and no sink is blamed for their size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.changing_intake import ChangingIntake
from tests.support.fault_server import Answer, FaultServer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.fake_lambda import FakeLambda

INVOCATIONS = 3


def large(size: int) -> bytes:
    """A line of the function's, of so many bytes."""
    return b'{"type":"function","record":"%b"}\n' % (b"x" * size)


@pytest.mark.parametrize(("count", "size"), [(1, 900_000), (2, 600_000), (2, 800_000)])
async def test_large_lines_pass_a_small_queue(lambda_: FakeLambda, count: int, size: int) -> None:
    """With a bound of 1 MiB all of them arrive, while the sink answers at once and is not held to be unhealthy."""
    intake = ChangingIntake()
    with FaultServer(intake) as server:
        await lambda_.start(
            FORWARDER_SINKS=f"{server.url}/", FORWARDER_QUEUE_BYTES=str(1 << 20), FORWARDER_FLUSH="invocation"
        )
        await lambda_.subscribe()
        for number in range(INVOCATIONS):
            lambda_.record("platform.start", {"requestId": f"r{number}", "version": "7"})
            lambda_.send(large(size) * count)
            await lambda_.invoke(f"r{number}", timeout_s=30.0)
        assert await lambda_.shut_down() == 0
    assert len(intake.texts()) == INVOCATIONS * count
    [account] = lambda_.ledger["sinks"].values()
    assert (account["dropped"], account["pending"], lambda_.ledger["unreadBytes"]) == ({}, 0, 0)
    assert [line["message"] for line in lambda_.log] == ["started", "ledger"]


@pytest.mark.parametrize(("count", "size"), [(2, 240_000), (8, 140_000), (1, 500_000)])
async def test_large_lines_go_to_the_fallback_of_a_sink_that_refuses(
    lambda_: FakeLambda, tmp_path: Path, count: int, size: int
) -> None:
    """Reading goes on, and no invocation is held until its deadline for want of what is behind a large line."""
    path = tmp_path / "fallback.ndjson"
    with FaultServer(lambda _: Answer(503)) as server:
        await lambda_.start(
            FORWARDER_SINKS=f"{server.url}/", FORWARDER_FALLBACK=f"file://{path}", FORWARDER_QUEUE_BYTES=str(1 << 20)
        )
        await lambda_.subscribe()
        for number in range(INVOCATIONS):
            lambda_.record("platform.start", {"requestId": f"r{number}", "version": "7"})
            lambda_.send(large(size) * count)
            await lambda_.invoke(f"r{number}", timeout_s=100.0)
        assert await lambda_.shut_down() == 0
    assert path.read_bytes().count(b"x" * size) == INVOCATIONS * count
    [account] = [one for name, one in lambda_.ledger["sinks"].items() if name != "file://"]
    assert (account["dropped"], account["pending"], lambda_.ledger["unreadBytes"]) == ({}, 0, 0)

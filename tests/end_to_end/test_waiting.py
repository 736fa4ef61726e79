"""The layer as it ships: waits that pay, each for records that would otherwise stay in a frozen process."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.support.clocks import Clocks
from tests.support.fault_server import Answer, FaultServer
from tests.support.forwarding import delivered

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.fake_lambda import FakeLambda

LATE_S = 0.012  # half of the grace
ATTEMPTS = 12  # without help from invocations they take half a minute, the last ones up to 10 s each
ENOUGH_S = 15.0


async def test_a_line_that_comes_late_is_delivered_within_its_invocation(lambda_: FakeLambda, tmp_path: Path) -> None:
    """A function whose lines come after runtimeDone has them waited for: of many at least one arrives in time."""
    path = tmp_path / "out"
    await lambda_.start(FORWARDER_SINKS=f"file://{path}", FORWARDER_FLUSH="invocation")
    await lambda_.subscribe()
    await lambda_.invoke("r0", "one")
    lambda_.record("function", "late 0")
    in_time = []
    for number in range(1, 30):
        invocation = asyncio.create_task(lambda_.invoke(f"r{number}", "line"))
        await asyncio.sleep(LATE_S)  # not to wait for anything: that the line comes late is what is tested
        lambda_.record("function", f"late {number}")
        await invocation
        in_time += [record for record in delivered(path) if record["record"] == f"late {number}"]
    assert in_time != []
    assert await lambda_.shut_down() == 0


async def test_an_invocation_ends_a_pause_made_of_frozen_time(lambda_: FakeLambda, tmp_path: Path) -> None:
    """Where only the wall clock goes on in a freeze, a sink that fails is tried in each invocation all the same."""
    clocks = Clocks(lambda_, tmp_path, "wall")
    with FaultServer(otherwise=Answer(500)) as server:
        await lambda_.start(**clocks.variables, FORWARDER_SINKS=f"{server.url}/", FORWARDER_FLUSH="invocation")
        await lambda_.subscribe()
        async with asyncio.timeout(ENOUGH_S):
            while len(server.requests) < ATTEMPTS:
                clocks.jump(1200.0)
                await lambda_.invoke("r1", "line")
                await asyncio.sleep(0.05)  # the function is awake for a moment after the forwarder is done
        await lambda_.shut_down()

"""Lambda retries an asynchronous invocation that failed: the same request id, often in the same environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from simulator.environment import Environment
from simulator.faults import Faults

if TYPE_CHECKING:
    from pathlib import Path

NAME = "telemetry-forwarder"
ATTEMPTS = 3  # the invocation and two retries
TIMEOUT_S = 30.0
CODE = """
import time
def handler(event, context):
    time.sleep(event)
    print("attempted")
    raise ValueError("once more")
"""


def simulate(layer: Path, folder: Path, faults: Faults) -> Environment:
    """An environment whose function fails; records are to be delivered before the end of each invocation."""
    function = folder / "function"
    function.mkdir()
    (function / "app.py").write_text(CODE)
    env = {"FORWARDER_SINKS": f"file://{folder}/out.ndjson", "FORWARDER_FLUSH": "invocation"}
    return Environment(layer=layer, function=function, env=env, timeout_s=TIMEOUT_S, faults=faults)


def delivered(folder: Path, text: bytes) -> int:
    """How many records with a text in them are in the sink."""
    return sum(text in line for line in (folder / "out.ndjson").read_bytes().splitlines())


async def test_a_retry_is_held_until_its_records_are_delivered(layer: Path, tmp_path: Path) -> None:
    """When attempt number n ends, the records of n attempts are in the sink."""
    found = []
    async with simulate(layer, tmp_path, Faults()) as environment:
        for _ in range(ATTEMPTS):
            await environment.invoke(0.5, request_id="retried")
            found.append((delivered(tmp_path, b'"attempted'), delivered(tmp_path, b'"platform.runtimeDone"')))
    assert found == [(number, number) for number in range(1, ATTEMPTS + 1)]


@pytest.mark.parametrize("late", [(1, 2, 3), (2,), (1, 3)], ids=str)
async def test_a_retry_that_is_done_already_is_not_held(layer: Path, tmp_path: Path, late: tuple[int, ...]) -> None:
    """Where platform.runtimeDone was sent before INVOKE was, an attempt ends long before the function's deadline."""
    async with simulate(layer, tmp_path, Faults(invoke_after_done=late)) as environment:
        for _ in range(ATTEMPTS):
            await environment.invoke(0, request_id="retried")
    assert max(done.duration_s for done in environment.invocations) < TIMEOUT_S / 2
    assert delivered(tmp_path, b'"platform.runtimeDone"') == ATTEMPTS

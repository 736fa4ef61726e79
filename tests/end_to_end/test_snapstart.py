"""The layer as it ships in several SnapStart environments that were restored from one snapshot."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Any

import pytest

from simulator.environment import Environment
from simulator.sandbox.snapshot import Snapshot
from tests.support.fault_server import FaultServer
from tests.support.strict_aws import Service, decompress

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.fault_server import Request

NAME = "telemetry-forwarder"
TOLD = {"AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start"}  # whether extensions get it is not confirmed
COPIES = 2
FIRST_S = 20.0  # for a flush before the first invocation; none has to come
CODE = """
from snapshot_restore_py import register_after_restore
def hook():
    print("restored", os.urandom(8).hex())
register_after_restore(hook)
import os
def handler(event, context):
    print("invoked", event)
"""


@pytest.fixture
def function(tmp_path: Path) -> Path:
    """A function with a restore hook that prints what no other copy prints."""
    folder = tmp_path / "function"
    folder.mkdir()
    (folder / "app.py").write_text(CODE)
    return folder


@pytest.fixture(params=[TOLD, {}], ids=["told", "not told"])
def told(request: pytest.FixtureRequest) -> dict[str, str]:
    """What extensions are told of the kind of init."""
    variables: dict[str, str] = request.param
    return variables


async def run_copies(layer: Path, function: Path, server: FaultServer, env: dict[str, str]) -> list[Environment]:
    """Copies of one snapshot: each is restored, sends what came before the first invocation, and is invoked once."""
    snapshot = Snapshot()
    async with AsyncExitStack() as stack:
        copies = []
        for number in range(COPIES):
            temporary = function.parent / f"tmp-{number}"
            temporary.mkdir()
            copy = Environment(
                layer=layer,
                function=function,
                env={"TMPDIR": str(temporary), "FORWARDER_FLUSH_INTERVAL_MS": "1000", **env},
                init_type="snap-start",
                snapshot=snapshot,
            )
            copies.append(await stack.enter_async_context(copy))
        for number, copy in enumerate(copies):
            await copy.restore()
            with suppress(TimeoutError):
                async with asyncio.timeout(FIRST_S):
                    while b"".join(map(text, server.requests)).count(b'"restored ') <= number:
                        await asyncio.sleep(0.05)
            await copy.invoke(number)
    return copies


def text(request: Request) -> bytes:
    """The lines of a request, to S3 or not."""
    return decompress(request.path, request.text)


def sent(copy: Environment) -> list[bytes]:
    """The lines that a copy was sent, but for the forwarder's own log, as they begin in the sink."""
    return [line.removesuffix(b"}\n") for line in copy.sent[NAME] if b'"{\\"forwarder\\":true' not in line]


def original(line: bytes) -> bytes:
    """A line of the sink without the key that the forwarder adds."""
    return line.rpartition(b',"lambda":{')[0]


async def test_records_of_copies_have_ids_of_their_own(layer: Path, function: Path, told: dict[str, str]) -> None:
    """No two records that differ have the same id, whichever copies they are from."""
    with FaultServer() as server:
        await run_copies(layer, function, server, {**told, "FORWARDER_SINKS": f"{server.url}/"})
    lines = [line for request in server.requests for line in request.text.splitlines()]
    by_id: dict[str, set[bytes]] = {}
    for line in lines:
        by_id.setdefault(json.loads(line)["lambda"]["id"], set()).add(original(line))
    assert [texts for texts in by_id.values() if len(texts) > 1] == []


async def test_copies_have_names_of_their_own_from_the_restore_on(
    layer: Path, function: Path, told: dict[str, str]
) -> None:
    """From platform.restoreStart on, the key `environment` tells the copies apart."""
    with FaultServer() as server:
        copies = await run_copies(layer, function, server, {**told, "FORWARDER_SINKS": f"{server.url}/"})
    lines = [line for request in server.requests for line in request.text.splitlines()]
    named = {original(line): json.loads(line)["lambda"]["environment"] for line in lines}
    names = []
    for copy in copies:
        mine = sent(copy)
        start = next(index for index, line in enumerate(mine) if b'"platform.restoreStart"' in line)
        names.append({named[line] for line in mine[start:]})
    assert [len(own) for own in names] == [1] * COPIES
    assert len(set.union(*names)) == COPIES


async def test_each_copy_says_that_it_starts(layer: Path, function: Path) -> None:
    """Its health is a record of its own, by the name that its other records have."""
    with FaultServer() as server:
        env = {**TOLD, "FORWARDER_SINKS": f"{server.url}/", "FORWARDER_HEALTH": f"{server.url}/"}
        await run_copies(layer, function, server, env)
    lines = [json.loads(line) for request in server.requests for line in request.text.splitlines()]
    started = [
        line["lambda"] for line in lines if line["type"] == "forwarder.health" and line["record"]["why"] == "start"
    ]
    names = {line["lambda"]["environment"] for line in lines if line["type"] == "platform.start"}
    assert len(names) == COPIES
    assert sorted(one["environment"] for one in started) == sorted(names)


async def test_copies_do_not_shadow_each_others_objects(layer: Path, function: Path) -> None:
    """All that the copies were sent is in the bucket, though S3 takes an object of a key only once."""
    service = Service()
    with FaultServer(service) as server:
        env = {**TOLD, "FORWARDER_SINKS": "s3://bucket/raw", "AWS_ENDPOINT_URL": server.url}
        copies = await run_copies(layer, function, server, env)
    stored = {original(line) for line in service.lines()}
    assert stored
    assert [line for copy in copies for line in sent(copy) if line not in stored] == []


async def test_records_of_before_the_snapshot_are_the_same_in_all_copies(layer: Path, function: Path) -> None:
    """A record of init, which all copies were sent, has one id, so that a reader can drop the others."""
    with FaultServer() as server:
        await run_copies(layer, function, server, {**TOLD, "FORWARDER_SINKS": f"{server.url}/"})
    records: list[dict[str, Any]] = [
        json.loads(line) for request in server.requests for line in request.text.splitlines()
    ]
    starts = [record["lambda"]["id"] for record in records if record["type"] == "platform.initStart"]
    assert len(starts) == COPIES
    assert len(set(starts)) == 1

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from simulator.environment import Environment
from simulator.errors import SimulatorError
from simulator.sandbox.snapshot import Snapshot
from tests.simulator.reading import order, records, sent
from tests.support.probe_layer import EXAMPLE, write_probe

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.probe_layer import MakeFunction, Plan

DRAWS = """
import ctypes, os, random, ssl, sys, uuid
def draw():
    libc = ctypes.CDLL(None)
    entropy = ctypes.create_string_buffer(8)
    libc.getentropy(entropy, 8)
    called = ctypes.create_string_buffer(8)
    libc.syscall(SYS_getrandom, called, 8, 0)
    with open("/dev/urandom", "rb", 0) as device:
        read = device.read(8).hex()
    kernel = [os.urandom(8).hex(), str(uuid.uuid4()), entropy.raw.hex(), called.raw.hex(), read]
    return {"kernel": kernel, "ours": [random.random(), ssl.RAND_bytes(8).hex()]}
SYS_getrandom = 318 if os.uname().machine == "x86_64" else 278
before = draw()
def handler(event, context):
    after = draw()
    random.seed()
    ssl.RAND_add(os.urandom(32), 32)
    return {"before": before, "after": after, "seeded": draw()["ours"]}
"""


async def copies(snapshot: Snapshot, **settings: Any) -> list[Environment]:
    """Two environments, side by side, each with one invocation."""
    async with AsyncExitStack() as stack:
        started = [
            await stack.enter_async_context(Environment(init_type="snap-start", snapshot=snapshot, **settings))
            for _ in range(2)
        ]
        for environment in started:
            await environment.invoke()
    return started


async def drawn(**settings: Any) -> list[dict[str, Any]]:
    """What two copies of one snapshot draw."""
    return [environment.invocations[0].payload for environment in await copies(Snapshot(), **settings)]


async def test_copies_draw_the_same_until_they_are_restored(probe: Path, plan: Plan, function: MakeFunction) -> None:
    """Whatever way the kernel is asked, it gives the copies the same bytes in init, and others after the restore."""
    one, two = await drawn(layer=probe, function=function(DRAWS), env=plan())
    assert one["before"] == two["before"]
    for here, there in zip(one["after"]["kernel"], two["after"]["kernel"], strict=True):
        assert here != there
    assert len(set(one["before"]["kernel"])) == 5


async def test_generators_of_a_process_stay_alike_until_they_are_seeded_anew(
    probe: Path, plan: Plan, function: MakeFunction
) -> None:
    """`random` and OpenSSL are in memory, and go on as the snapshot has them in every copy."""
    one, two = await drawn(layer=probe, function=function(DRAWS), env=plan())
    assert one["after"]["ours"] == two["after"]["ours"] != one["before"]["ours"]
    for here, there in zip(one["seeded"], two["seeded"], strict=True):
        assert here != there


async def test_another_snapshot_draws_other_bytes(probe: Path, plan: Plan, function: MakeFunction) -> None:
    """The seed is what copies have in common."""
    folder, found = function(DRAWS), []
    for seed in (1, 2):
        async with Environment(
            layer=probe, function=folder, env=plan(), init_type="snap-start", snapshot=Snapshot(seed)
        ) as environment:
            found.append((await environment.invoke()).payload["before"])
    assert found[0] != found[1]


async def test_processes_after_a_reset_are_no_copies(probe: Path, plan: Plan, function: MakeFunction) -> None:
    """What is started anew in a restored environment draws at random from its first byte."""
    code = f"{DRAWS}\nlive = handler\ndef handler(event, context):\n    return live(0, 0) if event else os._exit(1)\n"
    folder = function(code)
    snapshot, found = Snapshot(), []
    for _ in range(2):
        async with Environment(
            layer=probe, function=folder, env=plan(), init_type="snap-start", snapshot=snapshot
        ) as environment:
            await environment.invoke(0)
            found.append((await environment.invoke(1)).payload["before"])
    one, two = found
    assert one["kernel"] != two["kernel"]
    assert one["ours"] != two["ours"]


async def test_copies_get_the_same_init_records(probe: Path, plan: Plan) -> None:
    """Up to the restore every copy is sent the same bytes; after it, its own."""
    one, two = await copies(Snapshot(), layer=probe, function=EXAMPLE, env=plan())
    ends = [
        next(index for index, line in enumerate(environment.sent["probe"]) if b'"platform.restoreStart"' in line)
        for environment in (one, two)
    ]
    assert ends[0] == ends[1] > 5
    assert one.sent["probe"][: ends[0]] == two.sent["probe"][: ends[0]]
    assert any(b'"platform.initReport"' in line for line in one.sent["probe"][: ends[0]])
    assert not set(one.sent["probe"][ends[0] :]) & set(two.sent["probe"][ends[0] :])


async def test_a_restore_sends_its_records_in_order_before_the_first_invocation(
    probe: Path, plan: Plan, function: MakeFunction
) -> None:
    """platform.restoreStart, what hooks print, restoreRuntimeDone, restoreReport, then platform.start."""
    code = """
from snapshot_restore_py import register_after_restore
register_after_restore(lambda: print("the hook"))
def handler(event, context):
    pass
"""
    async with Environment(
        layer=probe, function=function(code), env=plan(), init_type="snap-start", snapshot=Snapshot()
    ) as environment:
        await environment.restore()
        assert environment.timeline.named("invoke") == []
        await environment.invoke()
    seen = [record for record in sent(environment) if record["type"] != "extension"]
    start = next(index for index, record in enumerate(seen) if record["type"] == "platform.restoreStart")
    assert [record["type"] for record in seen[start : start + 5]] == [
        "platform.restoreStart",
        "function",
        "platform.restoreRuntimeDone",
        "platform.restoreReport",
        "platform.start",
    ]
    assert seen[start + 1]["record"] == "the hook"
    assert order(environment, "thaw", "platform.restoreStart")[:2] == ["thaw", "platform.restoreStart"]
    assert "restoreDurationMs" in records(environment, "platform.report")[0]["metrics"]


async def test_a_restore_brings_new_credentials(probe: Path, plan: Plan, function: MakeFunction) -> None:
    """The credentials of init are not those of the restored environment."""
    code = """
import json, os, urllib.request
def ask():
    request = urllib.request.Request(os.environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"])
    request.add_header("Authorization", os.environ["AWS_CONTAINER_AUTHORIZATION_TOKEN"])
    return json.load(urllib.request.urlopen(request))
before = ask()
def handler(event, context):
    return [before, ask()]
"""
    async with Environment(layer=probe, function=function(code), env=plan(), init_type="snap-start") as environment:
        before, after = (await environment.invoke()).payload
    for name in ("AccessKeyId", "SecretAccessKey", "Token"):
        assert before[name] != after[name]


async def test_several_extensions_of_a_copy_draw_different_bytes(probe: Path, plan: Plan) -> None:
    """The processes of one environment are not alike."""
    second = write_probe(probe, "second.py")
    for path in (second, second.with_name("probe")):
        draw = 'import os; print(\'{"probe": "drew", "bytes": "\' + os.urandom(8).hex() + \'"}\', flush=True)\n'
        path.write_text(path.read_text().replace("def say(", f"{draw}\n\ndef say(", 1))
    async with Environment(
        layer=probe, function=EXAMPLE, env=plan(), init_type="snap-start", snapshot=Snapshot()
    ) as environment:
        pass
    lines = [
        json.loads(line)
        for moment in environment.timeline.named("printed")
        for line in moment.details["lines"]
        if '"drew"' in line
    ]
    assert len({line["bytes"] for line in lines}) == len(lines) == 2


def test_a_snapshot_is_for_snapstart(probe: Path) -> None:
    """Other environments are not restored from anything."""
    with pytest.raises(SimulatorError, match="snap-start"):
        Environment(layer=probe, function=EXAMPLE, snapshot=Snapshot())

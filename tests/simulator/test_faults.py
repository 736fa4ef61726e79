from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from simulator.environment import Environment
from simulator.errors import SimulatorError
from simulator.faults import Faults
from simulator.phases.invocation import Invocation
from tests.simulator.reading import events, order, records, said, sent
from tests.support.probe_layer import EXAMPLE, MakeFunction, Plan, write_probe

if TYPE_CHECKING:
    from pathlib import Path

    from simulator.faults import FreezeClocks
    from simulator.settings import InitType


async def test_register_is_refused_on_request(probe: Path, plan: Plan) -> None:
    """register_status is what register answers."""
    env = plan(subscribe=False, init_error="Extension.Refused")  # it ends then, and init with it
    faults = Faults(register_status=500)
    async with Environment(layer=probe, function=EXAMPLE, env=env, faults=faults) as environment:
        assert not await environment.init()
    assert said(environment)[0]["status"] == 500


@pytest.mark.parametrize("status", [202, 400, 500])
async def test_subscription_is_answered_as_requested(probe: Path, plan: Plan, status: int) -> None:
    """subscribe_status is what the subscription gets, and no telemetry comes."""
    faults = Faults(subscribe_status=status)
    async with Environment(layer=probe, function=EXAMPLE, env=plan(), faults=faults) as environment:
        await environment.invoke()
    assert [line["status"] for line in said(environment) if line["probe"] == "subscribed"] == [status]
    assert sent(environment) == []


async def test_next_fails_on_request(probe: Path, plan: Plan) -> None:
    """The calls of event/next that are named get 500; the probe asks again, and all goes on."""
    faults = Faults(next_500=(2, 3))
    async with Environment(layer=probe, function=EXAMPLE, env=plan(), faults=faults) as environment:
        done = await environment.invoke()
    assert done.status == "success"
    statuses = [line["status"] for line in said(environment) if line["probe"] == "event"]
    assert statuses == [200, 500, 500, 200]


@pytest.mark.parametrize("faults", [Faults(split_writes=7), Faults(coalesce_writes=3), Faults(stall_s=0.05)])
async def test_odd_writes_lose_nothing(probe: Path, plan: Plan, tmp_path: Path, faults: Faults) -> None:
    """However the bytes are cut, gathered or delayed, the stream is the same."""
    env = plan(types=["platform"], shutdown_s=0.3, hold_s=0.1)
    async with Environment(layer=probe, function=EXAMPLE, env=env, faults=faults) as environment:
        await environment.invoke()
    received = await asyncio.to_thread((tmp_path / "received.ndjson").read_bytes)
    assert received == b"".join(environment.sent["probe"])
    assert received.count(b"platform.report") == 1


async def test_burst_is_seen_as_function_records(probe: Path, plan: Plan) -> None:
    """Burst records come in every invocation."""
    async with Environment(layer=probe, function=EXAMPLE, env=plan(), faults=Faults(burst=100)) as environment:
        await environment.invoke()
        await environment.invoke()
    assert records(environment, "function").count("burst 99") == 2


async def test_burst_may_be_of_some_invocations_and_of_a_size(probe: Path, plan: Plan) -> None:
    """burst_in names the invocations, burst_bytes says how long each text is."""
    faults = Faults(burst=100, burst_in=(2,), burst_bytes=7)
    async with Environment(layer=probe, function=EXAMPLE, env=plan(), faults=faults) as environment:
        for _ in range(3):
            await environment.invoke()
    assert records(environment, "function").count("x" * 7) == 100


async def test_extension_is_killed_in_the_named_invocation(probe: Path, plan: Plan) -> None:
    """kill_extension fails that invocation with Extension.Crash, and the next one starts anew."""
    faults = Faults(kill_extension=(2,))
    async with Environment(layer=probe, function=EXAMPLE, env=plan(), faults=faults) as environment:
        done = [await environment.invoke() for _ in range(3)]
    assert [one.error_type for one in done] == ["", "Extension.Crash", ""]


async def test_lines_come_after_shutdown_on_request(probe: Path, plan: Plan, tmp_path: Path) -> None:
    """after_shutdown_s makes function records so long after SHUTDOWN was sent, for whoever is still there to read."""
    faults = Faults(silence_s=0.2, after_shutdown_s=(0.005, 0.03, 0.06, 1.9), after_shutdown=3)
    env = plan(types=["function"], shutdown_s=0.6)
    async with Environment(layer=probe, function=EXAMPLE, env=env, faults=faults) as environment:
        await environment.init()
        shutdown = await environment.shutdown()
    lines = [f"{delay_s} s after SHUTDOWN, line {number}" for delay_s in (0.005, 0.03, 0.06) for number in range(3)]
    assert [line for line in records(environment, "function") if "SHUTDOWN" in line] == lines
    assert (await asyncio.to_thread((tmp_path / "received.ndjson").read_text)).count("SHUTDOWN, line") == 9
    silent, told = environment.timeline.named("process.exit")[0].at, environment.timeline.named("extension.event")[0].at
    assert told - silent >= 0.2
    assert not shutdown.extensions["probe"].killed


async def test_what_another_extension_prints_after_shutdown_is_delivered(probe: Path, plan: Plan) -> None:
    """Lines that come from a process after SHUTDOWN flow as ever, to an extension that is still there."""
    write_probe(probe, "other")
    async with Environment(layer=probe, function=EXAMPLE, env=plan(shutdown_s=0.6)) as environment:
        await environment.init()
        await environment.shutdown()
    for name in ("probe", "other"):
        assert [event["eventType"] for event in events(environment, name)] == ["SHUTDOWN"]
    assert len([line for line in records(environment, "extension") if "SHUTDOWN" in line]) == 2


async def test_request_id_may_come_twice(probe: Path, plan: Plan) -> None:
    """A retry has the id of the invocation before it: events, records and the caller's answer say so."""
    async with Environment(layer=probe, function=EXAMPLE, env=plan()) as environment:
        done = [await environment.invoke({"n": number}, request_id="retried") for number in (1, 2)]
    assert [(one.request_id, one.payload["n"]) for one in done] == [("retried", 1), ("retried", 2)]
    assert [event.get("requestId") for event in events(environment)] == ["retried", "retried", None]
    for type_ in ("platform.start", "platform.runtimeDone", "platform.report"):
        assert [record["requestId"] for record in records(environment, type_)] == ["retried"] * 2


async def test_no_two_run_at_once_with_one_id(probe: Path, plan: Plan) -> None:
    """On Managed Instances a retry of what still runs is refused: Lambda makes none."""
    env = plan(events=["SHUTDOWN"])
    init_type: InitType = "lambda-managed-instances"
    async with Environment(layer=probe, function=EXAMPLE, env=env, init_type=init_type) as environment:
        both = (environment.invoke(request_id="retried") for _ in range(2))
        first, second = await asyncio.gather(*both, return_exceptions=True)
    assert isinstance(first, Invocation)
    assert first.status == "success"
    assert isinstance(second, SimulatorError)


async def test_invoke_comes_after_runtime_done_on_request(probe: Path, plan: Plan) -> None:
    """invoke_after_done hands INVOKE to the extension when the invocation's platform.runtimeDone was sent to it."""
    faults = Faults(invoke_after_done=(2,))
    async with Environment(layer=probe, function=EXAMPLE, env=plan(), faults=faults) as environment:
        for number in (1, 2):
            await environment.invoke({"n": number})
    told = order(environment, "extension.event", "platform.runtimeDone", "telemetry.batch")
    first, second = told.index("platform.runtimeDone"), len(told) - 1 - told[::-1].index("platform.runtimeDone")
    assert "extension.event" in told[:first]
    assert "extension.event" not in told[first:second]
    assert told[second : second + 3] == ["platform.runtimeDone", "telemetry.batch", "extension.event"]


async def test_freeze_lasts_as_long_as_requested(probe: Path, plan: Plan) -> None:
    """freeze_s is the least time between an invocation's end and the next one's start."""
    async with Environment(layer=probe, function=EXAMPLE, env=plan(), faults=Faults(freeze_s=0.4)) as environment:
        await environment.invoke()
        await environment.invoke()
    frozen, thawed = (environment.timeline.named(name)[0].at for name in ("freeze", "thaw"))
    assert thawed - frozen >= 0.4


async def test_clocks_jump_in_a_freeze(probe: Path, plan: Plan, function: MakeFunction) -> None:
    """After a jump, wall clock and monotonic clock of the processes are ahead, and so are deadlines and records."""
    code = "import time\ndef handler(event, context):\n    return [time.time(), time.monotonic()]\n"
    faults = Faults(clock_jump_s=3600.0)
    async with Environment(layer=probe, function=function(code), env=plan(), faults=faults) as environment:
        first, second = (await environment.invoke()).payload, (await environment.invoke()).payload
    assert second[0] - first[0] >= 3600
    assert second[1] - first[1] >= 3600
    deadlines = [event["deadlineMs"] for event in events(environment) if event["eventType"] == "INVOKE"]
    assert deadlines[1] - deadlines[0] >= 3_600_000
    assert deadlines[1] / 1000 - time.time() > 3500


CLOCKS = """
import time
def handler(event, context):
    return [time.time(), time.monotonic(), time.clock_gettime(time.CLOCK_BOOTTIME)]
"""


@pytest.mark.parametrize(("going", "wall", "monotonic"), [("wall", 1, 0), ("monotonic", 0, 1), ("neither", 0, 0)])
async def test_clocks_may_stand_still_in_a_freeze(
    probe: Path, plan: Plan, function: MakeFunction, going: FreezeClocks, wall: int, monotonic: int
) -> None:
    """A clock that stands still has not moved over a freeze, and never goes back; the others went on and jumped."""
    faults = Faults(freeze_s=2.0, clock_jump_s=3600.0, freeze_clocks=going)
    async with Environment(layer=probe, function=function(CLOCKS), env=plan(), faults=faults) as environment:
        began = time.monotonic()
        first, second = (await environment.invoke()).payload, (await environment.invoke()).payload
        took_s = time.monotonic() - began
    assert took_s >= 2.0
    for moved_s, goes_on in zip(
        (later - earlier for earlier, later in zip(first, second, strict=True)),
        (wall, monotonic, monotonic),
        strict=True,
    ):
        assert (3602 <= moved_s < 3600 + took_s) if goes_on else (0 <= moved_s < took_s - 2.0)


async def test_the_platform_knows_the_right_time(probe: Path, plan: Plan) -> None:
    """Deadlines and records are stamped with the time that has really gone by, whatever the processes know of it."""
    faults = Faults(clock_jump_s=3600.0, freeze_clocks="neither")
    async with Environment(layer=probe, function=EXAMPLE, env=plan(), faults=faults) as environment:
        for _ in range(2):
            await environment.invoke()
    first, second = (event["deadlineMs"] for event in events(environment) if event["eventType"] == "INVOKE")
    assert second - first >= 3_600_000


@pytest.mark.parametrize("going", ["both", "wall", "monotonic", "neither"])
async def test_timed_waits_do_not_notice_a_freeze(
    probe: Path, plan: Plan, function: MakeFunction, going: FreezeClocks
) -> None:
    """A lock that is waited for with a timeout is given up in time, though deadlines are made of clocks that jumped."""
    code = """
import threading, time
def handler(event, context):
    began = time.perf_counter()
    return [threading.Event().wait(0.05), time.sleep(0.05), time.perf_counter() - began]
"""
    faults = Faults(clock_jump_s=3600.0, freeze_clocks=going)
    async with Environment(layer=probe, function=function(code), env=plan(), faults=faults) as environment:
        done = [await environment.invoke() for _ in range(2)]
    assert [one.payload[:2] for one in done] == [[False, None]] * 2
    assert all(one.payload[2] >= 0.1 for one in done)


async def test_a_wait_that_a_freeze_interrupts_goes_on_where_clocks_stood_still(
    probe: Path, plan: Plan, function: MakeFunction
) -> None:
    """What is waited for by a clock that stood still comes only when that clock has come to it."""
    code = """
import threading, time
def wait(moments):
    moments.append(time.monotonic())
    threading.Event().wait(1.0)
    moments.append(time.monotonic())
moments = []
def handler(event, context):
    if not event:
        threading.Thread(target=wait, args=[moments]).start()
        while not moments:
            time.sleep(0.001)
    else:
        while len(moments) < 2:
            time.sleep(0.01)
    return moments
"""
    faults = Faults(freeze_s=2.0, freeze_clocks="neither")
    async with Environment(layer=probe, function=function(code), env=plan(), faults=faults) as environment:
        await environment.invoke(0)
        done = await environment.invoke(1)
    began, ended = done.payload
    assert ended - began >= 1.0

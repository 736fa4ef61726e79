"""Init, invoke and restore of one sandbox, in the order of AWS's own code (its emulator's rapid/).

Sources: Developer Guide, "Understanding the Lambda execution environment lifecycle"; protocol details named where used.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from simulator import reports
from simulator.output import Printed
from simulator.sandbox import Failed

if TYPE_CHECKING:
    from simulator.agents import Agent
    from simulator.runtime_api import Work
    from simulator.sandbox import Sandbox

FLUSH_LIMIT_S = 1.0  # as at SHUTDOWN


async def initialise(sandbox: Sandbox, phase: str, limit_s: float) -> None:
    """Extensions, then the runtime, then everyone's first next. Failed or TimeoutError, with the records sent."""
    settings = sandbox.settings
    kind: dict[str, Any] = {"initializationType": settings.init_type, "phase": phase}
    start = kind | {
        "functionName": settings.name,
        "functionVersion": settings.version,
        "instanceId": sandbox.instance_id,
        "instanceMaxMemory": settings.memory_mb << 20,  # bytes, as captured in 2026
        "runtimeVersion": "python:3.11.simulator",
        "runtimeVersionArn": f"arn:aws:lambda:{settings.region}::runtime:simulator",
    }
    began = time.monotonic()
    sandbox.telemetry.platform("platform.initStart", start)
    outcome: dict[str, Any] = {"status": "success"}
    try:
        async with asyncio.timeout(limit_s):
            await sandbox.start_extensions()
            await sandbox.until(lambda: all(agent.registered for agent in sandbox.external))
            await sandbox.start_runtime()
            await sandbox.until(lambda: sandbox.runtime.ready or sandbox.runtime.restoring is not None)
            sandbox.registration_open = False
            await sandbox.until(lambda: all(agent.state == "Ready" for agent in sandbox.agents.values()))
        sandbox.initialised = True
    except TimeoutError:
        outcome = {"status": "timeout", "errorType": "Runtime.Unknown"}
        sandbox.timeline.note("init.timeout", seconds=limit_s, waiting=_missing(sandbox))
        raise
    except Failed as failed:
        outcome = {"status": "error", "errorType": failed.error_type}
        raise
    finally:
        sandbox.registration_open = False
        sandbox.telemetry.end_subscriptions()
        sandbox.drain()
        sandbox.telemetry.platform("platform.initRuntimeDone", kind | outcome)
        for agent in sandbox.agents.values():
            sandbox.telemetry.platform(
                "platform.extension", {"name": agent.name, "state": agent.state, "events": agent.events}
            )
        sandbox.telemetry.platform(
            "platform.initReport", kind | outcome | {"metrics": {"durationMs": reports.ms_since(began)}}
        )


def _missing(sandbox: Sandbox) -> str:
    """Whom init waited for when its time was up, in words."""
    unregistered = [agent.name for agent in sandbox.external if not agent.registered]
    if unregistered:
        strangers = [agent.name for agent in sandbox.agents.values() if not agent.external]
        hint = f" ({', '.join(strangers)} registered, which is no file in extensions/)" if strangers else ""
        return f"register by {', '.join(unregistered)}{hint}"
    if not sandbox.runtime.ready:
        return "the first next of the runtime"
    return f"the first next of {', '.join(agent.name for agent in sandbox.agents.values() if agent.state != 'Ready')}"


async def invoke(sandbox: Sandbox, work: Work, deadline_ms: int, start: dict[str, Any]) -> None:
    """Hand out one invocation; wait until runtime and extensions are done. Failed; the caller bounds the wait."""
    sandbox.telemetry.platform("platform.start", start)
    counted = [agent for agent in sandbox.agents.values() if "INVOKE" in agent.events]
    event: dict[str, Any] = {
        "eventType": "INVOKE",
        "deadlineMs": deadline_ms,
        "requestId": work.request_id,
        "invokedFunctionArn": sandbox.settings.arn,
    }
    if trace := work.headers.get("Lambda-Runtime-Trace-Id"):
        event["tracing"] = {"type": "X-Amzn-Trace-Id", "value": trace}
    number = len(sandbox.timeline.named("platform.start"))
    told_late = number in sandbox.settings.faults.invoke_after_done
    for agent in counted if not told_late else ():
        agent.deliver(event)
    sandbox.runtime.offer(work)
    _make_trouble(sandbox, counted, number)
    if sandbox.settings.managed:
        await sandbox.until(lambda: work.responded is not None)
        return
    await sandbox.until(lambda: work.over)
    sandbox.drain()
    reports.runtime_done(sandbox, work, start, {"status": "success"})
    work.runtime_done = True
    if told_late:
        await sandbox.telemetry.flush(FLUSH_LIMIT_S)
        for agent in counted:
            agent.deliver(event)
    await sandbox.until(lambda: all(agent.state == "Ready" for agent in counted))


def _make_trouble(sandbox: Sandbox, agents: list[Agent], number: int) -> None:
    """The faults that belong into an invocation, the one of this number."""
    faults = sandbox.settings.faults
    if faults.burst and number in (faults.burst_in or (number,)):
        lines = [f"burst {line}".encode() for line in range(faults.burst)]
        if faults.burst_bytes:
            lines = [b"x" * faults.burst_bytes] * faults.burst
        sandbox.telemetry.printed("function", Printed(lines))
    if number in faults.kill_extension:
        for agent in agents:
            sandbox.timeline.note("fault", what="SIGKILL", name=agent.name)
            sandbox.processes[agent.name].kill()


async def restore(sandbox: Sandbox, limit_s: float) -> None:
    """Bring a SnapStart environment back from its snapshot: new credentials, the runtime's hooks, three records."""
    settings = sandbox.settings
    start = {
        "functionName": settings.name,
        "functionVersion": settings.version,
        "instanceId": sandbox.instance_id,
        "instanceMaxMemory": settings.memory_mb << 20,
        "runtimeVersion": "python:3.12.simulator",
        "runtimeVersionArn": f"arn:aws:lambda:{settings.region}::runtime:simulator",
    }
    began = time.monotonic()
    sandbox.restored = True
    sandbox.telemetry.platform("platform.restoreStart", start)
    if sandbox.runtime.restoring is not None:
        sandbox.runtime.restoring.set()
    outcome: dict[str, Any] = {"status": "success"}
    try:
        async with asyncio.timeout(limit_s):
            await sandbox.until(lambda: sandbox.runtime.ready)
    except TimeoutError:
        outcome = {"status": "timeout"}
        raise
    except Failed as failed:
        outcome = {"status": "error", "errorType": failed.error_type}
        raise
    finally:
        sandbox.drain()
        sandbox.telemetry.platform("platform.restoreRuntimeDone", outcome)
        sandbox.telemetry.platform(
            "platform.restoreReport", outcome | {"metrics": {"durationMs": reports.ms_since(began)}}
        )

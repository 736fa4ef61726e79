"""Init, invoke, restore and shutdown of one sandbox, in the order of AWS's own code (its emulator's rapid/).

Sources: Developer Guide, "Understanding the Lambda execution environment lifecycle"; protocol details named where used.
"""

from __future__ import annotations

import asyncio
import math
import signal
import time
from typing import TYPE_CHECKING, Any

from simulator import clock, processes
from simulator.sandbox import RUNTIME, Failed

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.agents import Agent
    from simulator.runtime_api import Work
    from simulator.sandbox import Sandbox

EXTERNAL_BUDGET_S = 2.0
INTERNAL_BUDGET_S = 0.5
RUNTIME_SHARE = 0.3  # of the shutdown's budget, until the runtime is killed
FLUSH_LIMIT_S = 1.0
LMI_TIMEOUT = "Sandbox.Timedout"


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
            "platform.initReport", kind | outcome | {"metrics": {"durationMs": _ms_since(began)}}
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
    for agent in counted:
        agent.deliver(event)
    sandbox.runtime.offer(work)
    if sandbox.settings.managed:
        await sandbox.until(lambda: work.responded is not None)
        return
    await sandbox.until(lambda: work.over)
    sandbox.drain()
    runtime_done(sandbox, work, start, {"status": "success"})
    work.runtime_done = True
    await sandbox.until(lambda: all(agent.state == "Ready" for agent in counted))


def runtime_done(sandbox: Sandbox, work: Work, start: dict[str, Any], outcome: dict[str, Any]) -> None:
    """Publish platform.runtimeDone with the spans that AWS gives."""
    metrics = {"durationMs": _ms_since(work.began), "producedBytes": len(work.response)}
    record = {"requestId": work.request_id, **outcome, "metrics": metrics}
    if work.responded is not None and work.responding is not None:
        record["spans"] = spans(work)
    if "tracing" in start:
        record["tracing"] = start["tracing"]
    sandbox.telemetry.platform("platform.runtimeDone", record)


def spans(work: Work) -> list[dict[str, Any]]:
    """responseLatency, responseDuration and runtimeOverhead of an invocation that was answered."""
    responding, responded = work.responding or work.began, work.responded or work.began
    edges = (
        ("responseLatency", work.began, responding),
        ("responseDuration", responding, responded),
        ("runtimeOverhead", responded, time.monotonic()),
    )
    return [
        {"name": name, "start": clock.stamp(clock.now_ms() - _ms_since(began)), "durationMs": _ms(ended - began)}
        for name, began, ended in edges
    ]


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
        sandbox.telemetry.platform("platform.restoreRuntimeDone", outcome)
        sandbox.telemetry.platform("platform.restoreReport", outcome | {"metrics": {"durationMs": _ms_since(began)}})


async def shut_down(sandbox: Sandbox, reason: str) -> None:
    """Runtime first, then SHUTDOWN to the extensions, SIGKILL at the deadline (rapid/shutdown.go)."""
    sandbox.stopping = True
    external = bool(sandbox.external)
    budget_s = EXTERNAL_BUDGET_S if external else INTERNAL_BUDGET_S if sandbox.agents else 0.0
    deadline = time.monotonic() + budget_s
    deadline_ms = clock.now_ms() + int(budget_s * 1000)
    sandbox.timeline.note("shutdown", reason=reason, budget=budget_s)
    try:
        if sandbox.running(RUNTIME) and sandbox.agents:
            sandbox.processes[RUNTIME].signal(signal.SIGTERM)
            await _within(sandbox, budget_s * RUNTIME_SHARE, lambda: not sandbox.running(RUNTIME))
        if sandbox.running(RUNTIME):
            sandbox.processes[RUNTIME].kill()
            await _within(sandbox, budget_s, lambda: not sandbox.running(RUNTIME))
        sandbox.drain()
        await sandbox.telemetry.flush(max(0.0, min(FLUSH_LIMIT_S, deadline - time.monotonic())))
        event = {"eventType": "SHUTDOWN", "deadlineMs": deadline_ms, "shutdownReason": reason}
        for agent in sandbox.external:
            _tell(sandbox, agent, event)
        alive = [agent.name for agent in sandbox.external]
        await _within(sandbox, deadline - time.monotonic(), lambda: not any(map(sandbox.running, alive)))
        for name in filter(sandbox.running, alive):
            sandbox.timeline.note("shutdown.kill", name=name)
    finally:
        await sandbox.close()
    for agent in sandbox.external:
        process = sandbox.processes.get(agent.name)
        if process is not None and agent.registered:
            agent.state = "Exited" if process.returncode == 0 else "ShutdownFailed"


def _tell(sandbox: Sandbox, agent: Agent, event: dict[str, Any]) -> None:
    if "SHUTDOWN" in agent.events:
        agent.deliver(event)
    elif sandbox.running(agent.name):
        sandbox.processes[agent.name].kill()


async def _within(sandbox: Sandbox, limit_s: float, condition: Callable[[], bool]) -> None:
    """Wait for a condition, or until the time is up."""
    try:
        async with asyncio.timeout(max(0.0, limit_s)):
            await sandbox.until(condition, even_failed=True)
    except TimeoutError:
        pass


def report(
    sandbox: Sandbox, work: Work, began: float, outcome: dict[str, Any], extra: dict[str, Any]
) -> dict[str, Any]:
    """The record of platform.report; `extra` is merged into its metrics (initDurationMs, restoreDurationMs)."""
    duration = _ms_since(began)
    pids = [process.pid for process in sandbox.processes.values() if process.returncode is None]
    billed = duration + extra.get("initDurationMs", 0.0)  # init is billed since August 2025
    metrics = {
        "durationMs": duration,
        "billedDurationMs": math.ceil(billed),
        "memorySizeMB": sandbox.settings.memory_mb,
        "maxMemoryUsedMB": processes.peak_memory_mb(pids),
        **extra,
    }
    record: dict[str, Any] = {"requestId": work.request_id, "metrics": metrics, **outcome}
    if work.responded is not None and sandbox.agents:
        start = clock.stamp(clock.now_ms() - _ms_since(work.responded))
        record["spans"] = [{"name": "extensionOverhead", "start": start, "durationMs": _ms_since(work.responded)}]
    return record


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)  # microseconds, as AWS rounds


def _ms_since(began: float) -> float:
    return _ms(time.monotonic() - began)

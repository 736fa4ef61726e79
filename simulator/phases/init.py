"""Init of one sandbox, in the order of AWS's own code (its emulator's rapid/).

Source: Developer Guide, "Understanding the Lambda execution environment lifecycle".
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from simulator.errors import Failed
from simulator.phases import reports

if TYPE_CHECKING:
    from simulator.sandbox.sandbox import Sandbox


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

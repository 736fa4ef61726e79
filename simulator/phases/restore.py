"""The restore of a SnapStart sandbox.

Source: Developer Guide, "Improving startup performance with Lambda SnapStart".
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from simulator.errors import Failed
from simulator.phases import reports

if TYPE_CHECKING:
    from simulator.sandbox.sandbox import Sandbox


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

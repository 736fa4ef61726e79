"""One invocation in one sandbox, in the order of AWS's own code (its emulator's rapid/).

Source: Developer Guide, "Understanding the Lambda execution environment lifecycle".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulator.phases import reports
from simulator.telemetry.records import Printed

if TYPE_CHECKING:
    from simulator.sandbox.agents import Agent
    from simulator.sandbox.runtime import Work
    from simulator.sandbox.sandbox import Sandbox

FLUSH_LIMIT_S = 1.0  # as at SHUTDOWN


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

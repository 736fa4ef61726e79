"""The end of one sandbox, as AWS's own code goes about it (its emulator's rapid/shutdown.go).

Source: Developer Guide, "Understanding the Lambda execution environment lifecycle", shutdown phase.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from simulator.sandbox.sandbox import RUNTIME
from simulator.telemetry.records import Printed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from simulator.sandbox.agents import Agent
    from simulator.sandbox.sandbox import Sandbox

EXTERNAL_BUDGET_S = 2.0
INTERNAL_BUDGET_S = 0.5
RUNTIME_SHARE = 0.3  # of the budget, until the runtime is killed
FLUSH_LIMIT_S = 1.0


@dataclass(frozen=True, slots=True)
class Exit:
    """How an extension ended: `returncode` as in subprocess (None: never started), `killed` if the platform did it."""

    returncode: int | None
    killed: bool


@dataclass(frozen=True, slots=True)
class Shutdown:
    """How a life of the environment ended: the reason given, how each extension took it, and how long it lasted."""

    reason: str
    extensions: Mapping[str, Exit]
    duration_s: float


async def shut_down(sandbox: Sandbox, reason: str) -> Shutdown:
    """Runtime first, then SHUTDOWN to the extensions, SIGKILL at the deadline (rapid/shutdown.go)."""
    began = time.monotonic()
    sandbox.stopping = True
    external = bool(sandbox.external)
    budget_s = EXTERNAL_BUDGET_S if external else INTERNAL_BUDGET_S if sandbox.agents else 0.0
    deadline = began + budget_s
    deadline_ms = sandbox.clock.now_ms() + int(budget_s * 1000)
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
        await asyncio.sleep(sandbox.settings.faults.silence_s)
        event = {"eventType": "SHUTDOWN", "deadlineMs": deadline_ms, "shutdownReason": reason}
        for agent in sandbox.external:
            _tell(sandbox, agent, event)
        alive = [agent.name for agent in sandbox.external]
        with _last_words(sandbox):
            await _within(sandbox, deadline - time.monotonic(), lambda: not any(map(sandbox.running, alive)))
        for name in filter(sandbox.running, alive):
            sandbox.timeline.note("shutdown.kill", name=name)
    finally:
        await sandbox.close()
    for agent in sandbox.external:
        process = sandbox.processes.get(agent.name)
        if process is not None and agent.registered:
            agent.state = "Exited" if process.returncode == 0 else "ShutdownFailed"
    ended = [(agent.name, sandbox.processes.get(agent.name)) for agent in sandbox.external]
    exits = {name: Exit(one.returncode, one.killed) if one else Exit(None, killed=False) for name, one in ended}
    done = Shutdown(reason, exits, time.monotonic() - began)
    sandbox.timeline.note("shutdown.done", reason=reason, seconds=round(done.duration_s, 3))
    return done


def _tell(sandbox: Sandbox, agent: Agent, event: dict[str, Any]) -> None:
    if "SHUTDOWN" in agent.events:
        agent.deliver(event)
    elif sandbox.running(agent.name):
        sandbox.processes[agent.name].kill()


@contextlib.contextmanager
def _last_words(sandbox: Sandbox) -> Iterator[None]:
    """The fault of lines that come after SHUTDOWN, as long as there is somebody to read them."""
    faults = sandbox.settings.faults
    loop = asyncio.get_running_loop()
    timers = [loop.call_later(delay_s, _speak, sandbox, delay_s) for delay_s in faults.after_shutdown_s]
    try:
        yield
    finally:
        for timer in timers:
            timer.cancel()


def _speak(sandbox: Sandbox, delay_s: float) -> None:
    sandbox.timeline.note("fault", what="lines after SHUTDOWN", seconds=delay_s)
    count = sandbox.settings.faults.after_shutdown
    lines = [f"{delay_s} s after SHUTDOWN, line {number}".encode() for number in range(count)]
    sandbox.telemetry.printed("function", Printed(lines))


async def _within(sandbox: Sandbox, limit_s: float, condition: Callable[[], bool]) -> None:
    """Wait for a condition, or until the time is up."""
    try:
        async with asyncio.timeout(max(0.0, limit_s)):
            await sandbox.until(condition, even_failed=True)
    except TimeoutError:
        pass

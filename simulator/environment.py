"""An execution environment of Lambda on your desk: the Python interface of the simulator.

async with Environment(layer=Path("dist/layer.zip"), function=Path("examples/function")) as environment:
    invocation = await environment.invoke({"n": 1})
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
import uuid
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from simulator import clock, invocation, phases
from simulator import layer as layers
from simulator.memory import Limit
from simulator.runtime_api import Work
from simulator.sandbox import Failed, Sandbox
from simulator.server import serve
from simulator.settings import Settings, SimulatorError
from simulator.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from simulator.invocation import Invocation
    from simulator.timeline import Moment

RESTORE_LIMIT_S = 10.0


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


class Environment:
    """Runs a function and its extensions as Lambda would. Keyword arguments are those of Settings.

    `layer` is a zip or a folder, or several, merged in order. `sent` maps an extension to every NDJSON line that the
    Telemetry API wrote to it; `timeline` is all that happened; `invocations` and `shutdowns` are what came out.
    """

    def __init__(
        self,
        *,
        layer: Path | Sequence[Path] = (),
        function: Path,
        watch: Callable[[Moment], None] | None = None,
        **settings: Any,  # checked by Settings, by name; spelling them out here would be a second list of them
    ) -> None:
        given = (layer,) if isinstance(layer, Path) else tuple(layer)
        try:
            self.settings = Settings(layers=given, function=function, **settings)
        except TypeError as error:
            raise SimulatorError(str(error).replace("Settings.__init__()", "Environment")) from None
        self.settings.check()
        self.timeline = Timeline(watch)
        self.sent: dict[str, list[bytes]] = {}
        self.invocations: list[Invocation] = []
        self.shutdowns: list[Shutdown] = []
        self._stack = AsyncExitStack()
        self._sandbox: Sandbox | None = None
        self._phase = "init"  # of the next start: "invoke" after a reset
        self._frozen_at: float | None = None
        self._report: dict[str, Any] = {}  # initDurationMs or restoreDurationMs, for the next report

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lambda-")))
            self._opt = await asyncio.to_thread(layers.unpack, self.settings.layers, folder / "opt")
            self._limit = Limit(self.settings.memory_mb) if self.settings.limit_memory else None
            if self._limit:
                stack.callback(self._limit.close)
            self._tasks = await stack.enter_async_context(asyncio.TaskGroup())
            self._runtime_api = await stack.enter_async_context(serve(self._current))
            stack.push_async_callback(self._end)
            if self.settings.init_type != "on-demand":
                await self.init()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()  # the task group shall not wrap the caller's error into a group

    async def init(self) -> bool:
        """Run the init phase now, as Lambda does ahead of invocations at times; whether it succeeded."""
        succeeded = await self._try_init()
        if succeeded and not self.settings.managed:
            self._freeze()
        return succeeded

    async def invoke(
        self, event: Any = None, *, trace_id: str | None = None, tenant_id: str | None = None
    ) -> Invocation:
        """Invoke the function with a JSON value and wait until runtime and extensions are done with it."""
        if self._sandbox is None and self._phase == "init":
            await self._try_init()
        request_id = str(uuid.uuid4())
        deadline_ms = clock.now_ms() + int(self.settings.timeout_s * 1000)
        headers = invocation.headers(self.settings, request_id, deadline_ms, trace_id, tenant_id)
        work = Work(request_id, json.dumps(event).encode(), headers)
        start = invocation.start_record(self.settings, work, tenant_id, traced=bool(trace_id))
        self.timeline.note("invoke", requestId=request_id)
        if self._sandbox is not None:
            await self._thaw(self._sandbox)
        outcome, message = await self._run(work, deadline_ms, start)
        sandbox = self._current()
        if self.settings.managed:
            self._report_managed(sandbox, work, start, outcome)
        else:
            await self._report_and_freeze(sandbox, work, start, outcome)
        sandbox.runtime.work.pop(work.request_id, None)
        done = invocation.result(self.settings, work, outcome, message)
        self.timeline.note("invoke.done", requestId=request_id, status=done.status, payload=done.payload)
        self.invocations.append(done)
        return done

    async def shutdown(self, reason: str = "spindown") -> Shutdown:
        """End this life of the environment as Lambda does; the next invocation starts another."""
        sandbox = self._sandbox
        if sandbox is None:
            return self.shutdowns[-1] if self.shutdowns else Shutdown(reason, {}, 0.0)
        began = time.monotonic()
        self._phase = "init"
        try:
            await self._thaw(sandbox)
            await phases.shut_down(sandbox, reason)
        finally:
            await sandbox.close()
            self._sandbox = None
        ended = [(agent.name, sandbox.processes.get(agent.name)) for agent in sandbox.external]
        exits = {
            name: Exit(process.returncode, process.killed) if process else Exit(None, False) for name, process in ended
        }
        done = Shutdown(reason, exits, time.monotonic() - began)
        self.timeline.note("shutdown.done", reason=reason, seconds=round(done.duration_s, 3))
        self.shutdowns.append(done)
        return done

    def _current(self) -> Sandbox:
        if self._sandbox is None:
            args = (self.settings, self._opt, self._runtime_api, self.timeline, self.sent, self._tasks, self._limit)
            self._sandbox = Sandbox(*args)
        return self._sandbox

    async def _try_init(self) -> bool:
        try:
            await self._initialise(self.settings.init_limit_s)
        except (Failed, TimeoutError) as problem:
            await self._reset("timeout" if isinstance(problem, TimeoutError) else "failure")
            return False
        return True

    async def _initialise(self, limit_s: float) -> None:
        began = time.monotonic()
        await phases.initialise(self._current(), self._phase, limit_s)
        self._report = {"initDurationMs": round((time.monotonic() - began) * 1000, 3)}

    async def _run(self, work: Work, deadline_ms: int, start: dict[str, Any]) -> tuple[dict[str, Any], str]:
        """The invocation itself, with the init that may have to be made up for; its outcome, and the error in words."""
        try:
            if not self._current().initialised:
                try:
                    await self._initialise(self.settings.timeout_s)
                except (Failed, TimeoutError):
                    self._current().telemetry.platform("platform.start", start)
                    raise
            sandbox = self._current()
            if self.settings.init_type == "snap-start" and "initDurationMs" in self._report:
                began = time.monotonic()
                await phases.restore(sandbox, RESTORE_LIMIT_S)
                self._report = {"restoreDurationMs": round((time.monotonic() - began) * 1000, 3)}
            async with asyncio.timeout(deadline_ms / 1000 - time.time()):
                work.began = time.monotonic()
                await phases.invoke(sandbox, work, deadline_ms, start)
        except TimeoutError:
            return {"status": "timeout"}, ""
        except Failed as failed:
            return {"status": "error", "errorType": failed.error_type}, f"RequestId: {work.request_id} Error: {failed}"
        if work.failed:
            return {"status": "error", "errorType": work.error_type}, ""
        return {"status": "success"}, ""

    async def _report_and_freeze(
        self, sandbox: Sandbox, work: Work, start: dict[str, Any], outcome: dict[str, Any]
    ) -> None:
        harmless = outcome["status"] == "success" or (work.failed and sandbox.failure is None and work.runtime_done)
        if not work.runtime_done:
            sandbox.drain()
            phases.runtime_done(sandbox, work, start, outcome)
        record = phases.report(sandbox, work, work.began, outcome, self._report)
        self._report = {}
        record |= {key: start[key] for key in ("tracing", "tenantId") if key in start}
        if harmless:
            self._freeze()
        else:
            await self._reset("timeout" if outcome["status"] == "timeout" else "failure")
        sandbox.telemetry.platform("platform.report", record)

    def _report_managed(self, sandbox: Sandbox, work: Work, start: dict[str, Any], outcome: dict[str, Any]) -> None:
        record = phases.report(sandbox, work, work.began, outcome, {})
        record["metrics"] = {"durationMs": record["metrics"]["durationMs"]}
        record["spans"] = phases.spans(work)[:2] if work.responded is not None else []
        if outcome["status"] == "timeout":
            record["errorType"] = phases.LMI_TIMEOUT
        record |= {key: start[key] for key in ("tracing", "tenantId") if key in start}
        sandbox.telemetry.platform("platform.report", record)

    def _freeze(self) -> None:
        if self.settings.freeze:
            self._current().freeze(frozen=True)
            self._frozen_at = time.monotonic()

    async def _thaw(self, sandbox: Sandbox) -> None:
        if self._frozen_at is not None:
            await asyncio.sleep(self._frozen_at + self.settings.faults.freeze_s - time.monotonic())
            self._frozen_at = None
            sandbox.freeze(frozen=False)

    async def _reset(self, reason: str) -> None:
        """What follows a failure or timeout: the processes go, /tmp stays, and the next invocation starts anew."""
        await self.shutdown(reason)
        self._phase = "invoke"

    async def _end(self) -> None:
        if self._sandbox is None:
            return
        if self.settings.faults.vanish:
            self.timeline.note("fault", what="the environment vanishes without SHUTDOWN")
            await self._sandbox.close()
            self._sandbox = None
        else:
            await self.shutdown("spindown")

"""An execution environment of Lambda on your desk: the Python interface of the simulator.

async with Environment(layer=Path("dist/layer.zip"), function=Path("examples/function")) as environment:
invocation = await environment.invoke({"n": 1})
"""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
import time
import uuid
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from simulator.apis.server import serve
from simulator.clock import Clock
from simulator.errors import Failed, SimulatorError
from simulator.phases import init, invocation, invoke, reports, restore, shutdown
from simulator.sandbox import entrypoint, preload
from simulator.sandbox import layer as layers
from simulator.sandbox.clocks import Clocks
from simulator.sandbox.cpu import Share
from simulator.sandbox.host import Host
from simulator.sandbox.memory import Limit
from simulator.sandbox.runtime import Work
from simulator.sandbox.sandbox import Sandbox
from simulator.sandbox.snapshot import Copy
from simulator.settings import Settings
from simulator.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from simulator.phases.invocation import Invocation
    from simulator.phases.shutdown import Shutdown
    from simulator.sandbox.network import Proxy
    from simulator.sandbox.snapshot import Snapshot
    from simulator.timeline import Moment

RESTORE_LIMIT_S = 10.0
STOP_LIMIT_S = 5.0  # until a signal to stop has arrived
SNAPSHOT_FLUSH_S = 1.0
RESETS = frozenset({"timeout", "failure"})  # reasons of a SHUTDOWN after which the environment is used again


class Environment:
    """Runs a function and its extensions as Lambda would. Other keyword arguments are those of Settings.

    `layer` is a zip or a folder, or several, merged in order. The proxies in `network` freeze with the environment.
    With a `snapshot` (SnapStart only) it is restored from that. `written` is every message of the function; `sent` maps
    an extension to every NDJSON line that the Telemetry API wrote to it; `timeline` is all that happened; `invocations`
    and `shutdowns` are what came out.
    """

    def __init__(
        self,
        *,
        layer: Path | Sequence[Path] = (),
        function: Path,
        network: Sequence[Proxy] = (),
        snapshot: Snapshot | None = None,
        watch: Callable[[Moment], None] | None = None,
        **settings: Any,  # checked by Settings, by name; spelling them out here would be a second list of them
    ) -> None:
        given = (layer,) if isinstance(layer, Path) else tuple(layer)
        try:
            self.settings = Settings(layers=given, function=function, **settings)
        except TypeError as error:
            raise SimulatorError(str(error).replace("Settings.__init__()", "Environment")) from None
        self.settings.check()
        if snapshot and self.settings.init_type != "snap-start":
            raise SimulatorError("a snapshot needs the init type snap-start")
        self.clock = Clock()
        self.timeline = Timeline(watch)
        self.written: list[bytes] = []
        self.sent: dict[str, list[bytes]] = {}
        self.invocations: list[Invocation] = []
        self.shutdowns: list[Shutdown] = []
        self._stack = AsyncExitStack()
        self._turn = asyncio.Lock()  # on demand there is one invocation at a time; on Managed Instances, one init
        self._sandbox: Sandbox | None = None
        self._phase = "init"  # of the next start: "invoke" after a reset
        self._frozen_at: float | None = None
        self._clocks = Clocks(self.settings.faults.freeze_clocks)
        self._share: Share | None = None
        self._network = network
        self._copy = Copy(snapshot) if snapshot else None
        self._report: dict[str, Any] = {}  # initDurationMs or restoreDurationMs, for the next report

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lambda-")))
            self._tmp = folder / "tmp"
            self._tmp.mkdir()
            opt = await asyncio.to_thread(layers.unpack, self.settings.layers, folder / "opt")
            start = await asyncio.to_thread(entrypoint.entrypoint, self.settings, opt)
            libraries = await asyncio.to_thread(self._preload, folder)
            limit = Limit(self.settings.memory_mb) if self.settings.limit_memory else None
            if limit:
                stack.callback(limit.close)
            if self.settings.limit_cpu != "never":
                self._share = Share(self.settings.memory_mb)
                stack.callback(self._share.close)
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            runtime_api = await stack.enter_async_context(serve(self._current))
            self._host = Host(
                settings=self.settings,
                clock=self.clock,
                timeline=self.timeline,
                written=self.written,
                sent=self.sent,
                tasks=tasks,
                runtime_api=runtime_api,
                folder=folder,
                opt=opt,
                tmp=self._tmp,
                entrypoint=start,
                limit=limit,
                share=self._share,
                preload=libraries,
                network=self._network,
                copy=self._copy,
            )
            stack.push_async_callback(self._end)
            self.timeline.begin()
            if self.settings.init_type != "on-demand":
                await self.init()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()  # the task group shall not wrap the caller's error into a group

    async def init(self) -> bool:
        """Run the init phase now, as Lambda does ahead of invocations at times; whether it succeeded."""
        succeeded = await self._try_init()
        if succeeded and self._copy:
            await self._current().telemetry.flush(SNAPSHOT_FLUSH_S)
            self._copy.frozen()
        if succeeded and not self.settings.managed:
            await self._freeze()
        return succeeded

    async def restore(self) -> None:
        """Restore a SnapStart environment now, ahead of the invocation that it is for; Failed or TimeoutError."""
        sandbox = self._current()
        await self._thaw(sandbox)
        began = time.monotonic()
        await restore.restore(sandbox, RESTORE_LIMIT_S)
        self._report = {"restoreDurationMs": reports.ms_since(began)}

    async def invoke(
        self,
        event: Any = None,
        *,
        trace_id: str | None = None,
        tenant_id: str | None = None,
        request_id: str | None = None,
    ) -> Invocation:
        """Invoke the function with a JSON value (None: {}) and wait until runtime and extensions are done with it.

        On Managed Instances several may run at once; on demand a second one waits for the first. A `request_id` that
        was there before makes it what Lambda's retry of an asynchronous invocation is.
        """
        async with self._turn:
            if self._sandbox is None and self._phase == "init":
                await self._try_init()
            if not self.settings.managed:
                return await self._invoke(event, trace_id, tenant_id, request_id)
        return await self._invoke(event, trace_id, tenant_id, request_id)

    async def shutdown(self, reason: str = "spindown") -> Shutdown:
        """End this life of the environment as Lambda does; the next invocation starts another.

        What is in its /tmp stays only where the reason is timeout or failure.
        """
        try:
            if self._sandbox is None:
                return self.shutdowns[-1] if self.shutdowns else shutdown.Shutdown(reason, {}, 0.0)
            self._phase = "init"
            return await self._shut_down(self._sandbox, reason)
        finally:
            if reason not in RESETS or self.settings.managed:  # which is replaced, /tmp and all
                await asyncio.to_thread(self._empty_tmp)

    async def _shut_down(self, sandbox: Sandbox, reason: str) -> Shutdown:
        try:
            await self._thaw(sandbox)
            self.shutdowns.append(await shutdown.shut_down(sandbox, reason))
        finally:
            await sandbox.close()
            self._sandbox = None
        return self.shutdowns[-1]

    def _empty_tmp(self) -> None:
        shutil.rmtree(self._tmp)
        self._tmp.mkdir()

    def _current(self) -> Sandbox:
        if self._sandbox is None:
            self._sandbox = Sandbox(self._host)
        return self._sandbox

    async def _try_init(self) -> bool:
        try:
            await self._initialise(self.settings.init_limit_s)
        except (Failed, TimeoutError) as problem:
            await self._reset("timeout" if isinstance(problem, TimeoutError) else "failure")
            return False
        return True

    async def _initialise(self, limit_s: float) -> None:
        if self._share and self.settings.limit_cpu == "after-init":
            self._share.lift()
        began = time.monotonic()
        await init.initialise(self._current(), self._phase, limit_s)
        if self._share:
            self._share.throttle()
        self._report = {"initDurationMs": reports.ms_since(began)}

    async def _invoke(
        self, event: Any, trace_id: str | None, tenant_id: str | None, request_id: str | None
    ) -> Invocation:
        if self._sandbox is not None:
            await self._thaw(self._sandbox)
        request_id = request_id or str(uuid.uuid4())
        if request_id in self._current().runtime.work:
            raise SimulatorError(f"request {request_id} is still running: a retry comes after its end")
        deadline_ms = self.clock.now_ms() + int(self.settings.timeout_s * 1000)
        headers = invocation.headers(self.settings, request_id, deadline_ms, trace_id, tenant_id)
        work = Work(request_id, json.dumps({} if event is None else event).encode(), headers)
        start = invocation.start_record(self.settings, work, tenant_id, traced=bool(trace_id))
        self.timeline.note("invoke", requestId=request_id)
        sandbox = self._current()
        outcome, message = await self._run(sandbox, work, deadline_ms, start)
        await self._close(sandbox, work, start, outcome)
        sandbox.runtime.work.pop(request_id, None)
        done = invocation.result(self.settings, work, outcome, message)
        self.timeline.note("invoke.done", requestId=request_id, status=done.status, payload=done.payload)
        self.invocations.append(done)
        return done

    async def _run(
        self, sandbox: Sandbox, work: Work, deadline_ms: int, start: dict[str, Any]
    ) -> tuple[dict[str, Any], str]:
        """The invocation itself, with the init that may have to be made up for; its outcome, and the error in words."""
        try:
            if not sandbox.initialised:
                try:
                    await self._initialise(self.settings.timeout_s)
                except (Failed, TimeoutError):
                    sandbox.telemetry.platform("platform.start", start)
                    raise
            if self.settings.init_type == "snap-start" and "initDurationMs" in self._report:
                await self.restore()
            async with asyncio.timeout((deadline_ms - self.clock.now_ms()) / 1000):
                work.began = time.monotonic()
                await invoke.invoke(sandbox, work, deadline_ms, start)
        except TimeoutError:
            for agent in sandbox.agents.values() if work.over else ():
                if "INVOKE" in agent.events and agent.state != "Ready":
                    self.timeline.note("extension.overran", name=agent.name)
            return {"status": "timeout"}, ""
        except Failed as failed:
            return {"status": "error", "errorType": failed.error_type}, f"RequestId: {work.request_id} Error: {failed}"
        if work.failed:
            return {"status": "error", "errorType": work.error_type}, ""
        return {"status": "success"}, ""

    async def _close(self, sandbox: Sandbox, work: Work, start: dict[str, Any], outcome: dict[str, Any]) -> None:
        """What follows an invocation: its last records, and the freeze, or the reset after a failure or timeout."""
        if self.settings.managed:
            record = reports.managed_report(sandbox, work, outcome)
        else:
            if not work.runtime_done:
                sandbox.drain()
                reports.runtime_done(sandbox, work, start, outcome)
            record = reports.report(sandbox, work, outcome, self._report)
            self._report = {}
        record |= {key: start[key] for key in ("tracing", "tenantId") if key in start}
        timed_out = outcome["status"] == "timeout" and not self.settings.managed  # there, nothing is killed
        if timed_out or sandbox.failure:
            if sandbox is self._sandbox:  # of several invocations that fail at once, the first ends the sandbox
                await self._reset("timeout" if timed_out else "failure")
        elif not self.settings.managed:
            await self._freeze()
        sandbox.telemetry.platform("platform.report", record)

    def _preload(self, folder: Path) -> dict[str, str]:
        faults = self.settings.faults
        other_clocks = faults.clock_jump_s or faults.freeze_clocks != "both"
        clocks = self._clocks.preload(folder) if other_clocks else {}
        return preload.together(clocks, self._copy.preload(folder) if self._copy else {})

    async def _freeze(self) -> None:
        if self.settings.freeze:
            sandbox = self._current()
            sandbox.freeze(frozen=True)
            if self.settings.faults.freeze_clocks != "both":  # a clock that someone still sees may not be put back
                await sandbox.stopped(STOP_LIMIT_S)
            self._frozen_at = time.monotonic()

    async def _thaw(self, sandbox: Sandbox) -> None:
        if self._copy and not self._copy.restored:
            self._copy.restore()
        if self._frozen_at is not None:
            await asyncio.sleep(self._frozen_at + self.settings.faults.freeze_s - time.monotonic())
            self.clock.jump(self.settings.faults.clock_jump_s)
            self._clocks.freeze_ended(time.monotonic() - self._frozen_at, self.settings.faults.clock_jump_s)
            self._frozen_at = None
            sandbox.freeze(frozen=False)

    async def _reset(self, reason: str) -> None:
        """What follows a failure or timeout: the processes go, and the next invocation starts anew.

        /tmp stays, but on Managed Instances, where another environment takes the place of this one.
        """
        await self.shutdown(reason)
        self._phase = "init" if self.settings.managed else "invoke"

    async def _end(self) -> None:
        if self._sandbox is None:
            return
        if self.settings.faults.vanish:
            self.timeline.note("fault", what="the environment vanishes without SHUTDOWN")
            await self._sandbox.close()
            self._sandbox = None
        else:
            await self.shutdown("spindown")

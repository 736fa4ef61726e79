"""One life of the processes: from a start to the reset or shutdown that ends it. The next life gets new identifiers.

It knows who runs and what they said; the order of things is in phases/.
"""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import uuid
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from simulator.errors import Failed
from simulator.sandbox import layer, processes, variables
from simulator.sandbox.agents import MAX_EXTENSIONS, Agent
from simulator.sandbox.runtime import Runtime
from simulator.telemetry.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.sandbox.host import Host
    from simulator.sandbox.processes import Process
    from simulator.telemetry.records import Kind, Printed

RUNTIME = "runtime"
KILL_TIMEOUT_S = 2.0
# Of what is printed at once, in the timeline; what extensions print is searched for ledgers and problems.
KEPT: dict[Kind, tuple[int, int]] = {"function": (20, 4000), "extension": (1000, 1 << 16)}  # lines, bytes of each


class Sandbox:
    """Extensions and runtime of one life, with what they have told the APIs."""

    def __init__(self, host: Host) -> None:
        self.settings = settings = host.settings
        self.clock = host.clock
        self.timeline = host.timeline
        self.telemetry = Stream(settings, host.clock, host.timeline, host.written, host.sent, host.tasks, host.copy)
        self.agents: dict[str, Agent] = {}
        self.runtime = Runtime()
        self.processes: dict[str, Process] = {}
        self.registration_open = True
        self.initialised = False
        self.restored = False
        self.stopping = False
        self.failure: Failed | None = None
        self.credentials_token = str(uuid.uuid4())
        day = host.clock.stamp()[:10].replace("-", "/")
        self.instance_id = f"{day}/{settings.name}[{settings.version}]{uuid.uuid4().hex}"
        self._host = host
        self._waiting: list[asyncio.Future[None]] = []

    # What the phases wait for

    def changed(self) -> None:
        """Someone said or did something: whoever waits looks again."""
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)

    async def until(self, condition: Callable[[], bool], *, even_failed: bool = False) -> None:
        """Wait for a condition on this sandbox; Failed as soon as it has failed. The caller bounds the wait."""
        while not condition():
            if self.failure and not even_failed:
                raise self.failure
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            await waiter

    def fail(self, error_type: str, message: str) -> None:
        """The first failure is the one that counts."""
        if self.failure is None and not self.stopping:
            self.failure = Failed(error_type, message)
            self.timeline.note("failure", errorType=error_type, message=message)
        self.changed()

    # Processes

    @property
    def external(self) -> list[Agent]:
        """The extensions that have a process."""
        return [agent for agent in self.agents.values() if agent.external]

    async def start_extensions(self) -> None:
        """Start every file of extensions/, all before any is waited for."""
        files = layer.extensions(self._host.opt)
        if len(files) > MAX_EXTENSIONS:
            self.fail(
                "Extension.LaunchError",
                f"{len(files)} extensions, and Lambda takes {MAX_EXTENSIONS} (TooManyExtensions)",
            )
            raise self.failure or AssertionError
        self.agents |= {file.name: Agent(file.name, external=True, managed=self.settings.managed) for file in files}
        host = self._host
        env = variables.for_extension(self.settings, host.runtime_api, self.credentials_token, host.tmp)
        for file in files:
            path = Path("/opt/extensions") / file.name if self.settings.mount_opt else file
            try:
                if not os.access(file, os.X_OK) or not stat.S_ISREG(file.stat().st_mode):
                    raise PermissionError(f"{file} is not executable (PermissionDenied)")
                await self._start(file.name, [str(path)], env, Path("/"), "extension")
            except OSError as error:
                self.agents[file.name].state = "LaunchError"
                self.fail("Extension.LaunchError", str(error))
        if self.failure:
            raise self.failure

    async def start_runtime(self) -> None:
        """Start the function's runtime, in the function's folder."""
        task_root = self.settings.function.resolve()
        command, execution_env, framed = self._host.entrypoint
        env = variables.for_runtime(
            self.settings,
            self._host.runtime_api,
            self.credentials_token,
            self._host.tmp,
            self.instance_id,
            str(self._host.opt),
            execution_env,
        )
        try:
            managed = self.settings.managed
            log_socket = self._host.folder / "log.sock" if managed else None
            await self._start(
                RUNTIME, command, env, task_root, "function", framed=framed and not managed, log_socket=log_socket
            )
        except OSError as error:
            self.fail("Runtime.InvalidEntrypoint", str(error))
            raise self.failure or error from error

    async def _start(
        self,
        name: str,
        command: list[str],
        env: dict[str, str],
        cwd: Path,
        kind: Kind,
        *,
        framed: bool = False,
        log_socket: Path | None = None,
    ) -> None:
        sink = partial(self._printed, name, kind)
        env = {**env, **self._host.preload}
        opt = self._host.opt if self.settings.mount_opt else None
        enter = [limit.enter for limit in (self._host.limit, self._host.share) if limit]
        process = await processes.start(
            name, command, env, cwd, sink, framed=framed, log_socket=log_socket, enter=enter, opt=opt
        )
        self.processes[name] = process
        self.timeline.note("process.start", name=name, pid=process.pid)
        self._host.tasks.create_task(self._watch(process), name=f"watch {name}")

    def _printed(self, name: str, kind: Kind, printed: Printed) -> None:
        most, longest = KEPT[kind]
        lines = [line[:longest].decode("utf-8", "replace") for line in printed.messages[:most]]
        self.timeline.note("printed", name=name, count=len(printed.messages), lines=lines)
        self.telemetry.printed(kind, printed)

    async def _watch(self, process: Process) -> None:
        returncode = await process.exited()
        process.drain()
        self.timeline.note("process.exit", name=process.name, returncode=returncode, killed=process.killed)
        how = f"exit code {returncode}" if returncode >= 0 else f"signal {signal.Signals(-returncode).name}"
        agent = self.agents.get(process.name)
        if agent is None:
            self.runtime.unpark()
            message = f"the runtime ended with {how}"
            oom = returncode == -signal.SIGKILL and self._host.limit is not None and self._host.limit.out_of_memory()
            error_type = "Runtime.OutOfMemory" if oom else self.runtime.init_error_type or "Runtime.ExitError"
            self.fail(error_type, message)
        else:
            agent.unpark()
            told = {"InitError": "Extension.InitError", "ExitError": "Extension.ExitError"}.get(agent.state)
            self.fail(told or "Extension.Crash", f"extension {agent.name} ended with {how}")

    def running(self, name: str) -> bool:
        """Whether the process of that name is alive."""
        process = self.processes.get(name)
        return process is not None and process.returncode is None

    def freeze(self, *, frozen: bool) -> None:
        """Stop all processes, or let them go on; the Telemetry API and the network with them."""
        self.timeline.note("freeze" if frozen else "thaw")
        for process in self.processes.values():
            if process.returncode is None:
                process.signal_all(signal.SIGSTOP if frozen else signal.SIGCONT)
        self.telemetry.freeze(frozen=frozen)
        for proxy in self._host.network:
            proxy.freeze(frozen=frozen)

    async def stopped(self, limit_s: float) -> None:
        """Wait until the signal to stop has arrived in every process; TimeoutError."""
        async with asyncio.timeout(limit_s):
            while not all(process.stopped() for process in self.processes.values()):  # noqa: ASYNC110 - no event for it
                await asyncio.sleep(0.001)

    def drain(self) -> None:
        """Read all that has been printed up to now."""
        for process in self.processes.values():
            process.drain()

    async def close(self) -> None:
        """Kill whatever is left and let go of everything. Safe in any state."""
        self.stopping = True
        for process in self.processes.values():
            process.kill()
        async with asyncio.timeout(KILL_TIMEOUT_S):
            for process in self.processes.values():
                await process.exited()
        for process in self.processes.values():
            process.close()
        for agent in self.agents.values():
            agent.unpark()
        self.runtime.unpark()
        await self.telemetry.close()

"""Starts, freezes and ends the processes of an execution environment, each in a process group of its own."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from simulator.sandbox.output import Frames, Lines, LogSocket, Pipe

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from simulator.telemetry.records import Printed

PR_SET_PDEATHSIG = 1  # prctl(2)
CLONE_NEWNS, MS_BIND, MS_REC, MS_PRIVATE = 0x20000, 0x1000, 0x4000, 0x40000  # unshare(2), mount(2)
_libc = ctypes.CDLL(None, use_errno=True)


class Process:
    """One running process: `name`, `pid`, and `returncode` once it has exited (minus the signal that killed it)."""

    def __init__(self, name: str, child: asyncio.subprocess.Process, pipes: Sequence[Pipe | LogSocket]) -> None:
        self.name = name
        self.pid = child.pid
        self.killed = False
        self._child = child
        self._pipes = pipes

    @property
    def returncode(self) -> int | None:
        """None while it runs."""
        return self._child.returncode

    async def exited(self) -> int:
        """Wait for its end; the caller bounds the wait."""
        return await self._child.wait()

    def signal(self, number: int) -> None:
        """Send a signal to its whole group. A group that is gone is no error."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def signal_all(self, number: int) -> None:
        """Send a signal to its group, and to what left the group but descends from it."""
        strays = descendants(self.pid)
        self.signal(number)
        for pid in strays:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def stopped(self) -> bool:
        """Whether all its threads have come to a stop, or to their end."""
        if self.returncode is not None:
            return True
        with contextlib.suppress(ChildProcessError):
            return os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        return True

    def kill(self) -> None:
        """SIGKILL it with all that it has started."""
        self.killed = self.killed or self.returncode is None
        self.signal_all(signal.SIGKILL)

    def drain(self) -> None:
        """Read what it printed up to now."""
        for pipe in self._pipes:
            pipe.drain()

    def close(self) -> None:
        """Read the last of its output and close the pipes."""
        for pipe in self._pipes:
            pipe.close()


async def start(
    name: str,
    command: Sequence[str],
    env: Mapping[str, str],
    cwd: Path,
    sink: Callable[[Printed], None],
    *,
    framed: bool = False,
    log_socket: Path | None = None,
    enter: Sequence[Callable[[], None]] = (),
    opt: Path | None = None,
) -> Process:
    """Start `command` with exactly `env`; OSError where it cannot be executed.

    `enter` brings the process under the function's limits, between fork and exec.
    `framed` gives it a _LAMBDA_TELEMETRY_LOG_FD, `log_socket` what replaces that on Managed Instances; `opt` is bound
    over /opt for it alone.
    """
    output = Pipe(Lines(), sink)
    pipes: list[Pipe | LogSocket] = [output]
    inherited = []
    if framed:
        log = Pipe(Frames(), sink)
        pipes.append(log)
        inherited.append(log.writer)
        env = {**env, "_LAMBDA_TELEMETRY_LOG_FD": str(log.writer)}
    if log_socket:
        pipes.append(LogSocket(log_socket, sink))
        env = {**env, "_LAMBDA_TELEMETRY_LOG_FD_PROVIDER_SOCKET": str(log_socket)}

    def before_exec() -> None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # nothing outlives a simulator that was killed
        for limit in enter:
            limit()
        if opt:
            _bind_over_opt(opt)

    with contextlib.ExitStack() as unused:
        for pipe in pipes:
            unused.callback(pipe.close)
        try:
            child = await asyncio.create_subprocess_exec(
                *command,
                env=env,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output.writer,
                stderr=output.writer,
                pass_fds=inherited,
                process_group=0,
                preexec_fn=before_exec,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise OSError(f"{command[0]} cannot be started: {error}") from error
        unused.pop_all()
    for pipe in pipes:
        pipe.started()
    return Process(name, child, pipes)


def descendants(pid: int) -> list[int]:
    """All processes below `pid`, nearest first."""
    found = []
    waiting = [pid]
    while waiting:
        parent = waiting.pop()
        with contextlib.suppress(OSError):  # it may end meanwhile
            for children in Path(f"/proc/{parent}/task").glob("*/children"):
                below = [int(child) for child in children.read_text().split()]
                found += below
                waiting += below
    return found


def peak_memory_mb(pids: Sequence[int]) -> int:
    """The sum of the peak resident memory of processes and their descendants, in MiB."""
    total_kb = 0
    for pid in {below for leader in pids for below in [leader, *descendants(leader)]}:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    total_kb += int(line.split()[1])
    return (total_kb + 1023) // 1024


def _bind_over_opt(layer: Path) -> None:
    steps = (
        _libc.unshare(CLONE_NEWNS),
        _libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None),
        _libc.mount(os.fsencode(layer), b"/opt", None, MS_BIND | MS_REC, None),
    )
    if any(steps):
        raise OSError(ctypes.get_errno(), "the layer cannot be bound over /opt")

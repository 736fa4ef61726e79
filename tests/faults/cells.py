"""Runs one cell of the fault matrix: its sink, its environment or the copies of one, its invocations, its end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from simulator.environment import Environment
from simulator.faults import Faults
from simulator.sandbox.network import Proxy
from simulator.sandbox.snapshot import Snapshot
from tests.faults.matrix import DONE_BEFORE, FAILURE, FREEZES, KILLED, LATE, LOADS, OWN_IDS, SINKS, TIMEOUT
from tests.support.fault_server import Action, Answer, FaultServer, Request, refused_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.faults.matrix import Cell

NAME = "telemetry-forwarder"
FUNCTION = Path(__file__).parent / "function"
STOPPED_S = 1.6
LATE_S, LATE_LINES = (0.005, 0.03, 0.06), 20  # after SHUTDOWN
SILENCE_S = 0.2  # before that SHUTDOWN


class Event(NamedTuple):
    """What one invocation is to do."""

    number: int
    lines: int
    end: str = "return"


class Sink:
    """The destination of a cell; it knows which requests it took, that is, answered as if all was well."""

    def __init__(self, cell: Cell) -> None:
        self.taken: list[Request] = []
        self.taken_by_end: list[int] = []  # how many of them when each invocation was over
        self.stop_pid = 0  # to be stopped in the middle of the next request
        self._name, self._action = cell.sink, SINKS[cell.sink]

    @contextlib.contextmanager
    def open(self) -> Iterator[str]:
        """Serve; the sink URL."""
        if self._name == "refused":
            yield f"http://127.0.0.1:{refused_port()}/"
        elif self._name == "hangs":
            with socket.socket() as deaf:  # connections are made by the kernel; nobody accepts them
                deaf.bind(("127.0.0.1", 0))
                deaf.listen(64)
                yield f"http://127.0.0.1:{deaf.getsockname()[1]}/"
        else:
            with FaultServer(self._choose) as server:
                yield f"{server.url}/"

    def _choose(self, request: Request) -> Action:
        if self.stop_pid:
            pid, self.stop_pid = self.stop_pid, 0
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
            threading.Timer(STOPPED_S, _go_on, (pid,)).start()
        assert self._action is not None
        if isinstance(self._action, Answer) and self._action.status == 200:
            self.taken.append(request)
        return self._action

    def lines(self) -> list[dict[str, Any]]:
        """All records of the requests that were taken."""
        return [json.loads(line) for request in self.taken for line in request.text.splitlines()]


def _go_on(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


def events(cell: Cell) -> list[Event]:
    """The invocations of a cell; the last of them ends as the cell says."""
    made = [Event(number, lines) for number, lines in enumerate(LOADS[cell.load], 1)]
    if made and cell.ending in {TIMEOUT, FAILURE}:
        made[-1] = made[-1]._replace(end=cell.ending)
    if made and cell.ending == KILLED:
        made.append(Event(len(made) + 1, 5))
    return made


class Run:
    """One cell on its way: what is planned, then what came out, which promises.py looks at."""

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.freeze = FREEZES[cell.freeze]
        self.events = events(cell)
        self.killed = len(self.events) - 1 if self.events and cell.ending == KILLED else 0  # in this invocation
        self.vanishes = not self.events and cell.ending == KILLED
        self.sink = Sink(cell)
        self.snapshot = Snapshot() if self.freeze.copies > 1 else None
        self.environments: list[Environment] = []


async def run(cell: Cell, layer: Path) -> Run:
    """Run one cell: the environment, or each copy of it, from init to SHUTDOWN."""
    done = Run(cell)
    async with contextlib.AsyncExitStack() as stack:
        url = stack.enter_context(done.sink.open())
        network: tuple[Proxy, ...] = ()
        if done.freeze.peer:
            proxy = Proxy("127.0.0.1", urlsplit(url).port or 0, done.freeze.peer)
            network = (await stack.enter_async_context(proxy),)
            url = f"http://{proxy.host}/"
        for _ in range(done.freeze.copies):
            temporary = stack.enter_context(tempfile.TemporaryDirectory(prefix="cell-"))
            environment = Environment(
                layer=layer,
                function=FUNCTION,
                env={"FORWARDER_SINKS": url, "TMPDIR": temporary},
                timeout_s=10.0 if cell.load == "100000 lines" else 3.0,
                freeze=done.freeze.happens,
                faults=_faults(done),
                network=network,
                init_type="snap-start" if done.snapshot else "on-demand",
                snapshot=done.snapshot,
            )
            done.environments.append(environment)
            async with environment:
                await _drive(environment, done)
    return done


def _faults(run: Run) -> Faults:
    late = run.cell.after_shutdown == LATE
    return Faults(
        clock_jump_s=run.freeze.jump_s,
        freeze_clocks=run.freeze.clocks,
        kill_extension=(run.killed,) if run.killed else (),
        vanish=run.vanishes,
        invoke_after_done=tuple(range(2, len(run.events) + 1, 2)) if run.cell.ids == DONE_BEFORE else (),
        silence_s=SILENCE_S if late else 0.0,
        after_shutdown_s=LATE_S if late else (),
        after_shutdown=LATE_LINES,
    )


async def _drive(environment: Environment, run: Run) -> None:
    if not run.events:
        await (environment.restore() if run.snapshot else environment.init())
    for event in run.events:
        run.sink.stop_pid = 0  # a stop at SHUTDOWN would use up its deadline
        if event.number == len(run.events) // 2 + 1:
            await asyncio.sleep(run.freeze.pause_s)
            run.sink.stop_pid = _pid(environment) if run.freeze.in_a_send else 0
        again = environment.invocations[-1].request_id if run.cell.ids != OWN_IDS and event.number % 2 == 0 else None
        await environment.invoke(event._asdict(), request_id=again)
        run.sink.taken_by_end.append(len(run.sink.taken))
    if run.cell.ending in {TIMEOUT, FAILURE} and not run.events:
        await environment.shutdown(run.cell.ending)


def _pid(environment: Environment) -> int:
    """The forwarder's process id in its present life; 0 where it has none."""
    started = [moment.details for moment in environment.timeline.named("process.start")]
    return next((details["pid"] for details in reversed(started) if details["name"] == NAME), 0)

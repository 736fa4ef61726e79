"""The fault matrix: the frozen layer in the simulator, in every combination of sink, load, freeze and ending.

Request ids that come twice and lines after SHUTDOWN are dimensions, too, of which every pair is covered. `python -m
tests.faults` runs all this and writes docs/faults.md; test_matrix.py runs a pairwise cover of everything.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
import socket
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from simulator.environment import Environment
from simulator.faults import Faults
from tests.support.fault_server import OK, Action, Answer, FaultServer, Hang, Request, Reset, refused_port
from tests.support.pairwise import cover

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from simulator.invocation import Invocation

NAME = "telemetry-forwarder"
FUNCTION = Path(__file__).parent / "function"
TAIL_S, TAIL_SHARE = 2.0, 0.5  # extension/policy.py promises them
SLACK_S = 0.7  # for a machine of two cores that runs other cells as well
BURST_S = 2.0  # where 100,000 lines have to be read before runtimeDone is
GAVE_UP_S = 6.0  # a second more than one attempt lasts

SINKS: dict[str, Action | None] = {
    "ok": OK,
    "refused": None,
    "hangs": None,
    "500": Answer(500),
    "429": Answer(429, {"Retry-After": "1"}),
    "reset": Reset(),
    "no answer": Hang(),
    "1 byte/s": Answer(200, {}, b"{}" * 20, byte_s=1.0),
    "too late": Answer(200, after_s=GAVE_UP_S),
}
LOADS = ("3 invocations", "300 invocations", "100000 lines", "none")
FREEZES = ("no freeze", "1 s freeze", "20 min jump", "stopped in a send")
ENDINGS = ("spindown", "timeout", "failure", "SIGKILL and restart")
IDS = ("own ids", "retries", "retries done before INVOKE")
LATE = ("quiet SHUTDOWN", "lines after SHUTDOWN")
LATE_S, LATE_LINES = (0.005, 0.03, 0.06), 20
SILENCE_S = 0.2  # before that SHUTDOWN


class Cell(NamedTuple):
    """One combination."""

    sink: str
    load: str
    freeze: str
    ending: str
    ids: str = IDS[0]
    late: str = LATE[0]


class Event(NamedTuple):
    """What one invocation is to do."""

    number: int
    lines: int
    end: str = "return"


CELLS = [Cell(*cell) for cell in itertools.product(SINKS, LOADS, FREEZES, ENDINGS)]
WORLD = [cell._replace(ids=ids, late=late) for cell in CELLS for ids in IDS for late in LATE]
# Lines after SHUTDOWN are lost where all is well and the forwarder leaves early, which pairs alone would hardly meet.
AIMED = [
    Cell("ok", load, "no freeze", ending, late=LATE[1]) for load in ("3 invocations", "none") for ending in ENDINGS
]
COVER = cover(WORLD) + AIMED


def known(cell: Cell) -> str:
    """Why a cell fails today; empty for one that must not."""
    repeated = cell.ids != IDS[0] and cell.load == "300 invocations"  # the last of three is no retry
    report_awaited = cell.load != "none" and cell.ending in {"timeout", "failure"} and not repeated
    told = cell.load != "none" or cell.ending != "SIGKILL and restart"
    if cell.late == LATE[1] and cell.sink == "ok" and told and not report_awaited:
        return "SHUTDOWN: silence is counted from the last data, so that it has lasted long enough already"
    return ""


class Sink:
    """The destination of a cell; it knows which requests it took, that is, answered as if all was well."""

    def __init__(self, cell: Cell) -> None:
        self.taken: list[Request] = []
        self.stop_pid = 0  # to be stopped in the middle of the next request
        self._action = SINKS[cell.sink]

    @contextlib.contextmanager
    def open(self, cell: Cell) -> Iterator[str]:
        """Serve; the sink URL."""
        if cell.sink == "refused":
            yield f"http://127.0.0.1:{refused_port()}/"
        elif cell.sink == "hangs":
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
            threading.Timer(1.6, _go_on, (pid,)).start()
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
    counts = {"3 invocations": [5] * 3, "300 invocations": [1] * 300, "100000 lines": [5, 100_000, 5], "none": []}
    made = [Event(number, lines) for number, lines in enumerate(counts[cell.load], 1)]
    if made and cell.ending in {"timeout", "failure"}:
        made[-1] = made[-1]._replace(end=cell.ending)
    if made and cell.ending == "SIGKILL and restart":
        made.append(Event(len(made) + 1, 5))
    return made


async def run(cell: Cell, layer: Path) -> list[str]:
    """Run one cell; what was not as promised."""
    planned = events(cell)
    killed = len(planned) - 1 if planned and cell.ending == "SIGKILL and restart" else 0
    faults = Faults(
        clock_jump_s=1200.0 if cell.freeze == "20 min jump" else 0.0,
        kill_extension=(killed,) if killed else (),
        vanish=cell.ending == "SIGKILL and restart" and not planned,
        invoke_after_done=tuple(range(2, len(planned) + 1, 2)) if cell.ids == IDS[2] else (),
        silence_s=SILENCE_S if cell.late == LATE[1] else 0.0,
        after_shutdown_s=LATE_S if cell.late == LATE[1] else (),
        after_shutdown=LATE_LINES,
    )
    sink = Sink(cell)
    with tempfile.TemporaryDirectory(prefix="cell-") as temporary, sink.open(cell) as url:
        environment = Environment(
            layer=layer,
            function=FUNCTION,
            env={"FORWARDER_SINKS": url, "TMPDIR": temporary},
            timeout_s=15.0 if cell.load == "100000 lines" else 3.0,
            freeze=cell.freeze != "no freeze",
            faults=faults,
        )
        async with environment:
            invocations = await _drive(environment, cell, planned, sink)
    problems = _check_invocations(planned, invocations, killed)
    problems += _check_tails(environment, killed, burst=cell.load == "100000 lines")
    problems += check_ends(environment, killed)
    problems += _check_late(environment, killed)
    return problems + _check_ledgers(environment, sink, killed=bool(killed) or faults.vanish)


async def _drive(environment: Environment, cell: Cell, planned: Sequence[Event], sink: Sink) -> list[Invocation]:
    done: list[Invocation] = []
    if not planned:
        await environment.init()
    for event in planned:
        sink.stop_pid = 0  # a stop at SHUTDOWN would use up its deadline
        if cell.freeze == "stopped in a send" and event.number == len(planned) // 2 + 1:
            pids = [moment.details["pid"] for moment in environment.timeline.named("process.start")]
            names = [moment.details["name"] for moment in environment.timeline.named("process.start")]
            sink.stop_pid = next((pid for pid, name in zip(pids[::-1], names[::-1], strict=True) if name == NAME), 0)
        if cell.freeze == "1 s freeze" and event.number == len(planned) // 2 + 1:
            await asyncio.sleep(1.0)
        again = done[-1].request_id if cell.ids != IDS[0] and event.number % 2 == 0 else None
        done.append(await environment.invoke(event._asdict(), request_id=again))
    if cell.ending in {"timeout", "failure"} and not planned:
        await environment.shutdown(cell.ending)
    return done


def _check_invocations(planned: Sequence[Event], done: Sequence[Invocation], killed: int) -> list[str]:
    """No invocation fails but those that were made to."""
    expected = {"return": "success", "timeout": "timeout", "failure": "error"}
    return [
        f"invocation {event.number} ended in {invocation.status} {invocation.error_type}"
        for event, invocation in zip(planned, done, strict=True)
        if event.number != killed and invocation.status != expected[event.end]
    ]


def _check_tails(environment: Environment, killed: int, *, burst: bool) -> list[str]:
    """No invocation is held longer after its runtime was done than policy.py promises."""
    problems, done_at, number = [], 0.0, 0
    for moment in environment.timeline:
        if moment.what == "invoke":
            number += 1
            done_at = 0.0
        elif moment.what == "platform.runtimeDone":
            done_at = moment.at
        elif moment.what == "extension.next" and done_at and number != killed:
            slack_s = BURST_S if burst else SLACK_S
            if moment.at - done_at > min(TAIL_S, environment.settings.timeout_s * TAIL_SHARE) + slack_s:
                problems.append(f"invocation {number} was held for {moment.at - done_at:.2f} s")
            done_at = 0.0
    return problems


def check_ends(environment: Environment, killed: int = 0) -> list[str]:
    """Each SHUTDOWN ends with status 0 before its deadline."""
    ends = [(shutdown.reason, shutdown.extensions.get(NAME)) for shutdown in environment.shutdowns]
    lives = ends[1:] if killed else ends  # the first life was ended by us
    return [f"SHUTDOWN for {reason}: {end}" for reason, end in lives if end and (end.killed or end.returncode != 0)]


def _check_late(environment: Environment, killed: int) -> list[str]:
    """Whoever gets SHUTDOWN is still there for the lines that come soon after it."""
    faults = environment.settings.faults
    ends = len(environment.shutdowns[1:] if killed else environment.shutdowns)
    wanted = ends * len(faults.after_shutdown_s) * faults.after_shutdown
    taken = sum(b"s after SHUTDOWN, line" in line for line in environment.sent.get(NAME, []))
    return [f"{taken} of {wanted} lines after SHUTDOWN were taken"] if taken != wanted else []


def _check_ledgers(environment: Environment, sink: Sink, *, killed: bool) -> list[str]:
    """Every record is delivered, dropped and counted, or pending; what is said to be delivered is there."""
    problems = []
    ledgers = last_ledgers(environment)
    delivered = ended = came = 0
    for ledger in ledgers:
        [account] = ledger["sinks"].values()
        came_here = (
            ledger["received"] + ledger["added"] + account["restored"] - ledger["filtered"] - account["excluded"]
        )
        ended_here = account["delivered"] + account["fellBack"] + sum(account["dropped"].values()) + account["pending"]
        if came_here != ended_here:
            problems.append(f"ledger does not balance: {came_here} came, {ended_here} ended: {ledger}")
        if ledger["broken"]:
            problems.append(f"lines were broken on their way: {ledger['broken']}")
        delivered += account["delivered"]
        came += came_here
        ended += ended_here
    lines = sink.lines()
    by_id = {line["lambda"]["id"]: line for line in lines}
    if len(by_id) < delivered:
        problems.append(f"{delivered} said to be delivered, {len(by_id)} at the sink")
    if any(by_id[line["lambda"]["id"]] != line for line in lines):
        problems.append("two different records have the same id")
    # Of the last ledger line, which comes back as a record of its own, it depends on the machine whether it is sent.
    sent = len([line for line in environment.sent.get(NAME, []) if b'\\"message\\":\\"ledger\\"' not in line])
    received = sum(ledger["received"] for ledger in ledgers)
    if not killed and received < sent:  # more: a batch that the environment's end cut short does not count as sent
        problems.append(f"{sent} records sent, {received} received")
    return problems


def last_ledgers(environment: Environment) -> list[dict[str, Any]]:
    """The last ledger of each life."""
    printed = [line for moment in environment.timeline.named("printed") for line in moment.details["lines"]]
    lines = [json.loads(line) for line in printed if line.startswith('{"forwarder":true')]
    return [line for line in lines if line["message"] == "ledger"]

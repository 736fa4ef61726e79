"""The fault matrix: the frozen layer in the simulator, with combinations of sink, load, freeze and ending.

`python -m tests.faults` runs all cells and writes docs/faults.md; test_matrix.py runs a pairwise cover. Plain freezes
are combined with everything else in every way, odd ones so that every two values meet.
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
from urllib.parse import urlsplit

from simulator.environment import Environment
from simulator.faults import Faults, FreezeClocks
from simulator.network import Peer, Proxy
from simulator.snapshot import Snapshot
from tests.faults.pairwise import cover
from tests.faults.server import OK, Action, Answer, FaultServer, Hang, Request, Reset, refused_port

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


class Freeze(NamedTuple):
    """What freezes are like: in each, time jumps by `jump_s`; before the middle invocation one lasts for `pause_s`.

    `clocks` go on, the others stand still. With `peer`, the network freezes as well, and the sink's side of it does so.
    """

    jump_s: float = 0.0
    pause_s: float = 0.0
    clocks: FreezeClocks = "both"
    peer: Peer | None = None


COPIES = "two copies"
PLAIN: dict[str, Freeze] = {
    "no freeze": Freeze(),
    "1 s freeze": Freeze(pause_s=1.0),
    "20 min jump": Freeze(jump_s=1200.0),
    "stopped in a send": Freeze(),
}
FREEZES: dict[str, Freeze] = PLAIN | {
    "20 min, wall clock": Freeze(jump_s=1200.0, clocks="wall"),
    "20 min, monotonic": Freeze(jump_s=1200.0, clocks="monotonic"),
    "1 s, no clock": Freeze(pause_s=1.0, clocks="neither"),
    "network, peer answers": Freeze(pause_s=1.0, peer="answers"),
    "network, peer closes": Freeze(pause_s=1.0, peer="closes"),
    "network, peer resets": Freeze(pause_s=1.0, peer="resets"),
    "network, peer vanishes": Freeze(pause_s=1.0, peer="vanishes"),
    COPIES: Freeze(),
}
ENDINGS = ("spindown", "timeout", "failure", "SIGKILL and restart")


class Cell(NamedTuple):
    """One combination."""

    sink: str
    load: str
    freeze: str
    ending: str


class Event(NamedTuple):
    """What one invocation is to do."""

    number: int
    lines: int
    end: str = "return"


ODD = [freeze for freeze in FREEZES if freeze not in PLAIN]
TELLING = [Cell("ok", "300 invocations", freeze, "spindown") for freeze in ODD]  # the sink works, and much goes on
OTHERS = cover([Cell(*cell) for cell in itertools.product(SINKS, LOADS, ODD, ENDINGS)], TELLING)
CELLS = [Cell(*cell) for cell in itertools.product(SINKS, LOADS, PLAIN, ENDINGS)] + OTHERS


_LAG = "SHUTDOWN's deadline is believed although the wall clock stood still in a freeze"
_RHYTHM = "the rhythm of invocations comes from the monotonic clock alone"
_COPY = "copies of a snapshot share their identity"
KNOWN = {
    Cell("ok", "300 invocations", "20 min, wall clock", "spindown"): _RHYTHM,
    Cell("hangs", "100000 lines", "1 s, no clock", "timeout"): _LAG,
    Cell("500", "3 invocations", "1 s, no clock", "failure"): _LAG,
    Cell("429", "3 invocations", "1 s, no clock", "spindown"): _LAG,
    Cell("reset", "3 invocations", "1 s, no clock", "spindown"): _LAG,
    Cell("no answer", "3 invocations", "1 s, no clock", "spindown"): _LAG,
    Cell("too late", "3 invocations", "1 s, no clock", "spindown"): _LAG,
    Cell("ok", "300 invocations", COPIES, "spindown"): _COPY,
    Cell("1 byte/s", "none", COPIES, "failure"): _COPY,
    Cell("too late", "3 invocations", COPIES, "SIGKILL and restart"): _COPY,
}  # cells that fail, and why; one of them that passes is a mistake here


class Sink:
    """The destination of a cell; it knows which requests it took, that is, answered as if all was well."""

    def __init__(self, cell: Cell) -> None:
        self.taken: list[Request] = []
        self.arrived: list[int] = []  # how many of them by the end of each invocation
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
    snapshot = Snapshot() if cell.freeze == COPIES else None
    sink = Sink(cell)
    problems: list[str] = []
    environments = []
    async with contextlib.AsyncExitStack() as stack:
        url = stack.enter_context(sink.open(cell))
        proxy = Proxy("127.0.0.1", urlsplit(url).port or 0, FREEZES[cell.freeze].peer or "answers")
        if FREEZES[cell.freeze].peer:
            await stack.enter_async_context(proxy)
            url = f"http://{proxy.host}/"
        for _ in range(2 if snapshot else 1):
            temporary = stack.enter_context(tempfile.TemporaryDirectory(prefix="cell-"))
            environment = Environment(
                layer=layer,
                function=FUNCTION,
                env={"FORWARDER_SINKS": url, "TMPDIR": temporary},
                timeout_s=15.0 if cell.load == "100000 lines" else 3.0,
                freeze=cell.freeze != "no freeze",
                faults=_faults(cell, killed),
                network=(proxy,) if proxy.host else (),
                init_type="snap-start" if snapshot else "on-demand",
                snapshot=snapshot,
            )
            environments.append(environment)
            async with environment:
                invocations = await _drive(environment, cell, planned, sink)
            problems += _check_invocations(planned, invocations, killed)
            problems += _check_tails(environment, killed, burst=cell.load == "100000 lines")
            problems += _check_ends(environment, killed)
    problems += _check_late(cell, planned, killed, sink)
    unknown = bool(killed) or (not planned and cell.ending == "SIGKILL and restart")
    return problems + _check_ledgers(environments, sink, snapshot, killed=unknown)


def _faults(cell: Cell, killed: int) -> Faults:
    freeze = FREEZES[cell.freeze]
    return Faults(
        clock_jump_s=freeze.jump_s,
        freeze_clocks=freeze.clocks,
        kill_extension=(killed,) if killed else (),
        vanish=cell.ending == "SIGKILL and restart" and not events(cell),
    )


async def _drive(environment: Environment, cell: Cell, planned: Sequence[Event], sink: Sink) -> list[Invocation]:
    done = []
    if not planned:
        await (environment.restore() if cell.freeze == COPIES else environment.init())
    for event in planned:
        sink.stop_pid = 0  # a stop at SHUTDOWN would use up its deadline
        if cell.freeze == "stopped in a send" and event.number == len(planned) // 2 + 1:
            pids = [moment.details["pid"] for moment in environment.timeline.named("process.start")]
            names = [moment.details["name"] for moment in environment.timeline.named("process.start")]
            sink.stop_pid = next((pid for pid, name in zip(pids[::-1], names[::-1], strict=True) if name == NAME), 0)
        if event.number == len(planned) // 2 + 1:
            await asyncio.sleep(FREEZES[cell.freeze].pause_s)
        done.append(await environment.invoke(event._asdict()))
        sink.arrived.append(len(sink.taken))
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


def _check_ends(environment: Environment, killed: int) -> list[str]:
    """Each SHUTDOWN ends with status 0 before its deadline."""
    ends = [(shutdown.reason, shutdown.extensions.get(NAME)) for shutdown in environment.shutdowns]
    lives = ends[1:] if killed else ends  # the first life was ended by us
    return [f"SHUTDOWN for {reason}: {end}" for reason, end in lives if end and (end.killed or end.returncode != 0)]


def _check_late(cell: Cell, planned: Sequence[Event], killed: int, sink: Sink) -> list[str]:
    """What an invocation printed has left before a freeze of 20 min by any clock, where the sink takes it."""
    if not FREEZES[cell.freeze].jump_s or cell.sink != "ok" or cell.load == "100000 lines":
        return []
    late = []
    for event, arrived in zip(planned, sink.arrived, strict=True):
        lines = b"".join(request.text for request in sink.taken[:arrived])
        if event.number != killed and event.end == "return" and b'"line %d-0' % event.number not in lines:
            late.append(event.number)
    return [f"{len(late)} invocations, from number {late[0]} on, froze before their records had left"] if late else []


def _check_ledgers(
    environments: Sequence[Environment], sink: Sink, snapshot: Snapshot | None, *, killed: bool
) -> list[str]:
    """Every record is delivered, dropped and counted, or pending; what is said to be delivered is there."""
    problems = []
    ledgers = [ledger for environment in environments for ledger in _ledgers(environment)]
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
    again = len(snapshot.records) if snapshot else 0  # the second copy delivers the same ones of init, as it should
    if len(by_id) + again < delivered:
        problems.append(f"{delivered} said to be delivered, {len(by_id)} at the sink")
    if any(by_id[line["lambda"]["id"]] != line for line in lines):
        problems.append("two different records have the same id")
    # Of the forwarder's own log it depends on the machine how much comes back to it; that is what it filters here.
    lines_sent = [line for environment in environments for line in environment.sent.get(NAME, [])]
    sent = len([line for line in lines_sent if b'"{\\"forwarder\\":true' not in line])
    received = sum(ledger["received"] - ledger["filtered"] for ledger in ledgers)
    if not killed and received < sent:  # more: a batch that the environment's end cut short does not count as sent
        problems.append(f"{sent} records sent, {received} received")
    return problems


def _ledgers(environment: Environment) -> list[dict[str, Any]]:
    """The last ledger of each life."""
    printed = [line for moment in environment.timeline.named("printed") for line in moment.details["lines"]]
    lines = [json.loads(line) for line in printed if line.startswith('{"forwarder":true')]
    return [line for line in lines if line["message"] == "ledger"]

"""The fault matrix: the values of its dimensions, and which combinations of them are run.

cells.py runs one, promises.py says what must be true of each, known.py which are known to fail. `make faults` runs them
all (CELLS and COVER, with the bursts of bursts.py) and writes docs/faults.md; `make test` runs QUICK.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple

from tests.support.fault_server import OK, Answer, Hang, Reset
from tests.support.pairwise import cover

if TYPE_CHECKING:
    from simulator.faults import FreezeClocks
    from simulator.sandbox.network import Peer
    from tests.support.fault_server import Action

GAVE_UP_S = 6.0  # a second more than one attempt lasts


class Freeze(NamedTuple):
    """What freezes are like: each moves the clocks by `jump_s`; the one before the middle invocation lasts `pause_s`.

    `clocks` go on meanwhile, the others stand still. With `peer` the network freezes too, and that is what the sink's
    side of it does. `in_a_send`: and SIGSTOP while a request is under way. `copies` are restored from one snapshot.
    """

    happens: bool = True
    jump_s: float = 0.0
    pause_s: float = 0.0
    clocks: FreezeClocks = "both"
    peer: Peer | None = None
    in_a_send: bool = False
    copies: int = 1


SINKS: dict[str, Action | None] = {
    "ok": OK,
    "HTTP/1.0": Answer(raw=b"HTTP/1.0 200 OK\r\n\r\n{}", close=True),
    "103, close": Answer(raw=b"HTTP/1.1 103 A\r\n\r\nHTTP/1.1 200 B\r\nConnection: close\r\n\r\n{}", close=True),
    "refused": None,  # nobody listens
    "hangs": None,  # nobody accepts
    "500": Answer(500),
    "429": Answer(429, {"Retry-After": "1"}),
    "reset": Reset(),
    "no answer": Hang(),
    "1 byte/s": Answer(200, {}, b"{}" * 20, byte_s=1.0),
    "too late": Answer(200, after_s=GAVE_UP_S),
}
PROMPT = ("ok", "HTTP/1.0", "103, close")  # they take each batch at once: none is to come again and again
LOADS = {  # lines that each invocation prints
    "3 invocations": [5] * 3,
    "300 invocations": [1] * 300,
    "100000 lines": [5, 100_000, 5],
    "none": [],
}
COMMON_FREEZES = {
    "no freeze": Freeze(happens=False),
    "1 s freeze": Freeze(pause_s=1.0),
    "20 min jump": Freeze(jump_s=1200.0),
    "stopped in a send": Freeze(in_a_send=True),
}
ODD_FREEZES = {
    "20 min, wall clock": Freeze(jump_s=1200.0, clocks="wall"),
    "20 min, monotonic": Freeze(jump_s=1200.0, clocks="monotonic"),
    "1 s, no clock": Freeze(pause_s=1.0, clocks="neither"),
    "network, peer answers": Freeze(pause_s=1.0, peer="answers"),
    "network, peer closes": Freeze(pause_s=1.0, peer="closes"),
    "network, peer resets": Freeze(pause_s=1.0, peer="resets"),
    "network, peer vanishes": Freeze(pause_s=1.0, peer="vanishes"),
    "two copies": Freeze(copies=2),
}
FREEZES = COMMON_FREEZES | ODD_FREEZES
SPINDOWN, TIMEOUT, FAILURE, KILLED = ENDINGS = ("spindown", "timeout", "failure", "SIGKILL and restart")
OWN_IDS, RETRIES, DONE_BEFORE = IDS = ("own ids", "retries", "retries done before INVOKE")
QUIET, LATE = AFTER_SHUTDOWN = ("quiet SHUTDOWN", "lines after SHUTDOWN")


class Cell(NamedTuple):
    """One combination."""

    sink: str
    load: str
    freeze: str
    ending: str
    ids: str = OWN_IDS
    after_shutdown: str = QUIET


CELLS = [Cell(*cell) for cell in itertools.product(SINKS, LOADS, COMMON_FREEZES, ENDINGS)]
WORLD = [Cell(*cell) for cell in itertools.product(SINKS, LOADS, FREEZES, ENDINGS, IDS, AFTER_SHUTDOWN)]
# What shows only where all else is well, which pairs alone would hardly meet.
AIMED = [Cell("ok", "300 invocations", freeze, SPINDOWN) for freeze in ODD_FREEZES]
AIMED += [Cell("ok", load, "no freeze", SPINDOWN, after_shutdown=LATE) for load in ("3 invocations", "none")]
COVER = cover(WORLD, AIMED)  # every pair of values
QUICK = COVER[:58]  # every pair but some of a sink with a freeze

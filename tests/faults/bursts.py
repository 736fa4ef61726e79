"""Bursts of short lines on live sinks: a platform that drops nothing, and nothing is lost.

The simulated platform holds back what is not read, so that what is missing at a sink was lost by the forwarder.
"""

from __future__ import annotations

import itertools
import re
import tempfile
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

from simulator.environment import Environment
from simulator.faults import Faults
from tests.faults.cells import FUNCTION, NAME, Event
from tests.faults.promises import ends, last_ledgers
from tests.support.fault_server import Answer, FaultServer
from tests.support.pairwise import cover

if TYPE_CHECKING:
    from pathlib import Path

LINES = ("10000 lines", "200000 lines")
SIZES = ("1 byte", "40 bytes", "100 bytes")
SINKS = ("1 sink", "2 sinks", "3 sinks", "4 sinks")
ANSWERS = ("0 ms", "20 ms", "200 ms")
FIRST_S = 1.0  # the first answer takes longer, so that on no machine the whole burst is sent as fast as it comes
QUEUE_BYTES = 2 << 20  # the smallest burst is more than twice as much in memory
TIMEOUT_S = 300.0  # 200,000 lines to sinks of 200 ms take 120 s with so little memory
MOST_INVOCATIONS = 20  # after the burst, to bring away what was kept
HELD_BACK_BYTES = 256 << 20
FUNCTION_RECORD = re.compile(rb'^\{"time":"[^"]*","type":"function",.*"id":"([^"]*)"', re.MULTILINE)


class Burst(NamedTuple):
    """One combination: how many lines, of what size, to how many sinks, which take how long to answer."""

    lines: str
    size: str
    sinks: str
    answer: str


BURSTS = cover([Burst(*burst) for burst in itertools.product(LINES, SIZES, SINKS, ANSWERS)])


async def run(burst: Burst, layer: Path) -> list[str]:
    """Send one burst; what was not as promised."""
    lines, size, sinks, answer_ms = (int(word.partition(" ")[0]) for word in burst)
    slow = [FaultServer([Answer(after_s=FIRST_S)], Answer(after_s=answer_ms / 1000)) for _ in range(sinks)]
    with tempfile.TemporaryDirectory(prefix="burst-") as temporary, ExitStack() as stack:
        servers = [stack.enter_context(server) for server in slow]
        urls = [f"{server.url}/" for server in servers]
        environment = Environment(
            layer=layer,
            function=FUNCTION,
            env={
                "FORWARDER_SINKS": " ".join(urls),
                "FORWARDER_FLUSH": "invocation",
                "FORWARDER_QUEUE_BYTES": str(QUEUE_BYTES),
                "TMPDIR": temporary,
            },
            timeout_s=TIMEOUT_S,
            faults=Faults(burst=lines, burst_bytes=size, burst_in=(1,), hold_back_bytes=HELD_BACK_BYTES),
        )
        async with environment:
            for number in range(1, MOST_INVOCATIONS + 1):
                await environment.invoke(Event(number, 0)._asdict())
                if all(_taken(server) == lines for server in servers):
                    break
    found = [f"invocation ended in {done.status}" for done in environment.invocations if done.status != "success"]
    found += ends(environment)
    found += [f"{_taken(server)} of {lines} lines at {server.url}" for server in servers if _taken(server) != lines]
    return found + _check_losses(environment, lines)


def _taken(server: FaultServer) -> int:
    """How many different function records a sink took."""
    return len({identity for request in list(server.requests) for identity in FUNCTION_RECORD.findall(request.text)})


def _check_losses(environment: Environment, lines: int) -> list[str]:
    """The platform lost nothing, and the ledger knows of no loss."""
    sent = sum(b'"type":"function"' in line for line in environment.sent[NAME])
    problems = [f"the simulated platform sent {sent} of {lines} lines"] if sent != lines else []
    for ledger in last_ledgers(environment):
        found = {name: ledger[name] for name in ("platformDropped", "unreadBytes")}
        for account in ledger["sinks"].values():
            found |= account["dropped"] | {"pending": account["pending"]}
            if any(found.values()):
                problems.append(f"the ledger tells of losses: {found}")
    return problems

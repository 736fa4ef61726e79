"""What is promised in each cell of the fault matrix: each check gives what was not as promised, in words."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from tests.faults.cells import NAME, STOPPED_S
from tests.faults.matrix import PROMPT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulator.environment import Environment
    from tests.faults.cells import Run

TAIL_S, TAIL_SHARE = 2.0, 0.5  # extension/policy.py promises them
SLACK_S = 0.7  # for a machine of two cores that runs other cells as well
MOST_TIMES = 3
BURST_S = 4.0  # where 100,000 lines have to be read before runtimeDone is, and reading waits up to 2 s for a sink


def broken(run: Run) -> list[str]:
    """All that was not as promised."""
    found = []
    for environment in run.environments:
        found += [*_failed(environment, run), *_held(environment, run), *ends(environment, run.killed)]
        found += _late_lines_lost(environment, run.killed)
    return [*found, *_frozen_unsent(run), *_sent_again(run), *_miscounted(run)]


def _failed(environment: Environment, run: Run) -> Iterator[str]:
    """No invocation fails but those that were made to."""
    expected = {"return": "success", "timeout": "timeout", "failure": "error"}
    for event, invocation in zip(run.events, environment.invocations, strict=True):
        if event.number != run.killed and invocation.status != expected[event.end]:
            yield f"invocation {event.number} ended in {invocation.status} {invocation.error_type}"


def _held(environment: Environment, run: Run) -> Iterator[str]:
    """No invocation is held longer after its runtime was done than policy.py promises."""
    longest_s = min(TAIL_S, environment.settings.timeout_s * TAIL_SHARE)
    longest_s += BURST_S if run.cell.load == "100000 lines" else SLACK_S
    longest_s += STOPPED_S if run.freeze.in_a_send else 0.0
    done_at, number = 0.0, 0
    for moment in environment.timeline:
        if moment.what == "invoke":
            number += 1
            done_at = 0.0
        elif moment.what == "platform.runtimeDone":
            done_at = moment.at
        elif moment.what == "extension.next" and done_at and number != run.killed:
            if moment.at - done_at > longest_s:
                yield f"invocation {number} was held for {moment.at - done_at:.2f} s"
            done_at = 0.0


def ends(environment: Environment, killed: int = 0) -> Iterator[str]:
    """Each SHUTDOWN ends with status 0 before its deadline."""
    for shutdown in environment.shutdowns[1:] if killed else environment.shutdowns:  # the first life was ended by us
        end = shutdown.extensions.get(NAME)
        if end and (end.killed or end.returncode != 0):
            yield f"SHUTDOWN for {shutdown.reason}: {end}"


def _late_lines_lost(environment: Environment, killed: int) -> Iterator[str]:
    """Whoever gets SHUTDOWN is still there for the lines that come soon after it."""
    faults = environment.settings.faults
    told = len(environment.shutdowns[1:] if killed else environment.shutdowns)
    wanted = told * len(faults.after_shutdown_s) * faults.after_shutdown
    taken = sum(b"s after SHUTDOWN, line" in line for line in environment.sent.get(NAME, []))
    if taken != wanted:
        yield f"{taken} of {wanted} lines after SHUTDOWN were taken"


def _frozen_unsent(run: Run) -> Iterator[str]:
    """What an invocation printed has left before a freeze of 20 min by any clock, where the sink takes it."""
    if not run.freeze.jump_s or run.cell.sink != "ok" or run.cell.load == "100000 lines":
        return
    texts = [request.text for request in run.sink.taken]
    late = []
    for event, taken in zip(run.events, run.sink.taken_by_end, strict=True):
        left = any(b'"line %d-0' % event.number in text for text in texts[:taken])
        if event.number != run.killed and event.end == "return" and not left:
            late.append(event.number)
    if late:
        yield f"{len(late)} invocations, from number {late[0]} on, froze before their records had left"


def _sent_again(run: Run) -> Iterator[str]:
    """A sink that takes everything at once gets a record again after a freeze, not time and again, and refuses none."""
    if run.cell.sink not in PROMPT:
        return
    most = max(Counter(line["lambda"]["id"] for line in run.sink.lines()).values(), default=0)
    if most > MOST_TIMES:
        yield f"a record came {most} times to a sink that took it at once"
    for environment in run.environments:
        for ledger in last_ledgers(environment):
            for sink in ledger["sinks"].values():
                yield from (f"dropped for {why}" for why in sink["dropped"] if why.startswith(("HTTP", "internal")))


def _miscounted(run: Run) -> Iterator[str]:
    """Every record is delivered, dropped and counted, or pending; what is said to be delivered is there."""
    ledgers = [ledger for environment in run.environments for ledger in last_ledgers(environment)]
    delivered = 0
    for ledger in ledgers:
        [sink] = ledger["sinks"].values()
        delivered += sink["delivered"]
        came = ledger["received"] + ledger["added"] + sink["restored"]
        came -= ledger["filtered"] + ledger["joined"] + sink["excluded"]
        came -= ledger.get("sampledOut", 0) + ledger.get("held", 0) + ledger.get("capped", 0)
        ended = sink["delivered"] + sink["fellBack"] + sum(sink["dropped"].values()) + sink["pending"]
        if came != ended:
            yield f"ledger does not balance: {came} came, {ended} ended: {ledger}"
        if ledger["broken"]:
            yield f"lines were broken on their way: {ledger['broken']}"
    lines = run.sink.lines()
    by_id = {line["lambda"]["id"]: line for line in lines}
    again = len(run.snapshot.records) if run.snapshot else 0  # the second copy delivers those of init, as it should
    if len(by_id) + again < delivered:
        yield f"{delivered} said to be delivered, {len(by_id)} at the sink"
    if any(by_id[line["lambda"]["id"]] != line for line in lines):
        yield "two different records have the same id"
    # Of the forwarder's own log it depends on the machine how much comes back to it; that is what it filters here.
    sent = [line for environment in run.environments for line in environment.sent.get(NAME, [])]
    ours = sum(b'"{\\"forwarder\\":true' in line for line in sent)
    received = sum(ledger["received"] - ledger["filtered"] for ledger in ledgers)
    # More may be received: a batch that the environment's end cut short does not count as sent.
    if not run.killed and not run.vanishes and received < len(sent) - ours:
        yield f"{len(sent) - ours} records sent, {received} received"


def last_ledgers(environment: Environment) -> list[dict[str, Any]]:
    """The last ledger of each life; one that is long has several."""
    lives: list[list[dict[str, Any]]] = [[]]
    for moment in environment.timeline:
        if moment.what == "process.start" and moment.details["name"] == NAME:
            lives.append([])
        elif moment.what == "printed":
            lines = [json.loads(line) for line in moment.details["lines"] if line.startswith('{"forwarder":true')]
            lives[-1] += [line for line in lines if line["message"] == "ledger"]
    return [life[-1] for life in lives if life]

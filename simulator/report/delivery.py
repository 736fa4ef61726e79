"""Whether everything that the function wrote reached its sink, as far as a ledger or the receiver shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulator.report import printed
from simulator.telemetry.records import is_function

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulator.environment import Environment
    from simulator.receiver import Receiver

SHOWN = 5  # of the lines that are missing
NO_EVIDENCE = (
    "nothing shows that anything was forwarded: no extension printed a ledger, and no variable has {receiver} in it"
)


def doubts(environment: Environment, receiver: Receiver | None) -> list[str]:
    """Why it is not known, or not true, that all reached its sink; nothing where it has.

    Ledgers count for the extensions that print one, the receiver where there is one; both have to agree.
    """
    if not environment.written:
        return ["the function wrote nothing, so nothing shows whether it would have been forwarded"]
    lives = printed.ledgers(environment.timeline)
    if not lives and receiver is None:
        return [NO_EVIDENCE]
    found = []
    for name in dict.fromkeys(life.name for life in lives):
        found += _not_handed_over(environment, name)
    for life in lives:
        found += [f"{life.name}: {why}" for why in _in_ledger(life.ledger)]
    if receiver is not None:
        found += _at_receiver(environment, receiver)
    return list(dict.fromkeys(found))


def left_out(environment: Environment) -> int:
    """How many records ledgers say were left out because settings ask for it."""
    ledgers = [life.ledger for life in printed.ledgers(environment.timeline) if life.ledger is not None]
    return sum(sum(ledger.get("filteredBy", {}).values()) for ledger in ledgers)


def _not_handed_over(environment: Environment, name: str) -> list[str]:
    """Lines that the platform did not pass on to the extension: it had not subscribed to them, or was too slow."""
    written = len(environment.written)
    handed = sum(is_function(line) for line in environment.sent.get(name, []))
    return [f"{name} was given {handed} of the function's {written} lines"] if handed < written else []


def _in_ledger(ledger: dict[str, Any] | None) -> Iterator[str]:
    if ledger is None:
        yield "it ended without a ledger, so what it held then is not known"
        return
    sinks = {name: sink for name, sink in ledger.get("sinks", {}).items() if isinstance(sink, dict)}
    if not sinks:
        yield "it has no sink"
    elif not any(sink.get("delivered", 0) for sink in sinks.values()):
        yield "it delivered nothing to any sink"
    if dropped := ledger.get("platformDropped", 0):
        yield f"{dropped} records were dropped by the platform before they reached it"
    if unread := ledger.get("unreadBytes", 0):
        yield f"{unread} bytes were not read"
    if cut := (ledger.get("broken") or {}).get("too long", 0):  # other broken lines go on as text
        yield f"{cut} lines were too long, and cut"
    for name, sink in sinks.items():
        yield from _of_sink(name, sink)


def _of_sink(name: str, sink: dict[str, Any]) -> Iterator[str]:
    for reason, count in (sink.get("dropped") or {}).items():
        yield f"{count} records were not delivered to {name}: {reason}"
    if count := sink.get("fellBack", 0):
        yield f"{count} records went to the fallback in place of {name}"
    if count := sink.get("pending", 0):
        yield f"{count} records were still waiting for {name} at the end"
    if count := sink.get("spooled", 0):
        yield f"{count} records for {name} were left on disk"


def _at_receiver(environment: Environment, receiver: Receiver) -> Iterator[str]:
    for why, count in receiver.unread.items():
        yield f"{count} of the {receiver.requests} requests to the receiver cannot be looked at: {why}"
    missing = receiver.missing(environment.written)
    if missing and not receiver.requests:
        yield "nothing came to the receiver"
    elif missing:
        yield f"{len(missing)} lines of the function did not come to the receiver, or not as often as written:"
        yield from (f"    {text}" for text in missing[:SHOWN])

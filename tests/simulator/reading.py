"""What tests look for in a simulation: what the probe said, what it received, what happened."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulator.environment import Environment


def said(environment: Environment, name: str = "probe") -> list[dict[str, Any]]:
    """The JSON lines that a probe printed, in order."""
    lines = (
        line
        for moment in environment.timeline.named("printed")
        if moment.details["name"] == name
        for line in moment.details["lines"]
    )
    return [json.loads(line) for line in lines]


def events(environment: Environment, name: str = "probe") -> list[dict[str, Any]]:
    """The events that a probe got from event/next."""
    return [json.loads(line["answer"]) for line in said(environment, name) if line["probe"] == "event"]


def sent(environment: Environment, name: str = "probe") -> list[dict[str, Any]]:
    """The telemetry records that were written to a probe."""
    return [json.loads(line) for line in environment.sent.get(name, [])]


def records(environment: Environment, type_: str, name: str = "probe") -> list[Any]:
    """The `record` of every telemetry record of one type."""
    return [record["record"] for record in sent(environment, name) if record["type"] == type_]


def order(environment: Environment, *wanted: str) -> list[str]:
    """The names of the moments that are wanted, in the order they happened."""
    return [moment.what for moment in environment.timeline if moment.what in wanted]


def pids(environment: Environment) -> Iterator[int]:
    """The processes that were started."""
    return (moment.details["pid"] for moment in environment.timeline.named("process.start"))

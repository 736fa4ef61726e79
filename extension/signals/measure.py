"""Which points an event adds to which metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from extension.signals.event import OTHER
from extension.signals.metrics import Point

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from extension.signals.event import Event
    from extension.signals.invocations import Invocation
    from extension.signals.phases import Phase

MIB = 1 << 20
SPANS = {
    "responseLatency": "aws.lambda.response_latency",
    "responseDuration": "aws.lambda.response_duration",
    "runtimeOverhead": "aws.lambda.runtime_overhead",
    "extensionOverhead": "aws.lambda.extension_overhead",
}
# Of the ledger, and of each sink in it, with the names of their metrics.
TOTALS = {name: name for name in ("received", "added", "filtered", "joined")} | {"sampledOut": "sampled_out"}
SINKS = {"delivered": "delivered", "fellBack": "fell_back", "excluded": "excluded", "restored": "restored"}


def outcome(invocation: Invocation) -> Iterator[Point]:
    """What is counted once for each invocation. One that nothing bad is known of has succeeded.

    An environment that ends in the middle of an invocation is shut down for a reason that says so.
    """
    match invocation.status:
        case "success" | "":
            yield Point("faas.invocations", 1)
        case "timeout":
            yield Point("faas.timeouts", 1)
        case _:
            yield Point("faas.errors", 1, {"error.type": invocation.error_type or OTHER})
    if invocation.is_cold:
        yield Point("faas.coldstarts", 1)
    if invocation.ran_out_of_memory:
        yield Point("aws.lambda.out_of_memory", 1)


def event(said: Event) -> Iterator[Point]:
    """What a runtimeDone or a report measures, but for the duration, which both have."""
    numbers = said.numbers
    if "billedDurationMs" in numbers:
        yield Point("aws.lambda.billed_duration", numbers["billedDurationMs"] / 1000)
    if "maxMemoryUsedMB" in numbers:
        yield Point("faas.mem_usage", round(numbers["maxMemoryUsedMB"] * MIB))
    if "producedBytes" in numbers:
        yield Point("aws.lambda.produced_bytes", round(numbers["producedBytes"]))
    for span in said.spans:
        if span.name in SPANS:
            yield Point(SPANS[span.name], span.duration_ms / 1000)


def duration(said: Event) -> Iterator[Point]:
    """How long an invocation took: a runtimeDone says so of the function, a report with extensions behind it."""
    if "durationMs" in said.numbers:
        yield Point("faas.invoke_duration", said.numbers["durationMs"] / 1000)


def phase(ended: Phase, kind: str) -> Iterator[Point]:
    """What an init or a restore measures."""
    if ended.report is None or "durationMs" not in ended.report.numbers:
        return
    seconds = ended.report.numbers["durationMs"] / 1000
    error = error_attribute(ended.status, ended.error_type)
    if ended.name == "restore":
        yield Point("aws.lambda.restore_duration", seconds, error)
    else:
        yield Point("faas.init_duration", seconds, {**initialization(kind), **error})


def error_attribute(status: str, error_type: str) -> dict[str, str]:
    """The attribute of what ended with a status and an error type, of metrics and spans alike; none for a success."""
    if status in {"", "success"}:
        return {}
    return {"error.type": error_type or (status if status == "timeout" else OTHER)}


def initialization(kind: str) -> dict[str, str]:
    """The attribute for an initialization type."""
    return {"aws.lambda.initialization_type": kind} if kind else {}


def dropped(said: Event) -> Iterator[Point]:
    """What the platform says that it dropped."""
    if records := said.numbers.get("droppedRecords"):
        yield Point("aws.lambda.dropped_records", round(records))
    if size := said.numbers.get("droppedBytes"):
        yield Point("aws.lambda.dropped_bytes", round(size))


def ledger(account: Mapping[str, Any]) -> dict[tuple[str, str, str], int]:
    """The ledger's counts that only grow, by metric, sink and reason; sink and reason are empty where there is none."""
    counts = {(f"telemetry_forwarder.{name}", "", ""): account[key] for key, name in TOTALS.items() if key in account}
    for sink, of_sink in account["sinks"].items():
        for key, name in SINKS.items():
            counts[f"telemetry_forwarder.{name}", sink, ""] = of_sink[key]
        for reason, count in of_sink["dropped"].items():
            counts["telemetry_forwarder.dropped", sink, reason] = count
    return counts


def forwarded(counts: Mapping[tuple[str, str, str], int], before: Mapping[tuple[str, str, str], int]) -> list[Point]:
    """What was counted in the ledger since."""
    points = []
    for (name, sink, reason), count in counts.items():
        if (more := count - before.get((name, sink, reason), 0)) > 0:
            found = {"telemetry_forwarder.sink": sink, "telemetry_forwarder.reason": reason}
            points.append(Point(name, more, {key: value for key, value in found.items() if value}))
    return points

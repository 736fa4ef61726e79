"""One record of each invocation: what the platform said of it in the end, and what the function wrote meanwhile.

Loaded only where it is asked for. docs/signals.md lists its fields.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from extension.reading import read

if TYPE_CHECKING:
    from collections.abc import Mapping

    from extension.records import Record
    from extension.signals.invocations import Invocation

WAITING = 512  # invocations that have begun and are not summed up, where many run at a time
WAITING_IN_ORDER = 2  # where one runs at a time: its report comes while the next one runs, or may never come
LEVELS = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")  # each for four of OpenTelemetry's severity numbers
NUMBERS = ("durationMs", "billedDurationMs", "initDurationMs", "restoreDurationMs")
SIZES = ("memorySizeMB", "maxMemoryUsedMB", "producedBytes")

# "Specification: Embedded metric format", CloudWatch User Guide. Each metric is one that CloudWatch charges for.
NAMESPACE = "TelemetryForwarder"
DIMENSION = "FunctionName"
METRICS = {
    "Duration": ("durationMs", "Milliseconds"),
    "BilledDuration": ("billedDurationMs", "Milliseconds"),
    "InitDuration": ("initDurationMs", "Milliseconds"),
    "RestoreDuration": ("restoreDurationMs", "Milliseconds"),
    "MaxMemoryUsed": ("maxMemoryUsedMB", "Megabytes"),
    "Lines": ("lines", "Count"),
    "Bytes": ("bytes", "Bytes"),
}
COUNTS = ("ColdStart", "Error", "Timeout")  # 1 or 0 of each invocation


class Written:
    """What a function has written in one invocation: lines, the bytes of them as they came, and lines by level."""

    __slots__ = ("bytes", "levels", "lines")

    def __init__(self) -> None:
        self.lines = self.bytes = 0
        self.levels: dict[str, int] = {}

    def add(self, record: Record) -> None:
        """Count one line."""
        self.lines += 1
        self.bytes += len(record.line)
        if severity := read(record.content).severity:
            level = LEVELS[(severity - 1) // 4]
            self.levels[level] = self.levels.get(level, 0) + 1


class Summaries:
    """Which invocations are to be summed up. `in_order` is off where they interleave.

    `has_lines` is off where the platform does not send what the function writes.
    """

    def __init__(self, *, in_order: bool, has_lines: bool) -> None:
        self._has_lines = has_lines
        self._most = WAITING_IN_ORDER if in_order else WAITING
        self._waiting: dict[Invocation, Written] = {}  # the latest are last

    def begin(self, invocation: Invocation) -> list[Invocation]:
        """An invocation has begun; those are returned whose end is waited for no longer."""
        self._waiting[invocation] = Written()
        return list(self._waiting)[: -self._most]

    def count(self, record: Record, invocation: Invocation | None) -> None:
        """The function has written a line in an invocation, if it is known in which."""
        if invocation is not None and (written := self._waiting.get(invocation)):
            written.add(record)

    def end(self, invocation: Invocation, kind: str) -> dict[str, Any] | None:
        """The summary of an invocation; None where it has one. `kind` is the initialization type."""
        written = self._waiting.pop(invocation, None)
        return None if written is None else _content(invocation, kind, written if self._has_lines else None)


def _content(invocation: Invocation, kind: str, written: Written | None) -> dict[str, Any]:
    """What is known; what is not is left out."""
    numbers = _numbers(invocation)
    known = {
        "requestId": invocation.request_id,
        "status": invocation.status,
        "errorType": invocation.error_type,
        "initializationType": kind,
    }
    return {
        **{name: value for name, value in known.items() if value},
        "coldStart": invocation.is_cold,
        **{name: numbers[name] for name in (*NUMBERS, *SIZES) if name in numbers},
        **({"lines": written.lines, "bytes": written.bytes, "levels": written.levels} if written is not None else {}),
    }


def _numbers(invocation: Invocation) -> dict[str, float]:
    """What its events measured; the report, which bills, has the last word, and of an init or a restore the first."""
    numbers: dict[str, float] = {}
    for phase in invocation.phases:
        if phase.report is not None and "durationMs" in phase.report.numbers:
            numbers[f"{phase.name}DurationMs"] = phase.report.numbers["durationMs"]
    for name in ("runtimeDone", "report"):
        if name in invocation.events:
            numbers |= invocation.events[name].numbers
    return numbers


def embedded(content: Mapping[str, Any], function_name: str, at_ns: int) -> dict[str, Any]:
    """The members of a line that make metrics of it in CloudWatch Logs, all with the function's name as dimension."""
    values = {name: (content[field], unit) for name, (field, unit) in METRICS.items() if field in content}
    status = content.get("status", "")
    counts = (content["coldStart"], status not in {"", "success", "timeout"}, status == "timeout")
    values |= {name: (int(count), "Count") for name, count in zip(COUNTS, counts, strict=True)}
    directive = {
        "Namespace": NAMESPACE,
        "Dimensions": [[DIMENSION]],
        "Metrics": [{"Name": name, "Unit": unit} for name, (_, unit) in values.items()],
    }
    return {
        "_aws": {"Timestamp": at_ns // 1_000_000, "CloudWatchMetrics": [directive]},
        DIMENSION: function_name,
        **{name: value for name, (value, _) in values.items()},
    }

"""Platform records as the Telemetry API writes them, and what signals make of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import orjson

from extension.records import Record, kind_of
from extension.signals.signals import Signals

if TYPE_CHECKING:
    from collections.abc import Mapping

BEGAN = datetime(2026, 11, 21, tzinfo=UTC)
BEGAN_NS = int(BEGAN.timestamp()) * 1_000_000_000
MS = 1_000_000
TRACE = {
    "type": "X-Amzn-Trace-Id",
    "value": "Root=1-62e900b2-710d76f009d6e7785905449a;Parent=0efbd19962d95b05;Sampled=1",
}
TRACE_ID, PARENT_ID = "62e900b2710d76f009d6e7785905449a", "0efbd19962d95b05"


def at(ms: float) -> str:
    """The time so many milliseconds after BEGAN, as the platform writes it."""
    return (BEGAN + timedelta(milliseconds=ms)).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def event(type_: str, ms: float, **content: Any) -> Record:
    """A platform record of so many milliseconds after BEGAN, as correlate makes it; its line is not looked at."""
    return record(f"platform.{type_}", at(ms), content)


def record(type_: str, time: str, content: object) -> Record:
    return Record(-1, kind_of(type_), b"{}", type_, time, "", content)


def init(ms: float = 0, kind: str = "on-demand", phase: str = "init", duration_ms: float = 200.0) -> list[Record]:
    """The three events of an init."""
    told = {"initializationType": kind, "phase": phase}
    return [
        event("initStart", ms, **told, functionName="orders", functionVersion="7"),
        event("initRuntimeDone", ms + duration_ms - 1, **told, status="success"),
        event("initReport", ms + duration_ms, **told, status="success", metrics={"durationMs": duration_ms}),
    ]


def start(request_id: str, ms: float, **more: Any) -> Record:
    return event("start", ms, requestId=request_id, version="7", **more)


def done(request_id: str, ms: float, status: str = "success", duration_ms: float = 10.0, **more: Any) -> Record:
    metrics = {"durationMs": duration_ms, "producedBytes": 40}
    return event("runtimeDone", ms, requestId=request_id, status=status, metrics=metrics, **more)


def report(request_id: str, ms: float, status: str = "success", duration_ms: float = 12.0, **more: Any) -> Record:
    metrics = {"durationMs": duration_ms, "billedDurationMs": 13, "memorySizeMB": 128, "maxMemoryUsedMB": 90}
    return event("report", ms, **{"requestId": request_id, "status": status, "metrics": metrics, **more})


def invocation(request_id: str, ms: float, status: str = "success", **more: Any) -> list[Record]:
    """The three events of an invocation that took 12 ms."""
    return [start(request_id, ms, **more), done(request_id, ms + 10, status), report(request_id, ms + 12, status)]


def span(name: str, ms: float, duration_ms: float) -> dict[str, object]:
    return {"name": name, "start": at(ms), "durationMs": duration_ms}


class Derived:
    """Signals of one environment, and all that they made. The clock stands an hour after BEGAN."""

    def __init__(self, environment: str = "e1", **options: Any) -> None:
        self.now_ns = BEGAN_NS + 3_600_000 * MS
        given = {"temporalities": {"delta"}, "traces": True, "clock": lambda: self.now_ns, **options}
        self.signals = Signals("orders", environment, **given)
        self.records: list[Record] = []

    def feed(self, *records: Record) -> list[Record]:
        """Show it one chunk; what was made of that."""
        return self.keep(self.signals(records))

    def shut_down(self, reason: str = "spindown") -> list[Record]:
        return self.keep(self.signals.shut_down(reason))

    def account(self, ledger: Mapping[str, Any]) -> list[Record]:
        return self.keep(self.signals.account(ledger))

    def keep(self, records: list[Record]) -> list[Record]:
        self.records += records
        return records

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """The contents of all metric records."""
        return [content(record) for record in self.records if record.kind in {"metric", "total"}]

    @property
    def spans(self) -> list[dict[str, Any]]:
        return [content(record) for record in self.records if record.kind == "span"]

    def span(self, name: str) -> dict[str, Any]:
        """The only span of this name."""
        [found] = [span for span in self.spans if span["name"] == name]
        return found

    def points(self, name: str) -> list[dict[str, Any]]:
        """The points of a metric; the value of one of a histogram is its sum."""
        found = [point for content in self.metrics for point in content["metrics"] if point["name"] == name]
        return [{"value": point.get("sum"), **point} for point in found]

    def total(self, name: str) -> float:
        """The sum of all deltas of a metric."""
        total: float = sum(point["value"] for point in self.points(name))
        return total


def content(record: Record) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(record.line)["record"]
    return found

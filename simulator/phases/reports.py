"""The records that close an invocation: platform.runtimeDone and platform.report (Developer Guide, "Event schema")."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from simulator.sandbox import processes

if TYPE_CHECKING:
    from simulator.clock import Clock
    from simulator.sandbox.runtime import Work
    from simulator.sandbox.sandbox import Sandbox

MANAGED_TIMEOUT = "Sandbox.Timedout"


def runtime_done(sandbox: Sandbox, work: Work, start: dict[str, Any], outcome: dict[str, Any]) -> None:
    """Publish platform.runtimeDone with the spans that AWS gives."""
    metrics = {"durationMs": ms_since(work.began), "producedBytes": len(work.response)}
    record = {"requestId": work.request_id, **outcome, "metrics": metrics}
    if work.responded is not None and work.responding is not None:
        record["spans"] = spans(sandbox.clock, work)
    if "tracing" in start:
        record["tracing"] = start["tracing"]
    sandbox.telemetry.platform("platform.runtimeDone", record)


def spans(clock: Clock, work: Work) -> list[dict[str, Any]]:
    """responseLatency, responseDuration and runtimeOverhead of an invocation that was answered."""
    responding, responded = work.responding or work.began, work.responded or work.began
    edges = (
        ("responseLatency", work.began, responding),
        ("responseDuration", responding, responded),
        ("runtimeOverhead", responded, time.monotonic()),
    )
    return [
        {"name": name, "start": clock.ago(time.monotonic() - began), "durationMs": _ms(ended - began)}
        for name, began, ended in edges
    ]


def report(sandbox: Sandbox, work: Work, outcome: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
    """The record of platform.report; `extra` is merged into its metrics (initDurationMs, restoreDurationMs)."""
    duration = ms_since(work.began)
    pids = [process.pid for process in sandbox.processes.values() if process.returncode is None]
    billed = duration + extra.get("initDurationMs", 0.0)  # init is billed since August 2025
    metrics = {
        "durationMs": duration,
        "billedDurationMs": math.ceil(billed),
        "memorySizeMB": sandbox.settings.memory_mb,
        "maxMemoryUsedMB": processes.peak_memory_mb(pids),
        **extra,
    }
    record: dict[str, Any] = {"requestId": work.request_id, "metrics": metrics, **outcome}
    if work.responded is not None and sandbox.agents:
        start = sandbox.clock.ago(time.monotonic() - work.responded)
        record["spans"] = [{"name": "extensionOverhead", "start": start, "durationMs": ms_since(work.responded)}]
    return record


def managed_report(sandbox: Sandbox, work: Work, outcome: dict[str, Any]) -> dict[str, Any]:
    """The same on Managed Instances, where a duration is the only metric."""
    record: dict[str, Any] = {
        "requestId": work.request_id,
        "metrics": {"durationMs": ms_since(work.began)},
        "spans": spans(sandbox.clock, work)[:2] if work.responded is not None else [],
        **outcome,
    }
    if outcome["status"] == "timeout":
        record["errorType"] = MANAGED_TIMEOUT
    return record


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)  # microseconds, as AWS rounds


def ms_since(began: float) -> float:
    """Milliseconds since a moment of the monotonic clock, to the microsecond."""
    return _ms(time.monotonic() - began)

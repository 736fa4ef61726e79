"""A corpus of records as they come from Lambda, and what is expected of each as a log record of OpenTelemetry."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from extension.records import Record, kind_of
from tests.support.sink_cases.otlp import attributes, value_of

if TYPE_CHECKING:
    from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

# One record a line: its name, type and value, and what is expected of it where it is not the same for all.
CORPUS = [json.loads(line) for line in (Path(__file__).parent / "data" / "records.ndjson").read_text().splitlines()]
TIME = "2026-11-21T03:53:22.117Z"
REQUEST = "a1a32258-dddc-4daa-950a-fe632b74be91"
KEY = {
    "functionName": "demo",
    "functionVersion": "7",
    "functionArn": "arn:aws:lambda:eu-west-1:123456789012:function:demo",
    "region": "eu-west-1",
    "accountId": "123456789012",
    "environment": "0f1e2d3c4b5a6978",
    "requestId": REQUEST,
    "id": "0f1e2d3c4b5a6978-1",
}


def record(content: object, type_: str = "function", key: dict[str, str] = KEY, time: str = TIME) -> Record:
    """A record as the pipeline makes it: json escapes, where orjson refuses, what a function may print."""
    line = json.dumps({"time": time, "type": type_, "record": content, "lambda": key}, separators=(",", ":"))
    return Record(1, kind_of(type_), line.encode(), type_, time, key.get("requestId", ""))


def said(log: LogRecord) -> dict[str, Any]:
    """All that a log record says."""
    found = attributes(log.attributes)
    return {
        "invocation": found.pop("faas.invocation_id", None),
        "uid": found.pop("log.record.uid"),
        "severity": log.severity_number,
        "level": log.severity_text,
        "time_ns": log.time_unix_nano,
        "observed_ns": log.observed_time_unix_nano,
        "trace": log.trace_id.hex(),
        "span": log.span_id.hex(),
        "flags": log.flags,
        "event": log.event_name,
        "body": value_of(log.body),
        "attributes": found,
    }


def nanoseconds(time: str) -> int:
    return (datetime.fromisoformat(time) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000


def expected(case: dict[str, Any]) -> dict[str, Any]:
    """What a case expects, with what is the same for most."""
    wanted = case["expect"]
    return {
        "invocation": REQUEST,
        "uid": KEY["id"],
        "severity": 0,
        "level": "",
        "time_ns": nanoseconds(wanted.get("time", TIME)),
        "observed_ns": nanoseconds(TIME),
        "trace": "",
        "span": "",
        "flags": 0,
        "event": "",
        "attributes": {},
        **{name: value for name, value in wanted.items() if name != "time"},
    }


def typed(value: Any) -> Any:
    """A value in which 1, 1.0 and True differ."""
    if isinstance(value, dict):
        return {key: typed(part) for key, part in value.items()}
    return [typed(part) for part in value] if isinstance(value, list) else (type(value).__name__, value)

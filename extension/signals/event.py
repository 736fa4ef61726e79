"""What a platform record says that signals are made of, checked and of bounded size: the port is open to anyone here.

Fields are those of "Lambda Telemetry API Event schema reference" in the Developer Guide; any of them may be missing.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from extension.records import is_request_id
from extension.signals import xray

if TYPE_CHECKING:
    from collections.abc import Mapping

    from extension.records import Record

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
NS_PER_MS = 1_000_000

NUMBERS = (
    "durationMs",
    "billedDurationMs",
    "initDurationMs",
    "restoreDurationMs",
    "memorySizeMB",
    "maxMemoryUsedMB",
    "producedBytes",
    "droppedRecords",
    "droppedBytes",
)
MAX_NUMBER = 1e11  # three years in milliseconds, more bytes than an answer may have
MAX_SPANS = 16  # the platform has three
MAX_ARN = 300  # characters; the longest has 140 and a qualifier
WORD = re.compile(r"[\w.-]{1,100}", re.ASCII)
OTHER = "_OTHER"  # OpenTelemetry's word for an error.type that is none of the known


class Span(NamedTuple):
    """One of a record's spans; `start_ns` is None where it cannot be read."""

    name: str
    start_ns: int | None
    duration_ms: float


class Event(NamedTuple):
    """A platform record. What it does not say is empty; `type` is without "platform."."""

    type: str
    time_ns: int
    request_id: str = ""
    status: str = ""
    error_type: str = ""
    initialization_type: str = ""
    phase: str = ""
    arn: str = ""
    tracing: xray.Tracing | None = None
    numbers: Mapping[str, float] = {}
    spans: tuple[Span, ...] = ()

    def duration_ns(self, name: str = "durationMs") -> int:
        """A duration in nanoseconds, 0 where it is not known."""
        return round(self.numbers.get(name, 0.0) * NS_PER_MS)


def read(record: Record, now_ns: int) -> Event | None:
    """What a platform record says; None where it is no object. One of the future, or of no time, is of now."""
    content = record.content
    if not isinstance(content, dict):
        return None
    request_id, arn = content.get("requestId"), content.get("functionArn")
    metrics, spans = content.get("metrics"), content.get("spans")
    numbers = metrics if isinstance(metrics, dict) else content  # platform.logsDropped has its own beside the rest
    return Event(
        record.type.removeprefix("platform."),
        min(now_ns, time_ns(record.time) or now_ns),
        request_id if is_request_id(request_id) else "",
        word(content.get("status")),
        word(content.get("errorType")),
        word(content.get("initializationType")),
        word(content.get("phase")),
        arn if isinstance(arn, str) and arn.isascii() and len(arn) <= MAX_ARN else "",
        xray.read(content.get("tracing")),
        {name: number for name in NUMBERS if (number := _number(numbers.get(name))) is not None},
        tuple(filter(None, map(_span, spans[:MAX_SPANS]))) if isinstance(spans, list) else (),
    )


def time_ns(text: Any) -> int | None:
    """Nanoseconds since 1970 of a time as the platform writes it, UTC where it names no zone; None where it is none."""
    try:
        found = datetime.fromisoformat(text)
        since = (found if found.tzinfo else found.replace(tzinfo=UTC)) - EPOCH
    except (TypeError, ValueError, OverflowError):
        return None
    found_ns = since // MICROSECOND * 1000
    return found_ns if 0 < found_ns < 1 << 63 else None


def word(value: object) -> str:
    """A word of the platform's, as a status or an error type; what is longer, or more than a word, is `_OTHER`."""
    if not isinstance(value, str) or not value:
        return ""
    return value if WORD.fullmatch(value) else OTHER


def _number(value: object) -> float | None:
    """A number that can be counted or measured. A bool is none."""
    if type(value) not in {int, float}:
        return None
    found: Any = value
    return found if math.isfinite(found) and 0 <= found <= MAX_NUMBER else None


def _span(value: object) -> Span | None:
    if not isinstance(value, dict):
        return None
    name, duration_ms = word(value.get("name")), _number(value.get("durationMs"))
    return Span(name, time_ns(value.get("start")), duration_ms) if name and duration_ms is not None else None

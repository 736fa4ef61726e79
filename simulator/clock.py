"""The platform's clock: what the records and deadlines of the simulated Lambda are stamped with."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def now_ms() -> int:
    """Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


def stamp(epoch_ms: float | None = None) -> str:
    """The `time` of a record: RFC 3339 in UTC with milliseconds and Z."""
    moment = datetime.fromtimestamp((now_ms() if epoch_ms is None else int(epoch_ms)) / 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"

"""The time of a record, as destinations take it."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def timestamp_ns(text: str) -> int:
    """Nanoseconds since 1970 of a record's time, UTC where it names no zone; now where it has none that can be told.

    64 bits with a sign hold them, as destinations expect: from 1970 to 2262.
    """
    try:
        found = datetime.fromisoformat(text)
        since = (found if found.tzinfo else found.replace(tzinfo=UTC)) - EPOCH
    except (ValueError, OverflowError):
        return time.time_ns()
    found_ns = since // MICROSECOND * 1000
    return max(0, found_ns) if found_ns < 1 << 63 else time.time_ns()


def iso(text: str) -> str:
    """A record's time as RFC 3339 has it, in UTC and to the millisecond; as timestamp_ns where it cannot be told."""
    seconds, nanoseconds = divmod(timestamp_ns(text), 10**9)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{nanoseconds // 10**6:03d}Z"

"""The platform's clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class Clock:
    """What records and deadlines are stamped with: real time, and `ahead_ns` nanoseconds."""

    def __init__(self) -> None:
        self.ahead_ns = 0

    def jump(self, seconds: float) -> None:
        """Make out that so much time has passed."""
        self.ahead_ns += int(seconds * 1e9)

    def now_ms(self) -> int:
        """Unix time in milliseconds."""
        return (time.time_ns() + self.ahead_ns) // 1_000_000

    def stamp(self, epoch_ms: float | None = None) -> str:
        """The `time` of a record: RFC 3339 in UTC with milliseconds and Z."""
        moment = datetime.fromtimestamp((self.now_ms() if epoch_ms is None else int(epoch_ms)) / 1000, UTC)
        return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"

    def ago(self, seconds: float) -> str:
        """The stamp of a moment `seconds` ago."""
        return self.stamp(self.now_ms() - seconds * 1000)

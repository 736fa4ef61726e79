"""The platform's clock, and how the clocks of the processes are made to jump with it, or to stand still.

A process cannot be given another clock but through the C library: a small preloaded one (clocks.c) adds what a shared
file says. Statically linked programs do not notice.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from simulator import preload

if TYPE_CHECKING:
    from pathlib import Path

    from simulator.faults import FreezeClocks


class Clock:
    """What records and deadlines are stamped with: real time, and `ahead_ns` nanoseconds.

    `going` are the clocks of the processes that go on in a freeze.
    """

    def __init__(self, going: FreezeClocks = "both") -> None:
        self.ahead_ns = 0
        self._going = [going in ("both", "wall"), going in ("both", "monotonic")]
        self._offsets_ns = [0, 0]  # of the processes' wall clock and monotonic one, to real time
        self._file: Path | None = None

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

    def preload(self, folder: Path) -> dict[str, str]:
        """The environment variables by which processes follow this clock; SimulatorError without a C compiler."""
        library = preload.build("clocks", folder)
        self._file = folder / "clocks"
        self._tell()
        return {"LD_PRELOAD": str(library), "CLOCKS_FILE": str(self._file)}

    def freeze_ended(self, lasted_s: float, jump_s: float) -> None:
        """Go on after a freeze of `lasted_s` real seconds that is made out to have been longer by `jump_s`."""
        self.ahead_ns += int(jump_s * 1e9)
        for index, goes_on in enumerate(self._going):
            self._offsets_ns[index] += int((jump_s if goes_on else -lasted_s) * 1e9)
        self._tell()

    def _tell(self) -> None:
        if self._file is not None:
            with self._file.open("r+b" if self._file.exists() else "wb") as file:  # in place: it is mapped
                file.write(b"".join(offset.to_bytes(8, "little", signed=True) for offset in self._offsets_ns))

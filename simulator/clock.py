"""The platform's clock, and how the clocks of the processes are made to jump with it.

A process cannot be given another clock but through the C library: a small preloaded one (clock_jump.c) adds what a
shared file says. Statically linked programs do not notice.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

from simulator.errors import SimulatorError

COMPILE_LIMIT_S = 60


class Clock:
    """What records and deadlines are stamped with: real time, and `ahead_ns` nanoseconds."""

    def __init__(self) -> None:
        self.ahead_ns = 0
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
        compiler = shutil.which("cc")
        if compiler is None:
            raise SimulatorError("clock_jump_s needs a C compiler: cc is not there")
        library = folder / "clock_jump.so"
        source = Path(__file__).with_suffix("").with_name("clock_jump.c")
        command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl", "-pthread"]
        subprocess.run(command, check=True, timeout=COMPILE_LIMIT_S)
        self._file = folder / "clock_jump"
        self.jump(0.0)
        return {"LD_PRELOAD": str(library), "CLOCK_JUMP_FILE": str(self._file)}

    def jump(self, seconds: float) -> None:
        """Go ahead."""
        self.ahead_ns += int(seconds * 1_000_000_000)
        if self._file is not None:
            with self._file.open("r+b" if self._file.exists() else "wb") as file:  # in place: it is mapped
                file.write(self.ahead_ns.to_bytes(8, "little", signed=True))

"""The clocks of the processes, which can jump in a freeze, or stand still.

A process cannot be given another clock but through the C library: a small preloaded one (clocks.c) adds what a shared
file says. Statically linked programs do not notice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.sandbox import preload

if TYPE_CHECKING:
    from pathlib import Path

    from simulator.faults import FreezeClocks


class Clocks:
    """The wall clock and the monotonic one of all processes; `going` are those that go on in a freeze."""

    def __init__(self, going: FreezeClocks = "both") -> None:
        self._going = [going in ("both", "wall"), going in ("both", "monotonic")]
        self._offsets_ns = [0, 0]  # to real time
        self._file: Path | None = None

    def preload(self, folder: Path) -> dict[str, str]:
        """The environment variables by which processes follow these clocks; SimulatorError without a C compiler."""
        library = preload.build("clocks", folder)
        self._file = folder / "clocks"
        self._tell()
        return {"LD_PRELOAD": str(library), "CLOCKS_FILE": str(self._file)}

    def freeze_ended(self, lasted_s: float, jump_s: float) -> None:
        """Go on after a freeze of `lasted_s` real seconds that is made out to have been longer by `jump_s`."""
        for index, goes_on in enumerate(self._going):
            self._offsets_ns[index] += int((jump_s if goes_on else -lasted_s) * 1e9)
        self._tell()

    def _tell(self) -> None:
        if self._file is not None:
            with self._file.open("r+b" if self._file.exists() else "wb") as file:  # in place: it is mapped
                file.write(b"".join(offset.to_bytes(8, "little", signed=True) for offset in self._offsets_ns))

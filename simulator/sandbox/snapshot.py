"""Several environments that are restored from one snapshot (SnapStart). Processes cannot be cloned here.

Instead each copy goes through an init of its own with the same random bytes (randomness.c), and gets the telemetry
records of the first one's init in place of its own. Sources: Developer Guide, "Improving startup performance with
Lambda SnapStart" and "Handling uniqueness with Lambda SnapStart".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.sandbox import preload

if TYPE_CHECKING:
    from pathlib import Path

    from simulator.telemetry.records import Record


class Snapshot:
    """What the copies have in common: a `seed`, and the `records` of the first init, complete once it is `taken`."""

    def __init__(self, seed: int = 1) -> None:
        self.seed = seed
        self.records: list[Record] = []
        self.taken = False


class Copy:
    """One environment that is restored from a snapshot, and until then is as all others."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.restored = False
        self._snapshot = snapshot
        self._first = not snapshot.taken
        self._file: Path | None = None

    def preload(self, folder: Path) -> dict[str, str]:
        """The environment variables that give processes the random bytes of the snapshot until the restore."""
        library = preload.build("randomness", folder)
        self._file = folder / "restored"
        self._file.write_bytes(b"\0")
        return {
            "LD_PRELOAD": str(library),
            "SNAPSHOT_FILE": str(self._file),
            "SNAPSHOT_SEED": str(self._snapshot.seed),
        }

    @property
    def records(self) -> list[Record] | None:
        """What a subscriber gets of this init: None where it is the platform's own."""
        return None if self._first or self.restored else self._snapshot.records

    def hides(self, record: Record) -> bool:
        """Whether a record is withheld because one of the snapshot stands for it; else it may become one."""
        if self.restored:
            return False
        if self._first:
            self._snapshot.records.append(record)
        return not self._first

    def frozen(self) -> None:
        """Init is over: the snapshot is there."""
        self._snapshot.taken = True

    def restore(self) -> None:
        """From here on it is an environment of its own."""
        self.restored = True
        if self._file is not None:
            with self._file.open("r+b") as file:  # in place: it is mapped
                file.write(b"\1")

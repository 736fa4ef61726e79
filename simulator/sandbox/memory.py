"""The memory limit of a function: one cgroup around all its processes, or an rlimit on each where none can be made."""

from __future__ import annotations

import contextlib
import os
import resource
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

MIB = 1 << 20
# Where a group can be made and what limits it: version 1, version 2.
CGROUPS = (
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
    (Path("/sys/fs/cgroup"), "memory.max"),
)


class Limit:
    """A limit of `megabytes` for every process that calls `enter`. `kind` says how it is kept: cgroup or rlimit."""

    def __init__(self, megabytes: int, cgroups: Sequence[tuple[Path, str]] = CGROUPS) -> None:
        self._bytes = megabytes * MIB
        self._group = _make_group(self._bytes, cgroups)
        self.kind = "cgroup" if self._group else "rlimit"

    def enter(self) -> None:
        """Bring the calling process under the limit; runs between fork and exec."""
        if self._group:
            (self._group / "cgroup.procs").write_text(str(os.getpid()))
        else:  # each process by itself, and its data only: the nearest thing without a cgroup
            resource.setrlimit(resource.RLIMIT_DATA, (self._bytes, self._bytes))

    def out_of_memory(self) -> bool:
        """Whether the kernel has killed a process for the limit."""
        if not self._group:
            return False
        for name in ("memory.oom_control", "memory.events"):
            with contextlib.suppress(OSError):
                counts = dict(line.split() for line in (self._group / name).read_text().splitlines())
                return int(counts.get("oom_kill", 0)) > 0
        return False

    def close(self) -> None:
        """Remove the group; its processes must have ended."""
        if self._group:
            with contextlib.suppress(OSError):
                self._group.rmdir()


def _make_group(limit: int, cgroups: Sequence[tuple[Path, str]]) -> Path | None:
    for root, setting in cgroups:
        group = root / f"lambda-{uuid.uuid4().hex[:12]}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            (group / setting).write_text(str(limit))
        except OSError:
            group.rmdir()
        else:
            return group
    return None

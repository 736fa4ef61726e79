"""The CPU of a function: one cgroup around all its processes, with a share of a core in proportion to its memory."""

from __future__ import annotations

import contextlib
import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from simulator.errors import SimulatorError

if TYPE_CHECKING:
    from collections.abc import Sequence

FULL_CORE_MB = 1769  # Developer Guide, "Configure Lambda function memory": one vCPU
PERIOD_US = 20_000  # AWS does not say how long its periods are
# Where a group can be made, what limits it, and what no limit is: version 1, version 2.
CGROUPS = (
    (Path("/sys/fs/cgroup/cpu"), "cpu.cfs_quota_us", "{quota}", "-1"),
    (Path("/sys/fs/cgroup"), "cpu.max", "{quota} {period}", "max {period}"),
)


class Share:
    """As much of the CPU as a function of `megabytes` gets, for every process that calls `enter`.

    Raises SimulatorError where no group can be made.
    """

    def __init__(self, megabytes: int, cgroups: Sequence[tuple[Path, str, str, str]] = CGROUPS) -> None:
        self.quota_us = PERIOD_US * megabytes // FULL_CORE_MB
        for root, setting, limited, unlimited in cgroups:
            self._group = root / f"lambda-{uuid.uuid4().hex[:12]}"
            self._file = self._group / setting
            self._limited = limited.format(quota=self.quota_us, period=PERIOD_US)
            self._unlimited = unlimited.format(period=PERIOD_US)
            try:
                self._group.mkdir()
            except OSError:
                continue
            try:
                if setting == "cpu.cfs_quota_us":
                    (self._group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
                self.throttle()
            except OSError:
                self._group.rmdir()
            else:
                return
        raise SimulatorError("limiting the CPU needs root and a cgroup with the cpu controller")

    def enter(self) -> None:
        """Bring the calling process into the group; runs between fork and exec."""
        (self._group / "cgroup.procs").write_text(str(os.getpid()))

    def throttle(self) -> None:
        """Limit what is in the group."""
        self._file.write_text(self._limited)

    def lift(self) -> None:
        """Limit nothing until `throttle`."""
        self._file.write_text(self._unlimited)

    def close(self) -> None:
        """Remove the group; its processes must have ended."""
        with contextlib.suppress(OSError):
            self._group.rmdir()

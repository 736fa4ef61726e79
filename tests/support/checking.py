"""The command `check`, run as its user does, with no variables but those that are given."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.support import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

FROM_SOURCE = (sys.executable, "-m", "extension")
LIMIT_S = 50.0
# No credentials of whoever runs the tests: the SDK finds a home folder without HOME, and a machine's role by itself.
NOBODY = {
    "AWS_CONFIG_FILE": "/nonexistent",
    "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
    "AWS_EC2_METADATA_DISABLED": "true",
}


class Ended(NamedTuple):
    """How it ended, and what it printed."""

    status: int
    printed: str
    complained: str

    @property
    def report(self) -> dict[str, Any]:
        """What --json printed."""
        found: dict[str, Any] = json.loads(self.printed)
        return found


def check(
    *arguments: str | Path, variables: Mapping[str, str] | None = None, command: Sequence[str | Path] = FROM_SOURCE
) -> Ended:
    """Run it to its end."""
    ended = subprocess.run(
        [*command, "check", *arguments],
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **NOBODY, **(variables or {})},
        cwd=ROOT,
        capture_output=True,
        timeout=LIMIT_S,
        check=False,
    )
    return Ended(ended.returncode, ended.stdout.decode(), ended.stderr.decode())


def frozen(layer: Path) -> tuple[Path]:
    """The command of the binary that ships."""
    return (layer / "telemetry-forwarder" / "telemetry-forwarder",)

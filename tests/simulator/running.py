"""The command line of the simulator, as users run it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from tests.support import ROOT

if TYPE_CHECKING:
    from pathlib import Path

LIMIT_S = 55  # pytest has its own at 60


def run(*arguments: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run it with environment variables for the function."""
    words = [f"{key}={value}" for key, value in env.items()]
    command = [sys.executable, "-m", "simulator", *map(str, arguments), *(["--env", *words] if words else [])]
    quiet = {
        key: value for key, value in os.environ.items() if key != "PYTHONASYNCIODEBUG"
    }  # it tells slowness on stderr
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=quiet, timeout=LIMIT_S, check=False)


def document(*arguments: str | Path, **env: str) -> dict[str, Any]:
    """What it prints with --json."""
    found: dict[str, Any] = json.loads(run(*arguments, "--json", **env).stdout)
    return found

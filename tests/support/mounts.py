"""Mount namespaces, which a container has only where it is privileged."""

from __future__ import annotations

import shutil
import subprocess

import pytest


def why_none() -> str:
    """Why no mount namespace can be made here; empty where one can."""
    if not shutil.which("unshare"):
        return "there is no unshare here"
    probe = subprocess.run(["unshare", "--mount", "true"], capture_output=True, text=True, check=False, timeout=30)
    return "" if probe.returncode == 0 else f"no mount namespace can be made here: {probe.stderr.strip()}"


NEEDS_MOUNTS = pytest.mark.skipif(bool(why_none()), reason=why_none())

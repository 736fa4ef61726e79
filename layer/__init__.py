"""Builds the layer: what goes into the frozen bundle, the audit of what it needs, the zip, its SBOM and licences."""

from __future__ import annotations

import platform
from pathlib import Path

DIST = Path(__file__).parent.parent / "dist"


def built() -> Path:
    """The layer of this machine's architecture that was built last; if there is none, where one would be."""
    name = f"telemetry-forwarder-{platform.machine().replace('aarch64', 'arm64')}"
    there = [path for path in (DIST / f"{name}.zip", DIST / f"{name}-local.zip") if path.exists()]
    return max(there, key=lambda path: path.stat().st_mtime, default=DIST / f"{name}.zip")

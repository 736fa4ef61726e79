"""Layers and functions for the simulator to run; every one is a real process with the probe in it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.probe_layer import write_probe

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.probe_layer import MakeFunction, Plan


@pytest.fixture
def probe(tmp_path: Path) -> Path:
    """A layer folder with one probe."""
    folder = tmp_path / "layer"
    write_probe(folder)
    return folder


@pytest.fixture
def function(tmp_path: Path) -> MakeFunction:
    """Make a function folder with the given source in app.py, or in bootstrap."""

    def make(source: str, name: str = "app.py") -> Path:
        folder = tmp_path / "function"
        folder.mkdir()
        (folder / name).write_text(source)
        (folder / name).chmod(0o755)
        return folder

    return make


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """The environment variables that tell the probe what to do, and where to write what it receives."""

    def make(**wishes: Any) -> dict[str, str]:
        return {"PROBE": json.dumps(wishes), "PROBE_OUT": str(tmp_path / "received.ndjson")}

    return make

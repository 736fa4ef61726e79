"""Layers with a probe as their extension, which does what a test says and writes down what it receives."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from tests.support import ROOT

HERE = Path(__file__).parent
EXAMPLE = ROOT / "examples" / "function"

MakeFunction = Callable[..., Path]
Plan = Callable[..., dict[str, str]]


def write_probe(folder: Path, name: str = "probe") -> Path:
    """Put the probe into a layer folder as an extension called `name`."""
    path = folder / "extensions" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!{sys.executable}\n{(HERE / 'probe.py').read_text()}")
    path.chmod(0o755)
    return path

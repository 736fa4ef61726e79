"""What benchmarks have in common at their end: a table as Markdown, and a file for plots.py."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support import unzip

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Mapping, Sequence


def machine() -> str:
    """Where and when the figures were made."""
    system = f"{platform.machine()} {platform.system()} {platform.release()}, {os.cpu_count()} CPUs"
    return f"{time.strftime('%Y-%m-%d')}, {system}"


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table as Markdown."""
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def paired(values: Sequence[float], base: Sequence[float]) -> float:
    """The median of the ratios of two things that were measured in the same rounds."""
    return statistics.median(value / other for value, other in zip(values, base, strict=True))


def add_json(parser: argparse.ArgumentParser) -> None:
    """The option that every benchmark has."""
    parser.add_argument("--json", type=Path, help="write the figures into this file, for benchmarks.plots")


def save(path: Path | None, benchmark: str, figures: Mapping[str, Any]) -> None:
    """Write the figures where --json says; nan is null there."""
    if path:
        content = {"benchmark": benchmark, "machine": machine(), **figures}
        plain = json.loads(json.dumps(content), parse_constant=lambda _: None)
        path.write_text(json.dumps(plain, indent=1) + "\n")


def layer_folder(layer: Path, into: Path) -> Path:
    """A layer, zip or folder, as a folder."""
    return layer if layer.is_dir() else unzip(layer, into)

"""What plots.py draws."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from benchmarks.plots import PLOTS, Bar, Plot, draw
from benchmarks.results import save

if TYPE_CHECKING:
    from pathlib import Path

SVG = "{http://www.w3.org/2000/svg}"
FIGURES = {"median": 1.0, "billed": 2.0}
COST = {"cpu_us": 1.0}
SAMPLES: dict[str, dict[str, Any]] = {
    "cold_start": {
        "titles": ["register_ms", "next_ms"],
        "rows": {"the layer, file": [1.0, 2.0], "bare": [1.0, float("nan")]},
    },
    "overhead": {
        "cells": [{"cell": ["128", "fast", "throttled", "at once"], "layer": "no layer", "figures": FIGURES}],
        "tails": [{"cell": ["20", "dense"], "layer": "a", "figures": FIGURES}],
    },
    "others": {
        "titles": ["extension", "register, ms", "first next, ms", "RSS 2 s later, MiB", "us of CPU a record"],
        "rows": [["this layer", "1", "2", "3", "4"], ["bare", "1", "", "", ""]],
        "stored": [["rotel", "1", "2", "3", "4"]],
    },
    "scale": {"dollars": {"10 environments": {"s3": 1.0, "CloudWatch Logs, by Lambda": 2.0}}},
    "throughput": {name: [["x", COST, 1.0]] for name in ("sinks", "invocations", "sizes", "counts")},
}


def test_bars_are_in_proportion() -> None:
    """All bars of a drawing have one scale, and names are text, not markup."""
    plot = Plot("x", "a < b", "", {"one": [Bar("x & y", 2.0)], "two": [Bar("z", 1.0, "ours")]})
    tree = ET.fromstring(draw(plot))  # noqa: S314 - our own text
    first, second = (float(bar.attrib["width"]) for bar in tree.iter(f"{SVG}rect"))
    assert abs(first - 2 * second) < 0.2
    assert "x & y" in [text.text for text in tree.iter(f"{SVG}text")]


def test_a_drawing_is_light_or_dark() -> None:
    """It follows its reader's preference."""
    assert "prefers-color-scheme: dark" in draw(Plot("x", "", "", {"": [Bar("x", 1.0)]}))


def test_every_benchmark_that_saves_is_drawn(tmp_path: Path) -> None:
    """What --json wrote gives drawings that are well-formed."""
    assert SAMPLES.keys() == PLOTS.keys()
    for name, sample in SAMPLES.items():
        save(tmp_path / "figures.json", name, sample)
        figures = json.loads((tmp_path / "figures.json").read_text())
        plots = PLOTS[figures["benchmark"]](figures)
        assert plots
        for plot in plots:
            ET.fromstring(draw(plot))  # noqa: S314 - our own text

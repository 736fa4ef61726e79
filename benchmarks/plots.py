"""Draws what benchmarks wrote with --json: bars, as SVG that is light or dark as its reader is.

python -m benchmarks.plots FILE.json ...
"""

from __future__ import annotations

import argparse
import json
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

FOLDER = Path(__file__).parent / "plots"
WIDTH, NUMBERS = 860, 70  # pixels: of all, of the numbers on the right
LETTER = 6.8  # pixels, of most fonts of this size at most
ROW, TITLE, GAP = 22, 44, 12
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #24292f }
.title { font-size: 14px; font-weight: 600 }
.note { fill: #57606a }
.ours { fill: #0969da } .other { fill: #afb8c1 } .base { fill: #57606a }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .note { fill: #8d96a0 }
  .ours { fill: #4493f8 } .other { fill: #484f58 } .base { fill: #8d96a0 }
}
"""


class Bar(NamedTuple):
    """One bar: its name, its value, and its kind: ours, base (what ratios are to) or other."""

    name: str
    value: float
    kind: str = "other"


class Plot(NamedTuple):
    """One drawing: groups of bars, all to one scale; a group has a heading unless that is empty."""

    file: str
    title: str
    note: str
    groups: dict[str, list[Bar]]


def draw(plot: Plot) -> str:
    """The SVG."""
    most = max(bar.value for bars in plot.groups.values() for bar in bars)
    labels = round(max(len(bar.name) for bars in plot.groups.values() for bar in bars) * LETTER) + 8
    room = WIDTH - labels - NUMBERS
    parts = [
        f'<text class="title" x="0" y="16">{escape(plot.title)}</text>',
        f'<text class="note" x="0" y="33">{escape(plot.note)}</text>',
    ]
    y = TITLE
    for heading, bars in plot.groups.items():
        if heading:
            parts.append(f'<text class="note" x="0" y="{y + 15}">{escape(heading)}</text>')
            y += ROW
        for bar in bars:
            width = max(1.0, bar.value / most * room)
            parts += [
                f'<text x="{labels - 8}" y="{y + 15}" text-anchor="end">{escape(bar.name)}</text>',
                f'<rect class="{bar.kind}" x="{labels}" y="{y + 3}" width="{width:.1f}" height="{ROW - 6}" rx="2"/>',
                f'<text x="{labels + width + 6:.1f}" y="{y + 15}">{number(bar.value)}</text>',
            ]
            y += ROW
        y += GAP
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}" role="img">'
    return "\n".join([head, f"<title>{escape(plot.title)}</title>", f"<style>{STYLE}</style>", *parts, "</svg>"]) + "\n"


def number(value: float) -> str:
    """A value in three digits or so."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def overhead(figures: dict[str, Any]) -> list[Plot]:
    """The billed sum of a first invocation, a drawing for each memory size, and the tails after runtimeDone."""
    billed: dict[str, dict[str, list[Bar]]] = {}
    for row in figures.get("cells", ()):
        memory, runtime, init, invoke = row["cell"]
        groups = billed.setdefault(memory, {})
        heading = f"{runtime} runtime, init {init}, INVOKE {invoke}"
        groups.setdefault(heading, []).append(_layer(row["layer"], row["figures"]["billed"]))
    tails: dict[str, list[Bar]] = {}
    for row in figures.get("tails", ()):
        sink_ms, mode = row["cell"]
        heading = f"a sink that takes {sink_ms} ms, {mode}"
        tails.setdefault(heading, []).append(_layer(row["layer"], row["figures"]["median"]))
    plots = [
        Plot(f"overhead-{memory}", f"Init and first invocation at {memory} MB, ms billed", figures["machine"], groups)
        for memory, groups in billed.items()
    ]
    return [
        *plots,
        *([Plot("tails", "From runtimeDone to the next /next, ms", figures["machine"], tails)] * bool(tails)),
    ]


def _layer(name: str, value: float) -> Bar:
    return Bar(name, value, "base" if name == "no layer" else "ours")


def others(figures: dict[str, Any]) -> list[Plot]:
    """A drawing for each column that says something of every extension."""
    names = {
        "register": "register, ms",
        "next": "first next, ms",
        "rss": "RSS 2 s later, MiB",
        "cpu": "us of CPU a record",
    }
    plots = []
    for file, title in names.items():
        column = figures["titles"].index(title)
        bars = [
            Bar(row[0], float(row[column]), "ours" if row[0] == "this layer" else "other")
            for row in [*figures["rows"], *figures["stored"]]
            if row[column]
        ]
        plots.append(Plot(f"others-{file}", title, figures["machine"], {"": sorted(bars, key=lambda bar: bar.value)}))
    return plots


def throughput(figures: dict[str, Any]) -> list[Plot]:
    """CPU a record, in all tables; those of sizes are too unlike each other for one scale."""
    titles = {
        "sinks": "as fast as they are read",
        "invocations": "in invocations of 1,000",
        "counts": "discard://, by number",
    }
    groups = {
        heading: [
            Bar(name, cost["cpu_us"], "base" if "the floor" in name else "ours") for name, cost, _ in figures[title]
        ]
        for title, heading in titles.items()
    }
    by_size = {"": [Bar(name, x, "ours") for name, _, x in figures["sizes"] if "the floor" not in name]}
    return [
        Plot("throughput", "CPU a record, us", figures["machine"], groups),
        Plot("sizes", "CPU a record, times the floor, by the size of its text", figures["machine"], by_size),
    ]


def cold_start(figures: dict[str, Any]) -> list[Plot]:
    """One drawing: exec to register, and to the first /next."""
    groups = {}
    for title, heading in {"register_ms": "to register", "next_ms": "to the first /next"}.items():
        column = figures["titles"].index(title)
        values = {name: row[column] for name, row in figures["rows"].items() if row[column] is not None}
        kinds = {name: "ours" if name.startswith("the layer") else "other" for name in values}
        groups[heading] = [Bar(name, value, kinds[name]) for name, value in values.items()]
    return [Plot("cold-start", "From exec, ms", figures["machine"], groups)]


def scale(figures: dict[str, Any]) -> list[Plot]:
    """What each sink costs in a month, a drawing for each fleet."""
    return [
        Plot(
            f"cost-{number}",
            f"US$ a month: {fleet}",
            "list prices of us-east-1, November 2026",
            {"": [Bar(name, value, "base" if "by Lambda" in name else "ours") for name, value in bars.items()]},
        )
        for number, (fleet, bars) in enumerate(figures["dollars"].items(), 1)
    ]


PLOTS: dict[str, Callable[[dict[str, Any]], list[Plot]]] = {
    "cold_start": cold_start,
    "overhead": overhead,
    "others": others,
    "throughput": throughput,
    "scale": scale,
}


def main() -> None:
    """Draw every file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plots", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    FOLDER.mkdir(exist_ok=True)
    for file in parser.parse_args().files:
        figures = json.loads(file.read_text())
        for plot in PLOTS[figures["benchmark"]](figures):
            (FOLDER / f"{plot.file}.svg").write_text(draw(plot))
            print(FOLDER / f"{plot.file}.svg")


if __name__ == "__main__":
    main()

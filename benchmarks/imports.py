"""What each module costs that is loaded on the way to the first /next: ms and KiB of resident memory, its own alone.

    python -m benchmarks.imports LAYER.zip [ANOTHER.zip] --python PYTHON [--sink URL] [--rounds N]

PYTHON is the CPython that the layers were made of, cpython-.../python/bin/python3.13 in ~/.cache/telemetry-forwarder.
It imports out of the unzipped layer what the forwarder does, and opens a sink.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
from pathlib import Path

PROGRAM = """
import _frozen_importlib as importlib, gc, posix, sys, time
sys.path[:] = [f"{sys.argv[1]}/python3.13/lib-dynload", sys.argv[1]]
gc.disable()

def resident():
    file = posix.open("/proc/self/statm", posix.O_RDONLY)
    pages = posix.read(file, 100).split()[1]
    posix.close(file)
    return int(pages) * 4

def load(spec):
    inner.append([0.0, 0])
    size, began = resident(), time.perf_counter()
    try:
        return plain(spec)
    finally:
        took, grown = (time.perf_counter() - began) * 1000, resident() - size
        less, smaller = inner.pop()
        costs[spec.name] = took - less, grown - smaller
        inner[-1][0] += took
        inner[-1][1] += grown

costs, inner, plain = {}, [[0.0, 0]], importlib._load_unlocked
importlib._load_unlocked = load
size, began = resident(), time.perf_counter()
import extension.lifecycle
from extension import sink_url, sinks
sinks.load(sink_url.take_apart(sys.argv[2], ""))
took, grown = (time.perf_counter() - began) * 1000, resident() - size
import json
print(json.dumps({**costs, "": (took, grown)}))
"""
LEAST_MS, LEAST_KIB = 0.8, 150  # of a module that gets a row of its own
Costs = dict[str, tuple[float, float]]


def measure(python: str, layer: Path, sink: str) -> Costs:
    """Own ms and KiB by module, and of everything under the empty name."""
    bundle = str(layer / "telemetry-forwarder" / "_internal")
    variables = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_REGION": "eu-west-1"}
    ran = subprocess.run(
        [python, "-I", "-S", "-OO", "-c", PROGRAM, bundle, sink], env=variables, check=True, capture_output=True
    )
    return {name: (ms, kib) for name, (ms, kib) in json.loads(ran.stdout).items()}


def medians(runs: list[Costs]) -> Costs:
    """The median of each module's costs."""
    return {
        name: (statistics.median(run[name][0] for run in runs), statistics.median(run[name][1] for run in runs))
        for name in runs[0]
    }


def table(layers: list[Costs]) -> str:
    """A row for each module that costs something in any of the layers, the dearest first, as Markdown."""
    names = {name for layer in layers for name, (ms, kib) in layer.items() if ms >= LEAST_MS or kib >= LEAST_KIB}
    shown = sorted(names - {""}, key=lambda name: -max(layer[name][0] for layer in layers if name in layer))
    for layer in layers:
        kept = [layer[name] for name in shown if name in layer]
        layer["rest"] = layer[""][0] - sum(ms for ms, _ in kept), layer[""][1] - sum(kib for _, kib in kept)
    rows = {**{f"`{name}`": name for name in shown}, "all others, and opening the sink": "rest", "sum": ""}
    head = "".join(f" ms {at} | KiB {at} |" for at in ("before", "after")[: len(layers)])
    lines = [f"| module |{head}", "|---|" + "---|---|" * len(layers)]
    for title, name in rows.items():
        cells = [f" {layer[name][0]:.1f} | {layer[name][1]:.0f} |" if name in layer else " | |" for layer in layers]
        lines.append(f"| {title} |{''.join(cells)}")
    return "\n".join(lines)


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.imports", description=__doc__)
    parser.add_argument("layers", nargs="+", type=Path, help="one, or one before and one after")
    parser.add_argument("--python", required=True)
    parser.add_argument("--sink", default="file:///dev/null")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, str(number)) for number in range(len(options.layers))]
        for layer, path in zip(options.layers, paths, strict=True):
            subprocess.run(["unzip", "-q", layer, "-d", path], check=True)
        runs: list[list[Costs]] = [[] for _ in paths]
        for round_ in range(-1, options.rounds):  # one round to warm the file cache
            for path, done in zip(paths, runs, strict=True):
                measured = measure(options.python, path, options.sink)
                if round_ >= 0:
                    done.append(measured)
    print(f"{options.rounds} rounds, medians; {options.sink}\n")
    print(table([medians(done) for done in runs]))


if __name__ == "__main__":
    main()

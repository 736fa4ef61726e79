"""Builds of the layer against each other, in turn: exec to register, to the first /next, memory, CPU a record.

python -m benchmarks.builds BASELINE.zip OTHER.zip ... [--rounds N] [--records N]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import statistics
import subprocess
import tempfile
from pathlib import Path

from benchmarks.cold_start import Subject, start
from benchmarks.results import add_json, save
from benchmarks.under_fire import cpu_s, send, started

TITLES = ("register, ms", "first next, ms", "RSS at next, MiB", "us of CPU a record")


async def cpu_per_record(executable: str, records: int) -> float:
    """Microseconds of CPU for each record that goes through the file sink; imports are done by then."""
    async with started(Path(executable), FORWARDER_SINKS="file:///dev/null") as (lambda_, pid):
        await lambda_.invoke("r0", "warm")
        used = cpu_s(pid)
        await send(lambda_, records)
        await lambda_.invoke("r1", "the last")
        used = cpu_s(pid) - used
        assert await lambda_.shut_down() == 0
        assert lambda_.ledger["received"] >= records
    return used / records * 1e6


def measure(executable: str, records: int) -> tuple[float, ...]:
    """One row: what TITLES says."""
    run = start(Subject("", [executable], {"FORWARDER_SINKS": "file:///dev/null"}))
    return run.register_ms, run.next_ms, run.next_mib, asyncio.run(cpu_per_record(executable, records))


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.builds", description=__doc__)
    parser.add_argument("layers", nargs="+", type=Path)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--records", type=int, default=100_000)
    add_json(parser)
    options = parser.parse_args()
    rows: dict[Path, list[tuple[float, ...]]] = {layer: [] for layer in options.layers}
    with tempfile.TemporaryDirectory() as folder:
        executables = {layer: f"{folder}/{number}" for number, layer in enumerate(rows)}
        for layer, path in executables.items():
            subprocess.run(["unzip", "-q", layer, "-d", path], check=True)
        for round_ in range(-1, options.rounds):  # one round to warm the file cache
            for layer, path in executables.items():
                row = measure(f"{path}/extensions/telemetry-forwarder", options.records)
                if round_ >= 0:
                    rows[layer].append(row)
    print(f"{options.rounds} rounds; median (times the first); {platform.platform()}, {os.cpu_count()} CPUs\n")
    print(f"| build | {' | '.join(TITLES)} |\n|---|---|---|---|---|")
    baseline = [statistics.median(column) for column in zip(*rows[options.layers[0]], strict=True)]
    for layer, measured in rows.items():
        medians = [statistics.median(column) for column in zip(*measured, strict=True)]
        cells = [f"{value:.1f} ({value / first:.2f})" for value, first in zip(medians, baseline, strict=True)]
        print(f"| {layer.stem} | {' | '.join(cells)} |")
    figures = {layer.stem: measured for layer, measured in rows.items()}
    save(options.json, "builds", {"titles": TITLES, "rows": figures})


if __name__ == "__main__":
    main()

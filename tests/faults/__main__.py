"""Runs the whole fault matrix: `python -m tests.faults` writes docs/faults.md and exits with 1 if a cell failed."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
import zipfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

from layer import built
from tests.faults.matrix import CELLS, ENDINGS, FREEZES, LOADS, SINKS, Cell, run

ROOT = Path(__file__).parent.parent.parent
CELL_S = 120.0
HEADER = """# The fault matrix

Written by `make faults`, which runs the frozen layer in the simulator in every combination of sink, load, freeze and
ending. In each cell:

- no invocation fails but those that are made to, and none is held longer after its runtime is done than
  extension/policy.py promises (2 s, or half of the function's timeout; the check grants 0.7 s to a busy
  machine, and 2 s where 100,000 lines have to be read before runtimeDone is);
- SHUTDOWN ends with status 0 before its deadline;
- the ledger balances: what was received is delivered, dropped with a reason, or pending; what it says was delivered is
  at the sink; what the simulator sent was received;
- records that arrive twice have the same id.

Sinks: `refused` has no listener, `hangs` accepts no connection, `no answer` takes the request and is silent, `reset`
resets the connection instead of answering, `1 byte/s` sends its answer so slowly, `too late` answers when the client
has given up.
`100000 lines` are printed by one invocation at once. `20 min jump`: the clock jumps in each freeze.
`stopped in a send`: SIGSTOP while a request is under way. `SIGKILL and restart`: the forwarder is killed in the middle
of an invocation.
"""


def attempt(cell: Cell, layer: str) -> list[str]:
    """Run a cell in a process of its own."""

    async def bounded() -> list[str]:
        async with asyncio.timeout(CELL_S):
            return await run(cell, Path(layer))

    try:
        return asyncio.run(bounded())
    except Exception as error:  # noqa: BLE001 - a cell that breaks is a cell that failed
        return [f"{type(error).__name__}: {error}"]


def main() -> int:
    """Run, print, write the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--jobs", type=int, default=2 * (os.cpu_count() or 1))
    parser.add_argument("--layer", type=Path, default=built())
    options = parser.parse_args()
    began = time.monotonic()
    problems: dict[Cell, list[str]] = {}
    with TemporaryDirectory(prefix="layer-") as folder, ProcessPoolExecutor(options.jobs) as processes:
        with zipfile.ZipFile(options.layer) as archive:
            for member in archive.infolist():
                Path(archive.extract(member, folder)).chmod((member.external_attr >> 16) & 0o777 or 0o644)
        found = processes.map(attempt, CELLS, [folder] * len(CELLS))
        for number, (cell, said) in enumerate(zip(CELLS, found, strict=True), 1):
            problems[cell] = said
            print(f"{number}/{len(CELLS)} {', '.join(cell)}: {'; '.join(said) or 'ok'}", flush=True)
    failed = {cell: said for cell, said in problems.items() if said}
    (ROOT / "docs" / "faults.md").write_text(table(problems, failed, time.monotonic() - began))
    print(f"{len(CELLS) - len(failed)} passed, {len(failed)} failed")
    return bool(failed)


def table(problems: dict[Cell, list[str]], failed: dict[Cell, list[str]], seconds: float) -> str:
    """A row for each sink and load, a column for each freeze, a sign for each ending."""
    lines = [HEADER]
    lines.append(f"Last run: {len(problems) - len(failed)} of {len(problems)} cells as promised, in {seconds:.0f} s.\n")
    lines.append(f"Each field has a sign for each ending, in this order: {', '.join(ENDINGS)}. ✓ as promised, ✗ not.\n")
    lines.append(f"| sink | load | {' | '.join(FREEZES)} |")
    lines.append("|---|---|" + "---|" * len(FREEZES))
    for sink in SINKS:
        for load in LOADS:
            fields = [
                "".join("✗" if problems[Cell(sink, load, freeze, ending)] else "✓" for ending in ENDINGS)
                for freeze in FREEZES
            ]
            lines.append(f"| {sink} | {load} | {' | '.join(fields)} |")
    if failed:
        lines.append("\nNot as promised:\n")
        lines += [f"- {', '.join(cell)}: {'; '.join(said)}" for cell, said in failed.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())

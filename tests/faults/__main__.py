"""Runs the whole fault matrix: `python -m tests.faults` writes docs/faults.md and exits with 1 if a cell failed.

A cell that is known to fail must fail: one that passes is a failure, too.
"""

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

from tests.faults import bursts, matrix
from tests.faults.bursts import BURSTS, Burst
from tests.faults.matrix import CELLS, COVER, ENDINGS, FREEZES, LOADS, SINKS, Cell

ROOT = Path(__file__).parent.parent.parent
CELL_S = 200.0
ALL: list[Cell | Burst] = [*CELLS, *(cell for cell in COVER if cell not in CELLS), *BURSTS]
HEADER = """# The fault matrix

Written by `make faults`, which runs the frozen layer in the simulator in every combination of sink, load, freeze and
ending. In each cell:

- no invocation fails but those that are made to, and none is held longer after its runtime is done than
  extension/policy.py promises (2 s, or half of the function's timeout; the check grants 0.7 s to a busy
  machine, and 2 s where 100,000 lines have to be read before runtimeDone is);
- SHUTDOWN ends with status 0 before its deadline;
- the ledger balances: what was received is delivered, dropped with a reason, or pending; what it says was delivered is
  at the sink; what the simulator sent was received;
- records that arrive twice have the same id;
- lines that come 5, 30 and 60 ms after SHUTDOWN, after silence, were taken.

Sinks: `refused` has no listener, `hangs` accepts no connection, `no answer` takes the request and is silent, `reset`
resets the connection instead of answering, `1 byte/s` sends its answer so slowly, `too late` answers when the client
has given up.
`100000 lines` are printed by one invocation at once. `20 min jump`: the clock jumps in each freeze.
`stopped in a send`: SIGSTOP while a request is under way. `SIGKILL and restart`: the forwarder is killed in the middle
of an invocation. `retries`: every second invocation has the request id of the one before; `done before INVOKE`: and its
platform.runtimeDone is sent before its INVOKE.
"""
MORE = """
## More of the world

{count} cells. With those above, every pair of values occurs in them; lines after SHUTDOWN have more, where all is well.
"""
BURSTS_HEAD = """
## Bursts of short lines

Live sinks, whose first answer takes a second and each other one as long as the cell says, get a burst from a simulated
platform that drops nothing. Each sink gets every line, and the ledger knows of no loss: nothing dropped, by us or the
platform, and no unread bytes. {count} cells, in which every pair of values occurs.
"""


def attempt(cell: Cell | Burst, layer: str) -> list[str]:
    """Run a cell in a process of its own."""

    async def bounded() -> list[str]:
        async with asyncio.timeout(CELL_S):
            return await (bursts.run(cell, Path(layer)) if isinstance(cell, Burst) else matrix.run(cell, Path(layer)))

    try:
        return asyncio.run(bounded())
    except Exception as error:  # noqa: BLE001 - a cell that breaks is a cell that failed
        return [f"{type(error).__name__}: {error}"]


def known(cell: Cell | Burst) -> str:
    """Why a cell fails today; empty for one that must not."""
    return bursts.KNOWN if isinstance(cell, Burst) else matrix.known(cell)


def sign(cell: Cell | Burst, said: list[str]) -> str:
    """As promised, not as promised, or not as promised and known: what is known to fail must fail."""
    if known(cell):
        return "○" if said else "✗"
    return "✗" if said else "✓"


def main() -> int:
    """Run, print, write the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--jobs", type=int, default=2 * (os.cpu_count() or 1))
    parser.add_argument("--layer", type=Path, default=ROOT / "dist" / "telemetry-forwarder-x86_64.zip")
    options = parser.parse_args()
    began = time.monotonic()
    problems: dict[Cell | Burst, list[str]] = {}
    with TemporaryDirectory(prefix="layer-") as folder, ProcessPoolExecutor(options.jobs) as processes:
        with zipfile.ZipFile(options.layer) as archive:
            for member in archive.infolist():
                Path(archive.extract(member, folder)).chmod((member.external_attr >> 16) & 0o777 or 0o644)
        found = processes.map(attempt, ALL, [folder] * len(ALL))
        for number, (cell, said) in enumerate(zip(ALL, found, strict=True), 1):
            problems[cell] = said
            print(f"{number}/{len(ALL)} {sign(cell, said)} {', '.join(cell)}: {'; '.join(said) or 'ok'}", flush=True)
    (ROOT / "docs" / "faults.md").write_text(document(problems, time.monotonic() - began))
    print(summary(problems))
    return any(sign(cell, said) == "✗" for cell, said in problems.items())


def summary(problems: dict[Cell | Burst, list[str]]) -> str:
    """How many cells ended how."""
    signs = [sign(cell, said) for cell, said in problems.items()]
    return f"{signs.count('✓')} of {len(signs)} cells as promised, {signs.count('○')} known not to be"


def document(problems: dict[Cell | Burst, list[str]], seconds: float) -> str:
    """docs/faults.md."""
    signs = {cell: sign(cell, said) for cell, said in problems.items()}
    lines = [HEADER, f"Last run: {summary(problems)}, in {seconds:.0f} s. ✓ as promised, ✗ not, ○ known not to be.\n"]
    lines += [f"Each field has a sign for each ending, in this order: {', '.join(ENDINGS)}.\n", *table(signs)]
    more = [cell for cell in COVER if cell not in CELLS]
    for head, fields, cells in ((MORE, Cell._fields, more), (BURSTS_HEAD, Burst._fields, BURSTS)):
        lines += [head.format(count=len(cells)), f"| {' | '.join(fields)} | |", "|---" * (len(fields) + 1) + "|"]
        lines += [f"| {' | '.join(cell)} | {signs[cell]} |" for cell in cells]
    if failed := [cell for cell in problems if signs[cell] == "✗"]:
        lines.append("\nNot as promised:\n")
        lines += [f"- {', '.join(cell)}: {'; '.join(problems[cell]) or 'passed, known to fail'}" for cell in failed]
    if reasons := {known(cell) for cell in problems} - {""}:
        lines.append("\nKnown not to be as promised:\n")
        lines += [f"- {reason}" for reason in sorted(reasons)]
    return "\n".join(lines) + "\n"


def table(signs: dict[Cell | Burst, str]) -> list[str]:
    """A row for each sink and load, a column for each freeze, a sign for each ending."""
    lines = [f"| sink | load | {' | '.join(FREEZES)} |", "|---|---|" + "---|" * len(FREEZES)]
    for sink in SINKS:
        for load in LOADS:
            fields = ["".join(signs[Cell(sink, load, freeze, ending)] for ending in ENDINGS) for freeze in FREEZES]
            lines.append(f"| {sink} | {load} | {' | '.join(fields)} |")
    return lines


if __name__ == "__main__":
    sys.exit(main())

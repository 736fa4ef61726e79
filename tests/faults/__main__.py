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
from tests.faults import bursts, cells, promises
from tests.faults.bursts import BURSTS, Burst
from tests.faults.matrix import CELLS, COMMON_FREEZES, COVER, ENDINGS, LOADS, SINKS, Cell

ROOT = Path(__file__).parent.parent.parent
CELL_S = 600.0  # of 300 invocations each may be held for a probe of 1 s
MORE = [cell for cell in COVER if cell not in CELLS]
ALL: list[Cell | Burst] = [*CELLS, *MORE, *BURSTS]
HEAD = """# The fault matrix

Written by `make faults`, which runs the frozen layer in the simulator: {count} cells. In each of them:

- no invocation fails but those that are made to, and none is held longer after its runtime is done than
  extension/policy.py promises (2 s, or half of the function's timeout; the check grants 0.7 s to a busy
  machine, 4 s where 100,000 lines have to be read before runtimeDone is, for which reading may wait 2 s, and the 1.6 s
  of a SIGSTOP while it is held);
- SHUTDOWN ends with status 0 before its deadline, and lines that come 5, 30 and 60 ms after it were taken;
- the ledger balances: what was received is delivered, dropped with a reason, or pending; what it says was delivered is
  at the sink; what the simulator sent was received;
- records that arrive twice have the same id, and no others have;
- where 20 minutes go by between invocations and the sink takes records, they have left before.

Last run: {summary}, in {seconds:.0f} s. ✓ as promised, ✗ not.

Sinks: `refused` has no listener, `hangs` accepts no connection, `no answer` takes the request and is silent, `reset`
resets the connection instead of answering, `1 byte/s` sends its answer so slowly, `too late` answers when the client
has given up. Loads: `100000 lines` are printed by one invocation at once. Freezes: `20 min jump`, the clocks jump in
each; `stopped in a send`, SIGSTOP while a request is under way. Endings: `SIGKILL and restart`, the forwarder is killed
in the middle of an invocation.

## Sink, load, freeze and ending, in every combination

Each field has a sign for each ending, in this order: {endings}.

"""
MORE_HEAD = """
## More of the world

{count} cells. With those above, every two values meet in one of them.

Freezes: `20 min, wall clock`, that one jumps, the monotonic one stands still; `20 min, monotonic`, the other way round;
`1 s, no clock`, neither goes on. `network`: what is under way to the sink and back is held in each freeze, and the
sink's side of the connection answers meanwhile, closes it, resets it when it is used again, or is silent for ever.
`two copies`: two SnapStart environments that were restored from one snapshot. Ids: `retries`, every second invocation
has the request id of the one before; `done before INVOKE`, and its platform.runtimeDone is sent before its INVOKE.

"""
BURSTS_HEAD = """
## Bursts of short lines

{count} cells. Live sinks, whose first answer takes a second and each other one as long as the cell says, get a burst
from a simulated platform that drops nothing. Each sink gets every line, and the ledger knows of no loss: nothing
dropped, by us or the platform, and no unread bytes. Every two values meet in a cell.

"""


def attempt(cell: Cell | Burst, layer: str) -> list[str]:
    """Run a cell in a process of its own."""

    async def bounded() -> list[str]:
        async with asyncio.timeout(CELL_S):
            if isinstance(cell, Burst):
                return await bursts.run(cell, Path(layer))
            return promises.broken(await cells.run(cell, Path(layer)))

    try:
        return asyncio.run(bounded())
    except Exception as error:  # noqa: BLE001 - a cell that breaks is a cell that failed
        return [f"{type(error).__name__}: {error}"]


def sign(said: list[str]) -> str:
    """As promised, or not."""
    return "✗" if said else "✓"


def main() -> int:
    """Run, print, write the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--jobs", type=int, default=2 * (os.cpu_count() or 1))
    parser.add_argument("--layer", type=Path, default=built())
    options = parser.parse_args()
    began = time.monotonic()
    problems: dict[Cell | Burst, list[str]] = {}
    print(
        f"{len(ALL)} cells: {len(CELLS)} combinations, {len(MORE)} more of the world, {len(BURSTS)} bursts", flush=True
    )
    with TemporaryDirectory(prefix="layer-") as folder, ProcessPoolExecutor(options.jobs) as processes:
        with zipfile.ZipFile(options.layer) as archive:
            for member in archive.infolist():
                Path(archive.extract(member, folder)).chmod((member.external_attr >> 16) & 0o777 or 0o644)
        found = processes.map(attempt, ALL, [folder] * len(ALL))
        for number, (cell, said) in enumerate(zip(ALL, found, strict=True), 1):
            problems[cell] = said
            print(f"{number}/{len(ALL)} {sign(said)} {', '.join(cell)}: {'; '.join(said) or 'ok'}", flush=True)
    (ROOT / "docs" / "faults.md").write_text(document(problems, time.monotonic() - began))
    print(summary(problems))
    return any(problems.values())


def summary(problems: dict[Cell | Burst, list[str]]) -> str:
    """How many cells ended how."""
    signs = [sign(said) for said in problems.values()]
    return f"{signs.count('✓')} of {len(signs)} cells as promised"


def document(problems: dict[Cell | Burst, list[str]], seconds: float) -> str:
    """docs/faults.md."""
    signs = {cell: sign(said) for cell, said in problems.items()}
    head = HEAD.format(count=len(ALL), summary=summary(problems), seconds=seconds, endings=", ".join(ENDINGS))
    text = head + combinations(signs)
    text += MORE_HEAD.format(count=len(MORE)) + listing(Cell._fields, {cell: signs[cell] for cell in MORE})
    text += BURSTS_HEAD.format(count=len(BURSTS)) + listing(Burst._fields, {cell: signs[cell] for cell in BURSTS})
    if failed := [cell for cell in problems if signs[cell] == "✗"]:
        said = [f"- {', '.join(cell)}: {'; '.join(problems[cell])}\n" for cell in failed]
        text += "\n## Not as promised\n\n" + "".join(said)
    return text


def combinations(signs: dict[Cell | Burst, str]) -> str:
    """A row for each sink and load, a column for each freeze, a sign for each ending."""
    lines = [f"| sink | load | {' | '.join(COMMON_FREEZES)} |\n", "|---|---|" + "---|" * len(COMMON_FREEZES) + "\n"]
    for sink in SINKS:
        for load in LOADS:
            fields = ["".join(signs[Cell(sink, load, freeze, end)] for end in ENDINGS) for freeze in COMMON_FREEZES]
            lines.append(f"| {sink} | {load} | {' | '.join(fields)} |\n")
    return "".join(lines)


def listing(fields: tuple[str, ...], signs: dict[Cell | Burst, str]) -> str:
    """A row for each cell."""
    lines = [f"| {' | '.join(cell)} | {sign} |\n" for cell, sign in signs.items()]
    return f"| {' | '.join(fields)} | |\n" + "|---" * (len(fields) + 1) + "|\n" + "".join(lines)


if __name__ == "__main__":
    sys.exit(main())

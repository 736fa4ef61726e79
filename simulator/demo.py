"""`make demo`: the forwarder's own layer, the example function and the file sink, and what came out of it.

It needs the repository around it, and so is not in the distribution.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layer import built
from simulator import scenario
from simulator.report import console, picture, verdict
from simulator.scenario import Scenario

if TYPE_CHECKING:
    from simulator.environment import Environment
    from simulator.timeline import Moment

INVOCATIONS = 3
ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / ".work" / "demo.ndjson"
DRAWING = ROOT / ".work" / "demo.html"


def main() -> int:
    """Run it and tell of it; with -v, of every event and record."""
    parser = argparse.ArgumentParser(prog="python -m simulator.demo", description=__doc__)
    parser.add_argument("-v", "--verbose", action="store_true", help="every event, every record, and the ledger itself")
    verbose = parser.parse_args().verbose
    layer = built()
    if not layer.exists():
        print(f"no {layer.relative_to(ROOT)} yet: ./build.sh makes it", file=sys.stderr)
        return verdict.CANNOT_RUN
    OUT.parent.mkdir(exist_ok=True)
    OUT.unlink(missing_ok=True)
    print(f"{layer.relative_to(ROOT)} with examples/function, in a Lambda on this machine:")
    environment = asyncio.run(_run(layer, verbose=verbose))
    found = verdict.judge(environment)
    DRAWING.write_text(picture.draw(environment, found))
    _tell_records([json.loads(line) for line in OUT.read_text().splitlines()] if OUT.exists() else [], verbose=verbose)
    ledger = picture.ledger(environment)
    if ledger and not verbose:
        print(f"The forwarder's ledger: {_in_words(ledger)}.")
    code = found.code(require_delivery=True)
    print(f"\n{found.words()}" if verbose or code else "Every line of the function was delivered.")
    print(f"The timeline is drawn in {DRAWING.relative_to(ROOT)}: open it in a browser.")
    return code


async def _run(layer: Path, *, verbose: bool) -> Environment:
    settings = {
        "layer": layer,
        "function": ROOT / "examples" / "function",
        "env": {"FORWARDER_SINKS": f"file://{OUT}", "FORWARDER_LOG_LEVEL": "DEBUG"},
    }
    pause = {"wait_s": 0.1}  # a freeze that can be seen
    steps = [step for number in range(1, INVOCATIONS + 1) for step in ({"invoke": {"n": number}}, pause)]
    return await scenario.play(Scenario(settings, steps), console.tell if verbose else _tell_briefly)


def _tell_briefly(moment: Moment) -> None:
    details = moment.details
    match moment.what:
        case "platform.initReport":
            print(f"  init        {details['status']:<9} {details['metrics']['durationMs']:6.0f} ms")
        case "platform.report":
            print(f"  invocation  {details['status']:<9} {details['metrics']['durationMs']:6.0f} ms")
        case "shutdown.done":
            print(f"  shutdown    {details['reason']:<9} {details['seconds'] * 1000:6.0f} ms")


def _tell_records(records: list[dict[str, Any]], *, verbose: bool) -> None:
    """Tell all records, or those that the function wrote until its first invocation was over."""
    of_function = [record for record in records if record["type"] == "function"]
    counted = f"{len(of_function)} of the function and {len(records) - len(of_function)} of the platform"
    where = OUT.relative_to(ROOT)
    if verbose:
        print(f"\n{len(records)} records were delivered to {where}, {counted}:")
        shown = records
    else:
        print(f"{len(records)} records were delivered to {where}, {counted}. The function's first ones:")
        shown = of_function[: len(of_function) // INVOCATIONS + 1]
    for record in shown:
        content = record["record"]
        text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
        kind = f"{record['time']}  {record['type']:<28} " if verbose else ""
        print(console.cut(f"  {kind}{text.rstrip()}"))


def _in_words(ledger: dict[str, Any]) -> str:
    """The ledger of a run in which no filter is set, so that what is filtered is the forwarder's own log."""
    delivered = sum(sink["delivered"] for sink in ledger["sinks"].values())
    own = ledger["filtered"]
    return f"{ledger['received']} records came, {delivered} were delivered, {own} are its own log, which stays here"


if __name__ == "__main__":
    sys.exit(main())

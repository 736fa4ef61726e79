"""`make demo`: the forwarder's own layer, the example function and the file sink, and what came out of it."""

from __future__ import annotations

import json
from pathlib import Path

from layer import built
from simulator import scenario
from simulator.errors import SimulatorError
from simulator.report import console, picture, verdict
from simulator.scenario import Scenario

INVOCATIONS = 3
ROOT = Path(__file__).resolve().parent.parent


async def demo() -> int:
    """Run it, show the records that were delivered and the ledger, draw the timeline; the exit code."""
    layer = built()
    if not layer.exists():
        raise SimulatorError(f"no {layer.relative_to(ROOT)} yet: ./build.sh makes it")
    work = ROOT / ".work"
    work.mkdir(exist_ok=True)
    out = work / "demo.ndjson"
    drawing = work / "demo.html"
    out.unlink(missing_ok=True)
    settings = {
        "layer": layer,
        "function": ROOT / "examples" / "function",
        "env": {"FORWARDER_SINKS": f"file://{out}", "FORWARDER_LOG_LEVEL": "DEBUG"},
    }
    pause = {"wait_s": 0.1}  # a freeze that can be seen
    steps = [step for number in range(1, INVOCATIONS + 1) for step in ({"invoke": {"n": number}}, pause)]
    environment = await scenario.play(Scenario(settings, steps), console.tell)
    lines = out.read_text().splitlines() if out.exists() else []
    print(f"\n{len(lines)} records were delivered to {out.relative_to(ROOT)}:")
    for line in lines:
        record = json.loads(line)
        content = record["record"]
        text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
        print(console.cut(f"  {record['time']}  {record['type']:<28} {text.rstrip()}"))
    print(f"\nThe ledger:\n  {json.dumps(picture.ledger(environment))}")
    found = verdict.complaints(environment)
    drawing.write_text(picture.draw(environment, found))
    print(f"\nThe timeline is drawn in {drawing.relative_to(ROOT)}: open it in a browser.")
    print("".join(f"{complaint}\n" for complaint in found), end="")
    return 1 if found else 0

"""`make demo`: the forwarder's own layer, the example function and the file sink, and what came out of it."""

from __future__ import annotations

import json
import platform
from pathlib import Path

from simulator import console, verdict
from simulator.environment import Environment
from simulator.settings import SimulatorError

INVOCATIONS = 3
ROOT = Path(__file__).resolve().parent.parent


async def demo() -> int:
    """Run it, show the records that were delivered and the ledger; the exit code of the simulator."""
    architecture = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
    layer = ROOT / "dist" / f"telemetry-forwarder-{architecture}.zip"
    if not layer.exists():
        raise SimulatorError(f"no {layer.relative_to(ROOT)} yet: ./build.sh makes it")
    work = ROOT / ".work"
    work.mkdir(exist_ok=True)
    out = work / "demo.ndjson"
    out.unlink(missing_ok=True)
    environment = Environment(
        layer=layer,
        function=ROOT / "examples" / "function",
        env={"FORWARDER_SINKS": f"file://{out}"},
        watch=console.tell,
    )
    async with environment:
        for number in range(1, INVOCATIONS + 1):
            await environment.invoke({"n": number})
    lines = out.read_text().splitlines() if out.exists() else []
    print(f"\n{len(lines)} records were delivered to {out.relative_to(ROOT)}:")
    for line in lines:
        record = json.loads(line)
        content = (
            record["record"] if isinstance(record["record"], str) else json.dumps(record["record"], ensure_ascii=False)
        )
        print(console.cut(f"  {record['time']}  {record['type']:<28} {content.rstrip()}"))
    print(f"\nThe ledger:\n  {ledger(environment) or 'none was printed'}")
    found = verdict.complaints(environment)
    print("".join(f"\n{complaint}" for complaint in found))
    return 1 if found else 0


def ledger(environment: Environment) -> str:
    """The last ledger line that an extension printed (docs/operations.md), or nothing."""
    last = ""
    for moment in environment.timeline.named("printed"):
        last = next((line for line in reversed(moment.details["lines"]) if '"message":"ledger"' in line), last)
    return last

"""The command line: python -m simulator --layer LAYER --function FOLDER."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from simulator import scenario
from simulator.demo import demo
from simulator.errors import SimulatorError
from simulator.report import console, picture, verdict
from simulator.scenario import Scenario
from simulator.settings import InitType, LimitCpu

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulator.environment import Environment

BEHAVED, MISBEHAVED, CANNOT_RUN = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for. 0: the extensions behaved, 1: they did not, 2: it cannot be run like that."""
    options = _parser().parse_args(arguments)
    try:
        return asyncio.run(_run(options))
    except SimulatorError as error:
        print(f"simulator: {error}", file=sys.stderr)
        return CANNOT_RUN
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 128 + signal.SIGINT


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m simulator", description="A Lambda on your desk (docs/simulator.md)."
    )
    add = parser.add_argument
    add("--layer", type=Path, action="append", default=[], help="a layer, zip or folder; may be given several times")
    add("--function", type=Path, help="the folder of the function")
    add("--handler", default="app.handler", help="for Python; a file called bootstrap is run in its place")
    add("--invocations", type=int, default=1, help="how many times to invoke")
    add("--event", type=json.loads, default=None, help='the event, JSON; without one {"n": 1}, {"n": 2} ...')
    add("--request-id", help="of every invocation, as of Lambda's retries of one; without it each has its own")
    add("--env", nargs="+", action="extend", default=[], metavar="K=V", help="environment variables of the function")
    add("--env-file", type=Path, help="a file of K=V lines")
    add("--timeout", type=float, default=3.0, help="of the function, in seconds")
    add("--memory", type=int, default=128, help="of the function, in MB")
    add("--limit-memory", action="store_true", help="enforce it")
    add("--limit-cpu", choices=get_args(LimitCpu), default="never", help="to the share that its memory gives it (root)")
    add("--init-type", choices=get_args(InitType), default="on-demand")
    add("--log-format", choices=["Text", "JSON"], default="Text")
    add("--mount-opt", action="store_true", help="bind the layer over /opt for what is started (root)")
    add("--scenario", type=Path, help="a TOML file that says all this, and faults and steps")
    add("--html", type=Path, help="draw the timeline into this file")
    add("--json", action="store_true", help="print one JSON document at the end, and nothing else")
    add("--demo", action="store_true", help="run the forwarder's own layer with the example function")
    return parser


async def _run(options: argparse.Namespace) -> int:
    task = asyncio.current_task()
    if task:  # as for ^C: whatever was started is stopped
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    if options.demo:
        return await demo()
    played = scenario.load(options.scenario) if options.scenario else _scenario(options)
    environment = await scenario.play(played, None if options.json else console.tell)
    found = verdict.complaints(environment)
    if options.html:
        options.html.write_text(picture.draw(environment, found))
    if options.json:
        print(json.dumps(document(environment, found), ensure_ascii=False))
    if why := verdict.unstarted(environment):
        raise SimulatorError(why)
    if not options.json:
        print("\nThe extensions behaved." if not found else "\nThe extensions did not behave:")
        print("".join(f"  - {complaint}\n" for complaint in found), end="")
    return MISBEHAVED if found else BEHAVED


def _scenario(options: argparse.Namespace) -> Scenario:
    if options.function is None:
        raise SimulatorError("--function is missing: the folder that holds the handler")
    settings = {
        "layer": options.layer,
        "function": options.function,
        "handler": options.handler,
        "env": variables(options.env, options.env_file),
        "timeout_s": options.timeout,
        "memory_mb": options.memory,
        "limit_memory": options.limit_memory,
        "limit_cpu": options.limit_cpu,
        "init_type": options.init_type,
        "log_format": options.log_format,
        "mount_opt": options.mount_opt,
    }
    events = ({"n": number} if options.event is None else options.event for number in range(1, options.invocations + 1))
    more = {"request_id": options.request_id} if options.request_id else {}
    return Scenario(settings, [{"invoke": event, **more} for event in events])


def variables(pairs: Sequence[str], file: Path | None) -> dict[str, str]:
    """Environment variables from K=V words and from the lines of a file; the words win."""
    lines: list[str] = []
    if file:
        try:
            lines = [line.strip() for line in file.read_text().splitlines()]
        except OSError as error:
            raise SimulatorError(f"cannot read the env file: {error}") from error
    found = {}
    for pair in [*(line for line in lines if line and not line.startswith("#")), *pairs]:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise SimulatorError(f"{pair!r} is not of the form NAME=VALUE")
        found[key] = value
    return found


def document(environment: Environment, found: Sequence[str]) -> dict[str, Any]:
    """What --json prints."""
    return {
        "behaved": not found,
        "complaints": list(found),
        "invocations": [
            {"requestId": done.request_id, "status": done.status, "payload": done.payload, "seconds": done.duration_s}
            for done in environment.invocations
        ],
        "shutdowns": [
            {
                "reason": done.reason,
                "seconds": done.duration_s,
                "extensions": {
                    name: {"returncode": ended.returncode, "killed": ended.killed}
                    for name, ended in done.extensions.items()
                },
            }
            for done in environment.shutdowns
        ],
        "sent": {name: len(lines) for name, lines in environment.sent.items()},
        "timeline": [{"at": one.at, "what": one.what, "details": one.details} for one in environment.timeline],
    }


if __name__ == "__main__":
    sys.exit(main())

"""The command line: python -m simulator --layer LAYER --function FOLDER."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from simulator import options, receiver, scenario
from simulator.errors import SimulatorError
from simulator.report import console, picture, verdict
from simulator.scenario import Scenario

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulator.environment import Environment
    from simulator.options import Options
    from simulator.receiver import Receiver
    from simulator.report.verdict import Verdict


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for, tell what happened, and return the exit code of docs/simulator.md."""
    try:
        return asyncio.run(_run(options.read(arguments)))
    except SimulatorError as error:
        print(f"simulator: {error}", file=sys.stderr)
        return verdict.CANNOT_RUN
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 128 + signal.SIGINT


async def _run(asked: Options) -> int:
    task = asyncio.current_task()
    if task:  # as for ^C: whatever was started is stopped
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    environment, found = await _play(asked)
    code = found.code(require_delivery=asked.require_delivery, may_fail=asked.function_may_fail)
    if asked.html:
        asked.html.write_text(picture.draw(environment, found))
    if asked.json:
        print(json.dumps(document(environment, found, code), ensure_ascii=False))
    else:
        print(f"\n{found.words()}", end="")
    return code


async def _play(asked: Options) -> tuple[Environment, Verdict]:
    settings = dict(asked.scenario.settings)
    taker: Receiver | None = None
    async with AsyncExitStack() as stack:
        if receiver.wanted_in(settings["env"]):
            taker, address = await stack.enter_async_context(receiver.listen())
            env = settings["env"].items()
            settings["env"] = {name: value.replace(receiver.PLACEHOLDER, address) for name, value in env}
        played = Scenario(settings, asked.scenario.steps)
        environment = await scenario.play(played, None if asked.json else console.tell)
    return environment, verdict.judge(environment, taker)


def document(environment: Environment, found: Verdict, code: int) -> dict[str, Any]:
    """What --json prints."""
    return {
        "exitCode": code,
        "behaved": not found.complaints,
        "complaints": found.complaints,
        "functionFailures": found.failures,
        "closed": found.closed,
        "delivered": not found.doubts,
        "undelivered": found.doubts,
        "leftOut": found.left_out,
        "problems": found.problems,
        "ledgers": [{"name": life.name, "ledger": life.ledger} for life in found.ledgers],
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

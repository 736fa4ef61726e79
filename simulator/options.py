"""The options of the command line, and what they ask to be run. Options that would have no effect are refused."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from simulator import scenario
from simulator.env_file import variables
from simulator.errors import SimulatorError
from simulator.scenario import Scenario
from simulator.settings import InitType, LimitCpu

if TYPE_CHECKING:
    from collections.abc import Sequence

EXIT_CODES = "exit codes: 0 all well, 1 an extension misbehaved, 2 it cannot be run like that, 3 the function failed, "
EXIT_CODES += "4 not known to be delivered (with --require-delivery)"


@dataclass(frozen=True, slots=True)
class Options:
    """What to run, and what to tell of it and how."""

    scenario: Scenario
    html: Path | None
    json: bool
    require_delivery: bool
    function_may_fail: bool


def read(arguments: Sequence[str] | None) -> Options:
    """Read the command line; SimulatorError for what cannot be run, and argparse's exit with 2 for what it refuses."""
    parser = _parser()
    given = vars(parser.parse_args(arguments))
    told = {
        name: given.pop(name) for name in ("html", "json", "require_delivery", "function_may_fail") if name in given
    }
    file = given.pop("scenario", None)
    if file and given:
        actions = (action for action in parser._actions if action.dest in given)  # noqa: SLF001 - the only list of them
        words = ", ".join(action.option_strings[0] for action in actions)
        raise SimulatorError(f"{words} would have no effect: with --scenario the file says all that")
    if "html" in told:
        _check_writable(told["html"])
    return Options(
        scenario.load(file) if file else _scenario(given),
        told.get("html"),
        told.get("json", False),
        told.get("require_delivery", False),
        told.get("function_may_fail", False),
    )


def _parser() -> argparse.ArgumentParser:
    name = Path(sys.argv[0]).name
    parser = argparse.ArgumentParser(
        prog="python -m simulator" if name == "__main__.py" else name,
        description="Runs a function and its extensions as an execution environment of Lambda does.",
        epilog=EXIT_CODES,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--layer", type=Path, action="append", help="a layer, zip or folder; may be given several times")
    add("--function", type=Path, help="the folder of the function")
    add("--handler", help="as Lambda's setting of that name; app.handler without it")
    add("--bootstrap", metavar="COMMAND", help="the runtime, for languages other than Python: ENTRYPOINT and CMD")
    add("--invocations", type=int, help="how many times to invoke; once without it")
    add("--event", type=_event, help='the event, JSON; without one {"n": 1}, {"n": 2} ...')
    add("--request-id", help="of every invocation, as of Lambda's retries of one; without it each has its own")
    add("--env", nargs="+", action="extend", metavar="NAME=VALUE", help="variables of the function; {receiver} in one")
    add("--env-file", type=Path, help="a file of NAME=VALUE lines, quoted as in Docker Compose")
    add("--timeout", type=float, dest="timeout_s", metavar="SECONDS", help="of the function; 3 without it")
    add("--memory", type=int, dest="memory_mb", metavar="MB", help="of the function; 128 without it")
    add("--limit-memory", action="store_true", help="enforce it")
    add("--limit-cpu", choices=get_args(LimitCpu), help="to the share that its memory gives it (root)")
    add("--init-type", choices=get_args(InitType), help="on-demand without it")
    add("--log-format", choices=["Text", "JSON"], help="Text without it")
    add("--mount-opt", action="store_true", help="bind the layer over /opt for what is started (root)")
    add("--scenario", type=Path, metavar="FILE", help="a TOML file that says all this, and faults and steps")
    add("--require-delivery", action="store_true", help="exit with 4 unless all that the function wrote was delivered")
    add("--function-may-fail", action="store_true", help="exit with 0 although invocations failed")
    add("--html", type=Path, metavar="FILE", help="draw the timeline into this file")
    add("--json", action="store_true", help="print one JSON document at the end, and nothing else")
    return parser


def _event(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"no JSON: {error}") from None


def _scenario(given: dict[str, Any]) -> Scenario:
    if "function" not in given:
        raise SimulatorError("--function is missing: the folder that holds the handler")
    count = given.pop("invocations", 1)
    if count < 1:
        raise SimulatorError(f"--invocations {count}: nothing would be run")
    events = [given["event"]] * count if "event" in given else [{"n": number} for number in range(1, count + 1)]
    more = {"request_id": given["request_id"]} if "request_id" in given else {}
    env = variables(given.pop("env", ()), given.pop("env_file", None))
    settings = {key: value for key, value in given.items() if key not in ("event", "request_id", "layer")}
    steps = [{"invoke": event, **more} for event in events]
    if useless := scenario.ignored(settings, {}, steps):
        raise SimulatorError("; ".join(f"--{one.replace('_', '-', 1)}" for one in useless))
    return Scenario(settings | {"layer": given.get("layer", []), "env": env}, steps)


def _check_writable(path: Path) -> None:
    """SimulatorError where a file cannot be written, before anything is run for it."""
    existed = path.exists()
    try:
        path.open("ab").close()
    except OSError as error:
        raise SimulatorError(f"--html: cannot write {path}: {error.strerror}") from None
    if not existed:
        path.unlink()

"""What to simulate: settings and steps, from the command line or from a TOML file. An unknown word is an error."""

from __future__ import annotations

import asyncio
import dataclasses
import shlex
import tomllib
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from simulator.environment import Environment
from simulator.errors import SimulatorError
from simulator.faults import Faults
from simulator.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from simulator.timeline import Moment

_KINDS: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "Path": (str,),
    "float | None": (int, float),
}
_LISTS: dict[str, tuple[tuple[type, ...], str]] = {
    "tuple[int, ...]": ((int,), "whole numbers"),
    "tuple[float, ...]": ((int, float), "numbers"),
}
_NOT_HERE = ("layers", "env", "faults")  # read by themselves
_TABLES = ("layer", "env", "faults", "steps")
# A step is a table with one of these, and what else it may hold.
_STEPS = {"init": (), "invoke": ("times", "concurrency", "request_id"), "wait_s": (), "shutdown": ()}


@dataclass(frozen=True, slots=True)
class Scenario:
    """`settings` are the keyword arguments of Environment; `steps` are tables as in a scenario file."""

    settings: Mapping[str, Any]
    steps: Sequence[Mapping[str, Any]] = field(default_factory=tuple)


async def play(scenario: Scenario, watch: Callable[[Moment], None] | None = None) -> Environment:
    """Run a scenario to its end, and return the environment, ended, with all that happened."""
    environment = Environment(**scenario.settings, watch=watch)
    async with environment:
        for step in scenario.steps:
            if "init" in step:
                await environment.init()
            elif "wait_s" in step:
                await asyncio.sleep(step["wait_s"])
            elif "shutdown" in step:
                await environment.shutdown(step["shutdown"])
            else:
                await _invoke(environment, step)
    return environment


def load(path: Path) -> Scenario:
    """Read a scenario file; SimulatorError with everything that is wrong with it."""
    try:
        table = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SimulatorError(f"cannot read the scenario {path}: {error}") from error
    problems: list[str] = []
    steps = table.pop("steps", [{"invoke": {"n": 1}}])
    layers = table.pop("layer", [])
    faults = table.pop("faults", {})
    env = table.pop("env", {})
    _check(Settings, table, "", problems)
    _check(Faults, faults, "faults.", problems)
    _check_steps(steps, problems)
    problems += [] if problems else ignored(table, faults, steps)
    layers = layers if isinstance(layers, list) else [layers]
    if not all(isinstance(layer, str) for layer in layers):
        problems.append("layer is neither a path nor a list of paths")
    if not isinstance(env, dict) or not all(isinstance(value, str) for value in env.values()):
        problems.append("env is not a table of strings")
    if "function" not in table:
        problems.append("function is missing")
    if problems:
        raise SimulatorError(f"{path}: {'; '.join(problems)}")
    folder = path.parent
    settings = table | {
        "layer": [folder / layer for layer in layers],
        "function": folder / table["function"],
        "env": env,
        "bootstrap": _beside(folder, table.get("bootstrap", "")),
    }
    return Scenario(settings | {"faults": Faults(**{key: _tuple(value) for key, value in faults.items()})}, steps)


def ignored(settings: Mapping[str, Any], faults: Mapping[str, Any], steps: Sequence[Mapping[str, Any]]) -> list[str]:
    """What of that would have no effect beside the rest, in words; only what somebody has said is given here."""
    managed = settings.get("init_type") == "lambda-managed-instances"
    found: list[str] = []

    def refuse(given: Mapping[str, Any], names: Sequence[str], why: str) -> None:
        prefix = "faults." if given is faults else ""
        found.extend(f"{prefix}{name} has no effect: {why}" for name in names if name in given)

    frozen = ("freeze_s", "clock_jump_s", "freeze_clocks")
    if managed:
        refuse(settings, ("log_format",), "on Managed Instances all logs are JSON")
        refuse(settings, ("freeze",), "Managed Instances are never frozen")
        refuse(faults, frozen, "Managed Instances are never frozen")
        refuse(faults, ("invoke_after_done", "kill_extension"), "on Managed Instances extensions get no INVOKE")
    else:
        refuse(settings, ("max_concurrency",), "it is for Managed Instances")
        for number, step in enumerate(steps, 1):
            if step.get("concurrency", 1) > 1:
                found.append(f"step {number}: concurrency has no effect: it is for Managed Instances")
    if settings.get("freeze") is False:
        refuse(faults, frozen, "freeze is false")
    if not faults.get("burst"):
        refuse(faults, ("burst_bytes", "burst_in"), "there is no burst")
    if not faults.get("after_shutdown_s"):
        refuse(faults, ("after_shutdown",), "there is no after_shutdown_s")
    return found


def unknown(word: str, known: Sequence[str]) -> str:
    """That a word is unknown, with the nearest one that is known, or with all."""
    near = get_close_matches(word.lower(), known, 1)
    return f"unknown {word}: did you mean {near[0]}?" if near else f"unknown {word} (there are {', '.join(known)})"


def _beside(folder: Path, command: str) -> str:
    """A command whose program, if named by a path, is looked for from the folder of the scenario."""
    program, space, arguments = command.partition(" ")
    return f"{shlex.quote(str(folder.resolve() / program))}{space}{arguments}" if "/" in program else command


async def _invoke(environment: Environment, step: Mapping[str, Any]) -> None:
    at_once = step.get("concurrency", 1)
    left = step.get("times", 1)
    while left > 0:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(at_once, left)):
                group.create_task(environment.invoke(step["invoke"], request_id=step.get("request_id")))
        left -= at_once


def _check(kind: type, table: Any, prefix: str, problems: list[str]) -> None:
    if not isinstance(table, dict):
        problems.append(f"{prefix.rstrip('.')} is not a table")
        return
    known = {one.name: str(one.type) for one in dataclasses.fields(kind) if one.name not in _NOT_HERE}
    words = sorted(f"{prefix}{name}" for name in (*known, *(() if prefix else _TABLES)))
    for key, value in table.items():
        if key not in known:
            problems.append(unknown(f"{prefix}{key}", words))
            continue
        expected = _KINDS.get(known[key])
        if expected and (not isinstance(value, expected) or (isinstance(value, bool) and known[key] != "bool")):
            problems.append(f"{prefix}{key} = {value!r} is not of type {known[key]}")
        if of := _LISTS.get(known[key]):
            kinds, called = of
            if not (isinstance(value, list) and all(type(one) in kinds for one in value)):
                problems.append(f"{prefix}{key} = {value!r} is not a list of {called}")


def _check_steps(steps: Any, problems: list[str]) -> None:
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        problems.append("steps are not tables")
        return
    for number, step in enumerate(steps, 1):
        verbs = [verb for verb in _STEPS if verb in step]
        allowed = set(verbs) | {extra for verb in verbs for extra in _STEPS[verb]}
        if len(verbs) != 1:
            strange = [unknown(key, list(_STEPS)) for key in step if not verbs and get_close_matches(key, _STEPS)]
            problems.append(f"step {number}: {', '.join(strange or ['it is not one of ' + ', '.join(_STEPS)])}")
        elif strangers := sorted(step.keys() - allowed):
            problems.append(f"step {number}: {', '.join(unknown(key, sorted(allowed)) for key in strangers)}")
        elif "wait_s" in step and not isinstance(step["wait_s"], int | float):
            problems.append(f"step {number}: wait_s is not a number")
        elif any(not isinstance(step.get(name, 1), int) or step.get(name, 1) < 1 for name in ("times", "concurrency")):
            problems.append(f"step {number}: times and concurrency are whole numbers from 1")
        elif not isinstance(step.get("request_id", ""), str) or ("request_id" in step and "concurrency" in step):
            problems.append(f"step {number}: request_id is a string, and no two run at once with the same")


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value

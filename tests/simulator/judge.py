"""Asks our simulator and AWS's emulator the same, and lays the answers side by side, field by field."""
# ruff: noqa: ASYNC240  one touch of a file between polls holds up nobody

from __future__ import annotations

import asyncio
import json
import re
import sys
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulator.environment import Environment
from tests.simulator import questions
from tests.simulator.emulator import PYTHON, ROOT, emulate
from tests.simulator.reading import said
from tests.support.probe_layer import HERE, write_probe

if TYPE_CHECKING:
    from collections.abc import Iterator

TRACE = "Root=1-5f35ae12-0c0fec141ab77a00bc047aa2;Parent=2be948a625588e32;Sampled=1"
LIMIT_S = 30.0
INVOCATIONS = 3
MEMORY_MB = 3008  # what the emulator says of every function
# What the shell and Python put into the environment of a probe.
OWN_VARIABLES = {
    "PROBE",
    "PROBE_OUT",
    "PYTHONHOME",
    "PYTHONPATH",
    "LC_CTYPE",
    "PWD",
    "OLDPWD",
    "LD_LIBRARY_PATH",
    "PATH",
}


@dataclass
class Answers:
    """What a probe and a probing runtime said: a case, its fields, their values made comparable."""

    cases: dict[str, dict[str, Any]] = field(default_factory=dict)

    def take(self, lines: list[dict[str, Any]], received: list[dict[str, Any]]) -> None:
        """Take the lines that were printed and the telemetry records that were received."""
        for line in lines:
            if line["probe"] == "answer":
                self.cases[line["case"]] = flat({key: line[key] for key in ("status", "type", "headers")})
                self.cases[line["case"]] |= flat(_parsed(line["answer"]), "body")
            elif line["probe"] == "event":
                event = json.loads(line["answer"])
                if "eventType" in event:
                    self.cases.setdefault(f"event {event['eventType']}", flat(event))
            elif line["probe"] == "registered":
                self.cases["registered"] = flat(_parsed(line["answer"]))
                self.cases["variables"] = {name: "given" for name in line["env"] if name not in OWN_VARIABLES}
        for record in received:
            if record["type"].startswith("platform."):
                status = record["record"].get("status", "")
                self.cases.setdefault(f"record {record['type']} {status}".strip(), flat(record))


@dataclass(frozen=True)
class Difference:
    """One field that is not the same; a value is None where there is no such field."""

    case: str
    field: str
    ours: Any
    theirs: Any


def compare(ours: Answers, theirs: Answers, *, trap: str = "") -> Iterator[Difference]:
    """All differences; of a run that was trapped in init, only those of the questions."""
    for case in sorted(ours.cases.keys() | theirs.cases.keys()):
        if trap and not case.startswith(("start: ", "registered: ")):
            continue
        mine, other = ours.cases.get(case), theirs.cases.get(case)
        if mine is None or other is None:
            yield Difference(case, "", mine, other)
            continue
        for name in sorted(mine.keys() | other.keys()):
            if mine.get(name) != other.get(name):
                yield Difference(case, name, mine.get(name), other.get(name))


def documented(mode: str) -> list[tuple[str, str]]:
    """The differences that docs/simulator.md lists for a mode: patterns of case and field."""
    found = []
    for line in (ROOT / "docs" / "simulator.md").read_text().splitlines():
        cells = [cell.strip().strip("`") for cell in line.strip().strip("|").split("|")]
        if len(cells) == 6 and (cells[0] == mode or (cells[0] == "both" and "trap" not in mode)):
            found.append((cells[1], cells[2]))
    return found


def unexplained(differences: list[Difference], mode: str) -> tuple[list[Difference], list[tuple[str, str]]]:
    """The differences that the documentation does not list, and what it lists though there is no such difference."""
    listed = documented(mode)
    missing = [one for one in differences if not any(_matches(one, row) for row in listed)]
    stale = [row for row in listed if not any(_matches(one, row) for one in differences)]
    return missing, stale


async def ask_ours(folder: Path, *, managed: bool, trap: str = "") -> Answers:
    """Ask our simulator."""
    write_probe(folder / "layer")
    (folder / "function").mkdir()
    bootstrap = folder / "function" / "bootstrap"
    bootstrap.write_text(f"#!{sys.executable}\n{(HERE / 'probe_runtime.py').read_text()}")
    bootstrap.chmod(0o755)
    received = folder / "received.ndjson"
    ending = {"init_error": "Extension.A"} if trap else {}  # it ends when it has asked, and init with it
    environment = Environment(
        layer=folder / "layer",
        function=folder / "function",
        env=_plan(managed=managed, trap=trap, **ending) | {"PROBE_OUT": str(received)},
        freeze=False,  # the emulator does not freeze, and the late questions need a process that runs
        init_type="lambda-managed-instances" if managed else "on-demand",
        timeout_s=20,
        memory_mb=MEMORY_MB,
        name="test_function",
    )
    async with environment:
        if not trap:
            for _ in range(INVOCATIONS):
                await environment.invoke({"n": 1}, trace_id=TRACE)
            Path(f"{received}.late").touch()
            await _until(lambda: any(line["probe"] == "done" for line in said(environment)))
        elif not managed:  # on Managed Instances init has been tried already
            await environment.init()
    answers = Answers()
    answers.take([*said(environment), *said(environment, "runtime")], _received(received))
    return answers


async def ask_theirs(folder: Path, *, managed: bool, trap: str = "") -> Answers:
    """Ask AWS's emulator."""
    layer, function = folder / "their-layer", folder / "their-function"
    (layer / "extensions").mkdir(parents=True)
    (layer / "probe.py").write_text((HERE / "probe.py").read_text())
    extension = layer / "extensions" / "probe"
    extension.write_text(f'#!/bin/sh\n{PYTHON} /opt/probe.py "$0"\n')
    extension.chmod(0o755)
    function.mkdir()
    (function / "runtime.py").write_text((HERE / "probe_runtime.py").read_text())
    env = _plan(managed=managed, trap=trap)
    bootstrap = f"#!/bin/sh\n{PYTHON} /var/task/runtime.py\n"
    async with emulate(layer, function, env, managed=managed, bootstrap=bootstrap) as emulator:
        received = emulator.out / "received.ndjson"
        if trap:
            hanging = asyncio.create_task(emulator.invoke({}))
            await _until(lambda: f'"registered: register after {trap}/error"' in emulator.printed())
            hanging.cancel()
            lines = _lines(emulator.printed())
            emulator.process.kill()
        else:
            for number in range(1, INVOCATIONS + 1):
                await emulator.invoke({"n": 1}, {"X-Amzn-Trace-Id": TRACE})
                await _until(lambda number=number: _asked_by_runtime(emulator.printed(), number))
            Path(f"{received}.late").touch()
            await _until(lambda: '"done"' in emulator.printed())
            await emulator.stop()
            lines = _lines(emulator.printed())
        answers = Answers()
        answers.take(lines, _received(received))
    return answers


def flat(value: Any, path: str = "") -> dict[str, Any]:
    """A JSON value as {path: leaf}, with what differs from run to run replaced."""
    if isinstance(value, dict) and value:
        return {key: leaf for name in value for key, leaf in flat(value[name], f"{path}.{name}".strip(".")).items()}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return {key: leaf for at, one in enumerate(value) for key, leaf in flat(one, f"{path}[{at}]").items()}
    return {path: _plain(value) if path != "status" else value}


def _plain(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return "<number>"
    if isinstance(value, str):
        value = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<uuid>", value)
        value = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", "<time>", value)
        return re.sub(r"127\.0\.0\.1:\d+", "<address>", value)
    return value


def _matches(difference: Difference, row: tuple[str, str]) -> bool:
    case, name = row
    return fnmatchcase(difference.case, case) and fnmatchcase(difference.field, name.replace("[", "[[]"))


def _plan(*, managed: bool, trap: str, **more: str) -> dict[str, str]:
    asked = questions.trap(trap, managed=managed) if trap else questions.asked(managed=managed)
    events = ["SHUTDOWN"] if managed else ["INVOKE", "SHUTDOWN"]
    return {"PROBE": json.dumps({"events": events, "ask": asked, "types": ["platform", "function"], **more})}


def _parsed(answer: str) -> Any:
    try:
        return json.loads(answer)
    except ValueError:
        return answer


def _lines(printed: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in printed.splitlines() if line.startswith('{"probe"')]


def _received(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _asked_by_runtime(printed: str, number: int) -> bool:
    last = {1: '"runtime: init error after init"', 2: '"runtime: error"'}
    return last.get(number, "") in printed


async def _until(condition: Any) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not condition():
            await asyncio.sleep(0.02)

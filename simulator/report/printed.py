"""What extensions printed of themselves: JSON lines, the ledgers among them, and the problems that they report."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from simulator.timeline import Moment

_PROBLEM = re.compile(r"\b(?:WARN|WARNING|ERROR|FATAL|CRITICAL|PANIC|panic:|Traceback)\b|\blevel=(?:warn|error|fatal)")
_BAD_LEVELS = ("warn", "err", "fatal", "crit", "panic", "emerg", "alert")


class Life(NamedTuple):
    """One process of an extension that prints ledgers: the last one it printed, or None where it printed none."""

    name: str
    ledger: dict[str, Any] | None


def json_lines(moments: Sequence[Moment], name: str | None = None) -> Iterator[tuple[float, str, dict[str, Any]]]:
    """The JSON objects that extensions printed, with when and by whom; of the extension called `name`, or of all."""
    for at, who, text in _lines(moments):
        if name in (None, who) and (line := _object(text)) is not None:
            yield at, who, line


def ledgers(moments: Sequence[Moment]) -> list[Life]:
    """What became of all records, for each process of each extension that ever printed a ledger."""
    lives: list[Life] = []
    current: dict[str, int] = {}
    for moment in moments:
        name = moment.details.get("name", "")
        if moment.what == "process.start" and name != "runtime":
            current[name] = len(lives)
            lives.append(Life(name, None))
        elif moment.what == "printed" and name in current:
            for text in moment.details["lines"]:
                line = _object(text)
                if line is not None and line.get("message") == "ledger":
                    lives[current[name]] = Life(name, line)
    keeping = {life.name for life in lives if life.ledger is not None}
    return [life for life in lives if life.name in keeping]


def problems(moments: Sequence[Moment]) -> list[str]:
    """The lines in which extensions report warnings and errors, in full; of those that differ in time alone, one."""
    found: dict[str, str] = {}
    for _, name, text in _lines(moments):
        line = _object(text)
        level = str(line.get("level", line.get("severity", ""))).lower() if line is not None else ""
        if level.startswith(_BAD_LEVELS) if line is not None else _PROBLEM.search(text):
            known = {key: value for key, value in (line or {}).items() if key not in ("time", "timestamp", "ts")}
            found.setdefault(f"{name} {known or re.sub('[0-9]+', '0', text)}", f"{name}: {text.strip()}")
    return list(found.values())


def _lines(moments: Sequence[Moment]) -> Iterator[tuple[float, str, str]]:
    for moment in moments:
        if moment.what == "printed" and moment.details["name"] != "runtime":
            for text in moment.details["lines"]:
                yield moment.at, moment.details["name"], text


def _object(text: str) -> dict[str, Any] | None:
    if not text.startswith("{"):
        return None
    try:
        line = json.loads(text)
    except ValueError:
        return None
    return line if isinstance(line, dict) else None

"""Tells the timeline in lines for people."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simulator.timeline import Moment

WIDTH = 200  # of one line on the console
LINES = 20  # of what is printed at once
_SELDOM = {"runtime.next", "extension.internal"}  # seen in --json and in the picture


def tell(moment: Moment) -> None:
    """Print a moment as it happens."""
    try:
        if text := line(moment):
            print(text, flush=True)
    except BrokenPipeError:  # as under `| head`: nobody listens any more, and the simulation goes on
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115  it stays open to the end


def line(moment: Moment) -> str:
    """One moment as one line, or several for what was printed; empty where there is nothing to say."""
    head = f"{moment.at:9.3f} s  "
    if moment.what in _SELDOM:
        return ""
    if moment.what == "telemetry.undelivered":
        return _too_late(moment, head)
    if moment.what == "printed":
        return _printed(moment, head)
    return cut(f"{head}{moment.what:<28} {_details(moment.details)}".rstrip())


def _too_late(moment: Moment, head: str) -> str:
    """What nobody read any more; an extension's own last words are no loss to tell of."""
    count, name = moment.details["ofFunction"], moment.details["name"]
    return f"{head}{count} records of the function were not passed on to {name} before it ended" if count else ""


def _printed(moment: Moment, head: str) -> str:
    name, count, lines = moment.details["name"], moment.details["count"], moment.details["lines"]
    told = [cut(f"{head}{name + ' |':<28} {text.rstrip()}") for text in lines[:LINES]]
    if count > len(told):
        told.append(f"{head}{name + ' |':<28} ... and {count - len(told)} lines more at once")
    return "\n".join(told)


def _details(details: dict[str, Any]) -> str:
    return "  ".join(
        f"{key}={value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
        for key, value in details.items()
        if value not in ("", None)
    )


def cut(text: str) -> str:
    """Make a line fit."""
    return text if len(text) <= WIDTH else text[: WIDTH - 1] + "…"

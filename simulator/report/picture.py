"""Draws a timeline: what happened becomes lanes of bars and marks, which picture.html shows without any network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulator.report import console, printed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from simulator.environment import Environment
    from simulator.report.verdict import Verdict
    from simulator.timeline import Moment

MAX_MARKS = 3000  # in a lane; a picture with more is slow, and shows no more
TEMPLATE = Path(__file__).with_name("picture.html")


def draw(environment: Environment, verdict: Verdict) -> str:
    """The timeline, and what was found, as one self-contained HTML page."""
    moments = environment.timeline
    names = list(dict.fromkeys(one.details["name"] for one in moments.named("process.start")))
    extensions = [name for name in names if name != "runtime"]
    lanes = [_lane("environment", _phases(moments)), _lane("freeze", _between(moments, "freeze", "thaw", "frozen"))]
    lanes.append(_lane("function", _handler(moments), _printed(moments, "runtime")))
    for name in extensions:
        lanes.append(_lane(name, _busy(moments, name), _printed(moments, name)))
        lanes.append(_lane("records in", [], _named(moments, "telemetry.batch", name, "batch")))
        lanes.append(_lane("flushes", [], _logged(moments, name, "flush decision", "flush")))
        lanes.append(_lane("deliveries", list(_deliveries(moments, name))))
        lanes[-3]["of"] = lanes[-2]["of"] = lanes[-1]["of"] = name
    lanes.append(_lane("trouble", [], _trouble(moments)))
    data = {
        "title": f"{environment.settings.name}: {len(environment.invocations)} invocations",
        "duration": moments[-1].at if moments else 0,
        "lanes": [lane for lane in lanes if lane["bars"] or lane["marks"]],
        "ledger": ledger(environment),
        "verdict": [*verdict.complaints, *verdict.failures, *verdict.doubts],
        "well": not (verdict.complaints or verdict.failures),
        "problems": list(verdict.problems),
        "story": [text for moment in moments[:MAX_MARKS] if (text := console.line(moment))],
    }
    text = json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")  # a record may say </script>
    return TEMPLATE.read_text().replace("/*DATA*/null", text)


def ledger(environment: Environment) -> dict[str, Any] | None:
    """The last ledger that an extension printed, as the forwarder does, or None."""
    found = [line for _, _, line in printed.json_lines(environment.timeline) if line.get("message") == "ledger"]
    return found[-1] if found else None


def _lane(name: str, bars: list[dict[str, Any]], marks: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    marks = marks or []
    return {"name": name, "of": "", "bars": bars, "marks": marks[:MAX_MARKS], "left": max(0, len(marks) - MAX_MARKS)}


def _bar(begin: Moment | float, end: float, kind: str, label: str, details: Any = "") -> dict[str, Any]:
    at = begin if isinstance(begin, float) else begin.at
    return {"from": at, "to": end, "kind": kind, "label": label, "details": details}


def _mark(moment: Moment, kind: str, label: str) -> dict[str, Any]:
    return {"at": moment.at, "kind": kind, "label": label, "details": moment.details}


def _phases(moments: Sequence[Moment]) -> list[dict[str, Any]]:
    bars = []
    begun: dict[str, Moment] = {}
    for moment in moments:
        match moment.what:
            case "platform.initStart" | "platform.restoreStart" | "shutdown":
                begun[moment.what] = moment
            case "invoke":
                begun[moment.details["requestId"]] = moment
            case "platform.initReport" if "platform.initStart" in begun:
                bars.append(_bar(begun.pop("platform.initStart"), moment.at, "init", "init", moment.details))
            case "platform.restoreReport" if "platform.restoreStart" in begun:
                bars.append(_bar(begun.pop("platform.restoreStart"), moment.at, "init", "restore", moment.details))
            case "invoke.done" if moment.details["requestId"] in begun:
                first = begun.pop(moment.details["requestId"])
                bars.append(_bar(first, moment.at, "invoke", f"invocation: {moment.details['status']}", moment.details))
            case "shutdown.done" if "shutdown" in begun:
                first = begun.pop("shutdown")
                bars.append(_bar(first, moment.at, "shutdown", f"shutdown: {moment.details['reason']}", moment.details))
    return sorted(bars, key=lambda bar: bar["from"] - bar["to"])  # the shorter lies on top


def _handler(moments: Sequence[Moment]) -> list[dict[str, Any]]:
    begun: dict[str, Moment] = {}
    bars = []
    for moment in moments:
        if moment.what == "platform.start":
            begun[moment.details["requestId"]] = moment
        elif moment.what in ("runtime.response", "runtime.error") and moment.details["requestId"] in begun:
            kind = "invoke" if moment.what == "runtime.response" else "trouble"
            bars.append(_bar(begun.pop(moment.details["requestId"]), moment.at, kind, "handler", moment.details))
    return bars


def _busy(moments: Sequence[Moment], name: str) -> list[dict[str, Any]]:
    """When an extension held things up: from its start, or an event, to the next call of event/next."""
    bars = []
    begun: Moment | None = None
    label = ""
    for moment in moments:
        if moment.details.get("name") != name:
            continue
        if moment.what in ("process.start", "extension.event"):
            begun, label = moment, str(moment.details.get("event", "start"))
        elif moment.what in ("extension.next", "process.exit") and begun is not None:
            bars.append(_bar(begun, moment.at, "busy", f"{label}, until {moment.what}", moment.details))
            begun = None
    return bars


def _between(moments: Sequence[Moment], first: str, last: str, label: str) -> list[dict[str, Any]]:
    bars = []
    begun: Moment | None = None
    for moment in moments:
        if moment.what == first:
            begun = moment
        elif moment.what == last and begun is not None:
            bars.append(_bar(begun, moment.at, "freeze", label))
            begun = None
    return bars


def _named(moments: Sequence[Moment], what: str, name: str, kind: str) -> list[dict[str, Any]]:
    return [_mark(one, kind, f"{one.details['records']} records") for one in moments
            if one.what == what and one.details["name"] == name]  # fmt: skip


def _printed(moments: Sequence[Moment], name: str) -> list[dict[str, Any]]:
    return [
        {"at": one.at, "kind": "printed", "label": f"{one.details['count']} lines", "details": _beginning(one)}
        for one in moments
        if one.what == "printed" and one.details["name"] == name
    ]


def _beginning(moment: Moment) -> str:
    """The first lines of what was printed at once."""
    return "\n".join(line[: console.WIDTH] for line in moment.details["lines"][: console.LINES])


def _trouble(moments: Sequence[Moment]) -> list[dict[str, Any]]:
    what = {"failure", "fault", "init.timeout", "extension.overran", "telemetry.dropped", "telemetry.failed"}
    return [_mark(one, "trouble", one.what) for one in moments if one.what in what]


def _logged(moments: Sequence[Moment], name: str, message: str, kind: str) -> list[dict[str, Any]]:
    return [
        {"at": at, "kind": kind, "label": message, "details": line}
        for at, _, line in printed.json_lines(moments, name)
        if line.get("message") == message
    ]


def _deliveries(moments: Sequence[Moment], name: str) -> Iterator[dict[str, Any]]:
    for at, _, line in printed.json_lines(moments, name):
        if line.get("message") == "delivered":
            yield _bar(at - line.get("ms", 0) / 1000, at, "delivery", f"{line.get('records')} records", line)

"""What the forwarder says of itself, where FORWARDER_HEALTH asks for it: records `forwarder.health`, or metrics. Pure.

The metrics are in the form of "Specification: Embedded metric format", Amazon CloudWatch User Guide. They count what is
new since they were told last, so that a sum over a fleet means something; a record counts from the start on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from extension.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from extension.lambda_api.function import Function

TYPE = "forwarder.health"
AGAIN_S = 60.0  # between records that tell of a change, or of a sink that still fails
NAMESPACE = "TelemetryForwarder"
DIMENSIONS = (("FunctionName",), ("FunctionName", "Version"))
# By name a metric's unit, and the member of the record that it is of.
METRICS = {
    "Starts": ("Count", "start"),
    "BadSettings": ("Count", "problems"),
    "Delivered": ("Count", "delivered"),
    "FellBack": ("Count", "fellBack"),
    "Dropped": ("Count", "dropped"),
    "PlatformDropped": ("Count", "platformDropped"),
    "UnhealthySinks": ("Count", "unhealthy"),
    "QueueFill": ("Percent", "queueFill"),
    "Tail": ("Milliseconds", "tailMaxMs"),
    "Added": ("Milliseconds", "addedMs"),
}
COUNTED = ("delivered", "fellBack", "dropped", "platformDropped", "addedMs")  # what a metric has the increase of


class OwnHealth:
    """What was told last, and how long invocations were held. `clock` gives seconds that go on in a freeze."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._tail_ms = self._longest_ms = self._added_ms = 0.0
        self._told: tuple[object, ...] = ((), 0, 0)
        self._told_at = -AGAIN_S  # of a change, or of what has not changed back
        self._last_at = -AGAIN_S  # of anything

    def held(self, seconds: float) -> None:
        """An invocation was held for so long after its runtime was done."""
        self._tail_ms = seconds * 1000
        self._longest_ms = max(self._longest_ms, self._tail_ms)
        self._added_ms += self._tail_ms

    def record(
        self, why: str, ledger: Mapping[str, Any], lost: int, unhealthy: Sequence[str], fill: float
    ) -> dict[str, object]:
        """The record: `why` it is told now, the account, what is lost beside, who is unhealthy, the fullest queue."""
        self._told = _state(ledger, lost, unhealthy)
        self._last_at = self._clock()
        sums = _sums(ledger)
        return {
            **blank(why),
            "received": ledger["received"],
            **sums,
            "dropped": sums["dropped"] + lost,
            "platformDropped": ledger["platformDropped"],
            "unhealthy": list(unhealthy),
            "queueFill": round(fill, 3),
            "tailLastMs": round(self._tail_ms, 1),
            "tailMaxMs": round(self._longest_ms, 1),
            "addedMs": round(self._added_ms, 1),
        }

    def why_now(self, ledger: Mapping[str, Any], lost: int, unhealthy: Sequence[str]) -> str:
        """Why it is to be told: a `change` since it was, or a sink is still `unhealthy`; else, or too soon, empty.

        An alarm on metrics sees only the minutes in which some are written.
        """
        now = self._clock()
        if now - self._told_at < AGAIN_S:
            return ""
        still = bool(unhealthy) and now - self._last_at >= AGAIN_S
        why = "change" if _state(ledger, lost, unhealthy) != self._told else "unhealthy" if still else ""
        if why:
            self._told_at = now
        return why


class Metrics:
    """Makes a line of metrics of each record."""

    def __init__(self) -> None:
        self._before: Mapping[str, Any] = {}

    def of(self, record: Mapping[str, Any], function: Function, now_ms: int) -> dict[str, object]:
        """The members of the line, but for the mark of our own."""
        values: dict[str, Any] = {**record, "start": int(record["why"] != "change" and not self._before)}
        values |= {name: len(record[name]) for name in ("problems", "unhealthy")}
        values |= {name: round(record[name] - self._before.get(name, 0), 1) for name in COUNTED}
        values["queueFill"] = round(record["queueFill"] * 100, 1)
        self._before = record
        directive = {
            "Namespace": NAMESPACE,
            "Dimensions": DIMENSIONS,
            "Metrics": [{"Name": name, "Unit": unit} for name, (unit, _) in METRICS.items()],
        }
        return {
            "message": "health",
            "_aws": {"Timestamp": now_ms, "CloudWatchMetrics": [directive]},
            "FunctionName": function.name or "unknown",
            "Version": record["version"],
            "FunctionVersion": function.version,
            "why": record["why"],
            "problems": record["problems"],
            "unhealthy": record["unhealthy"],
            **{name: values[member] for name, (_, member) in METRICS.items()},
        }


def blank(why: str, problems: Sequence[str] = ()) -> dict[str, object]:
    """The record of a forwarder that has done nothing yet, or never will for its `problems`."""
    return {
        "version": VERSION,
        "why": why,
        "problems": list(problems),
        **dict.fromkeys(("received", "delivered", "fellBack", "dropped", "platformDropped"), 0),
        "unhealthy": [],
        **dict.fromkeys(("queueFill", "tailLastMs", "tailMaxMs", "addedMs"), 0.0),
    }


def _sums(ledger: Mapping[str, Any]) -> dict[str, int]:
    """Of all sinks together."""
    accounts = ledger["sinks"].values()
    return {
        "delivered": sum(account["delivered"] for account in accounts),
        "fellBack": sum(account["fellBack"] for account in accounts),
        "dropped": sum(sum(account["dropped"].values()) for account in accounts),
    }


def _state(ledger: Mapping[str, Any], lost: int, unhealthy: Sequence[str]) -> tuple[object, ...]:
    """What a change is a change of."""
    return tuple(unhealthy), _sums(ledger)["dropped"] + lost, ledger["platformDropped"]

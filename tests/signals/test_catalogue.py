"""docs/signals.md lists what comes out, and nothing else does."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from extension.signals.instruments import INSTRUMENTS
from tests.support import ROOT
from tests.support.signals import TRACE, Derived, done, event, init, invocation, report, span, start

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = (ROOT / "docs" / "signals.md").read_text()
SPANS = ("responseLatency", "responseDuration", "runtimeOverhead", "extensionOverhead")


def rows(section: str) -> list[list[str]]:
    """The cells of the table in a section."""
    text = PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    cells = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in cells[2:]]


def words(cell: str) -> set[str]:
    """What stands between backquotes in a cell."""
    return set(re.findall(r"`([^`]+)`", cell))


def everything() -> Iterator[Derived]:
    """Environments in which all happens that is measured."""
    derived = Derived()
    bad = {"status": "error", "errorType": "Runtime.Unknown", "metrics": {"durationMs": 1}}
    parts = [span(name, 1, 1.0) for name in SPANS]
    arn = "arn:aws:lambda:eu-west-1:123456789012:function:orders"
    derived.feed(
        event("initReport", 1, initializationType="on-demand", **bad),
        event("restoreReport", 2, **bad),
        *invocation("r1", 300, functionArn=arn, tracing=TRACE),
        start("r2", 400, functionArn=arn),
        done("r2", 401, "error", errorType="Runtime.OutOfMemory", spans=parts[:3]),
        report("r2", 402, "error", spans=parts[3:]),
        *invocation("r3", 500, "timeout"),
        event("logsDropped", 600, droppedRecords=1, droppedBytes=1),
    )
    account = {"delivered": 1, "fellBack": 1, "excluded": 1, "restored": 1, "dropped": {"queue full": 1}}
    derived.account(
        {"received": 1, "added": 1, "filtered": 1, "joined": 1, "sampledOut": 1, "sinks": {"https://host": account}}
    )
    derived.shut_down()
    yield derived
    unused = Derived()
    unused.feed(*init())
    unused.shut_down()
    yield unused


def points() -> list[dict[str, Any]]:
    return [point for derived in everything() for content in derived.metrics for point in content["metrics"]]


def test_every_instrument_is_used() -> None:
    """Each of them comes out of some events."""
    assert {point["name"] for point in points()} == INSTRUMENTS.keys()


def test_metrics_are_documented_with_kind_and_unit() -> None:
    """The table has the names in the order of the code, what they are, and their units."""
    documented = [(name.strip("`"), kind, unit.strip("`")) for name, kind, unit, *_ in rows("Metrics")]
    declared = [(name, "histogram" if one.bounds else "sum", one.unit) for name, one in INSTRUMENTS.items()]
    assert documented == declared


@pytest.mark.parametrize("row", rows("Metrics"), ids=lambda row: row[0])
def test_attributes_are_documented(row: list[str]) -> None:
    """Each metric has the attributes that the table says, of which none is there always."""
    used = {key for point in points() if point["name"] == row[0].strip("`") for key in point["attributes"]}
    assert used == words(row[3])


def test_spans_are_documented_with_kind_and_attributes() -> None:
    """The table has each span, what kind it is, and its attributes."""
    found: dict[str, tuple[str, set[str]]] = {}
    for derived in everything():
        for one in derived.spans:
            kind, attributes = found.setdefault(one["name"], (one["kind"], set()))
            assert kind == one["kind"]
            attributes.update(one["attributes"])
    documented = {
        name: (kind, words(attributes))
        for names, kind, _, _, attributes in rows("Traces")
        for name in words(names) or {"orders"}
    }
    assert documented == found

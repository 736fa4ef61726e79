"""Measurements become the content of metric records: what an event adds, or what its streams have come to."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Any, NamedTuple

from extension.signals.instruments import INSTRUMENTS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Streams of one metric that are summed up, and what the others are summed up in: "Metrics SDK" of OpenTelemetry,
# Cardinality limits. An error type is the only attribute that users' code chooses.
MAX_STREAMS = 100
OVERFLOW = {"otel.metric.overflow": True}

Values = dict[str, Any]  # {"value": number} of a sum; {"count", "sum", "min", "max", "buckets"} of a histogram


class Point(NamedTuple):
    """What one event adds to a metric: a count, or one measured value for a histogram."""

    name: str
    value: float
    attributes: Mapping[str, str | bool] = {}


class Deltas:
    """A record is of the time since the one before it, as if metrics were collected at every event.

    So no two intervals overlap, whatever order events come in, and none is empty.
    """

    def __init__(self) -> None:
        self._until_ns = 0

    def begin(self, at_ns: int) -> None:
        """Begin at the first event, unless it has begun."""
        self._until_ns = self._until_ns or at_ns

    def content(self, points: Sequence[Point], at_ns: int) -> dict[str, Any]:
        """The content of a record of these points, one at least, that were true at a time."""
        begun_ns, self._until_ns = self._until_ns, max(at_ns, self._until_ns + 1)
        metrics = [_metric(point, point.attributes, _values(point)) for point in points]
        return _content("delta", begun_ns, self._until_ns, metrics)


class Totals:
    """A record holds what its streams have come to since the environment began."""

    def __init__(self) -> None:
        self._begun_ns = self._until_ns = 0
        self._values: dict[str, dict[frozenset[tuple[str, str | bool]], Values]] = {}

    def begin(self, at_ns: int) -> None:
        """As of Deltas."""
        if not self._begun_ns:
            self._begun_ns = self._until_ns = at_ns

    def content(self, points: Sequence[Point], at_ns: int) -> dict[str, Any]:
        """As of Deltas."""
        self._until_ns = max(at_ns, self._until_ns + 1)
        return _content("cumulative", self._begun_ns, self._until_ns, [self._add_up(point) for point in points])

    def _add_up(self, point: Point) -> dict[str, Any]:
        streams = self._values.setdefault(point.name, {})
        attributes = point.attributes
        if frozenset(attributes.items()) not in streams and len(streams) >= MAX_STREAMS:
            attributes = OVERFLOW
        key = frozenset(attributes.items())
        more = _values(point)
        streams[key] = _sum(streams[key], more) if key in streams else more
        return _metric(point, attributes, streams[key])


def _content(temporality: str, begun_ns: int, until_ns: int, metrics: list[dict[str, Any]]) -> dict[str, Any]:
    times = {"startTimeUnixNano": begun_ns, "timeUnixNano": until_ns}
    return {"temporality": temporality, **times, "metrics": metrics}


def _metric(point: Point, attributes: Mapping[str, str | bool], values: Values) -> dict[str, Any]:
    instrument = INSTRUMENTS[point.name]
    shape = {"type": "histogram", "bounds": instrument.bounds} if instrument.bounds else {"type": "sum"}
    return {"name": point.name, "unit": instrument.unit, **shape, "attributes": attributes, **values}


def _values(point: Point) -> Values:
    """A point alone; a bucket holds what is above its lower bound and up to its upper one."""
    bounds, value = INSTRUMENTS[point.name].bounds, point.value
    if not bounds:
        return {"value": value}
    buckets = [0] * (len(bounds) + 1)
    buckets[bisect_left(bounds, value)] = 1
    return {"count": 1, "sum": value, "min": value, "max": value, "buckets": buckets}


def _sum(one: Values, other: Values) -> Values:
    if "value" in one:
        return {"value": one["value"] + other["value"]}
    return {
        "count": one["count"] + other["count"],
        "sum": one["sum"] + other["sum"],
        "min": min(one["min"], other["min"]),
        "max": max(one["max"], other["max"]),
        "buckets": [a + b for a, b in zip(one["buckets"], other["buckets"], strict=True)],
    }

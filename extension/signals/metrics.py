"""Measurements become the content of metric records: deltas in intervals that follow each other, and totals."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Any, NamedTuple

from extension.signals.instruments import INSTRUMENTS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from extension.signals.instruments import Instrument

# Streams of one metric that are summed up, and what the others are summed up in: "Metrics SDK" of OpenTelemetry,
# Cardinality limits. An error type is the only attribute that users' code chooses.
MAX_STREAMS = 100
OVERFLOW = {"otel.metric.overflow": True}


class Point(NamedTuple):
    """What one event adds to a metric: a count, or one measured value for a histogram."""

    name: str
    value: float
    attributes: Mapping[str, str | bool] = {}


class Metrics:
    """Makes records' contents of points. With `cumulative` each holds what its stream has come to as well.

    A record is of the time since the one before it, as if metrics were collected at every event: so no two intervals
    overlap, whatever order events come in, and none is empty.
    """

    def __init__(self, *, cumulative: bool) -> None:
        self._cumulative = cumulative
        self._begun_ns = self._until_ns = 0
        self._totals: dict[str, dict[frozenset[tuple[str, str | bool]], Any]] = {}

    def begin(self, at_ns: int) -> None:
        """Begin at the first event, unless it has begun."""
        if not self._begun_ns:
            self._begun_ns = self._until_ns = at_ns

    def content(self, points: Sequence[Point], at_ns: int) -> dict[str, Any]:
        """The content of a record of these points, one at least, that were true at a time."""
        begun_ns, self._until_ns = self._until_ns, max(at_ns, self._until_ns + 1)
        content: dict[str, Any] = {"startTimeUnixNano": begun_ns, "timeUnixNano": self._until_ns}
        if self._cumulative:
            content["cumulativeStartTimeUnixNano"] = self._begun_ns
        content["metrics"] = [self._metric(point) for point in points]
        return content

    def _metric(self, point: Point) -> dict[str, Any]:
        instrument = INSTRUMENTS[point.name]
        metric: dict[str, Any] = {"name": point.name, "unit": instrument.unit}
        if instrument.bounds:
            metric |= {"type": "histogram", "bounds": instrument.bounds}
        else:
            metric["type"] = "sum"
        metric |= {"attributes": point.attributes, "value": point.value}
        if self._cumulative:
            self._add_up(metric, instrument, point)
        return metric

    def _add_up(self, metric: dict[str, Any], instrument: Instrument, point: Point) -> None:
        """Put into the metric what its stream has come to with it."""
        totals = self._totals.setdefault(point.name, {})
        key = frozenset(point.attributes.items())
        if key not in totals and len(totals) >= MAX_STREAMS:
            metric["attributes"] = OVERFLOW
            key = frozenset(OVERFLOW.items())
        before = totals.get(key)
        if instrument.bounds:
            total: Any = _widened(before, point.value, instrument.bounds)
        else:
            total = (before or 0) + point.value
        totals[key] = metric["total"] = total


def _widened(before: dict[str, Any] | None, value: float, bounds: tuple[float, ...]) -> dict[str, Any]:
    """A histogram with one value more; a bucket holds what is above its lower and up to its upper bound."""
    buckets = list(before["buckets"]) if before else [0] * (len(bounds) + 1)
    buckets[bisect_left(bounds, value)] += 1
    return {
        "count": (before["count"] if before else 0) + 1,
        "sum": (before["sum"] if before else 0) + value,
        "min": min(before["min"], value) if before else value,
        "max": max(before["max"], value) if before else value,
        "buckets": buckets,
    }

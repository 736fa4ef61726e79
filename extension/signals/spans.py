"""The spans of an invocation, and of what came before it.

As in "Converting Lambda Telemetry API Event objects to OpenTelemetry Spans" (Developer Guide), Map to OTel Spans with
Child Spans, but for two things that OpenTelemetry's own pages say otherwise: children are INTERNAL, since nobody but
Lambda serves them, and the status of what succeeded is left unset ("Trace API", Set Status).
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

from extension.signals import measure
from extension.signals.event import NS_PER_MS
from extension.signals.xray import Tracing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from extension.signals.event import Event
    from extension.signals.invocations import Invocation
    from extension.signals.phases import Phase

SAMPLED = 0x01  # of W3C's trace flags
LOCAL_PARENT, REMOTE_PARENT = 0x100, 0x300  # SpanFlags of opentelemetry-proto: whether the parent is known to be remote


class Place(NamedTuple):
    """Where a span goes: in which trace, below which parent."""

    trace_id: str
    parent_id: str
    flags: int


class Spans:
    """Makes records' contents of spans. Ids are hashes of what is spanned: made twice, they are the same.

    Without `invoke_span` the span of the invocation itself is left out, and its children take its place.
    """

    def __init__(self, function_name: str, environment_id: str, *, invoke_span: bool) -> None:
        self._name = function_name or "unknown"
        self._environment_id = environment_id
        self._invoke_span = invoke_span

    def of_invocation(self, invocation: Invocation, now_ns: int) -> Iterator[dict[str, Any]]:
        """The spans of an invocation that is closed; none where its trace is not sampled."""
        events = list(invocation.events.values())
        start_ns, end_ns = _begin(invocation), _end(invocation, now_ns)
        tracing = next((event.tracing for event in events if event.tracing), Tracing())
        if not tracing.is_sampled:
            return
        key = f"{invocation.request_id}/{invocation.number}"
        trace_id = tracing.trace_id or self._trace_id(start_ns, key)
        outside = Place(trace_id, tracing.parent_id, SAMPLED | (REMOTE_PARENT if tracing.parent_id else 0))
        inside = outside
        if self._invoke_span:
            span_id = tracing.span_id or self._span_id(key)
            inside = Place(trace_id, span_id, SAMPLED | LOCAL_PARENT)
            attributes: dict[str, Any] = {"faas.invocation_id": invocation.request_id} if invocation.request_id else {}
            attributes["faas.coldstart"] = invocation.is_cold
            if arn := next((event.arn for event in events if event.arn), ""):
                attributes["aws.lambda.invoked_arn"] = arn
            status = invocation.status, invocation.error_type
            yield _span(outside, span_id, self._name, "server", (start_ns, end_ns), attributes, status)
        for event in events:
            yield from self._children(event, inside, key)
        for phase in invocation.phases:
            yield from self._phase(
                phase, inside if phase.invocation is invocation else outside, phase_end(phase, now_ns)
            )

    def of_phase(self, phase: Phase, now_ns: int) -> Iterator[dict[str, Any]]:
        """The spans of an init or a restore that no invocation waited for: a trace of its own, if it has none."""
        events = list(phase.events.values())
        tracing = next((event.tracing for event in events if event.tracing), Tracing())
        if tracing.is_sampled:
            end_ns = phase_end(phase, now_ns)
            trace_id = tracing.trace_id or self._trace_id(end_ns, f"{phase.name}/{phase.number}")
            place = Place(trace_id, tracing.parent_id, SAMPLED | (REMOTE_PARENT if tracing.parent_id else 0))
            yield from self._phase(phase, place, end_ns)

    def _phase(self, phase: Phase, place: Place, end_ns: int) -> Iterator[dict[str, Any]]:
        key = f"{phase.name}/{phase.number}"
        span_id = self._span_id(key)
        events = phase.events.values()
        start = phase.events.get(f"{phase.name}Start")
        start_ns = start.time_ns if start else end_ns - max(event.duration_ns() for event in events)
        attributes = measure.initialization(next((e.initialization_type for e in events if e.initialization_type), ""))
        status = phase.status, phase.error_type
        yield _span(place, span_id, phase.name, "internal", (start_ns, end_ns), attributes, status)
        for event in events:
            yield from self._children(event, Place(place.trace_id, span_id, SAMPLED | LOCAL_PARENT), key)

    def _children(self, event: Event, place: Place, key: str) -> Iterator[dict[str, Any]]:
        """The spans that an event has, but for those whose time cannot be read."""
        for number, part in enumerate(event.spans):
            if part.start_ns is not None:
                span_id = self._span_id(f"{key}/{event.type}/{number}/{part.name}")
                times = part.start_ns, part.start_ns + round(part.duration_ms * NS_PER_MS)
                yield _span(place, span_id, part.name, "internal", times)

    def _span_id(self, key: str) -> str:
        return hashlib.blake2b(f"{self._environment_id}/{key}".encode(), digest_size=8).hexdigest()

    def _trace_id(self, at_ns: int, key: str) -> str:
        """The id of a trace that begins here: its time first, as X-Ray wants it, then what makes it unique."""
        rest = hashlib.blake2b(f"{self._environment_id}/{key}".encode(), digest_size=12).hexdigest()
        return f"{at_ns // 1_000_000_000 & 0xFFFFFFFF:08x}{rest}"


def phase_end(phase: Phase, now_ns: int) -> int:
    """When a phase ended; one that has not ends now."""
    return phase.report.time_ns if phase.report else now_ns


def _begin(invocation: Invocation) -> int:
    """When an invocation began: its start, or as long before its end as it took."""
    events = invocation.events
    if "start" in events:
        return events["start"].time_ns
    return min(event.time_ns - event.duration_ns() for event in events.values())


def _end(invocation: Invocation, now_ns: int) -> int:
    """When an invocation ended. A duration counts from its start, and is exact where times have milliseconds."""
    begin_ns = _begin(invocation)
    for name in ("report", "runtimeDone"):
        if end := invocation.events.get(name):
            return begin_ns + end.duration_ns() if end.duration_ns() else max(begin_ns, end.time_ns)
    return max(begin_ns, now_ns)


def _span(
    place: Place,
    span_id: str,
    name: str,
    kind: str,
    times_ns: tuple[int, int],
    attributes: dict[str, Any] | None = None,
    status: tuple[str, str] = ("", ""),
) -> dict[str, Any]:
    """The content of a span's record; `status` is the platform's, with the error type."""
    said, error_type = status
    is_error = said not in {"", "success"}
    return {
        "traceId": place.trace_id,
        "spanId": span_id,
        "parentSpanId": place.parent_id,
        "flags": place.flags,
        "name": name,
        "kind": kind,
        "startTimeUnixNano": max(0, times_ns[0]),  # a forged duration may reach back behind 1970
        "endTimeUnixNano": max(0, *times_ns),
        "attributes": {**(attributes or {}), **measure.error_attribute(said, error_type)},
        "status": "error" if is_error else "unset",
        "statusMessage": said if is_error else "",
    }

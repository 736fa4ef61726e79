"""What platform records say, as metrics, spans and summaries: new records beside those that came."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from extension import lenient
from extension.records import Record
from extension.signals import measure
from extension.signals.event import read, word
from extension.signals.invocations import EVENTS, Invocation, Invocations
from extension.signals.metrics import Deltas, Point, Totals
from extension.signals.phases import NAMES, Phases
from extension.signals.spans import Spans

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from extension.signals.event import Event
    from extension.signals.summary import Summaries

    Metrics = Sequence[tuple[str, Deltas | Totals]]  # with the kinds of their records

METRIC, SPAN, SUMMARY = "forwarder.metric", "forwarder.span", "forwarder.invocation"
KINDS: dict[str, tuple[str, type[Deltas | Totals]]] = {"delta": ("metric", Deltas), "cumulative": ("total", Totals)}
NOTHING: Mapping[str, Any] = {}
BAD_ENDS = {"timeout": "timeout", "failure": "failure"}  # reasons of a SHUTDOWN, with the status of what was running


class Signals:
    """Is shown all records of one execution environment, and gives back those to be added.

    An invocation is counted, and its spans are made, when its report has come, which may be in a later chunk, or at the
    latest at SHUTDOWN. Metrics are records of kind metric where `temporalities` has delta, of kind total where it has
    cumulative; with `traces` there are records of kind span; with `summary`, json or emf, there is one record of each
    invocation, the latter with metrics embedded for CloudWatch, which counts what the function writes where it
    `has_lines` of that. `in_order` is off where invocations interleave;
    `initialization_type` is what the variables say; `clock` gives nanoseconds since 1970.
    """

    def __init__(
        self,
        function_name: str,
        environment_id: str,
        *,
        temporalities: Collection[str],
        traces: bool,
        invoke_span: bool = True,
        summary: str = "none",
        has_lines: bool = True,
        in_order: bool = True,
        initialization_type: str = "",
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._temporalities = temporalities
        self._has_traces = traces
        self._function_name = function_name
        self._invoke_span = invoke_span
        self._summary = summary
        self._has_lines = has_lines
        self._in_order = in_order
        self._initialization_type = initialization_type
        self._clock = clock
        self._counts: dict[tuple[str, str, str], int] = {}
        self.renew(environment_id)

    def renew(self, environment_id: str) -> None:
        """Begin anew: the environment is a copy of a snapshot, and nothing that happened before it happened here."""
        made = [of for name, of in KINDS.items() if name in self._temporalities]
        self._metrics: Metrics = [(kind, make()) for kind, make in made]
        # Apart from those above: after a freeze the ledger is measured now, and then comes a report of long ago.
        self._counters: Metrics = [(kind, make()) for kind, make in made]
        self._spans = Spans(self._function_name, environment_id, invoke_span=self._invoke_span)
        self._invocations = Invocations()
        self._phases = Phases(self._initialization_type)
        self._summaries = _summaries(self._summary, in_order=self._in_order, has_lines=self._has_lines)
        self._invoked = False

    # What comes in

    def __call__(self, records: Iterable[Record]) -> list[Record]:
        """What these records add; they still have their content."""
        now_ns = self._clock()
        derived: list[Record] = []
        summaries = self._summaries
        for record in records:
            if record.kind == "platform":
                if event := read(record, now_ns):
                    self._begin(event.time_ns)
                    derived += self._take(event)
            elif summaries is not None and record.kind == "function":
                summaries.count(record, self._invocations.latest(record.request_id))
        return derived

    def account(self, ledger: Mapping[str, Any]) -> list[Record]:
        """What was added to the ledger since the last time."""
        before, self._counts = self._counts, measure.ledger(ledger)
        now_ns = self._clock()
        self._begin(now_ns)
        points = measure.forwarded(self._counts, before)
        return _metric_records(self._counters, points, now_ns, "") if points else []

    def shut_down(self, reason: str) -> list[Record]:
        """The environment ends: what has not ended by now does not."""
        now_ns = self._clock()
        self._begin(now_ns)
        points = [Point("aws.lambda.shutdowns", 1, {"aws.lambda.shutdown_reason": word(reason)})]
        if self._phases.initialized and not self._invoked:
            points.append(Point("aws.lambda.unused_inits", 1, measure.initialization(self._phases.kind)))
        derived = []
        running = self._invocations.running
        for invocation in self._invocations.open:
            if invocation is running or not self._in_order:
                invocation.assumed = BAD_ENDS.get(reason, "")
            derived += self._close(invocation, now_ns)
        for phase in self._phases.end():
            derived += self._spanned(self._spans.of_phase(phase, now_ns), now_ns, "")
        return derived + self._measured(points, now_ns)

    # Inside

    def _take(self, event: Event) -> list[Record]:
        if event.type in EVENTS:
            return self._take_invocation(event)
        if event.type in NAMES:
            return self._take_phase(event)
        if event.type == "logsDropped":
            return self._measured(list(measure.dropped(event)), event.time_ns)
        return []

    def _take_invocation(self, event: Event) -> list[Record]:
        self._invoked = True
        if self._invocations.is_repeated(event):
            return []
        invocation, evicted = self._invocations.take(event)
        if len(invocation.events) == 1:
            self._phases.hand_over(invocation)
        derived = [record for one in evicted for record in self._close(one, event.time_ns)]
        if len(invocation.events) == 1 and self._summaries is not None:
            late = self._summaries.begin(invocation)
            derived += [record for one in late for record in self._summed(one, event.time_ns)]
        if invocation.is_closed:  # an event that came late: it is measured alone
            derived += self._measured(
                [*measure.event(event), *self._duration(invocation)], event.time_ns, event.request_id
            )
        elif event.type == "report":
            derived += self._close(invocation, event.time_ns)
        return derived

    def _take_phase(self, event: Event) -> list[Record]:
        phase = self._phases.take(event, self._invocations.running)
        if phase is None:
            return []
        derived = self._measured(list(measure.phase(phase, self._phases.kind)), event.time_ns)
        if self._phases.is_ahead:
            return derived + self._spanned(self._spans.of_phase(phase, event.time_ns), event.time_ns, "")
        self._phases.keep(phase)
        return derived

    def _close(self, invocation: Invocation, at_ns: int) -> list[Record]:
        """Count an invocation: nothing more is waited for."""
        points = [*measure.outcome(invocation), *self._duration(invocation)]
        for event in invocation.events.values():
            points += measure.event(event)
        derived = self._measured(points, at_ns, invocation.request_id)
        derived += self._spanned(self._spans.of_invocation(invocation, at_ns), at_ns, invocation.request_id)
        derived += self._summed(invocation, at_ns)
        invocation.forget()
        return derived

    def _duration(self, invocation: Invocation) -> list[Point]:
        """How long it took, once; as the runtime saw it where that is known by then."""
        for name in ("runtimeDone", "report"):
            event = invocation.events.get(name)
            if not invocation.is_measured and event and (points := list(measure.duration(event))):
                invocation.is_measured = True
                return points
        return []

    def _summed(self, invocation: Invocation, at_ns: int) -> list[Record]:
        """The summary of an invocation, once."""
        if self._summaries is None or (content := self._summaries.end(invocation, self._phases.kind)) is None:
            return []
        from extension.signals.summary import embedded  # noqa: PLC0415 - it is loaded where there are summaries

        first = embedded(content, self._function_name, at_ns) if self._summary == "emf" else {}
        return [_record("other", SUMMARY, at_ns, invocation.request_id, content, first)]

    def _measured(self, points: Sequence[Point], at_ns: int, request_id: str = "") -> list[Record]:
        return _metric_records(self._metrics, points, at_ns, request_id) if points else []

    def _begin(self, at_ns: int) -> None:
        for _, metrics in (*self._metrics, *self._counters):
            metrics.begin(at_ns)

    def _spanned(self, spans: Iterable[Mapping[str, Any]], at_ns: int, request_id: str) -> list[Record]:
        if not self._has_traces:
            return []
        return [_record("span", SPAN, at_ns, request_id, span) for span in spans]


def _metric_records(metrics: Metrics, points: Sequence[Point], at_ns: int, request_id: str) -> list[Record]:
    return [_record(kind, METRIC, at_ns, request_id, made.content(points, at_ns)) for kind, made in metrics]


def _summaries(form: str, *, in_order: bool, has_lines: bool) -> Summaries | None:
    """What sums up invocations, where the user asks for it; else not an import."""
    if form == "none":
        return None
    from extension.signals.summary import Summaries  # noqa: PLC0415 - see above

    return Summaries(in_order=in_order, has_lines=has_lines)


def _record(
    kind: str, type_: str, at_ns: int, request_id: str, content: Mapping[str, Any], first: Mapping[str, Any] = NOTHING
) -> Record:
    """A record of ours; its line begins with the members `first`."""
    seconds, milliseconds = divmod(at_ns // 1_000_000, 1000)
    at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{milliseconds:03d}Z"
    line = lenient.dumps({**first, "time": at, "type": type_, "record": content})
    return Record(-1, kind, line, type_, at, request_id)

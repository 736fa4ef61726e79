"""Whatever order events come in, each invocation is counted once, and sums of deltas are the totals."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from extension.signals.invocations import MAX_TRIES, REMEMBERED
from tests.support.signals import Derived, done, init, report, start

if TYPE_CHECKING:
    from extension.records import Record

OUTCOMES = ("faas.invocations", "faas.errors", "faas.timeouts")
MAKE = {"start": start, "runtimeDone": done, "report": report}
EVENTS = st.lists(
    st.tuples(st.sampled_from(sorted(MAKE)), st.sampled_from("abc"), st.integers(0, 5000)), min_size=1, max_size=6
)


class Environment(RuleBasedStateMachine):
    """Shows events to signals; the model knows only how often each event of a request came."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[tuple[str, str]] = Counter()
        self.is_down = False

    @initialize(invoke_span=st.booleans(), in_order=st.booleans())
    def open(self, *, invoke_span: bool, in_order: bool) -> None:
        self.derived = Derived(temporalities={"delta", "cumulative"}, invoke_span=invoke_span, in_order=in_order)
        self.invoke_span = invoke_span

    @rule(events=EVENTS)
    def feed(self, events: list[tuple[str, str, int]]) -> None:
        records: list[Record] = []
        for type_, request_id, ms in events:
            if self.seen[type_, request_id] < MAX_TRIES:
                self.seen[type_, request_id] += not self.is_repeated(type_, request_id)
                records.append(MAKE[type_](request_id, ms))
        self.derived.feed(*records)

    @rule(phase=st.sampled_from(["init", "invoke"]), ms=st.integers(0, 5000))
    @precondition(lambda self: not self.is_down)
    def initialize_again(self, phase: str, ms: int) -> None:
        self.derived.feed(*init(ms, phase=phase))

    @rule(reason=st.sampled_from(["spindown", "timeout", "failure"]))
    @precondition(lambda self: not self.is_down)
    def shut_down(self, reason: str) -> None:
        self.is_down = True
        self.derived.shut_down(reason)
        tries = sum(self.tries(request_id) for request_id in "abc")
        assert self.counted() == tries
        assert len(self.deltas("faas.mem_usage")) == sum(self.seen["report", request_id] for request_id in "abc")
        assert len(self.deltas("aws.lambda.produced_bytes")) == sum(
            self.seen["runtimeDone", request_id] for request_id in "abc"
        )
        assert len([span for span in self.derived.spans if span["name"] == "orders"]) == tries * self.invoke_span

    def is_repeated(self, type_: str, request_id: str) -> bool:
        """Whether it is a report more than there were tries."""
        return type_ == "report" and 0 < self.tries(request_id) == self.seen["report", request_id]

    def tries(self, request_id: str) -> int:
        """How often it was invoked: as often as its most frequent event came."""
        return max(self.seen[type_, request_id] for type_ in MAKE)

    @invariant()
    def nothing_is_counted_twice(self) -> None:
        tries = sum(self.tries(request_id) for request_id in "abc")
        assert self.counted() <= tries
        assert len(self.deltas("faas.invoke_duration")) <= tries

    def deltas(self, name: str) -> list[float]:
        return [
            point.get("value", point.get("sum"))
            for content in self.derived.metrics
            for point in content["metrics"]
            if content["temporality"] == "delta" and point["name"] == name
        ]

    def counted(self) -> float:
        """How many invocations were counted."""
        return sum(value for name in OUTCOMES for value in self.deltas(name))

    @invariant()
    def intervals_follow_each_other(self) -> None:
        until_ns = 0
        for content in self.derived.metrics:
            if content["temporality"] == "delta":
                assert content["startTimeUnixNano"] == until_ns or not until_ns
                assert content["startTimeUnixNano"] < content["timeUnixNano"]
                until_ns = content["timeUnixNano"]

    @invariant()
    def totals_are_the_sums_of_deltas(self) -> None:
        sums: Counter[tuple[str, str]] = Counter()
        for content in self.derived.metrics:
            for point in content["metrics"]:
                key = point["name"], str(point["attributes"])
                count = point.get("value", point.get("count"))
                assert count == sum(point.get("buckets", [count]))
                if content["temporality"] == "delta":
                    sums[key] += count
                else:
                    assert count == sums[key]

    @invariant()
    def no_two_spans_have_one_id(self) -> None:
        ids = [span["spanId"] for span in self.derived.spans]
        assert len(ids) == len(set(ids))


TestEnvironment = Environment.TestCase
TestEnvironment.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)


def test_what_is_remembered_is_bounded() -> None:
    """Of very many invocations that never end each is counted once, the oldest while the others still run."""
    derived = Derived(traces=False)
    for number in range(3 * REMEMBERED):
        derived.feed(start(f"r{number}", number))
    assert derived.total("faas.invocations") == 2 * REMEMBERED
    derived.shut_down()
    assert derived.total("faas.invocations") == 3 * REMEMBERED


def test_one_that_outlives_many_is_counted_once() -> None:
    """On Managed Instances: those that are over are forgotten before one that still runs."""
    derived = Derived(traces=False, in_order=False)
    derived.feed(start("long", 0))
    for number in range(REMEMBERED + 1):
        derived.feed(start(f"r{number}", number), report(f"r{number}", number))
    derived.feed(report("long", REMEMBERED))
    derived.shut_down()
    assert derived.total("faas.invocations") == REMEMBERED + 2


def test_one_whose_report_was_lost_is_counted_in_the_end() -> None:
    """It gives way, and is counted, once it can run no longer, on Managed Instances too."""
    derived = Derived(traces=False, in_order=False)
    derived.feed(start("lost", 0))
    for number in range(REMEMBERED + 1):
        derived.feed(start(f"r{number}", 906_000 + number), report(f"r{number}", 906_000 + number))
    assert derived.total("faas.invocations") == REMEMBERED + 2


def test_tries_of_one_request_are_bounded() -> None:
    """A request id that comes again and again is counted each time, and only its last tries are known."""
    derived = Derived(traces=False)
    for number in range(50):
        derived.feed(start("r1", number))
    assert derived.total("faas.invocations") == 50 - MAX_TRIES
    derived.shut_down()
    assert derived.total("faas.invocations") == 50

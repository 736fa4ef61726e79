"""The state machine of a sampler, against a model that knows of each record only where it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from extension.pipeline.sample import Sampler
from extension.pipeline.watch import GRACE_S, Watch, invocation_of
from extension.records import LONGEST_INVOCATION_S, Record
from extension.sampling import ALL, Sampling, randomness_of, randomness_of_trace
from tests.support.deliveries import Clock

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MAX_BYTES = 4_000
RATE = Sampling(0.3, 100)
REQUESTS = st.sampled_from(["first", "b", "c", "d"])
BY = ("function", "extension")


class OneSampler(RuleBasedStateMachine):
    """Lets invocations begin, print, end and be forgotten about, in any order, in chunks of any size."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.watch = Watch(self.clock, in_order=False)
        self.sampler = Sampler(RATE, self.watch, MAX_BYTES)
        self.chunk: list[Record] = []
        self.came: dict[int, Record] = {}
        self.went: list[int] = []
        self.randomness: dict[str, int] = {}  # by request id, of those that have begun
        self.telling: set[str] = set()

    def _came(self, kind: str, type_: str, request_id: str, content: object, size: int = 60) -> None:
        number = len(self.came)
        record = Record(number, kind, b"%0*d" % (size, number), type_, "", request_id, content)
        self.came[number] = record
        self.chunk.append(record)

    def _took(self, records: Sequence[Record]) -> None:
        self.went += [int(record.line) for record in records]

    @rule(request_id=REQUESTS, trace=st.none() | st.integers(0, ALL - 1))
    def start(self, request_id: str, trace: int | None) -> None:
        content: dict[str, Any] = {"requestId": request_id}
        if trace is not None:
            header = f"Root=1-62e900b2-{trace:024x}"
            content["tracing"] = {"value": header}
            assert randomness_of_trace(header) == trace
        if not self.randomness:
            self.telling.add(request_id)
        if request_id not in self.randomness:
            self.randomness[request_id] = randomness_of(request_id) if trace is None else trace
        self._came("platform", "platform.start", request_id, content)

    @rule(request_id=REQUESTS, sizes=st.lists(st.integers(20, 1500), min_size=1, max_size=5), by=st.sampled_from(BY))
    @precondition(lambda self: self.randomness)
    def lines(self, request_id: str, sizes: list[int], by: str) -> None:
        known = request_id if request_id in self.randomness else ""
        for size in sizes:
            self._came(by, by, known, {"level": "INFO", "message": "x"}, size)

    @rule(request_id=REQUESTS, by=st.sampled_from(BY))
    @precondition(lambda self: self.randomness)
    def error(self, request_id: str, by: str) -> None:
        if request_id in self.randomness:
            self.telling |= {request_id} if by == "function" else set()
            self._came(by, by, request_id, {"level": "ERROR", "message": "x"})

    @rule(request_id=REQUESTS, status=st.sampled_from(["success", "error"]), duration_ms=st.integers(0, 120))
    def end(self, request_id: str, status: str, duration_ms: int) -> None:
        if request_id in self.randomness:
            if status != "success" or duration_ms > 100:
                self.telling.add(request_id)
            content = {"requestId": request_id, "status": status, "metrics": {"durationMs": duration_ms}}
            self._came("platform", "platform.report", request_id, content)

    @rule(kind=st.sampled_from(["platform", "other"]))
    def of_no_invocation(self, kind: str) -> None:
        self._came(kind, f"{kind}.logsDropped", "b", {"requestId": "b"})

    @rule(seconds=st.sampled_from([1.0, GRACE_S, LONGEST_INVOCATION_S + GRACE_S]))
    def wait(self, seconds: float) -> None:
        self.chunk_ends()
        self.clock.now += seconds
        self.watch.expire()
        self._took(self.sampler.due())

    @rule()
    def chunk_ends(self) -> None:
        chunk, self.chunk = self.chunk, []
        self.watch.note(chunk)
        self._took(self.sampler(self.watch.read(chunk)))

    def teardown(self) -> None:
        self.chunk_ends()
        self.watch.close()
        self._took(self.sampler.due())
        assert self.sampler.held == 0
        self.every_record_is_in_one_place()
        self.nothing_of_a_kept_invocation_is_missing_unless_it_is_told()

    @invariant()
    def every_record_is_in_one_place(self) -> None:
        came = len(self.came) - len(self.chunk)
        assert len(set(self.went)) == len(self.went)
        assert came == len(self.went) + self.sampler.sampled_out + self.sampler.held

    @invariant()
    def memory_is_bounded(self) -> None:
        held = [record for waiting in self.sampler._waiting.values() for record in waiting]
        assert len(held) == self.sampler.held
        assert sum(record.size for record in held) == self.sampler._bytes <= MAX_BYTES
        assert all(record.content is None for record in held)

    @invariant()
    def what_is_of_no_invocation_is_kept_at_once(self) -> None:
        of_none = {number for number, record in self.came.items() if not invocation_of(record)}
        assert of_none - {record.sequence for record in self.chunk} <= set(self.went)

    @invariant()
    def nothing_of_a_kept_invocation_is_missing_unless_it_is_told(self) -> None:
        missing = {key: self._count(key) - self._count(key, self.went) - self._held(key) for key in self.randomness}
        of_kept = sum(count for key, count in missing.items() if self._is_kept(key))
        assert of_kept == self.sampler.left_out_of_kept

    @invariant()
    def what_is_not_kept_does_not_go(self) -> None:
        assert not any(self._count(key, self.went) for key in self.randomness if not self._is_kept(key))

    def _is_kept(self, request_id: str) -> bool:
        """By the rate, for what it tells, or because nobody knows how it ended; of what the sampler has seen."""
        unseen = {record.request_id for record in self.chunk}
        known = self.watch.get(request_id)
        if request_id in unseen:  # its fate is open until the chunk ends
            return known is not None and self.sampler._keeps(request_id) is True
        given_up = known is not None and known.has_error
        return self.randomness[request_id] >= RATE.threshold or request_id in self.telling or given_up

    def _held(self, request_id: str) -> int:
        waiting = len(self.sampler._waiting.get(request_id, ()))
        return waiting + sum(invocation_of(record) == request_id for record in self.chunk)

    def _count(self, request_id: str, of: Iterable[int] | None = None) -> int:
        """How many records of an invocation there are among those, or among all."""
        records = [self.came[number] for number in (self.came if of is None else of)]
        return sum(invocation_of(record) == request_id for record in records)


TestOneSampler = OneSampler.TestCase
TestOneSampler.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)

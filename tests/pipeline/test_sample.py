from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import orjson
import pytest

from extension import sampling
from extension.intake.decoder import Decoder
from extension.pipeline.correlate import Correlate
from extension.pipeline.filter import Filter
from extension.pipeline.pipeline import Pipeline
from extension.pipeline.sample import Sampler
from extension.pipeline.watch import GRACE_S, REMEMBERED, Watch
from extension.records import KINDS, LONGEST_INVOCATION_S
from extension.sampling import Sampling
from tests.support.deliveries import Clock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from extension.records import Record

HIGH, LOW = "f" * 24, "0" * 24  # of a trace: kept by any rate above 0, and by none below 1
ARN = "arn:aws:lambda:us-east-1:123456789012:function:orders:7/durable-execution/one/"
TRACEBACK = "[ERROR] KeyError: 'x'\nTraceback (most recent call last):\n  File \"app.py\", line 3, in handler\n"


class Run:
    """A pipeline that samples, past an environment's first invocation unless it is `cold`."""

    def __init__(
        self,
        text: str = "0.5",
        *,
        in_order: bool = True,
        cold: bool = False,
        max_bytes: int = 1 << 20,
        types: Sequence[str] = (),
    ) -> None:
        asked = sampling.parse(text)
        assert asked is not None
        self.clock = Clock()
        self.watch = Watch(self.clock, in_order=in_order)
        self.sampler = Sampler(asked, self.watch, max_bytes)
        unwanted = set(KINDS) - set(types) if types else set()
        self.pipeline = Pipeline(
            Correlate(in_order=in_order),
            [Filter(unwanted), self.watch.read, self.sampler],
            itertools.count(),
            note=self.watch.note,
            rated=self.sampler.rated,
        )
        self.pipeline.identify({"functionName": "orders"}, "e1")
        if not cold:
            self.feed(start("first"), end("first"), report("first"))

    def feed(self, *lines: bytes) -> list[Record]:
        """What goes on at once."""
        return self.pipeline(list(Decoder().feed(b"".join(line + b"\n" for line in lines))))

    def due(self) -> list[str]:
        """What goes on as time has gone by."""
        self.watch.expire()
        return texts(self.pipeline.release("due"))

    def close(self) -> list[str]:
        """What goes on at the end."""
        self.watch.close()
        return texts(self.pipeline.release("close"))

    @property
    def counts(self) -> tuple[int, int, int]:
        """Sampled out, of kept ones, and held; the ledger balances."""
        assert self.pipeline.filtered == 0
        return self.sampler.sampled_out, self.sampler.left_out_of_kept, self.sampler.held


def line(type_: str, record: object) -> bytes:
    return orjson.dumps({"time": "2026-11-21T00:00:00.000Z", "type": type_, "record": record})


def start(request_id: str, trace: str = LOW) -> bytes:
    tracing = {"type": "X-Amzn-Trace-Id", "value": f"Root=1-62e900b2-{trace};Sampled=1"}
    return line("platform.start", {"requestId": request_id, "tracing": tracing})


def end(request_id: str, status: str = "success", duration_ms: float = 5.0) -> bytes:
    metrics = {"durationMs": duration_ms}
    return line("platform.runtimeDone", {"requestId": request_id, "status": status, "metrics": metrics})


def report(request_id: str, status: str = "success", duration_ms: float = 5.0) -> bytes:
    metrics = {"durationMs": duration_ms}
    return line("platform.report", {"requestId": request_id, "status": status, "metrics": metrics})


def printed(text: object) -> bytes:
    return line("function", text)


def texts(records: Sequence[Record]) -> list[str]:
    """What functions and extensions printed, and the last word of other types."""
    found = [orjson.loads(record.line) for record in records]
    return [
        str(one["record"]) if one["type"] in {"function", "extension"} else one["type"].rpartition(".")[2]
        for one in found
    ]


def rates(records: Sequence[Record]) -> list[float | None]:
    return [orjson.loads(record.line)["lambda"].get("sampleRate") for record in records]


def test_an_invocation_is_kept_or_left_out_as_a_whole() -> None:
    """By its trace; one that is kept goes on at once, of the other nothing does."""
    run = Run()
    kept = run.feed(start("a", HIGH), printed("one"), end("a"), report("a"))
    assert texts(kept) == ["start", "one", "runtimeDone", "report"]
    assert run.feed(start("b"), printed("two"), end("b"), report("b")) == []
    assert run.counts == (4, 0, 0)
    assert run.sampler.account["sampledOutBy"] == {"rate": 4, "memory": 0}


def test_what_stands_for_others_says_at_which_rate() -> None:
    """Beside it, what stands for itself alone says nothing: its weight is 1."""
    run = Run("0.25")
    assert rates(run.feed(start("a", HIGH), printed("one"), end("a"), report("a"))) == [0.25] * 4
    assert rates(run.feed(start("b"), printed("two"), end("b", "timeout"), report("b", "timeout"))) == [None] * 4


def test_an_error_of_what_the_rate_keeps_stands_for_itself() -> None:
    """It would have been kept at any rate, so from there on its records must not be multiplied."""
    run = Run()
    assert rates(run.feed(start("a", HIGH), printed("one"))) == [0.5, 0.5]
    assert rates(run.feed(printed("[ERROR] two"), printed("three"), end("a"), report("a"))) == [None] * 4


def test_without_a_trace_the_request_id_decides() -> None:
    """The hash of it, so that every try of a request is decided alike, in whatever environment."""
    ids = [f"{number:08x}-0000-4000-8000-000000000000" for number in range(20)]
    kept = [one for one in ids if sampling.randomness_of(one) >= Sampling(0.5).threshold]
    for _ in range(2):
        run = Run()
        start_ = [line("platform.start", {"requestId": one}) for one in ids]
        assert [record.request_id for record in run.feed(*start_)] == kept


@pytest.mark.parametrize(
    "telling",
    [
        end("a", "timeout"),
        end("a", "error"),
        report("a", "failure"),
        line("platform.report", {"requestId": "a", "errorType": "Runtime.ExitError", "metrics": {}}),
        end("a", duration_ms=1000.5),
        report("a", duration_ms=1000.5),
        printed({"level": "ERROR", "message": "no"}),
        printed({"level": "critical", "message": "no"}),
        printed('{"level":"fatal","msg":"no"}'),
        printed(TRACEBACK),
        printed(TRACEBACK.partition("\n")[2]),
        printed({"errorType": "TypeError", "errorMessage": "no"}),
    ],
)
def test_one_that_tells_something_is_kept_whole(telling: bytes) -> None:
    """An error, a timeout, a failure or a long duration brings back what waited, in order."""
    run = Run("0.5;slow=1000")
    assert run.feed(start("a"), printed("one")) == []
    kept = run.feed(telling)
    assert texts(kept)[:2] == ["start", "one"]
    assert len(kept) == 3
    assert run.counts == (0, 0, 0)
    assert [record.sequence for record in kept] == sorted(record.sequence for record in kept)


@pytest.mark.parametrize(
    "line_",
    [
        printed({"level": "WARN", "message": "no"}),
        printed({"level": "INFO", "message": "retrying", "error": {"type": "TimeoutError", "message": "slow"}}),
        printed("an ERROR in the middle of a text"),
        line("extension", "[ERROR] of another extension"),
        end("a", duration_ms=1000),
        line("platform.report", {"requestId": "a", "status": None, "metrics": {"durationMs": "long"}}),
    ],
)
def test_one_that_tells_nothing_is_left_out(line_: bytes) -> None:
    """A warning, a caught exception below ERROR, a word in a text, and an error of another extension are none."""
    run = Run("0.5;slow=1000")
    assert run.feed(start("a"), line_, report("a")) == []
    assert run.counts == (3, 0, 0)


def test_the_first_invocation_is_kept() -> None:
    """It is the cold start; it stands for itself."""
    run = Run(cold=True)
    records = run.feed(start("a"), printed("one"), report("a"), start("b"), printed("two"), report("b"))
    assert texts(records) == ["start", "one", "report"]
    assert rates(records) == [None] * 3


def test_what_is_of_no_invocation_is_kept() -> None:
    """Init, what the platform says of itself, unknown types, broken lines; and it has no rate."""
    run = Run(cold=True)
    first = run.feed(
        line("platform.initStart", {"phase": "init"}),
        printed("before the first start"),
        line("extension", "too"),
        line("platform.initReport", {"status": "success"}),
    )
    run.feed(start("first"), report("first"), start("a", HIGH), start("b"))
    others = run.feed(
        line("platform.logsDropped", {"droppedRecords": 1}),
        line("platform.telemetrySubscription", {"name": "us"}),
        line("platform.brandNew", {"requestId": "b"}),
        line("brand.new", {"requestId": "a"}),
        b"{broken",
    )
    assert (len(first), len(others)) == (4, 5)
    assert rates([*first, *others]) == [None] * 9


def test_lines_of_an_extension_go_with_their_invocation() -> None:
    """What has the request id of an invocation is sampled with it, whoever printed it."""
    run = Run()
    assert run.feed(start("a"), line("extension", "one"), report("a"), line("extension", "late")) == []
    assert run.counts == (4, 0, 0)


def test_invocations_that_interleave_are_told_apart() -> None:
    """On Managed Instances each waits for its own report."""
    run = Run(in_order=False)
    assert (
        run.feed(
            start("a"),
            start("b"),
            printed({"requestId": "a", "message": "of a"}),
            printed({"requestId": "b", "message": "of b"}),
            printed("of none"),
        )[0].request_id
        == ""
    )
    assert run.feed(report("b")) == []
    assert [record.request_id for record in run.feed(report("a", "error"))] == ["a", "a", "a"]
    assert run.counts == (3, 0, 0)


def test_one_whose_report_does_not_come_is_decided_after_the_next_start() -> None:
    """With a grace, for the report usually comes then; by what runtimeDone said."""
    run = Run()
    run.feed(start("a"), printed("one"), end("a"))
    run.clock.now += 600.0
    assert run.due() == []
    assert run.counts == (0, 0, 3)
    run.feed(start("b"))
    run.clock.now += GRACE_S - 0.1
    assert run.due() == []
    assert run.counts == (0, 0, 4)
    run.clock.now += 0.1
    assert run.due() == []
    assert run.counts == (3, 0, 1)


def test_one_whose_end_nothing_tells_is_kept() -> None:
    """It may have failed: after the next start and a grace, and where they interleave after the longest timeout."""
    run, together = Run(), Run(in_order=False)
    run.feed(start("a"), printed("one"), start("b"))
    run.clock.now += GRACE_S
    assert run.due() == ["start", "one"]
    together.feed(start("b"))
    together.clock.now += LONGEST_INVOCATION_S + GRACE_S
    assert together.due() == ["start"]
    assert run.counts == (0, 0, 1)
    assert together.counts == (0, 0, 0)


@pytest.mark.parametrize("read_before", [True, False], ids=["runtimeDone read before", "read after it"])
def test_a_freeze_of_any_length_decides_nothing(read_before: bool) -> None:
    """An invocation's runtimeDone and report may be read only when the next one thaws the environment."""
    run = Run()
    run.feed(start("a"), printed("one"), *([end("a")] if read_before else []))
    run.clock.now += 100 * LONGEST_INVOCATION_S
    assert run.due() == []
    assert texts(run.feed(*([] if read_before else [end("a")]), report("a", "error"), start("b"))) == [
        "start",
        "one",
        "runtimeDone",
        "report",
    ]
    assert run.counts == (0, 0, 1)


def test_at_the_end_nothing_waits() -> None:
    """What ended well is left out, what did not end is kept, and what still comes is decided at once."""
    run = Run()
    run.feed(start("a"), printed("one"), end("a"), start("b"), printed("two"))
    assert run.close() == ["start", "two"]
    assert run.counts == (3, 0, 0)
    assert texts(run.feed(printed("late"), start("c"), printed("later"))) == ["late"]
    assert run.counts == (5, 0, 0)


def test_what_shutdown_calls_a_failure_is_kept() -> None:
    """Even where its runtime was done, as when an extension crashed."""
    run = Run()
    run.feed(start("a"), printed("one"), end("a"))
    run.watch.fail("a")
    assert run.close() == ["start", "one", "runtimeDone"]


def test_the_oldest_go_when_memory_is_short() -> None:
    """The rest of an invocation that is kept after all is kept, and what is missing is told."""
    run = Run(max_bytes=4000)
    run.feed(start("a"), *[printed(f"{number:0500}") for number in range(8)])
    sampled_out, of_kept, held = run.counts
    assert (sampled_out + held, of_kept) == (9, 0)
    assert len(run.feed(printed("[ERROR] x"))) == held + 1
    assert run.counts == (sampled_out, sampled_out, 0)
    assert run.sampler.account["sampledOutBy"] == {"rate": 0, "memory": sampled_out}


def test_the_oldest_invocation_goes_first() -> None:
    """So that of the invocations that wait the latest stay whole."""
    run = Run(in_order=False, max_bytes=3000)
    for request_id in "abc":
        run.feed(start(request_id), printed({"requestId": request_id, "message": "x" * 500}))
    run.feed(printed({"requestId": "c", "message": "y" * 500}))
    assert [record.request_id for one in "abc" for record in run.feed(report(one, "error"))].count("c") == 4
    assert run.counts[1] > 0


def test_a_record_larger_than_the_bound_costs_no_other() -> None:
    """It is left out, and what is there stays."""
    run = Run(max_bytes=4000)
    run.feed(start("a"), printed("x" * 5000), printed("small"))
    assert run.counts == (1, 0, 2)


def test_an_error_that_is_told_late_keeps_what_is_left() -> None:
    """After the report the rest is gone; the error itself is kept, and the loss told."""
    run = Run()
    run.feed(start("a"), printed("one"), end("a"), report("a"))
    assert texts(run.feed(printed("[ERROR] late"))) == ["[ERROR] late"]
    assert run.counts == (4, 4, 0)


@pytest.mark.parametrize(("trace", "count"), [(HIGH, 6), (LOW, 0)])
def test_tries_of_one_request_agree(trace: str, count: int) -> None:
    """A retry has the request id of the first try and goes by its trace, whatever its own is."""
    run = Run()
    tries = [run.feed(start("a", one), printed("one"), report("a")) for one in (trace, HIGH if trace == LOW else LOW)]
    assert sum(map(len, tries)) == count


def test_the_retry_of_an_error_is_kept_with_it() -> None:
    """The story of a request stays whole."""
    run = Run()
    assert len(run.feed(start("a"), printed("[ERROR] one"), report("a"))) == 3
    assert len(run.feed(start("a"), printed("two"), report("a"))) == 3


def test_what_filters_leave_out_is_still_watched() -> None:
    """FORWARDER_TYPES=function takes the platform's records out, and not what they say."""
    run = Run(types=("function",))
    assert run.feed(start("a"), printed("one"), end("a")) == []
    assert run.feed(report("a")) == []
    assert (run.sampler.sampled_out, run.sampler.held) == (1, 0)
    run.feed(start("b"), printed("two"))
    assert texts(run.feed(end("b", "error"))) == ["two"]


def durable() -> bytes:
    return line("platform.initStart", {"runtimeVersion": "nodejs:24.DurableFunction.v3"})


@pytest.mark.parametrize("key", ["executionArn", "durableExecutionArn"])
@pytest.mark.parametrize("as_text", [False, True])
def test_the_invocations_of_a_durable_execution_agree(key: str, *, as_text: bool) -> None:
    """They have requests and traces of their own; the execution's ARN decides, once a line has named it."""
    kept = {f"{ARN}{number}": sampling.randomness_of(f"{ARN}{number}") >= 1 << 55 for number in range(8)}
    run = Run(cold=True)
    run.feed(durable(), start("first"), report("first"))
    for arn, trace in itertools.product(kept, (HIGH, LOW)):
        named: object = {"level": "INFO", "message": "step", key: arn}
        named = orjson.dumps(named).decode() if as_text else named
        request_id = f"{arn[-1]}-{trace}"
        went = run.feed(start(request_id, trace), printed("before"))
        assert went == []
        went += run.feed(printed(named), printed("after"), report(request_id))
        assert len(went) == (5 if kept[arn] else 0)
    assert set(kept.values()) == {True, False}


def test_an_invocation_that_names_no_execution_goes_by_its_trace() -> None:
    """At its end, for until then a line may name one."""
    run = Run(cold=True)
    run.feed(durable(), start("first"), report("first"))
    assert run.feed(start("a", HIGH), printed("one")) == []
    assert texts(run.feed(report("a"))) == ["start", "one", "report"]


def test_an_execution_that_nobody_expected_takes_nothing_back() -> None:
    """Where init did not tell that there are any, as in an image: what is kept stays kept."""
    arn = next(f"{ARN}{number}" for number in range(9) if sampling.randomness_of(f"{ARN}{number}") < 1 << 55)
    run = Run()
    assert len(run.feed(start("a", HIGH), printed({"executionArn": arn}), printed("one"), report("a"))) == 4
    assert run.feed(start("b", HIGH), printed({"executionArn": arn}), printed("two"), report("b")) == []


def test_what_is_remembered_is_bounded() -> None:
    """Of so many invocations that the first is forgotten, what still waits is kept, since nobody knows its end."""
    run = Run(in_order=False)
    run.feed(start("a"))
    [kept] = run.feed(*[start(f"r{number}") for number in range(REMEMBERED)])
    assert (kept.request_id, run.counts) == ("a", (0, 0, REMEMBERED))


@pytest.mark.parametrize(("status", "kept"), [("error", 3), ("success", 0)])
def test_one_that_outlives_many_is_one(status: str, kept: int) -> None:
    """On Managed Instances: those that are over are forgotten before one that still runs."""
    run = Run(in_order=False)
    assert run.feed(start("long", LOW), printed({"requestId": "long", "message": "one"})) == []
    for number in range(REMEMBERED + 1):
        run.feed(start(f"r{number}", LOW), report(f"r{number}"))
    assert len(run.feed(report("long", status))) == kept
    assert run.counts[2] == 0


def test_ids_that_programs_made_up_cost_no_invocation_its_place() -> None:
    """On Managed Instances a record has whatever request id it names; those of callers never start or end here."""
    run = Run(in_order=False)
    run.feed(*[printed({"requestId": f"caller-{number}"}) for number in range(REMEMBERED + 1)])
    for number in range(10):
        kept = run.feed(start(f"r{number}", LOW), printed({"requestId": f"other-{number}"}), report(f"r{number}"))
        assert [record.request_id for record in kept if record.request_id == f"r{number}"] == []
        assert run.feed(printed({"requestId": f"r{number}", "message": "late"})) == []


def test_what_is_missing_stays_told() -> None:
    """However many invocations come after the one that was kept in part."""
    run = Run(in_order=False)
    run.feed(start("first", HIGH), start("a", LOW), report("a"))
    run.feed(printed({"requestId": "a", "level": "ERROR"}))
    assert run.sampler.left_out_of_kept == 2
    for number in range(REMEMBERED + 1):
        run.feed(start(f"r{number}", LOW), report(f"r{number}"))
        assert run.sampler.left_out_of_kept == 2


def test_nothing_is_missing_of_one_that_the_rate_left_out() -> None:
    """Not even where a line comes of it, and is kept, once it is forgotten."""
    run = Run(in_order=False)
    run.feed(start("a", LOW), report("a"))
    for number in range(REMEMBERED + 1):
        run.feed(start(f"r{number}", HIGH), report(f"r{number}"))
    assert len(run.feed(line("extension", {"requestId": "a", "message": "late"}))) == 1
    assert run.sampler.left_out_of_kept == 0


def test_for_one_sink_records_get_a_numbering_of_their_own() -> None:
    """What waited comes behind what came later, so its queue needs a sequence that grows."""
    run = Run()
    own = Sampler(Sampling(0.5), run.watch, 1 << 20)
    stamped = [
        record
        for lines in ([start("a"), start("b", HIGH)], [printed("[ERROR] x")])
        for record in own.anew(
            Pipeline(Correlate(in_order=True), [run.watch.read], itertools.count(5), note=run.watch.note)(
                list(Decoder().feed(b"".join(one + b"\n" for one in lines)))
            )
        )
    ]
    assert [record.sequence for record in stamped] == list(range(len(stamped)))

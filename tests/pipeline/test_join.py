from __future__ import annotations

import itertools

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from extension.intake.decoder import Decoder
from extension.pipeline.correlate import Correlate
from extension.pipeline.filter import but_our_own
from extension.pipeline.join import MAX_BYTES, MAX_LINES, Join
from extension.pipeline.pipeline import Pipeline
from extension.reading import TRACEBACK
from extension.records import Record

TIME = "2026-11-21T00:00:00.000Z"
HOLD_S = 0.125
HEAD, FRAME = "java.lang.Error: no", "\tat a.B.c(B.java:1)"
START = ("platform.start", {"requestId": "r1"})
DONE = ("platform.runtimeDone", {"requestId": "r1"})


class Run:
    """A pipeline that joins, and a clock that stands still."""

    def __init__(self) -> None:
        self.now = 100.0
        self.join = Join(HOLD_S, lambda: self.now)
        self.pipeline = Pipeline(Correlate(in_order=True), [but_our_own, self.join], itertools.count())

    def feed(self, *came: tuple[str, object], time: str = TIME) -> list[Record]:
        """Records of these types and contents, in one chunk; what comes out."""
        lines = [orjson.dumps({"time": time, "type": type_, "record": content}) + b"\n" for type_, content in came]
        return self.pipeline(Decoder().feed(b"".join(lines)))


def texts(*lines: str, type_: str = "function") -> list[tuple[str, object]]:
    return [(type_, line) for line in lines]


def contents(records: list[Record]) -> list[object]:
    return [orjson.loads(record.line)["record"] for record in records]


def test_a_joined_record_is_the_first_line_with_all_texts() -> None:
    """It has time, type and unknown members of the first, an id of its own, and says how many lines it is."""
    run = Run()
    run.feed(START)
    first = orjson.dumps({"time": TIME, "type": "function", "record": HEAD, "new": [1.5]})
    second = orjson.dumps({"time": "2026-11-21T00:00:01.000Z", "type": "function", "record": FRAME})
    run.pipeline(Decoder().feed(first + b"\n" + second + b"\n"))
    [record] = run.pipeline.release("close")
    line = orjson.loads(record.line)
    assert {name: line[name] for name in ("time", "type", "record", "new")} == {
        **orjson.loads(first),
        "record": f"{HEAD}\n{FRAME}",
    }
    assert line["lambda"] == {"environment": "", "requestId": "r1", "id": "-1", "joined": 2}
    assert (record.time, record.type, record.request_id, record.kind) == (TIME, "function", "r1", "function")
    assert record.content is None


def test_a_line_alone_is_not_touched() -> None:
    """Byte for byte it is what the platform wrote, and says nothing of joining."""
    came = b'{ "time":"", "type":"function","record": "\\u00e9" }'
    run = Run()
    run.pipeline(Decoder().feed(came + b"\n"))
    [record] = run.pipeline.release("close")
    assert record.line.startswith(came[:-1] + b',"lambda":')
    assert b"joined" not in record.line


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        ((HEAD, FRAME), f"{HEAD}\n{FRAME}"),
        ((f"{HEAD}\n", f"{FRAME}\n"), f"{HEAD}\n{FRAME}\n"),
        ((HEAD, f"{FRAME}\n"), f"{HEAD}\n{FRAME}\n"),
        ((f"{HEAD}\nand more", FRAME), f"{HEAD}\nand more\n{FRAME}"),
    ],
)
def test_one_newline_is_between_two_lines(lines: tuple[str, ...], text: str) -> None:
    """Whether or not the runtime left those that the function printed."""
    run = Run()
    assert contents(run.feed(*texts(*lines)) + run.pipeline.release("close")) == [text]


@pytest.mark.parametrize(
    "between",
    [
        ("function", "plain"),
        ("function", {"level": "INFO"}),
        ("extension", FRAME),
        ("platform.extension", {"name": "x"}),
        ("brand.new", FRAME),
    ],
)
def test_only_neighbours_of_one_kind_are_joined(between: tuple[str, object]) -> None:
    """A record of another kind, or one that is no line of the trace, ends it; so order stays as it was."""
    run = Run()
    came = [*texts(HEAD, FRAME), between, *texts("\tat other.Lines.are(X.java)")]
    found = contents([*run.feed(*came), *run.pipeline.release("close")])
    assert found[0] == f"{HEAD}\n{FRAME}"
    assert len(found) == (2 if between == ("function", "plain") else 3)


def test_lines_of_two_invocations_are_apart() -> None:
    """Even where nothing comes between them."""
    join = Run().join
    came = [Record(-1, "function", b"{}", "function", TIME, request_id, FRAME) for request_id in ("r1", "r2", "r2")]
    assert [record.request_id for record in join(came) + join.close()] == ["r1", "r2"]
    assert join.joined == 1


def test_records_of_unknown_types_are_not_joined() -> None:
    """Nor are lines that are no records, whose text is theirs."""
    run = Run()
    records = run.feed(("brand.new", HEAD), ("brand.new", FRAME)) + run.pipeline(Decoder().feed(b"\tat a\n\tat b\n"))
    assert [record.type for record in records] == ["brand.new"] * 2 + ["forwarder.broken"] * 2


def test_what_it_says_stays_when_a_later_step_changes_the_record() -> None:
    """As one does that takes secrets out of its text."""

    def changes(records: list[Record]) -> list[Record]:
        return [record._replace(line=b'{"record":1}').saying(redacted=2) for record in records]

    run = Run()
    run.pipeline = Pipeline(Correlate(in_order=True), [run.join, changes], itertools.count())
    run.feed(*texts(HEAD, FRAME))
    [record] = run.pipeline.release("close")
    assert orjson.loads(record.line)["lambda"] == {"environment": "", "id": "-0", "joined": 2, "redacted": 2}


def test_our_own_lines_do_not_part_a_trace() -> None:
    """They are left out before."""
    run = Run()
    own = ("extension", '{"forwarder":true,"message":"x"}')
    run.feed(*texts(HEAD), own, *texts(FRAME))
    assert contents(run.pipeline.release("close")) == [f"{HEAD}\n{FRAME}"]
    assert (run.pipeline.received, run.pipeline.filtered, run.join.joined) == (3, 1, 1)


def test_a_trace_goes_on_in_the_next_chunk() -> None:
    """The platform may send its lines in two parts."""
    run = Run()
    assert run.feed(START, *texts("plain", HEAD, FRAME))[1:] != []
    assert contents(run.feed(*texts(FRAME, "after"))) == [f"{HEAD}\n{FRAME}\n{FRAME}"]
    assert contents(run.pipeline.release("close")) == ["after"]


def test_nothing_is_held_beyond_the_end_of_its_invocation() -> None:
    """platform.runtimeDone lets go of what waited, before itself."""
    run = Run()
    records = run.feed(START, *texts(HEAD, FRAME), DONE)
    assert contents(records) == [START[1], f"{HEAD}\n{FRAME}", DONE[1]]
    assert not run.join.is_holding


@pytest.mark.parametrize("when", ["flush", "close"])
def test_nothing_is_held_beyond_a_flush(when: str) -> None:
    """Neither of an invocation nor at SHUTDOWN."""
    run = Run()
    assert run.feed(*texts(HEAD)) == []
    assert contents(run.pipeline.release(when)) == [HEAD]  # type: ignore[arg-type] # one of the three
    assert run.pipeline.release("close") == []


def test_a_line_waits_for_so_long() -> None:
    """From the first line of what waits; then it goes as it is, and what comes later is another record."""
    run = Run()
    run.feed(*texts(HEAD))
    run.now += HOLD_S / 2
    assert run.feed(*texts(FRAME)) == run.pipeline.release("due") == []
    run.now += HOLD_S / 2
    assert contents(run.pipeline.release("due")) == [f"{HEAD}\n{FRAME}"]
    run.feed(*texts(FRAME, FRAME))
    assert contents(run.pipeline.release("close")) == [f"{FRAME}\n{FRAME}"]


def test_a_line_that_came_later_waits_for_its_own_time() -> None:
    """What went before it does not count."""
    run = Run()
    run.feed(*texts("one"))
    run.now += HOLD_S
    assert contents(run.feed(*texts("two"))) == ["one"]
    assert run.pipeline.release("due") == []


def test_what_is_joined_is_bounded_in_lines() -> None:
    """A trace of more lines is several records, the later ones with no head of their own."""
    run = Run()
    records = run.feed(*texts(HEAD, *[FRAME] * (2 * MAX_LINES))) + run.pipeline.release("close")
    assert [orjson.loads(record.line)["lambda"].get("joined", 1) for record in records] == [MAX_LINES, MAX_LINES, 1]


def test_what_is_joined_is_bounded_in_bytes() -> None:
    """So it is by the bytes of its lines; a line that is larger alone stays as it is."""
    run = Run()
    long = "\tat " + "x" * (MAX_BYTES // 3)
    records = run.feed(*texts(HEAD, *[long] * 5, "\tat " + "x" * MAX_BYTES, FRAME)) + run.pipeline.release("close")
    assert all(len(record.content or record.line) < MAX_BYTES + 500 for record in records)  # type: ignore[arg-type]
    assert [str(content).count("\n") + 1 for content in contents(records)] == [3, 2, 1, 1, 1][: len(records)]


LINES = st.sampled_from(
    [
        *(HEAD, FRAME, "Caused by: x", "\t... 12 more", TRACEBACK, '  File "a.py", line 1', "    x = 1", "KeyError: 1"),
        *("", "During handling of the above exception, another", "panic: x", "goroutine 1 [running]:", "main.main()"),
        *("plain", "ERROR: x", "    at f (x.js:1) {", "  code: 1", "}", " ---> X", "  + Exception Group Traceback"),
    ]
)
CAME = st.one_of(
    LINES.map(lambda text: ("function", text)),
    LINES.map(lambda text: ("function", text + "\n")),
    LINES.map(lambda text: ("extension", text)),
    st.text(max_size=5).map(lambda text: ("function", text)),
    st.sampled_from([START, DONE, ("function", {"a": 1}), ("brand.new", "x")]),
)


@given(st.lists(st.lists(CAME, max_size=12), max_size=4))
def test_joining_loses_nothing(chunks: list[list[tuple[str, object]]]) -> None:
    """However lines come: split again, joined records are the lines that came, in order, and all are counted."""
    run = Run()
    records = [record for chunk in chunks for record in run.feed(*chunk)] + run.pipeline.release("close")
    came = [one for chunk in chunks for one in chunk]
    kept = [(record.type, orjson.loads(record.line)) for record in records]
    assert run.pipeline.received == len(came) == len(records) + run.join.joined
    assert sum(line["lambda"].get("joined", 1) for _, line in kept) == len(came)
    rest = iter(came)
    for type_, line in kept:
        parts = [next(rest) for _ in range(line["lambda"].get("joined", 1))]
        assert {part[0] for part in parts} == {type_}
        if len(parts) == 1:
            assert line["record"] == parts[0][1]
        else:
            end = "\n" if str(parts[-1][1]).endswith("\n") else ""
            assert line["record"] == "\n".join(str(text).removesuffix("\n") for _, text in parts) + end


def test_a_fault_behind_it_costs_no_record() -> None:
    """What a later step fails on goes on as the text of its line, even if it was held back, and the rest as it is."""

    def fails(records: list[Record]) -> list[Record]:
        if any(record.content == "bad" for record in records):
            raise RuntimeError
        return records

    run = Run()
    run.pipeline = Pipeline(Correlate(in_order=True), [run.join, fails], itertools.count())
    records = run.feed(*texts("one", "bad", "two")) + run.pipeline.release("close")
    assert [record.type for record in records] == ["function", "forwarder.broken", "function"]
    assert orjson.loads(str(contents(records)[1]))["record"] == "bad"
    assert run.pipeline.broken == {"internal error: RuntimeError": 1}
    assert (run.pipeline.received, run.pipeline.filtered) == (3, 0)

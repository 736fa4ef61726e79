from __future__ import annotations

import itertools
from pathlib import Path

import orjson
import pytest

from extension.intake.decoder import Decoder
from extension.pipeline.correlate import Correlate
from extension.pipeline.join import Join
from extension.pipeline.pipeline import Pipeline
from extension.reading import read

TRACES = Path(__file__).parent.parent / "support" / "data" / "traces"
# Each file is what a runtime prints, its name begins with the language; the exception that is in it, by OpenTelemetry.
TYPES = {
    "dotnet.txt": "System.InvalidOperationException",
    "go.txt": "",
    "java.txt": "java.lang.IllegalStateException",
    "node.txt": "TypeError",
    "python.txt": "ValueError",
    "python_group.txt": "ExceptionGroup",
    "python_logged.txt": "KeyError",
    "ruby.txt": "RuntimeError",
}


def joined(*texts: str) -> list[str]:
    """The texts of the records that come out of these lines."""
    pipeline = Pipeline(Correlate(in_order=True), [join := Join(1.0, lambda: 0.0)], itertools.count())
    lines = b"".join(orjson.dumps({"time": "", "type": "function", "record": text}) + b"\n" for text in texts)
    records = pipeline(Decoder().feed(lines)) + pipeline.release("close")
    assert pipeline.received - join.joined == len(records)
    return [orjson.loads(record.line)["record"] for record in records]


def test_every_trace_is_there() -> None:
    """The table above and the folder say the same."""
    assert sorted(path.name for path in TRACES.iterdir()) == sorted(TYPES)


@pytest.mark.parametrize("name", TYPES)
def test_a_trace_is_one_record(name: str) -> None:
    """Printed line by line, between lines that are none of it, it is one record of the same text."""
    trace = (TRACES / name).read_text().removesuffix("\n")
    assert joined("before", *trace.split("\n"), "and after that", "more") == ["before", trace, "and after that", "more"]


@pytest.mark.parametrize("name", TYPES)
def test_two_traces_are_two_records(name: str) -> None:
    """One that comes right behind another begins a record of its own."""
    trace = (TRACES / name).read_text().removesuffix("\n")
    assert joined(*trace.split("\n"), *trace.split("\n")) == [trace, trace]


@pytest.mark.parametrize(("name", "type_"), TYPES.items())
def test_a_joined_trace_reads_as_an_exception(name: str, type_: str) -> None:
    """What came line by line has the type that a sink of OpenTelemetry gives a trace that came whole."""
    [text] = joined(*(TRACES / name).read_text().splitlines())
    assert read(text).error.get("exception.type", "") == type_


@pytest.mark.parametrize(
    "lines",
    [
        ["plain", "plain"],
        ["a list:", "  - one", "  - two"],
        ["Caused by: a user", "Caused by: another"],
        ["at the end", "from here on"],
        ["", ""],
        ["plain", "", "plain"],
        ["goroutine pools are warm", "panic room: closed"],
        ["Traceback of what happened", "  follows"],
        ["level=info", "   ... and so on"],
        ["INFO: all is well", "Traceback (most recent call last):"],
        ["The above exception was the direct cause of nothing"],
        ["{", "  at: 1", "}"],
        ["a letter", "  from me to you"],
    ],
)
def test_what_is_no_trace_stays_apart(lines: list[str]) -> None:
    """Lines that look a little like one are records of their own."""
    assert joined(*lines) == lines


def test_a_traceback_is_part_of_the_error_that_a_logger_wrote() -> None:
    """The line before it belongs to it where its level says so, or where it tells of a thread that died."""
    trace = ["Traceback (most recent call last):", '  File "a.py", line 1, in <module>', "KeyError: 'x'"]
    for line in ("ERROR:root:not found", "[ERROR] 2026-11-21T00:00:00Z not found", "Exception in thread Thread-1:"):
        assert joined(line, *trace) == ["\n".join([line, *trace])]
    assert joined("printed", *trace) == ["printed", "\n".join(trace)]


def test_a_traceback_behind_another_trace_is_its_own() -> None:
    """Though that began with an error."""
    trace = ["Traceback (most recent call last):", '  File "a.py", line 1, in <module>', "KeyError: 'x'"]
    assert joined("ERROR:root:no", "\tat a.B.c(B.java:1)", *trace) == [
        "ERROR:root:no\n\tat a.B.c(B.java:1)",
        "\n".join(trace),
    ]


@pytest.mark.parametrize(
    "lines",
    [
        ['  File "a.py", line 1, in <module>', "    call()", "KeyError: 'x'"],
        ["goroutine 1 [running]:", "main.main()", "\t/src/main.go:9 +0x1d"],
        ["http: panic serving 127.0.0.1:5: boom", "goroutine 7 [running]:", "main.main()"],
    ],
)
def test_a_trace_without_its_beginning_is_one(lines: list[str]) -> None:
    """What was cut off a trace, or begins in its middle, goes together as far as it goes."""
    assert joined(*lines, "after") == ["\n".join(lines), "after"]


def test_a_line_that_ends_a_traceback_ends_it() -> None:
    """What a function prints behind the exception is its own, and a word alone may be the exception."""
    trace = ["Traceback (most recent call last):", '  File "a.py", line 1, in <module>', "KeyboardInterrupt"]
    assert joined(*trace, "KeyError: 'of another'") == ["\n".join(trace), "KeyError: 'of another'"]
    assert joined(*trace[:2], "not an exception: 1") == ["\n".join(trace[:2]), "not an exception: 1"]

"""Reading what records say; tests/sinks/test_otlp_logs.py has a corpus of them."""

from __future__ import annotations

import json
import re
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extension.reading import ROLES, SEVERITIES, parse_time, parse_x_ray, read, severity
from tests.support.redaction_corpus import TRACEBACKS

REQUEST = "a1a32258-dddc-4daa-950a-fe632b74be91"
LEVELS = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"]

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
KEYS = st.sampled_from(sorted(ROLES)) | TEXTS
HABITS = [
    "2026-11-21T03:53:22.117Z",
    "Root=1-62e900b2-710d76f009d6e7785905449a;Parent=0efbd19962d95b05;Sampled=1",
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "4bf92f3577b34da6a3ce929d0e0e4736",
    "00f067aa0ba902b7",
    REQUEST,
    "ERROR",
    "Traceback (most recent call last):\n  File x\nKeyError: 'x'",
    "Error: x\n    at y",
]
VALUES = st.recursive(
    SCALARS | st.sampled_from(HABITS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=20,
)
PARTS = [
    *HABITS,
    "\t",
    " ",
    "[INFO]",
    "[",
    "]",
    "I, [",
    " #8]",
    " -- ",
    ": ",
    "undefined",
    "INFO",
    "x",
    "\n",
    "\r",
    "{}",
]


@pytest.mark.parametrize(
    ("level", "wanted"),
    [
        *[(word, 4 * at + 1) for at, word in enumerate(LEVELS)],
        *[(f"{word}{step}", 4 * at + step) for at, word in enumerate(LEVELS) for step in (2, 3, 4)],
        *[
            ("warning", 13),
            ("Information", 9),
            ("crit", 21),
            ("CRITICAL", 21),
            ("notice", 10),
            ("fail", 17),
            ("dbug", 5),
        ],
        *[(number, 4 * at + 1) for at, number in enumerate((10, 20, 30, 40, 50, 60))],
        *[(0, 21), (3, 17), (7, 5), (" Info ", 9), ("iNfO", 9)],
        *[("", 0), ("TRACE1", 0), ("TRACE5", 0), ("high", 0), (25, 0), (True, 0), (None, 0), ([], 0), (30.0, 0)],
    ],
)
def test_severity(level: object, wanted: int) -> None:
    """A level in the usual words and numbers has its place in OpenTelemetry's scale, and nothing else has one."""
    assert severity(level) == wanted


def test_severities_are_those_of_the_scale() -> None:
    """Every word has a number from 1 to 24."""
    assert set(SEVERITIES.values()) <= set(range(1, 25))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2026-11-21T03:53:22.117Z", 1795233202117000000),
        ("2026-11-21T03:53:22.123456789Z", 1795233202123456789),
        ("2026-11-21T03:53:22.1234567+01:00", 1795229602123456700),
        ("2026-11-21 03:53:22,117", 1795233202117000000),
        ("1969-12-31T23:59:59Z", 0),
        ("9999-12-31T23:59:59Z", 0),
        ("soon", 0),
        ("", 0),
    ],
)
def test_parse_time(text: str, wanted: int) -> None:
    """A time in ISO 8601 is nanoseconds, to the last digit; none, or one that 64 bits do not hold, is 0."""
    assert parse_time(text) == wanted


def test_no_line_is_kept_for_the_time_that_it_begins_with() -> None:
    """What is remembered of times is as short as times are."""
    tracemalloc.start()
    try:
        for number in range(300):
            read(f"2026-11-21T03:53:22.{number:03}Z,{'x' * 50_000} y", "")
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 1_000_000


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("Root=1-62e900b2-710d76f009d6e7785905449a", ("62e900b2710d76f009d6e7785905449a", "", False)),
        ("1-62E900B2-710d76f009d6e7785905449a", ("62e900b2710d76f009d6e7785905449a", "", False)),
        (
            "Root=1-62e900b2-710d76f009d6e7785905449a;Parent=0efbd19962d95b05;Sampled=1;Lineage=1:a|0",
            ("62e900b2710d76f009d6e7785905449a", "0efbd19962d95b05", True),
        ),
        (
            "Root=1-62e900b2-710d76f009d6e7785905449a;Parent=1;Sampled=0",
            ("62e900b2710d76f009d6e7785905449a", "", False),
        ),
        ("Root=2-62e900b2-710d76f009d6e7785905449a", None),
        ("1-2", None),
        (7, None),
    ],
)
def test_parse_x_ray(header: object, wanted: object) -> None:
    """X-Ray's header, or its root alone, has the ids of W3C."""
    assert parse_x_ray(header) == wanted


@given(
    st.dictionaries(KEYS, VALUES, max_size=8),
    st.sampled_from(["", REQUEST]),
    st.sampled_from([0, 1, parse_time(HABITS[0])]),
)
def test_no_field_of_an_object_is_lost(content: dict[str, Any], request_id: str, time_ns: int) -> None:
    """Whatever an object holds, its fields are where they were, or in a place of their own."""
    found = read(content, request_id, time_ns)
    if found.message is content:
        return
    if isinstance(content.get("message"), str) and content["message"].endswith("}"):
        return  # which may be JSON of its own
    places = [found.message, found.level, found.severity, request_id or found.request_id, *found.error.values()]
    ids = [one for one in (found.trace_id, found.span_id) if one]
    for name, value in content.items():
        is_field = name in found.fields and found.fields[name] is value
        is_id = any(one in str(value).lower() for one in ids)
        is_flag = name in {"trace_flags", "traceFlags"} and value in ("00", "01", 1)
        is_time = found.time_ns > 0 and ROLES.get(name) is ROLES["time"]
        is_stack = isinstance(value, list) and "\n".join(map(str, value)) in places
        assert is_field or is_id or is_flag or is_time or is_stack or value in places, (name, value)


@given(st.lists(st.sampled_from(PARTS) | TEXTS, max_size=10).map("".join))
def test_any_text_is_read(text: str) -> None:
    """Text of any form is a message, whose words are all in the text."""
    found = read(text, REQUEST)
    if isinstance(found.message, str):
        assert found.message in text


@given(VALUES)
def test_any_value_is_read(value: object) -> None:
    """No value of JSON is too odd to be read."""
    read(value, REQUEST)
    read(json.dumps(value), "")


TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    "fields",
    [
        {"traceparent": f"ff-{TRACE}-{SPAN}-01"},
        {"traceparent": f"0-{TRACE}-{SPAN}-01"},
        {"traceparent": f"00-{TRACE}-{SPAN}-1"},
        {"traceparent": f"00-{TRACE}-{SPAN}-zz"},
        {"span_id": SPAN},
        {"span_id": SPAN, "trace_id": "0" * 32},
        {"trace_id": "short", "span_id": SPAN, "trace_flags": "01"},
    ],
)
def test_ids_without_a_trace_stay_fields(fields: dict[str, object]) -> None:
    """A traceparent that is none, and a span of no known trace, set nothing and are kept."""
    found = read({"msg": "m", **fields})
    assert (found.trace_id, found.span_id, found.sampled, found.fields) == ("", "", False, fields)


@pytest.mark.parametrize(
    ("fields", "left"),
    [
        ({"trace_id": TRACE, "traceId": TRACE[::-1]}, {"traceId": TRACE[::-1]}),
        ({"trace_id": TRACE, "span_id": SPAN, "spanId": SPAN[::-1]}, {"spanId": SPAN[::-1]}),
        (
            {"trace_id": TRACE, "traceparent": f"00-{TRACE[::-1]}-{SPAN}-01"},
            {"traceparent": f"00-{TRACE[::-1]}-{SPAN}-01"},
        ),
        ({"trace_id": TRACE, "traceparent": f"00-{TRACE}-{SPAN}-01"}, {}),
    ],
)
def test_the_first_trace_counts(fields: dict[str, object], left: dict[str, object]) -> None:
    """Another one stays a field."""
    found = read({"msg": "m", **fields})
    assert (found.trace_id, found.fields) == (TRACE, left)


@pytest.mark.parametrize("outer", [{"trace_id": TRACE}, {"xray_trace_id": "1-62e900b2-710d76f009d6e7785905449a"}])
def test_two_traces_of_nested_objects_are_both_kept(outer: dict[str, str]) -> None:
    """A message that names another trace stays text, but where the outer one is X-Ray's and stays a field."""
    printed = json.dumps({"msg": "m", "trace_id": TRACE[::-1]})
    found = read({"message": printed, **outer})
    kept = (printed, TRACE) if "trace_id" in outer else ("m", TRACE[::-1])
    assert (found.message, found.trace_id) == kept


def test_the_id_of_a_nested_object_is_not_lost() -> None:
    """Where the platform does not know the request, what the printed object says of it counts."""
    assert read({"message": json.dumps({"msg": "m", "requestId": REQUEST})}).request_id == REQUEST


@pytest.mark.parametrize("trace", ["s", "Traceback...", "Traceback...\n  File x", "a..b\n  at x"])
def test_a_trace_without_a_type_has_none(trace: str) -> None:
    """A line alone, and words with dots behind them, name no exception."""
    assert read({"msg": "m", "stackTrace": trace}).error == {"exception.stacktrace": trace}


NODE = "\n    at ship (/var/task/orders.js:12:21)\n    at async Runtime.handleOnceStreaming (file:///var/runtime/index.mjs:1206:26)"
JAVA = "\n\tat com.example.Orders.ship(Orders.java:42)\n\tat com.example.Handler.handleRequest(Handler.java:23)"
NET = "\n   at Shop.Orders.Ship(Int32 id) in /src/Orders.cs:line 42\n   at Shop.Handler.HandleRequest(Order order)"
# What stands before the first frame, as runtimes and their loggers write it; type and message of the exception.
BEFORE_FRAMES = [
    *[
        (f"{head}{NODE}", *expected)
        for head, *expected in (
            ("failed: Error: boom", "Error", "boom"),
            ("Could not save order 7 TypeError: boom", "TypeError", "boom"),
            ("Order: 7 failed\nError: boom", "Error", "boom"),
            ("failed: Error", "Error", ""),
            ("RangeError", "RangeError", ""),
            ("Uncaught Error: connect ECONNREFUSED 127.0.0.1:1", "Error", "connect ECONNREFUSED 127.0.0.1:1"),
            ("TypeError [ERR_INVALID_URL]: Invalid URL", "TypeError", "Invalid URL"),
            ("ResourceNotFoundException: no table", "ResourceNotFoundException", "no table"),
            ("NoSuchKey: The specified key does not exist.", "NoSuchKey", "The specified key does not exist."),
            ("x OrderMissing [Error]: of a class of its own", "OrderMissing", "of a class of its own"),
            ("AccessDenied: Access Denied", "AccessDenied", "Access Denied"),
            (
                "Error: Cannot find module 'x'\nRequire stack:\n- /var/task/index.js",
                "Error",
                "Cannot find module 'x'\nRequire stack:\n- /var/task/index.js",
            ),
            ("lastError: TypeError: boom", "TypeError", "boom"),
            ("Trace: here", "", ""),
            ("Order: 7 failed", "", ""),
            ("at https://h/Error: x", "", ""),
            ("failed", "", ""),
        )
    ],
    *[
        (f"{head}{JAVA}", *expected)
        for head, *expected in (
            ("cannot save\njava.lang.IllegalStateException: boom", "java.lang.IllegalStateException", "boom"),
            (
                "c.e.Handler:12 - cannot save order 7\njava.io.IOException: disk: full",
                "java.io.IOException",
                "disk: full",
            ),
            ("cannot save\njava.lang.NullPointerException", "java.lang.NullPointerException", ""),
            (
                'Exception in thread "pool-2-thread-17" java.lang.OutOfMemoryError: Java heap space',
                "java.lang.OutOfMemoryError",
                "Java heap space",
            ),
            ("com.example.Handler: cannot save\njava.lang.Exception: boom", "java.lang.Exception", "boom"),
            ("com.example.Orders$Missing: order 7", "com.example.Orders$Missing", "order 7"),
            ("cannot save\ncom.example.OrderMissing", "com.example.OrderMissing", ""),
            (
                "java.util.concurrent.ExecutionException: java.lang.RuntimeException: boom",
                "java.util.concurrent.ExecutionException",
                "java.lang.RuntimeException: boom",
            ),
        )
    ],
    *[
        (f"{head}{NET}", *expected)
        for head, *expected in (
            ("cannot save\nSystem.InvalidOperationException: boom", "System.InvalidOperationException", "boom"),
            ("Unhandled exception. System.TimeoutException: late", "System.TimeoutException", "late"),
            (
                "System.Net.Sockets.SocketException (111): Connection refused",
                "System.Net.Sockets.SocketException",
                "Connection refused",
            ),
            (
                "Shop.OrderMissing: The order is not there.\n ---> System.TimeoutException: late",
                "Shop.OrderMissing",
                "The order is not there.",
            ),
            (
                "System.AggregateException: One or more errors occurred. (late)\n ---> System.TimeoutException: late",
                "System.AggregateException",
                "One or more errors occurred. (late)",
            ),
            ("Shop.Orders+LateException: late", "Shop.Orders+LateException", "late"),
        )
    ],
]


@pytest.mark.parametrize(("text", "type_", "message"), BEFORE_FRAMES)
def test_a_type_and_a_message_are_those_of_the_exception(text: str, type_: str, message: str) -> None:
    """What a logger wrote before it is neither; where no name of an exception is there, the trace is all."""
    wanted = {"exception.type": type_, "exception.message": message, "exception.stacktrace": text}
    assert read(text).error == {name: value for name, value in wanted.items() if value}


PRINTED = re.split(
    r"\n+(?=[a-zA-Z.]+(?:Error|Exception): )",
    "\n".join((TRACEBACKS / name).read_text() for name in ("node.txt", "java.txt", "dotnet.txt")),
)


@pytest.mark.parametrize("trace", [one for one in PRINTED if re.match(r".*\n(\t|    |   )at ", one)])
def test_what_runtimes_printed_is_read_behind_a_line_of_a_log(trace: str) -> None:
    """The exception is the one that the trace begins with, though the line of the log looks a little like one."""
    kind, _, message = trace.partition("\n")[0].partition(": ")
    found = read(f"Handler: cannot save order: 7\n{trace}").error
    assert (found["exception.type"], found["exception.message"]) == (kind, message)


def test_a_long_line_before_a_trace_is_read_in_time() -> None:
    """Names are looked for once in each word: 1 MB of what almost is one takes no longer than it must."""
    for part in ("a.", "Error", "a$", "A/", "Error: " * 2, "x ("):
        text = part * (1_000_000 // len(part))
        assert read(f"{text}{NODE}").error["exception.stacktrace"]


FRAME = '  File "/var/task/orders.py", line 12, in ship\n    order = orders[17]\n            ~~~~~~^^^^\n'
PLAIN = f"Traceback (most recent call last):\n{FRAME}"
CAUSED = "\nThe above exception was the direct cause of the following exception:\n\n"
GROUP = (
    "  + Exception Group Traceback (most recent call last):\n"
    '  |   File "/var/task/app.py", line 5, in handler\n'
    "  |     async with asyncio.TaskGroup() as group:\n"
    "  | ExceptionGroup: two went wrong (2 sub-exceptions)\n"
    "  +-+---------------- 1 ----------------\n"
    "    | Traceback (most recent call last):\n"
    '    |   File "/var/task/orders.py", line 12, in ship\n'
    "    | KeyError: 17\n"
    "    +---------------- 2 ----------------\n"
    "    | ValueError: no\n"
    "    +------------------------------------\n"
)
INVALID = "1 validation error for Order\nid\n  Field required [type=missing, input_value={}, input_type=dict]"


@pytest.mark.parametrize(
    ("text", "type_", "message"),
    [
        (f"{PLAIN}KeyError: 17\n{CAUSED}{PLAIN}app.Missing: no order\n", "app.Missing", "no order"),
        (
            f"{PLAIN}pydantic_core._pydantic_core.ValidationError: {INVALID}",
            "pydantic_core._pydantic_core.ValidationError",
            INVALID,
        ),
        (f"{PLAIN}KeyError: 17\norder 17 is a note", "KeyError", "17\norder 17 is a note"),
        (f"{PLAIN}KeyboardInterrupt\nid", "KeyboardInterrupt", "id"),
        (f"{PLAIN}ValueError: \nsecond line", "ValueError", "second line"),
        (f"{PLAIN}AssertionError", "AssertionError", ""),
        (f"failed\n{PLAIN}", "", ""),
        (GROUP, "ExceptionGroup", "two went wrong (2 sub-exceptions)"),
        (f"cannot ship\n{GROUP}", "ExceptionGroup", "two went wrong (2 sub-exceptions)"),
        (f"{PLAIN}KeyError: 17\n{CAUSED}{GROUP}", "ExceptionGroup", "two went wrong (2 sub-exceptions)"),
        (f"{GROUP}{CAUSED}{PLAIN}RuntimeError: over\n", "RuntimeError", "over"),
        (f"KeyError: 'x'\r{PLAIN}".replace("\n", "\r").replace("  ", "\u00a0\u00a0"), "KeyError", "'x'"),
        (f"ValidationError: {INVALID}\r{PLAIN}", "ValidationError", INVALID),
    ],
)
def test_a_traceback_of_python(text: str, type_: str, message: str) -> None:
    """The exception that was raised last is told of, with all lines of its message; of a group not a part of it."""
    found = read(text).error
    assert (found.get("exception.type", ""), found.get("exception.message", "")) == (type_, message)


def test_the_trace_of_a_group_begins_with_it() -> None:
    """So it is drawn as Python drew it."""
    assert read(f"cannot ship\n{GROUP}").error["exception.stacktrace"] == GROUP.removesuffix("\n")


@pytest.mark.parametrize(
    ("text", "type_", "message"),
    [
        (
            "/var/task/orders.rb:12:in `ship': no order (Shop::Missing)\n\tfrom /var/task/app.rb:5:in `handler'",
            "Shop::Missing",
            "no order",
        ),
        (
            "/var/task/orders.rb:12:in 'Orders#ship': a (b) (KeyError)\n\tfrom /var/task/app.rb:5:in 'handler'",
            "KeyError",
            "a (b)",
        ),
        (
            "no order (RuntimeError)\n/var/task/orders.rb:12:in `ship'\n/var/task/app.rb:5:in `handler'",
            "RuntimeError",
            "no order",
        ),
        ("orders (17)\n/var/task/orders.rb:12:in `ship'", None, None),
        ("a list:\n  :in 'order'", None, None),
        ("open (\n/var/task/orders.rb:12:in `ship'", None, None),
    ],
)
def test_a_trace_of_ruby(text: str, type_: str | None, message: str | None) -> None:
    """As Exception#full_message and Logger write it: the class in parentheses behind the message."""
    wanted = {"exception.type": type_, "exception.message": message, "exception.stacktrace": text} if type_ else {}
    assert read(text).error == wanted

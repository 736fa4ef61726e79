"""Reading what records say; tests/sinks/test_otlp_logs.py has a corpus of them."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extension.reading import ROLES, SEVERITIES, parse_time, parse_x_ray, read, severity

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


@given(st.dictionaries(KEYS, VALUES, max_size=8), st.sampled_from(["", REQUEST]))
def test_no_field_of_an_object_is_lost(content: dict[str, Any], request_id: str) -> None:
    """Whatever an object holds, its fields are where they were, or in a place of their own."""
    found = read(content, request_id)
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

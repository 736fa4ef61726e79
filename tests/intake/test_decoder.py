from __future__ import annotations

import math
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from extension.intake.decoder import MAX_TEXT_BYTES, MAX_TYPES, Decoder, Line
from extension.lenient import MAX_WORD
from extension.records import kind_of

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def decode(*chunks: bytes, max_line: int = 1 << 20) -> list[Line]:
    decoder = Decoder(max_line)
    return [line for chunk in chunks for line in decoder.feed(chunk)] + decoder.close()


def whole(text: bytes, value: dict[str, Any]) -> Line:
    """The line of an object."""
    type_, time = (value.get(key) if isinstance(value.get(key), str) else "" for key in ("type", "time"))
    return Line(text, kind_of(type_), type_ or "", time or "", value.get("record"))


def broken(text: bytes, fault: str, cut: int = 0) -> Line:
    """A line that holds no object."""
    return Line(text, "other", "", "", None, fault, cut)


KEYS = st.text() | st.sampled_from(["time", "type", "record"])


@given(st.lists(st.dictionaries(KEYS, JSON | st.just("function"), max_size=3)), st.data())
def test_chunk_boundaries_do_not_matter(objects: list[dict[str, object]], data: st.DataObject) -> None:
    """However a stream is cut into chunks, the same lines come out, byte for byte."""
    lines = [orjson.dumps(value) for value in objects]
    stream = b"".join(line + b"\n" for line in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)))))
    chunks = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert decode(*chunks) == [whole(line, value) for line, value in zip(lines, objects, strict=True)]


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_bytes_of_any_kind_are_accounted_for(chunks: list[bytes]) -> None:
    """Every line that is not blank comes out once, as an object or with what is wrong with it."""
    expected = [text.strip() for text in b"".join(chunks).split(b"\n") if text.strip()]
    assert [line.text for line in decode(*chunks)] == expected


@given(st.integers(0, 5), st.integers(1, 64))
def test_a_line_that_is_too_long_costs_only_itself(before: int, chunk_size: int) -> None:
    """A line above the bound comes out cut at the bound, and its neighbours whole, in any chunking."""
    stream = b'{"a":1}\n' * before + b'{"long":"' + b"x" * 500 + b'"}\n{"b":2}\n'
    chunks = [stream[start : start + chunk_size] for start in range(0, len(stream), chunk_size)]
    long = broken(stream[before * 8 :][:100], "too long", 411)
    assert decode(*chunks, max_line=100) == [whole(b'{"a":1}', {"a": 1})] * before + [
        long,
        whole(b'{"b":2}', {"b": 2}),
    ]


def test_memory_is_bounded_while_a_line_never_ends() -> None:
    """A stream without any newline is held up to the bound, not for ever."""
    decoder = Decoder(1000)
    for _ in range(100):
        decoder.feed(b"x" * 100)
        assert decoder.unfinished_bytes <= 1100


def test_the_last_line_needs_no_newline() -> None:
    """What stands after the last newline when the stream ends is a line."""
    assert decode(b'{"a":1}\n{"b":2}') == [whole(b'{"a":1}', {"a": 1}), whole(b'{"b":2}', {"b": 2})]


def test_crlf_ends_a_line_as_well() -> None:
    """A carriage return before the newline is no part of the line."""
    assert decode(b'{"a":1}\r\n') == [whole(b'{"a":1}', {"a": 1})]


def test_empty_lines_are_nothing() -> None:
    """An empty line, or one of blanks, is no record."""
    assert decode(b'\n\r\n  \n{"a":1}\n\n') == [whole(b'{"a":1}', {"a": 1})]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b'{"a":', "not JSON"),
        (b"START RequestId", "not an object"),
        (b'{"a":"\xff"}', "not UTF-8"),
        (b"[1]", "not an object"),
        (b'"text"', "not an object"),
        (b"null", "not an object"),
        (b'{"a":NaN}', "not JSON"),
        (b"[" * 5000, "not an object"),
        (b'{"a":' * 5000, "nested too deeply"),
        (b'{"a":-Infinity}', "not JSON"),
        (b'{"a":"\xed\xa0\xbd"}', "not UTF-8"),
        (b'\xef\xbb\xbf{"a":1}', "not an object"),
        (b'{"a":1}{"b":2}', "not JSON"),
        (b'{"a":[' + b"1," * 40_000 + b"1]}", "too many values"),
    ],
)
def test_a_broken_line_says_what_is_wrong(line: bytes, fault: str) -> None:
    """A line that holds no JSON object is kept as it came, with the reason."""
    assert decode(line + b'\n{"a":1}\n') == [broken(line, fault), whole(b'{"a":1}', {"a": 1})]


@pytest.mark.parametrize(
    ("number", "value"), [(b"1e400", math.inf), (b"-" + b"9" * 5000, -math.inf), (b"1" * 30, 1e29)]
)
def test_numbers_of_any_size_are_json(number: bytes, value: float) -> None:
    """A number that no double holds breaks no line; what is read of it is as near as can be."""
    line = b'{"record":%b,"type":"function"}' % number
    [decoded] = decode(line + b"\n")
    assert (decoded.text, decoded.type, decoded.content) == (line, "function", pytest.approx(value, rel=0.2))


def test_a_line_of_very_many_values_is_skimmed() -> None:
    """Its objects would take up to 40 times its room: what the platform writes first is read, and the line is kept."""
    line = b'{"time":"t","type":"function","record":[%b{}]}' % (b"{}," * 40_000)
    assert decode(line + b"\n") == [whole(line, {"time": "t", "type": "function"})]


def test_a_skimmed_line_is_utf8() -> None:
    """Sinks make text of lines, so none may hold other bytes, wherever a look at it is cut."""
    whole = b'{"time":"t","type":"function","record":["%b"%b]}'
    good, bad = "\U0001f600".encode() * 40_000, b"\xff"
    assert [decoded.fault for text in (good, bad) for decoded in decode(whole % (text, b",1" * 40_000) + b"\n")] == [
        "",
        "not UTF-8",
    ]


def test_what_is_kept_of_a_broken_line_is_bounded() -> None:
    """Of a broken line the beginning is kept, and the number of bytes that are not."""
    line = b"x" * (1 << 20)
    assert decode(line + b"\n") == [broken(line[:MAX_TEXT_BYTES], "not an object", len(line) - MAX_TEXT_BYTES)]


def test_half_a_surrogate_pair_is_json() -> None:
    """A function that cuts a string in the middle of a pair loses nothing."""
    line = rb'{"record":"\ud83d"}'
    assert decode(line + b"\n") == [whole(line, {"record": "\ud83d"})]


@pytest.mark.parametrize("place", [b"type", b"time"])
def test_a_type_or_time_can_be_written(place: bytes) -> None:
    """Sinks and files are UTF-8, which has no half surrogate pairs; the line itself stays as it came."""
    line = rb'{"%b":"x\ud800"}' % place
    [decoded] = decode(line + b"\n")
    assert (decoded.text, decoded.type + decoded.time) == (line, r"x\ud800")


@pytest.mark.parametrize("type_", [b"platform.start", b"platform.%b" % (b"x" * 10_000)])
def test_of_a_long_type_or_time_little_is_learned(type_: bytes) -> None:
    """The queue's bound counts the line, and not these: so they are short, whoever wrote them."""
    line = b'{"type":"%b","time":"%b","record":{}}' % (type_, b"1" * 10_000)
    first, again = decode(b"%b\n%b\n" % (line, line))
    assert first == again == Line(line, "platform", type_[:MAX_WORD].decode(), "1" * MAX_WORD, {})


def test_not_every_type_is_remembered() -> None:
    """However many types there are, those that share one string are few."""
    decoder = Decoder()
    lines = decoder.feed(b"".join(b'{"type":"type%d"}\n' % number for number in range(2 * MAX_TYPES)))
    assert [line.type for line in lines] == [f"type{number}" for number in range(2 * MAX_TYPES)]
    assert len(decoder._types) == MAX_TYPES


@pytest.mark.parametrize("value", [None, 5, ["function"], {"a": 1}])
def test_a_type_or_time_that_is_no_text_is_none(value: object) -> None:
    """Whatever stands there passes through in the line; what was learned of it is text, or empty."""
    line = orjson.dumps({"type": value, "time": value, "record": 1})
    assert decode(line + b"\n") == [Line(line, "other", "", "", 1)]

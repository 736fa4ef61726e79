from __future__ import annotations

from contextlib import suppress

import orjson
import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from extension.intake.otlp_body import MAX_COMMAS, MAX_RESOURCES, cut_protobuf, read_json
from extension.wire import Malformed, fields
from tests.support.exports import REQUESTS, Request, logs, metrics, span_names, traces

SIGNALS = sorted(REQUESTS)
CASES: list[tuple[str, Request, int]] = [
    ("traces", traces("a", "b", "c"), 3),
    ("traces", traces(*map(str, range(500))), 500),
    ("metrics", metrics(2), 10),
    ("metrics", metrics(0), 0),
    ("logs", logs("one", "x" * 20_000, ""), 3),
]
NAMES = st.lists(st.lists(st.text(st.characters(codec="utf-8"), max_size=300), max_size=4), max_size=5)


@pytest.mark.parametrize(("signal", "request_", "items"), CASES)
def test_what_is_in_a_body_is_counted(signal: str, request_: Request, items: int) -> None:
    """Spans, data points and log records, in protobuf and in JSON."""
    body = request_.SerializeToString()
    assert cut_protobuf(signal, body) == [(items, body)]
    body = orjson.dumps(MessageToDict(request_))
    assert read_json(signal, body) == [(items, body)]


@pytest.mark.parametrize("text", [r"cut \ud83d", r"\udc00", r"\ud83d\ud83d\ude00"])
def test_half_a_character_costs_only_itself(text: str) -> None:
    """What JavaScript writes of a text that it cut within a character is taken, with a sign in its place."""
    body = b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"%b"}},{}]}]}]}' % text.encode()
    [piece] = read_json("logs", body)
    assert piece.items == 2
    [record, _] = orjson.loads(piece.body)["resourceLogs"][0]["scopeLogs"][0]["logRecords"]
    assert "\ufffd" in record["body"]["stringValue"]


@pytest.mark.parametrize("body", [b'{"resourceLogs":[],"a":NaN}', b'"\xff\\ud800"', b'["\\ud800"', b"[" * 100_000])
def test_what_is_no_json_has_no_second_chance(body: bytes) -> None:
    """Only half characters are mended."""
    with pytest.raises(Malformed):
        read_json("logs", body)


@given(NAMES, st.integers(1, 2000))
def test_the_pieces_of_a_body_are_all_of_it(names: list[list[str]], max_bytes: int) -> None:
    """Wherever it is cut, each piece is a request, and all of them put together are the body again, span by span."""
    body = b"".join(traces(*group).SerializeToString() for group in names)
    pieces = cut_protobuf("traces", body, max_bytes)
    assert b"".join(piece.body for piece in pieces) == body
    assert [piece.items for piece in pieces] == [len(span_names(piece.body)) for piece in pieces]
    for piece in pieces:
        assert len(piece.body) <= max_bytes or len(ExportTraceServiceRequest.FromString(piece.body).resource_spans) == 1


@given(st.sampled_from(SIGNALS), st.binary(max_size=200))
def test_any_bytes_are_a_request_or_malformed(signal: str, body: bytes) -> None:
    """Nothing else is raised, and what is taken has nothing but resources on top."""
    for read in (cut_protobuf, read_json):
        try:
            pieces = read(signal, body)
        except Malformed:
            continue
        rest = (
            [body] if read is read_json else [body[at:to] for tag, at, _, to in fields(body, 0, len(body)) if tag == 10]
        )
        assert b"".join(piece.body for piece in pieces) in {b"".join(rest), b""}


@given(st.sampled_from(CASES), st.data())
def test_a_request_that_is_cut_off_is_malformed(case: tuple[str, Request, int], data: st.DataObject) -> None:
    """Wherever it ends before its end, for the one resource in it says how long it is."""
    signal, request, _ = case
    body = request.SerializeToString()
    with pytest.raises(Malformed):
        cut_protobuf(signal, body[: data.draw(st.integers(1, len(body) - 1))])


@given(st.data())
def test_what_is_taken_is_counted_as_protobuf_reads_it(data: st.DataObject) -> None:
    """Whatever has become of a byte, where both read the request they find as many spans."""
    body = bytearray(traces("a", "b", "c").SerializeToString())
    body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    with suppress(Malformed, DecodeError):
        pieces = cut_protobuf("traces", bytes(body))
        assert sum(piece.items for piece in pieces) == len(span_names(bytes(body)))


@pytest.mark.parametrize(
    "body",
    [
        b"\x12\x00",  # another field
        b"\x08\x01",  # another type
        b"\x0b",  # a group
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",  # a length that does not end
        b"\x0a\x02\x12\x05",  # a scope that is longer than its resource
        b"\x0a\x02\x12\x05\x0a\x05aaaaa",  # that reaches into the next one
        b"hello, world",
    ],
)
def test_what_is_no_request_is_malformed(body: bytes) -> None:
    """It is refused, rather than sent on to make a batch unreadable."""
    with pytest.raises(Malformed):
        cut_protobuf("traces", body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b'{"resourceLogs":[]}',
        b'{"more":1}',
        b'{"resourceSpans":[null]}',
        b'{"resourceSpans":[7]}',
        b'{"resourceSpans":[{"scopeSpans":[{"spans":["a"]}]}]}',
        b'{"resourceSpans":' + b"[" * 5000,
        b'{"resourceSpans":[' + b"{}," * (MAX_COMMAS + 1) + b"{}]}",
        b'{"resourceSpans":[{"a":"\xff"}]}',
    ],
    ids=lambda body: body[:40],
)
def test_json_that_is_no_request_is_malformed(body: bytes) -> None:
    """It is refused, and so is what would take very much memory to look at."""
    with pytest.raises(Malformed):
        read_json("traces", body)


def test_nothing_makes_no_pieces() -> None:
    """An empty request is one, and there is nothing to send on."""
    assert (
        cut_protobuf("traces", b"") == read_json("traces", b"{}") == read_json("traces", b'{"resourceSpans":[]}') == []
    )


def test_null_is_a_member_that_is_not_there() -> None:
    """As ProtoJSON has it, wherever a list or an object may be."""
    body = b'{"resourceSpans":[{"scopeSpans":null},{"scopeSpans":[{"spans":null},{"spans":[{}],"scope":null}]}]}'
    assert read_json("traces", body) == [(1, body)]
    assert read_json("traces", b'{"resourceSpans":null}') == []


def test_what_a_later_otlp_may_say_beside_the_resources_is_ignored() -> None:
    """In JSON it goes on; in protobuf, whose pieces are put together with others, it is left out."""
    assert read_json("traces", b'{"more":1,"resourceSpans":[{}]}')[0].items == 0
    one, two = traces("a").SerializeToString(), traces("b").SerializeToString()
    assert cut_protobuf("traces", b"\x12\x01x" + one + b"\x18\x05" + two + b"\x12\x00") == [(1, one), (1, two)]


def test_json_that_could_not_be_written_again_is_malformed() -> None:
    """A value nested too deeply for a record of the fallback's must not take the bodies beside it along."""
    for depth in range(200, 400):
        body = b'{"resourceSpans":[{"x":%b%b}]}' % (b"[" * depth, b"]" * depth)
        try:
            [piece] = read_json("traces", body)
        except Malformed:
            return
        said = {"record": {"json": orjson.loads(piece.body)}}
        assert orjson.loads(orjson.dumps(said)) == said
    pytest.fail("nothing was too deep")


def test_a_body_of_very_many_resources_is_malformed() -> None:
    """Each of them may get attributes of ours, so that a small body would grow without bound."""
    assert cut_protobuf("traces", b"\n\0" * MAX_RESOURCES)
    with pytest.raises(Malformed, match="resources"):
        cut_protobuf("traces", b"\n\0" * (MAX_RESOURCES + 1))

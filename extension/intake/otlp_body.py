"""The body of an OTLP request: whether it is one, how much is in it, and where it may be cut. No I/O.

A request is a list of resources with what belongs to them, in field 1 of all three signals; requests of one signal are
merged by putting them one behind the other. So a body is walked and not decoded. JSON is parsed, since there is no
other way to know that it is some, and goes on as it came.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

from extension.lenient import MAX_LENIENT_BYTES
from extension.wire import Malformed, count, fields, tag

PIECE_BYTES = 1 << 20  # a body is cut into pieces of so many bytes, where it can be
MAX_COMMAS = 100_000  # in a body of JSON, whose values take up to 100 bytes each
MAX_RESOURCES = 1_000  # in a body of protobuf: an SDK has one, and each may get a kilobyte of attributes from us
# By signal: the fields that lead from a request to what is counted of it, each step with its name in JSON.
PATHS: dict[str, tuple[dict[str, int], ...]] = {
    "traces": ({"resourceSpans": 1}, {"scopeSpans": 2}, {"spans": 2}),
    "metrics": (
        {"resourceMetrics": 1},
        {"scopeMetrics": 2},
        {"metrics": 2},
        {"gauge": 5, "sum": 7, "histogram": 9, "exponentialHistogram": 10, "summary": 11},
        {"dataPoints": 1},
    ),
    "logs": ({"resourceLogs": 1}, {"scopeLogs": 2}, {"logRecords": 2}),
}
TAGS = {signal: [frozenset(tag(number) for number in step.values()) for step in path] for signal, path in PATHS.items()}


class Piece(NamedTuple):
    """A request of its own: a body, or a part of one, with as many spans, data points or log records as `items`."""

    items: int
    body: bytes


def cut_protobuf(signal: str, body: bytes, max_bytes: int = PIECE_BYTES) -> list[Piece]:
    """The pieces of a body; one larger than `max_bytes` has a single resource. Raises Malformed."""
    top, *path = TAGS[signal]
    pieces: list[Piece] = []
    start = items = 0
    for number, (found, begin, at, end) in enumerate(fields(body, 0, len(body))):
        if number == MAX_RESOURCES:
            raise Malformed(f"more than {MAX_RESOURCES} resources")
        if found not in top:  # of a later OTLP, and nothing that could be taken for a resource
            if begin > start:
                pieces.append(Piece(items, body[start:begin]))
            start, items = end, 0
            continue
        if begin > start and end - start > max_bytes:
            pieces.append(Piece(items, body[start:begin]))
            start, items = begin, 0
        items += count(body, at, end, path)
    if len(body) > start:
        pieces.append(Piece(items, body[start:]))  # bytes that are not cut are not copied
    if body and not pieces:
        raise Malformed("not a request of this signal")
    return pieces


def read_json(signal: str, body: bytes) -> list[Piece]:
    """The body as its only piece. Raises Malformed."""
    if body.count(b",") > MAX_COMMAS:
        raise Malformed("too many values")
    try:
        request = orjson.loads(body)
    except ValueError:
        body, request = _with_whole_characters(body)
    [top] = PATHS[signal][0]
    if type(request) is not dict or (request and top not in request):
        raise Malformed("not a request of this signal")
    items = _count_json([request], PATHS[signal])
    try:
        orjson.dumps([[[[request]]]])  # as deep as it may once be in a record: orjson reads more than it writes
    except TypeError:
        raise Malformed("nested too deeply") from None
    return [Piece(items, body)] if request.get(top) else []


def _with_whole_characters(body: bytes) -> tuple[bytes, Any]:
    """The body with U+FFFD for each half of a surrogate pair, and its value.

    JavaScript writes such a half where it has cut a text. Raises Malformed for what is no JSON all the same.
    """
    import json  # noqa: PLC0415 - for such a body alone

    if len(body) > MAX_LENIENT_BYTES:
        raise Malformed("not JSON")
    try:
        text = json.dumps(json.loads(body), ensure_ascii=False, allow_nan=False)
        whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()
        return whole, orjson.loads(whole)
    except (ValueError, RecursionError):
        raise Malformed("not JSON") from None


def _count_json(found: list[Any], path: tuple[dict[str, int], ...]) -> int:
    """How many there are at the end of the path.

    An object stands for a list of one, as the data of a metric does, and null for a member that is not there
    ("ProtoJSON Format", Protocol Buffers Documentation).
    """
    for step in path:
        values = [_members(one)[name] for one in found for name in step if name in _members(one)]
        found = [one for value in values if value is not None for one in (value if type(value) is list else [value])]
    for one in found:
        _members(one)
    return len(found)


def _members(value: object) -> dict[str, Any]:
    if type(value) is not dict:
        raise Malformed("not a request of this signal")
    return value

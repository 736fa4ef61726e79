"""JSON values as OpenTelemetry's AnyValue, and its messages as bytes, for all three signals.

What JSON can say and AnyValue cannot follows "Mapping Arbitrary Data to OTLP AnyValue" of the OpenTelemetry
specification: a number beyond 64 bits is its digits as a string, and null is a value that is empty.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

import orjson
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from extension import lenient

if TYPE_CHECKING:
    from collections.abc import Mapping

    from google.protobuf.internal.containers import RepeatedCompositeFieldContainer
    from google.protobuf.message import Message

    Attributes = RepeatedCompositeFieldContainer[KeyValue]

# Decoders of protobuf refuse what is nested 100 deep (protobuf.dev, "Encoding"); a level of JSON takes three, and a
# record is itself five deep. What is deeper is kept as its JSON.
MAX_DEPTH = 28
MAX_DIGITS = 20  # of an integer that 64 bits may hold
MIN_INT, MAX_INT = -(1 << 63), (1 << 63) - 1
MAX_EXACT = float(1 << 63)  # orjson makes a float of an integer that 64 bits do not hold
LISTS = {"arrayValue", "kvlistValue"}
IDS = {"traceId", "spanId", "parentSpanId"}  # the fields that OTLP's JSON writes in hexadecimal


class Inexact(ValueError):
    """A number is so large that it may have lost digits when it was read: read it by `loads_exactly`."""


class Exact(float):
    """A number that was written as a float."""

    __slots__ = ()


def loads_exactly(line: bytes) -> Any:
    """The value of a line of JSON, numbers that 64 bits do not hold as their digits. Raises as json.loads does."""
    import json  # noqa: PLC0415 - needed by one line in a million

    return json.loads(line, parse_float=_parse_float, parse_int=_parse_int)


def _parse_int(digits: str) -> int | str:
    return int(digits) if len(digits) < MAX_DIGITS else digits


def _parse_float(digits: str) -> float | str:
    found = Exact(digits)
    return found if -inf < found < inf else digits


def put(target: AnyValue, value: object, depth: int = 0) -> None:
    """Set a value from outside: a string, a bool, a number, None, or lists and objects of them."""
    if isinstance(value, str):
        try:
            target.string_value = value
        except UnicodeEncodeError:
            target.string_value = encodable(value)
    elif isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, int):
        if MIN_INT <= value <= MAX_INT:
            target.int_value = value
        else:
            target.string_value = str(value)
    elif isinstance(value, float):
        if type(value) is float and not -MAX_EXACT < value < MAX_EXACT:
            raise Inexact
        target.double_value = value
    elif value is None:
        target.SetInParent()
    else:
        _put_nested(target, value, depth)


def _put_nested(target: AnyValue, value: object, depth: int) -> None:
    if depth == MAX_DEPTH:
        target.string_value = encodable(lenient.dumps(value).decode())
    elif isinstance(value, dict):
        target.kvlist_value.SetInParent()
        put_all(target.kvlist_value.values, value, depth + 1)
    elif isinstance(value, (list, tuple)):
        target.array_value.SetInParent()
        add = target.array_value.values.add
        for item in value:
            put(add(), item, depth + 1)
    else:
        raise TypeError(f"{type(value).__name__} is no value of JSON")


def put_all(attributes: Attributes, values: Mapping[str, object], depth: int = 0) -> None:
    """Add a key and its value for each of the values."""
    add = attributes.add
    for key, value in values.items():
        pair = add()  # to set its fields is faster than to give them to add
        try:
            pair.key = key
        except UnicodeEncodeError:
            pair.key = encodable(key)
        if type(value) is str:  # as most are; a call less
            try:
                pair.value.string_value = value
                continue
            except UnicodeEncodeError:
                pass
        put(pair.value, value, depth)


def key_values(values: Mapping[str, object]) -> list[KeyValue]:
    """The attributes of a mapping, as messages of their own."""
    holder = AnyValue()
    put_all(holder.kvlist_value.values, values)
    return list(holder.kvlist_value.values)


def encodable(text: str) -> str:
    r"""The text with half surrogate pairs as \\udXXX: JSON may hold them (RFC 8259, section 8.2), UTF-8 may not."""
    return text.encode("utf-8", "backslashreplace").decode()


def serialize(message: Message, *, as_json: bool) -> bytes:
    """A request as its content type says: binary protobuf, or JSON as in "OTLP Specification", JSON Protobuf Encoding.

    It differs from protobuf's own in two things: enums are numbers, and ids are hexadecimal.
    """
    if not as_json:
        return message.SerializeToString()
    from google.protobuf import json_format  # noqa: PLC0415 - for encoding=json alone

    found = json_format.MessageToDict(message, use_integers_for_enums=True)
    _mend(found)
    return orjson.dumps(found)


def _mend(found: Any) -> None:
    """Write ids as OTLP's JSON does, and lists that are empty: without, receivers in Rust refuse the request.

    Every key is the name of a field: those of a record are values of "key".
    """
    if isinstance(found, dict):
        for name, value in found.items():
            if name in IDS:
                found[name] = _hex_of(value)
                continue
            if name in LISTS:
                value.setdefault("values", [])
            _mend(value)
    elif isinstance(found, list):
        for value in found:
            _mend(value)


def _hex_of(base64_text: str) -> str:
    from base64 import b64decode  # noqa: PLC0415 - as above

    return b64decode(base64_text).hex()

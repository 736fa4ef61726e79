"""The wire format of protobuf, as far as a message is told apart without being decoded. A leaf; it builds no objects.

Source: Protocol Buffers Documentation, "Encoding".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
MAX_VARINT_BYTES = 10


class Malformed(Exception):
    """No message of the wire format; its text says what is wrong in a few words."""


def tag(number: int) -> int:
    """What a length-delimited field of this number begins with."""
    return number << 3 | BYTES


def fields(data: bytes, start: int, stop: int) -> Iterator[tuple[int, int, int, int]]:
    """The fields of the message between two positions: the tag of each, where it, its content, and what follows begin.

    Raises Malformed.
    """
    at = start
    while at < stop:
        begin = at
        found, at = _varint(data, at, stop)
        at, end = _content(data, found, at, stop)
        yield found, begin, at, end
        at = end


def count(data: bytes, start: int, stop: int, path: Sequence[frozenset[int]]) -> int:
    """How many messages there are in the message between two positions, at the end of a path of tags.

    Each step of the path is the tags of the fields that it goes through. Raises Malformed.
    """
    try:
        return _count(data, start, stop, path)
    except IndexError:
        raise Malformed("cut off") from None


def _count(data: bytes, at: int, stop: int, path: Sequence[frozenset[int]]) -> int:
    wanted, rest = path[0], path[1:]
    total = 0
    while at < stop:
        found = data[at]
        # Tags of one byte and lengths of up to two, as nearly all are: a call for each would cost more than all else.
        if found & 0x87 == BYTES and (length := data[at + 1]) < 0x80:
            at += 2
            end = at + length
        elif found & 0x87 == BYTES and (high := data[at + 2]) < 0x80:
            at += 3
            end = at + (length & 0x7F | high << 7)
        else:
            found, at = _varint(data, at, stop)
            at, end = _content(data, found, at, stop)
        if end > stop:
            raise Malformed("cut off")
        if found in wanted:
            total += _count(data, at, end, rest) if rest else 1
        at = end
    return total


def encode_varint(value: int) -> bytes:
    """A number that is not negative."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def encode_bytes(number: int, content: bytes) -> bytes:
    """A length-delimited field."""
    return encode_varint(tag(number)) + encode_varint(len(content)) + content


def _content(data: bytes, found: int, at: int, stop: int) -> tuple[int, int]:
    """Where the content begins of a field whose tag ends at `at`, and where it ends."""
    kind = found & 7
    if kind == BYTES:
        length, at = _varint(data, at, stop)
        end = at + length
    elif kind == VARINT:
        end = _varint(data, at, stop)[1]
    elif kind == FIXED64:
        end = at + 8
    elif kind == FIXED32:
        end = at + 4
    else:
        raise Malformed("not protobuf")  # groups, which OTLP has none of
    if end > stop:
        raise Malformed("cut off")
    return at, end


def _varint(data: bytes, at: int, stop: int) -> tuple[int, int]:
    """The number there, and where it ends."""
    value = 0
    for position in range(at, min(at + MAX_VARINT_BYTES, stop)):
        byte = data[position]
        value |= (byte & 0x7F) << 7 * (position - at)
        if byte < 0x80:
            return value, position + 1
    raise Malformed("cut off" if stop - at < MAX_VARINT_BYTES else "not protobuf")

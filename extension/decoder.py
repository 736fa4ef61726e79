"""NDJSON framing and parsing, sans I/O: chunks of bytes in, decoded lines out. It counts nothing and drops nothing."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

# The largest line that can be delivered whole. A telemetry buffer of maxBytes 1 MiB may be exceeded by one event, and
# CloudWatch takes events of 1 MiB, so a whole line of that size with its JSON escapes is let through.
MAX_LINE_BYTES = 4 << 20


class Decoded(NamedTuple):
    """One line: `line` as it came, stripped, and `value`, the JSON object it holds.

    Where it holds none, `value` is None, `fault` says why in a few words, and `line` is cut at the bound.
    """

    line: bytes
    value: dict[str, Any] | None
    fault: str | None = None


class Decoder:
    """Cuts one TCP stream into lines. Memory is bounded by `max_line` plus one chunk."""

    def __init__(self, max_line: int = MAX_LINE_BYTES) -> None:
        self._max_line = max_line
        self._unfinished = bytearray()
        self._skipping = False  # inside a line that is too long, its beginning already handed out

    def feed(self, chunk: bytes) -> list[Decoded]:
        """Take the next bytes of the stream; the lines that they end, in order."""
        first, *rest = chunk.split(b"\n")
        self._unfinished += first
        decoded: list[Decoded] = []
        if rest:
            self._finish(decoded)
            for line in rest[:-1]:
                self._decode(line, decoded)
            self._unfinished += rest[-1]
        if len(self._unfinished) > self._max_line:
            self._cut(decoded)
        return decoded

    def close(self) -> list[Decoded]:
        """The stream has ended: what came after the last newline is a line as well."""
        decoded: list[Decoded] = []
        self._finish(decoded)
        return decoded

    def _finish(self, decoded: list[Decoded]) -> None:
        if not self._skipping:
            self._decode(bytes(self._unfinished), decoded)
        self._skipping = False
        self._unfinished.clear()

    def _cut(self, decoded: list[Decoded]) -> None:
        if not self._skipping:
            self._decode(bytes(self._unfinished), decoded)
        self._skipping = True
        self._unfinished.clear()

    def _decode(self, line: bytes, decoded: list[Decoded]) -> None:
        line = line.strip()
        if len(line) > self._max_line:
            decoded.append(Decoded(line[: self._max_line], None, "too long"))
        elif line:
            decoded.append(_parse(line))


def _parse(line: bytes) -> Decoded:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return _parse_leniently(line, error)
    if not isinstance(value, dict):
        return Decoded(line, None, "not an object")
    return Decoded(line, value)


def _parse_leniently(line: bytes, error: orjson.JSONDecodeError) -> Decoded:
    """Try a line that orjson refused once more, if it may be valid all the same.

    Half of a surrogate pair is, by the grammar of RFC 8259; functions that cut strings at 16 bits print it.
    """
    if "surrogate" in str(error):
        import json  # noqa: PLC0415 - needed by one line in a million

        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            pass
        else:
            return Decoded(line, value) if isinstance(value, dict) else Decoded(line, None, "not an object")
    return Decoded(line, None, "not UTF-8" if not _is_utf8(line) else "not JSON")


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True

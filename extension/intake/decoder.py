"""NDJSON framing and parsing, sans I/O: chunks of bytes in, lines out. It counts nothing and drops nothing."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

from extension import lenient
from extension.records import kind_of

# The largest line that can be delivered whole. A telemetry buffer of maxBytes 1 MiB may be exceeded by one event, and
# CloudWatch takes events of 1 MiB, so a whole line of that size with its JSON escapes is let through.
MAX_LINE_BYTES = 4 << 20
MAX_TEXT_BYTES = 128 << 10  # kept of a line that is no record: escaped, it may take six times as much
MAX_TYPES = 64  # that are remembered; the platform has about twenty
PLAIN_BYTES = lenient.MAX_COMMAS  # a shorter line has not so many values that it would be skimmed


class Line(NamedTuple):
    """One line: `text` as it came, stripped, and what was learned of the JSON object that it holds.

    `kind` is platform, function, extension or other; `type` and `time` are empty where they are no strings, and cut
    where they are long; `content` is the value of its key "record". Where it holds no object, `fault` says why in a few
    words, and `text` lacks the last `cut` bytes.
    """

    text: bytes
    kind: str
    type: str
    time: str
    content: Any = None
    fault: str = ""
    cut: int = 0


class Decoder:
    """Cuts one TCP stream into lines. Memory is bounded by `max_line` plus one chunk."""

    def __init__(self, max_line: int = MAX_LINE_BYTES) -> None:
        self._max_line = max_line
        self._max_text = min(max_line, MAX_TEXT_BYTES)
        self._unfinished = bytearray()
        self._cut = 0  # bytes of the unfinished line that were not kept, since it is too long
        self._plain_bytes = min(max_line, PLAIN_BYTES)
        self._types: dict[str, tuple[str, str]] = {}  # kind and type, so that records share one string of each

    @property
    def unfinished_bytes(self) -> int:
        """How much of a line is held whose end has not come."""
        return len(self._unfinished)

    def feed(self, chunk: bytes) -> list[Line]:
        """Take the next bytes of the stream; the lines that they end, in order."""
        first, *rest = chunk.split(b"\n")
        self._extend(first)
        lines: list[Line] = []
        if rest:
            self._finish(lines)
            last = rest.pop()
            self._decode(rest, lines)
            self._extend(last)
        return lines

    def close(self) -> list[Line]:
        """The stream has ended: what came after the last newline is a line as well."""
        lines: list[Line] = []
        self._finish(lines)
        return lines

    def _extend(self, part: bytes) -> None:
        if self._cut:
            self._cut += len(part)
            return
        self._unfinished += part
        if len(self._unfinished) > self._max_line:
            self._cut = len(self._unfinished) - self._max_text
            del self._unfinished[self._max_text :]

    def _finish(self, lines: list[Line]) -> None:
        text, cut = bytes(self._unfinished), self._cut
        self._unfinished.clear()
        self._cut = 0
        if cut:
            lines.append(_broken(text.strip(), "too long", cut))
        else:
            self._decode([text], lines)

    def _decode(self, texts: list[bytes], lines: list[Line]) -> None:
        """A line as the platform writes it is decoded here: a call for each record costs more than the record does."""
        loads, new, append, types, longest = orjson.loads, tuple.__new__, lines.append, self._types, self._plain_bytes
        for untrimmed in texts:
            text = untrimmed.strip()
            try:
                value: Any = loads(text) if len(text) <= longest else None
                kind, type_ = types[value["type"]]
                time = value["time"]
                line = (text, kind, type_, time, value["record"], "", 0)
                is_plain = type(time) is str and len(time) <= lenient.MAX_WORD
            except Exception:  # noqa: BLE001 - what is not as usual is looked at again
                is_plain = False
            if is_plain:
                append(new(Line, line))
            elif text:
                append(self._decode_any(text))

    def _decode_any(self, text: bytes) -> Line:
        """What is in a line, whatever it is."""
        if len(text) > self._max_line:
            return self._cut_off(text, "too long")
        try:
            value = lenient.loads(text)
            type_, time, content = value.get("type"), value.get("time"), value.get("record")
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a line is that line's
            return self._cut_off(text, _fault(text, error))
        type_ = lenient.word(type_)
        kind, type_ = self._types.get(type_) or self._learn(type_)
        return Line(text if value else b"{}", kind, type_, lenient.word(time), content)

    def _learn(self, type_: str) -> tuple[str, str]:
        learned = kind_of(type_), type_
        if len(self._types) < MAX_TYPES:
            self._types[type_] = learned
        return learned

    def _cut_off(self, text: bytes, fault: str) -> Line:
        return _broken(text[: self._max_text], fault, max(0, len(text) - self._max_text))


def _broken(text: bytes, fault: str, cut: int) -> Line:
    return Line(text, "other", "", "", None, fault, cut)


def _fault(text: bytes, error: Exception) -> str:
    if not text.startswith(b"{"):
        return "not an object"
    match error:
        case UnicodeDecodeError():
            return "not UTF-8"
        case RecursionError():
            return "nested too deeply"
        case OverflowError():
            return "too many values"
        case _:
            return "not JSON"

"""NDJSON framing and parsing, sans I/O: chunks of bytes in, decoded lines out. It counts nothing and drops nothing."""

from __future__ import annotations

from typing import Any, NamedTuple

from extension import lenient

# The largest line that can be delivered whole. A telemetry buffer of maxBytes 1 MiB may be exceeded by one event, and
# CloudWatch takes events of 1 MiB, so a whole line of that size with its JSON escapes is let through.
MAX_LINE_BYTES = 4 << 20
MAX_TEXT_BYTES = 128 << 10  # kept of a line that is no record: escaped, it may take six times as much


class Decoded(NamedTuple):
    """One line: `line` as it came, stripped, and `value`, the JSON object it holds.

    Where it holds none, `value` is None, `fault` says why in a few words, and `line` lacks the last `cut` bytes.
    """

    line: bytes
    value: dict[str, Any] | None
    fault: str | None = None
    cut: int = 0


class Decoder:
    """Cuts one TCP stream into lines. Memory is bounded by `max_line` plus one chunk."""

    def __init__(self, max_line: int = MAX_LINE_BYTES) -> None:
        self._max_line = max_line
        self._max_text = min(max_line, MAX_TEXT_BYTES)
        self._unfinished = bytearray()
        self._cut = 0  # bytes of the unfinished line that were not kept, since it is too long

    def feed(self, chunk: bytes) -> list[Decoded]:
        """Take the next bytes of the stream; the lines that they end, in order."""
        first, *rest = chunk.split(b"\n")
        self._extend(first)
        decoded: list[Decoded] = []
        if rest:
            self._finish(decoded)
            for line in rest[:-1]:
                self._decode(line, 0, decoded)
            self._extend(rest[-1])
        return decoded

    def close(self) -> list[Decoded]:
        """The stream has ended: what came after the last newline is a line as well."""
        decoded: list[Decoded] = []
        self._finish(decoded)
        return decoded

    def _extend(self, part: bytes) -> None:
        if self._cut:
            self._cut += len(part)
            return
        self._unfinished += part
        if len(self._unfinished) > self._max_line:
            self._cut = len(self._unfinished) - self._max_text
            del self._unfinished[self._max_text :]

    def _finish(self, decoded: list[Decoded]) -> None:
        line, cut = bytes(self._unfinished), self._cut
        self._unfinished.clear()
        self._cut = 0
        self._decode(line, cut, decoded)

    def _decode(self, line: bytes, cut: int, decoded: list[Decoded]) -> None:
        if len(line) > self._max_line:
            line, cut = line[: self._max_text], len(line) - self._max_text
        line = line.strip()
        if cut:
            decoded.append(Decoded(line, None, "too long", cut))
        elif line:
            decoded.append(self._parse(line))

    def _parse(self, line: bytes) -> Decoded:
        fault = "not an object"
        if line.startswith(b"{"):
            try:
                return Decoded(line, lenient.loads(line))
            except UnicodeDecodeError:
                fault = "not UTF-8"
            except RecursionError:
                fault = "nested too deeply"
            except OverflowError:
                fault = "too many values"
            except ValueError:
                fault = "not JSON"
        return Decoded(line[: self._max_text], None, fault, max(0, len(line) - self._max_text))

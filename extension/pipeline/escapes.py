"""Text without its escapes, and which part of the text each part of that was: JSON inside of text hides what it says.

Escapes are those of JSON strings (RFC 8259, 7). A NUL counts as one for nothing, as UTF-16 has it beside each letter,
and so does what colours a text on a terminal (ECMA-48, 8.3.117), whose last letter would be part of the word behind it.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right

ESCAPE = re.compile(rb'\\(?:u([0-9A-Fa-f]{4})|(["\\/bfnrt]))|\x00|\x1b\[[0-9;:]{0,40}[A-Za-z]')
SHORT = {b'"': b'"', b"\\": b"\\", b"/": b"/", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t"}


class Unescaped:
    """A text with one level of escapes undone, `text`; `changed` says whether there was any."""

    def __init__(self, escaped: bytes) -> None:
        parts: list[bytes] = []
        self._begins = [0]  # of the parts, in the text
        self._came_from = [0]  # and in the escaped one
        self._is_escape = [False]
        at = done = 0
        for match in ESCAPE.finditer(escaped):
            start, end = match.span()
            said = SHORT[match[2]] if match[2] else _code_point(match[1]) if match[1] else b""
            parts += (escaped[done:start], said)
            at += start - done
            self._begin(at, start, is_escape=True)
            at, done = at + len(said), end
            self._begin(at, end, is_escape=False)
        parts.append(escaped[done:])
        self.changed = len(parts) > 1
        self.text = b"".join(parts)
        self._end = len(self.text), len(escaped)

    def _begin(self, at: int, came_from: int, *, is_escape: bool) -> None:
        self._begins.append(at)
        self._came_from.append(came_from)
        self._is_escape.append(is_escape)

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Where a part of the text, not empty, was in the escaped one; an escape is taken whole."""
        first = bisect_right(self._begins, start) - 1
        from_start = self._came_from[first] + (0 if self._is_escape[first] else start - self._begins[first])
        last = bisect_left(self._begins, end) - 1
        from_end = self._came_from[last] + end - self._begins[last]
        return from_start, self._came_from[last + 1] if self._is_escape[last] else from_end


def _code_point(digits: bytes) -> bytes:
    return chr(int(digits, 16)).encode("utf-8", "surrogatepass")

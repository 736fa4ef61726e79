"""Expressions of RE2, over bytes: the one place that knows the engine. A leaf, imported where one is asked for.

Its time is linear in the text, whatever expression and text are ("Regular Expression Matching in the Wild"), which no
engine that backtracks can promise: a user's expression meets lines that strangers may have a say in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from re2 import _re2

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MEMORY_BYTES = 1 << 20  # for the states of one expression; RE2 goes on without them, slower, where they are more
MAX_INSTRUCTIONS = 4000  # of a compiled expression: the slow way takes up to 4 us a KiB of text for each of them
TOO_LARGE = "expected a smaller one: a repetition such as {1,200} multiplies what it repeats"
ANYWHERE = _re2.RE2.Anchor.UNANCHORED


class BadExpression(ValueError):
    """An expression that does not compile, or compiles too large. The text says why, and quotes nothing of it."""


class Expression:
    """One compiled expression. Raises BadExpression.

    With `only_whether`, it is asked by `is_in` alone: repetitions are as short as they can be, so that the search ends
    with the first match that is certain. Whether there is one does not depend on it.
    """

    def __init__(self, text: str, *, only_whether: bool = False) -> None:
        options = _re2.RE2.Options()
        options.max_mem = MEMORY_BYTES
        options.log_errors = False  # they quote the expression
        options.never_capture = True  # to know where groups are takes thirty times as long
        flags = "(?U)" if only_whether else ""
        compiled = _re2.RE2((flags + text).encode("utf-8", "surrogateescape"), options)
        if not compiled.ok():
            raise BadExpression(TOO_LARGE if b"too large" in compiled.error() else _expected(compiled.error()))
        if max(compiled.ProgramSize(), compiled.ReverseProgramSize()) > MAX_INSTRUCTIONS:
            raise BadExpression(TOO_LARGE)
        self._match = compiled.Match

    def is_in(self, text: bytes) -> bool:
        """Whether it matches anywhere in the text."""
        found: int = self._match(ANYWHERE, text, 0, len(text))[0][0]
        return found >= 0

    def spans(self, text: bytes) -> Iterator[tuple[int, int]]:
        """Begin and end of each match that is not empty, none overlapping another. Each is a search of its own."""
        at, end = 0, len(text)
        while at <= end:
            first, last = self._match(ANYWHERE, text, at, end)[0]
            if first < 0:
                return
            if last > first:
                yield first, last
            at = max(last, first + 1)


def any_of(texts: Sequence[str]) -> Expression | None:
    r"""One expression that is in a text where any of these is, each of which compiles.

    None where it is too large, or one of these may quote what comes behind it: \Q needs no \E.
    """
    if any(r"\Q" in text for text in texts):
        return None
    try:
        return Expression("|".join(f"(?:{text})" for text in texts), only_whether=True)
    except BadExpression:
        return None


def numbered(text: str) -> list[tuple[int, str]]:
    """The lines of a setting that has one expression a line, each with its number; empty lines have none of it."""
    lines = [(number, line.strip()) for number, line in enumerate(text.split("\n"), 1)]
    return [(number, line) for number, line in lines if line]


def _expected(error: bytes) -> str:
    """What RE2 says before the colon behind which it quotes."""
    said = error.partition(b":")[0].decode("ascii", "replace")
    return f"expected an expression of RE2 ({said})"

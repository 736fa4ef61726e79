"""What nobody shall read, replaced by what kind of thing it was: what presets and expressions find, and fields.

A text is looked at as it is, with its escapes undone, level by level, and, where it is JSON, name by name and value by
value. What is not replaced stays byte for byte.
"""

from __future__ import annotations

import math
import re
import time
from typing import TYPE_CHECKING, NamedTuple

from extension import lenient
from extension.expressions import Expression
from extension.field_paths import ANY, are_of_places, look
from extension.pipeline.escapes import Unescaped
from extension.pipeline.json_tokens import STRING, Token, string, tokens, unquoted
from extension.pipeline.printed_fields import without
from extension.presets import PRESETS, credential, is_card
from extension.redaction import AT_LINES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from extension.field_paths import Path
    from extension.presets import Spans

    Span = tuple[int, int, str]  # from, to, and the name of what was found

MAX_DEPTH = 8  # of JSON in strings of JSON, and of escapes within escapes
MAX_ESCAPES = 1 << 16  # in a text: where each came from takes 250 bytes
MAX_S = 0.5  # of CPU for one record: each match is a search of its own, and so is each string
CHECKED = 64  # of both, between two looks at the clock
# What may be part of what is looked for and be written like this; NUL stands beside each letter in UTF-16, and ESC
# begins a colour.
HIDDEN = r"\\u00[0-7]|\x00|\x1b"
FIELD = "field"
FILLER = b"\x7f"  # in place of what is replaced already
# Of values that hold a credential.
NAMED = re.compile(
    r"(?:(?:.*[^a-z])?(?:proxy|x|http|headers?|original|forwarded)[-_.]?)?authorization(?:[-_]?token)?",
    re.IGNORECASE | re.DOTALL,
)
USUAL = {  # what the platform writes beside the record, in which nothing can hide
    "time": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?", re.ASCII),
    "type": re.compile(r"function|extension|(?:platform|forwarder)\.[A-Za-z]{1,40}"),
}
END = re.compile(r"\$|\\z")  # in an expression
EDGES = re.compile(r"\\[Az]|\(\?[A-Za-z]*-")  # in an expression: what tells a line of a text from the text
STRUCTURE = bytes.maketrans(b' \t\r",:{}[]', b"\n" * 10)
LINE_END = re.compile(rb"\r?\n\Z")  # what ends a printed line, and is no part of what an expression's anchors mean
HEAD = re.compile(
    rb'\{"time":"%b","type":"(?:%b)","record":' % tuple(USUAL[part].pattern.encode() for part in ("time", "type"))
)
PARTS = frozenset({"time", "type", "record"})
LITERALS = frozenset({b"true", b"false", b"null"})


class Unreadable(Exception):
    """It cannot be looked through; the text says why in a few words, and quotes nothing."""


class Finder(NamedTuple):
    """What finds one kind of thing. `has_end`: where, may depend on where the text ends."""

    name: str
    expression: Expression
    narrow: Callable[[bytes, int, int], Spans]
    has_end: bool


class Redactor:
    """Replaces what `presets` and `expressions` find, and the values of `fields`.

    An expression is called by its number. `clock` counts seconds of CPU.
    """

    def __init__(
        self,
        presets: Iterable[str],
        expressions: Sequence[tuple[int, str]],
        fields: Sequence[Path],
        clock: Callable[[], float] = time.thread_time,
    ) -> None:
        self.clock = clock
        # What a function prints is the message where Lambda writes its lines as JSON.
        self.fields = [*fields, *(("message", *path) for path in fields)]
        self.finders = [
            Finder(name, Expression(PRESETS[name].find), PRESETS[name].narrow, has_end=False) for name in presets
        ] + [
            Finder(f"expression-{number}", Expression(text), _whole, has_end=bool(END.search(text)))
            for number, text in expressions
        ]
        self._own = [Expression(AT_LINES + text, only_whether=True) for _, text in expressions]
        self._can_glance = not any(EDGES.search(text) for _, text in expressions)
        looks = [*(PRESETS[name].look for name in presets), *([look(fields)] if fields else []), HIDDEN]
        self._presets = Expression("|".join(f"(?:{one})" for one in looks), only_whether=True)
        names = [finder.name for finder in self.finders]
        self.has_cards, self.has_bearer = "card" in names, "bearer" in names
        self.marks = re.compile(rb"\[redacted:(?:%b)\]" % "|".join([*names, FIELD]).encode())

    def suspects(self, line: bytes) -> bool:
        """Whether there may be anything in a line.

        Presets know what to look for in a line that is quoted, expressions do not. These look at all strings at once, a
        line break around each, by which an expression finds no less; what is quoted twice is left to a closer look.
        """
        if self._presets.is_in(line):
            return True
        return bool(self._own) and not self._is_free(_said(line))

    def clears(self, text: bytes) -> bool:
        """Whether there is nothing in a plain text, whatever is written in it as an escape."""
        if self._presets.is_in(text):
            return False
        return not self._own or self._is_free(text)

    def _is_free(self, text: bytes) -> bool:
        """Whether expressions find nothing in a text, nor in a string or a number of it where it is JSON."""
        if b"\\" in text or not self._can_glance:
            return False
        shapes = {text.translate(STRUCTURE)}
        for shape in {text, text.replace(b"\r\n", b"\n")}:
            shapes |= {shape, shape.replace(b'"', b"\n")}
        return not any(one.is_in(shape) for one in self._own for shape in shapes)

    def line(self, line: bytes) -> tuple[bytes, int]:
        """A line of the platform's, and how much was replaced in it. Raises Unreadable."""
        if line.count(b",") > lenient.MAX_COMMAS:
            raise Unreadable("too many values")  # it was not even parsed
        search = Search(self)
        head = HEAD.match(line)
        if head and STRING.fullmatch(line, head.end(), len(line) - 1):  # a text, and nothing behind it
            token = Token(head.end(), len(line) - 1, False, "record", 1, self.fields)
            return b"%b%b}" % (head[0], search.value(line[token.start : token.end], token)), search.count
        return search.json(line, [("record", *path) for path in self.fields], 0, is_line=True), search.count

    def text(self, text: str) -> tuple[str, int]:
        """Plain text, and how much was replaced in it. Raises Unreadable."""
        search = Search(self)
        return search.text(text), search.count


class Search:
    """One look through a record. `count` is how much was replaced so far; at `latest`, by the clock, it is over."""

    def __init__(self, redactor: Redactor, latest: float = math.inf) -> None:
        self.count = 0
        self._of = redactor
        self._done = -1  # so that the first look at the clock is at the first string
        self._until = min(latest, redactor.clock() + MAX_S)

    def text(self, text: str, paths: Sequence[Path] = (), name: str = "") -> str:
        """What is left of the value of a member of this name; `paths` lead on into the JSON that it may be."""
        self._go_on()
        encoded = text.encode("utf-8", "surrogatepass")
        found = self._text(encoded, paths, name, 0)
        return text if found is encoded else found.decode("utf-8", "surrogatepass")

    def number(self, written: str) -> str:
        """What is left of a number."""
        return self._number(written.encode()).decode()

    def json(self, text: bytes, paths: Sequence[Path], depth: int, *, is_line: bool = False) -> bytes:
        """What is left of valid JSON, valid too."""
        parts: list[bytes] = []
        done = 0
        for token in tokens(text, paths):
            self._go_on()
            written = text[token.start : token.end]
            if is_line and token.depth == 1 and _is_platforms(token, written):
                continue
            left = self.value(written, token, depth)
            if left is not written:
                parts += (text[done : token.start], left)
                done = token.end
        return b"".join([*parts, text[done:]]) if parts else text

    def value(self, written: bytes, token: Token, depth: int = 0) -> bytes:
        """What is left of a name or a value; the same object where nothing was replaced."""
        if token.is_field:
            return self._field(written)
        if written[:1] != b'"':
            left = written if written in LITERALS else self._number(written)
            return written if left is written else b'"%b"' % left
        said = string(written).encode("utf-8", "surrogatepass")
        left = self._text(said, token.paths, "" if token.is_name else token.name, depth)
        return written if left is said else lenient.dumps(left.decode("utf-8", "surrogatepass"))

    def _field(self, written: bytes) -> bytes:
        left = b'"%b"' % mark(FIELD)
        if written == left:
            return written
        self.count += 1
        return left

    def _number(self, written: bytes) -> bytes:
        """A number as it is written; 4.1e+15 may be a card too."""
        left = self._text(written, (), "", 0)
        if left is written and self._of.has_cards and is_card(_digits(written)):
            self.count += 1
            return mark("card")
        return left

    def _text(self, text: bytes, paths: Sequence[Path], name: str, depth: int) -> bytes:
        if self._of.has_bearer and NAMED.fullmatch(name):
            unmarked = _filled(text, [(*mark.span(), "") for mark in self._of.marks.finditer(text)])
            if spans := [(*span, "bearer") for span in credential(unmarked)]:
                return self._replaced(text, spans)
        if not are_of_places(paths) and self._of.clears(text):
            return text  # the last name of a path is nowhere in it either
        if text.lstrip()[:1] in {b"{", b"[", b'"'} and _is_json(text):
            if depth == MAX_DEPTH:
                raise Unreadable("nested too deeply")
            text = self.json(text, paths, depth + 1)
        elif paths:
            text = self._loose(text, paths)
        spans = self._spans(text, 0)
        return self._replaced(text, spans) if spans else text

    def _loose(self, text: bytes, paths: Sequence[Path]) -> bytes:
        """A text that is no JSON, or not whole, without the values behind the last names of paths."""
        names = {next((one for one in reversed(path) if one != ANY), "") for path in paths} - {""}
        return without(text, sorted(names), mark(FIELD), self._saw)

    def _saw(self, is_new: bool) -> None:
        self._go_on()
        self.count += is_new

    def _replaced(self, text: bytes, spans: Sequence[Span]) -> bytes:
        parts: list[bytes] = []
        done = 0
        for start, end, what in spans:
            parts += (text[done:start], mark(what))
            done = end
        self.count += len(spans)
        return b"".join([*parts, text[done:]])

    def _spans(self, text: bytes, depth: int) -> list[Span]:
        """What is found in a text, in order, none overlapping another: first without its escapes, then as it is."""
        found = [(*mark.span(), "") for mark in self._of.marks.finditer(text)]
        if b"\\" in text or b"\0" in text or b"\x1b" in text:
            found += self._hidden(text, depth)
        plain = _filled(text, found) if found else text
        line_end = LINE_END.search(plain, max(0, len(plain) - 2))
        for finder in self._of.finders:
            found += self._found(finder, plain)
            if line_end and finder.has_end:
                found += self._found(finder, plain[: line_end.start()])
        return [span for span in _merged(found) if span[2]]

    def _found(self, finder: Finder, text: bytes) -> Iterator[Span]:
        for start, end in finder.expression.spans(text):
            self._go_on()
            yield from ((*span, finder.name) for span in finder.narrow(text, start, end))

    def _go_on(self) -> None:
        """Note another string, or another match. Raises Unreadable once there is no more time."""
        self._done += 1
        if self._done % CHECKED == 0 and self._of.clock() > self._until:
            raise Unreadable("too many matches")

    def _hidden(self, text: bytes, depth: int) -> Iterator[Span]:
        if sum(map(text.count, (b"\\", b"\0", b"\x1b"))) > MAX_ESCAPES:
            raise Unreadable("too many escapes")
        inside = Unescaped(text)
        if inside.changed:
            if depth == MAX_DEPTH:
                raise Unreadable("nested too deeply")
            for start, end, what in self._spans(inside.text, depth + 1):
                yield (*inside.span(start, end), what)


def _said(line: bytes) -> bytes:
    """What the strings in a line say, a line break around each; without what the platform writes before the record."""
    head = HEAD.match(line)
    rest = line[head.end() : -1] if head else line
    return string(rest).encode("utf-8", "surrogatepass") if STRING.fullmatch(rest) else unquoted(rest)


def is_usual(part: str, text: str) -> bool:
    """Whether the time or the type of a line, `part`, is as the platform writes it."""
    return bool(USUAL[part].fullmatch(text))


def _is_platforms(token: Token, written: bytes) -> bool:
    """Whether a token of the outermost object is what the platform writes beside the record."""
    if token.is_name:
        return token.name in PARTS
    return token.name in USUAL and is_usual(token.name, string(written) if written[:1] == b'"' else "")


def _is_json(text: bytes) -> bool:
    """Whether it is an object or an array. Raises Unreadable where that cannot be known."""
    if text.count(b",") > lenient.MAX_COMMAS:
        raise Unreadable("too many values")
    try:
        lenient.loads_printed(text)
    except RecursionError:
        raise Unreadable("nested too deeply") from None
    except ValueError:
        return False
    return True


def _digits(number: bytes) -> str:
    """The digits of a number that is whole; else nothing."""
    try:
        value = float(number)
        return f"{abs(value):.0f}" if value.is_integer() and abs(value) < 1e20 else ""
    except (ValueError, OverflowError):
        return ""


def _merged(spans: list[Span]) -> list[Span]:
    """Those that overlap as one, called what the first is called."""
    merged: list[Span] = []
    for start, end, what in sorted(spans, key=lambda span: span[:2]):
        if merged and start < merged[-1][1]:
            before = merged[-1]
            merged[-1] = (before[0], max(end, before[1]), before[2] or what)
        else:
            merged.append((start, end, what))
    return merged


def _filled(text: bytes, spans: Iterable[Span]) -> bytes:
    filled = bytearray(text)
    for start, end, _ in spans:
        filled[start:end] = FILLER * (end - start)
    return bytes(filled)


def _whole(_text: bytes, start: int, end: int) -> Spans:
    yield start, end


def mark(what: str) -> bytes:
    """What is in the place of something of that kind."""
    return b"[redacted:%b]" % what.encode()

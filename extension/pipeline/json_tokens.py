"""The names and values of a text of JSON, where they stand in it. Nothing is parsed into objects.

So what is not replaced stays as it came, byte for byte: numbers of any size, names that are there twice, white space.
And no depth is too deep.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from extension import lenient
from extension.field_paths import step

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from extension.field_paths import Path

# A string, what structure is made of, or a number or literal; possessive, so that there is nothing to go back to.
TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[{}\[\],:]|[^\s{}\[\],:"]++', re.DOTALL)
STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
QUOTE, COMMA, OPENING, CLOSING = b'"'[0], b","[0], b"{[", b"}]"


class Token(NamedTuple):
    """A name, a value that is no object or array, or the value of a path whole, from `start` to `end`.

    `name` is that of the member, or of the array's in which it is; `depth` in how many objects and arrays. `paths` are
    what is to go on from here; one that is empty ends here.
    """

    start: int
    end: int
    is_name: bool
    name: str
    depth: int
    paths: Sequence[Path]

    @property
    def is_field(self) -> bool:
        """Whether a path ends here."""
        return () in self.paths


class _Container:
    """An object or array that is open; `at` counts its members."""

    __slots__ = ("at", "is_object", "name", "paths")

    def __init__(self, name: str, paths: Sequence[Path], *, is_object: bool) -> None:
        self.name = name
        self.paths = paths
        self.is_object = is_object
        self.at = 0

    def inside(self, member: str) -> Sequence[Path]:
        """The paths of the member whose turn it is."""
        return step(self.paths, member if self.is_object else str(self.at)) if self.paths else ()


def tokens(text: bytes, paths: Sequence[Path]) -> Iterator[Token]:
    """The tokens of valid JSON, in order; `paths` lead on from its outermost value."""
    open_: list[_Container] = []
    outer = _Container("", (), is_object=False)
    outer.paths = [("0", *path) for path in paths]
    names_next, member, whole = False, "", None
    for match in TOKEN.finditer(text):
        start, end = match.span()
        first = text[start]
        here = open_[-1] if open_ else outer
        if first in CLOSING:
            open_.pop()
            names_next = False
            if whole is not None and len(open_) == whole.depth:
                yield whole._replace(end=end)
                whole = None
        elif first == COMMA:
            here.at += 1
            names_next = here.is_object
        elif names_next and first == QUOTE:
            names_next, member = False, string(text[start:end])
            if whole is None:
                yield Token(start, end, True, member, len(open_), ())
        elif first != b":"[0]:
            inside = here.inside(member)
            name = member if here.is_object else here.name
            token = Token(start, end, False, name, len(open_), inside)
            if first in OPENING:
                names_next = first == OPENING[0]
                open_.append(_Container(name, inside, is_object=names_next))
                whole = whole or (token if token.is_field else None)
            elif whole is None:
                yield token


def unquoted(text: bytes) -> bytes:
    """A text of JSON in which a line break is around each string, and the string is what it says."""
    return STRING.sub(_plain, text) if b"\\" in text else text.replace(b'"', b"\n")


def _plain(found: re.Match[bytes]) -> bytes:
    return b"\n%b\n" % string(found[0]).encode("utf-8", "surrogatepass")


def string(token: bytes) -> str:
    """What a string of JSON says."""
    if b"\\" in token:
        found: str = lenient.loads_printed(token)
        return found
    return token[1:-1].decode("utf-8", "surrogatepass")

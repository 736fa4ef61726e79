"""Headers for HTTP sinks, as they stand in a variable: lines of `Name: value`. Most of them hold a secret."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2
VALUE = re.compile(r"[\t\x20-\x7e\xa0-\xff]+")  # section 5.5; http.client would refuse each request with others

# What says where a message ends or what it goes through (RFC 9112, sections 6 and 9; RFC 9110, sections 7 and 10.1), or
# what was done to its body. Host "MUST" be that of the URL (RFC 9112, section 3.2).
NOT_THE_USERS = frozenset(
    {
        "connection",
        "content-encoding",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


def parse(text: str, place: str) -> tuple[tuple[tuple[str, str], ...], list[str]]:
    """Names and values, and what is wrong with the lines that are no headers; `place` is where they stand."""
    headers, problems = [], []
    for number, name, value in _lines(text):
        if not NAME.fullmatch(name) or not VALUE.fullmatch(value):
            problems.append(f"line {number} of {place} is no header; expected `Name: value`")
        elif name.lower() in NOT_THE_USERS:
            problems.append(f"line {number} of {place} gives {name.lower()}, which the forwarder alone may set")
        else:
            headers.append((name, value))
    return tuple(headers), problems


def _lines(text: str) -> Iterator[tuple[int, str, str]]:
    """Number, name and value of each line that is not blank."""
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            name, _, value = line.partition(":")
            yield number, name.strip(), value.strip()

"""References to secrets in settings: `${secretsmanager:NAME-OR-ARN#key}` and `${ssm:NAME}`. It fetches nothing.

A reference is called by its place alone: its name may be a secret by mistake.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Values = Mapping["Secret", "str | BadReference"]

BEGINS = re.compile(r"\$\{(?:secretsmanager|ssm):")
LOOKS_LIKE_ONE = re.compile(r"\$\{[^{}]*\}")
REFERENCE = re.compile(r"\$\{(?:(secretsmanager):([^\s${}#]+)(?:#([^\s${}]+))?|(ssm):([^\s${}#]+))\}")
EXPECTED = "expected ${secretsmanager:NAME#key} or ${ssm:NAME}, without white space"
AUTHORITY = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")  # of a URL, as far as it goes
IN_AUTHORITY = re.compile(r"[A-Za-z0-9._:\[\]-]+")


class BadReference(Exception):
    """Why a reference has no value; the text holds nothing of either."""


class Secret(NamedTuple):
    """What is fetched: `service` is secretsmanager or ssm, `name` a name or an ARN."""

    service: str
    name: str


class Filled(NamedTuple):
    """A text with its references replaced, what of them must not be shown, and what is wrong with them."""

    text: str
    hidden: set[str]
    problems: list[str]


def are_in(text: str) -> bool:
    """Whether the text has references, or what begins as one."""
    return BEGINS.search(text) is not None


def are_whole(text: str) -> bool:
    """Whether all that begins as a reference, or looks like one, is one."""
    whole = len(REFERENCE.findall(text))
    return len(BEGINS.findall(text)) == whole == len(LOOKS_LIKE_ONE.findall(text))


def secrets_in(text: str) -> list[Secret]:
    """The secrets that a text refers to."""
    return [_of(match)[0] for match in REFERENCE.finditer(text)]


def parameters(url: str) -> set[str]:
    """The parameters of a URL that refer to secrets."""
    return {name for name, value in re.findall(r"[?&]([^=&]+)=([^&]*)", url) if are_in(value)}


def fill_url(url: str, values: Values, place: str) -> Filled:
    """A sink URL with its secrets: as they are at its beginning and in its host, behind it percent-encoded."""

    def insert(before: str, value: str) -> str:
        if not before:
            return _without(value, r"\s", "white space")
        if AUTHORITY.fullmatch(REFERENCE.sub("", before)):
            if not IN_AUTHORITY.fullmatch(value):
                raise BadReference("expected a host, as it stands in a URL")
            return value
        return quote(value, safe="")

    return _fill(url, values, place, insert)


def fill_lines(text: str, values: Values, place: str) -> Filled:
    """Lines of headers with their secrets; a line that is nothing but a reference may become several."""
    lines, hidden, problems = [], set(), []
    for number, line in enumerate(text.splitlines(), 1):
        is_whole = REFERENCE.fullmatch(line.strip()) is not None

        def insert(_before: str, value: str, *, is_whole: bool = is_whole) -> str:
            return value if is_whole else _without(value, r"[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]", "a line break")

        filled = _fill(line, values, f"line {number} of {place}", insert)
        lines.append(filled.text)
        hidden |= filled.hidden
        problems += filled.problems
    return Filled("\n".join(lines), hidden, problems)


def stand_in(text: str, number: Callable[[str], int]) -> str:
    """The text with a number for each reference, which is good wherever a URL or a header has a value."""
    return REFERENCE.sub(lambda match: str(number(match[0])), text)


def without_whole_lines(text: str) -> str:
    """The text without its lines that are nothing but a reference, whose places stay."""
    return "\n".join("" if REFERENCE.fullmatch(line.strip()) else line for line in text.splitlines())


def _fill(text: str, values: Values, place: str, insert: Callable[[str, str], str]) -> Filled:
    hidden: set[str] = set()
    problems = []
    parts, end = [], 0
    for number, match in enumerate(REFERENCE.finditer(text), 1):
        parts.append(text[end : match.start()])
        end = match.end()
        try:
            value = _value(values, *_of(match))
            parts.append(insert(text[: match.start()], value))
            hidden |= {value, parts[-1]}
        except BadReference as error:
            problems.append(f"{place}, reference {number}: {error}")
    return Filled("".join([*parts, text[end:]]), hidden, problems)


def _of(match: re.Match[str]) -> tuple[Secret, str]:
    return Secret(match[1] or match[4], match[2] or match[5]), match[3] or ""


def _value(values: Values, secret: Secret, key: str) -> str:
    """The value of a secret, or what its JSON has under a key, without white space around it. Raises BadReference."""
    found = values.get(secret, BadReference("is in a variable that another secret names, which is not followed"))
    if isinstance(found, BadReference):
        raise found
    text = (_member(found, key) if key else found).strip()
    if not text:
        raise BadReference("the secret is empty")
    return _without(text, "\0", "a NUL")


def _member(text: str, key: str) -> str:
    import orjson  # noqa: PLC0415 - only where there are secrets

    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise BadReference("the secret is no JSON object; expected one, which has the key")
    if key not in found:
        raise BadReference("the secret has no such key")
    value = found[key]
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise BadReference("what the secret has under the key is neither text nor a number")
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _without(value: str, pattern: str, what: str) -> str:
    if re.search(pattern, value):
        raise BadReference(f"the secret holds {what}, which has no place there")
    return value

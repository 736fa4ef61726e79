"""Where settings are read from: the environment, an env file, or a template's function; as variables."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*")
QUOTED = {
    "'": re.compile(r"'([^']*)'[ \t]*(?:#[^\n]*)?"),
    '"': re.compile(r'"((?:[^"\\]|\\.)*)"[ \t]*(?:#[^\n]*)?', re.DOTALL),
}
ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$"}
OURS = "FORWARDER_"
LEFT_OPEN = "left-open"  # how the name of a secret begins that stands for a whole sink URL
USUAL_REGION = "us-east-1"  # stands for the one that Lambda sets


class Unreadable(Exception):
    """What was named cannot be read. The text says what was expected, and quotes no value."""


class Source(NamedTuple):
    """Variables, and what has to be said of them. `stand_ins` are words in them by what each stands for."""

    what: str
    variables: Mapping[str, str]
    notes: tuple[str, ...] = ()
    stand_ins: Mapping[str, str] = {}

    def waits_for(self, text: str) -> str:
        """What is not known yet of what is in a text; empty where all is."""
        words = (word for word in self.stand_ins if word in text and not word.startswith(":"))
        if LEFT_OPEN in text:
            return "what is left open"
        return next((self.stand_ins[word] for word in words), "")


def beside(found: Mapping[str, str]) -> dict[str, str]:
    """Variables of a function on this machine: credentials, proxies and the like are the machine's, settings not."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    return {**kept, **found}


def with_region(source: Source, region: str) -> Source:
    """The source with the region that Lambda would set."""
    if region:
        return source._replace(variables={**source.variables, "AWS_REGION": region})
    if any(source.variables.get(name) for name in ("AWS_REGION", "AWS_DEFAULT_REGION")):
        return source
    note = f"AWS_REGION is not set here, as it is in a function: {USUAL_REGION} stands for it (--region names another)"
    return source._replace(
        variables={**source.variables, "AWS_REGION": USUAL_REGION},
        notes=(*source.notes, note),
        stand_ins={**source.stand_ins, f":{USUAL_REGION}:": ":${AWS::Region}:"},
    )


def read_env_file(path: str) -> dict[str, str]:
    """The variables of an env file: NAME=value, quotes as Docker Compose and dotenv take them. Raises Unreadable.

    Single quotes keep all as it is; in double quotes a backslash escapes; either may hold line breaks, as headers need
    them. Without quotes a value ends at the end of its line, or before a blank and a #.
    """
    text = read_text(path)
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        line = text[at:].partition("\n")[0]
        if not line.strip() or line.lstrip().startswith("#"):
            at += len(line) + 1
            continue
        begun = NAME.match(text, at + len(line) - len(line.lstrip()))
        if begun is None or "\n" in begun[0].rstrip():
            raise Unreadable(f"line {text.count(chr(10), 0, at) + 1} of {path} is no variable; expected NAME=value")
        start = begun.end() if "\n" not in begun[0] else begun.start() + len(begun[0].partition("\n")[0])
        found[begun[1]], at = _value(text, start, path)
    return found


def _value(text: str, at: int, path: str) -> tuple[str, int]:
    """A value that begins there, and where the next line does. Raises Unreadable."""
    quote = text[at : at + 1]
    if quote not in QUOTED:
        line = text[at:].partition("\n")[0]
        return re.sub(r"(?:^|\s+)#.*", "", line).strip(), at + len(line) + 1
    quoted = QUOTED[quote].match(text, at)
    rest = text[quoted.end() :].partition("\n")[0] if quoted else "?"
    if quoted is None or rest.strip():
        number = text.count("\n", 0, at) + 1
        raise Unreadable(f"line {number} of {path}: expected a quote at the end of the value, and nothing behind it")
    value = quoted[1]
    if quote == '"':
        value = re.sub(r"\\(.)", lambda found: ESCAPES.get(found[1], found[0]), value, flags=re.DOTALL)
    return value, quoted.end() + len(rest) + 1


def read_text(path: str) -> str:
    """A file's text. Raises Unreadable."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except (OSError, ValueError) as error:
        raise Unreadable(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'not UTF-8'}") from None

"""Environment variables from NAME=VALUE words and from a file of them, quoted as in Docker Compose and dotenv.

Source: Docker's documentation, "Syntax for environment files in Docker Compose". A dollar sign stands for itself.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from simulator.errors import SimulatorError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*\Z")
_QUOTED = {
    "'": re.compile(r"'([^']*)'"),  # what stands in single quotes stands for itself
    '"': re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL),
}
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$"}
_REST = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\n|\Z)")
_COMMENT = re.compile(r"(?:^|[ \t])#.*")
_LINE = re.compile(r"[^\n]*\n?")


def variables(words: Sequence[str], file: Path | None) -> dict[str, str]:
    """The variables of the file and of the words, which win; SimulatorError that says where, and quotes no value."""
    found = _read(file) if file else {}
    for number, word in enumerate(words, 1):
        name, equals, value = word.partition("=")
        if not equals or not _NAME.match(name):
            raise SimulatorError(f"word {number} of --env is not of the form NAME=VALUE")
        found[name] = value
    return found


def _read(file: Path) -> dict[str, str]:
    try:
        text = file.read_text(encoding="utf-8-sig").replace("\r\n", "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SimulatorError(f"cannot read the env file: {error}") from error
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        start = at
        line = _LINE.match(text, at)
        stripped = line.group().strip() if line else ""
        if line and (not stripped or stripped.startswith("#")):
            at = line.end()
            continue
        try:
            name, at = _name(text, at)
            found[name], at = _value(text, at)
        except ValueError as error:
            where = f"{file}, line {text.count(chr(10), 0, start) + 1}"
            raise SimulatorError(f"{where}: {error}") from None
    return found


def _name(text: str, at: int) -> tuple[str, int]:
    """The name that begins at `at`, and where its value does."""
    line = text[at:].split("\n", 1)[0]
    before, equals, _ = line.partition("=")
    name = re.sub(r"^export\s+", "", before.strip())
    if not equals or not _NAME.match(name):
        raise ValueError("not of the form NAME=VALUE")
    value = at + len(before) + 1
    while text[value : value + 1] in (" ", "\t"):
        value += 1
    return name, value


def _value(text: str, at: int) -> tuple[str, int]:
    """The value that begins at `at`, and where the next line does."""
    quote = text[at : at + 1]
    if quote not in _QUOTED:
        line = text[at:].split("\n", 1)[0]
        return _COMMENT.sub("", line).strip(), at + len(line) + 1
    quoted = _QUOTED[quote].match(text, at)
    if not quoted:
        raise ValueError(f"a value begins with {quote} and does not end with it")
    rest = _REST.match(text, quoted.end())
    if not rest:
        raise ValueError(f"something follows the closing {quote}")
    value = quoted[1]
    if quote == '"':
        value = _ESCAPE.sub(lambda found: _ESCAPED.get(found[1], found[0]), value)
    return value, rest.end()

"""Paths to fields of a record, as user.password or items.*.card. A leaf.

A dot is a step into an object or an array, or a dot in a name: user.email is the member email of user, and the member
user.email too, since many write nested names like that. `*` is any one step. `record.` before a path may be the key of
the platform's line, or a member that a function wrote: it means both. Names are the same in any case, as those of
headers are: whoever sends a request would decide else what is replaced.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

ANY = "*"
MAX_LOOK = 1000  # characters of names in one expression
PLAIN = re.compile(r"[\w-]+", re.ASCII)

Path = tuple[str, ...]  # what is still to go, in small letters


def parse(text: str) -> list[Path]:
    """The steps of a path, or of the two that it may mean. Raises ValueError."""
    steps = tuple(_small(text).split("."))
    if not all(step and (step == ANY or ANY not in step) for step in steps):
        raise ValueError("expected names separated by dots, * for any one of them")
    return [steps, steps[1:]] if steps[0] == "record" and len(steps) > 1 else [steps]


def split(text: str) -> list[str]:
    """The paths of a setting, separated by commas or line breaks."""
    return [part.strip() for part in re.split(r"[,\n]", text) if part.strip()]


def step(paths: Iterable[Path], name: str) -> list[Path]:
    """What is still to go of the paths that lead through the member of this name; nothing where one ends there."""
    name = _small(name)
    found = [path[1:] for path in paths if path and path[0] in {ANY, name}]
    if "." in name:
        parts = name.split(".")
        found += [path[len(parts) :] for path in paths if _begins(path, parts)]
    return found


def _small(name: str) -> str:
    """The name with the letters of ASCII small; others are written in one way by whoever means one name."""
    if name.isascii():
        return name.lower()
    return name.encode("utf-8", "surrogatepass").lower().decode("utf-8", "surrogatepass")


def _begins(path: Path, parts: list[str]) -> bool:
    return len(path) >= len(parts) and all(one in {ANY, part} for one, part in zip(path, parts, strict=False))


def look(paths: Iterable[Path]) -> str:
    r"""An expression of RE2 for what is in every line of JSON with such a field, unless it has \\u00XX in it."""
    # The number of an array's member is written nowhere.
    names = [next((one for one in reversed(path) if one != ANY and not one.isdigit()), "") for path in paths]
    if not all(map(PLAIN.fullmatch, names)) or sum(map(len, names)) > MAX_LOOK:
        return ""  # in every line: other characters may be written in several ways
    return "(?i)" + "|".join(names)


def are_of_places(paths: Iterable[Path]) -> bool:
    """Whether one of them needs no name, but a place in an array alone."""
    return any(all(one == ANY or one.isdigit() for one in path) for path in paths)

"""docs/architecture.md follows a record, an INVOKE and a SHUTDOWN through functions that are there."""

from __future__ import annotations

import importlib
import re
from functools import reduce
from pathlib import Path

import pytest

PAGE = Path(__file__).parent.parent / "docs" / "architecture.md"
SECTIONS = ("The life of a record", "The life of an INVOKE", "The life of a SHUTDOWN")
NAME = re.compile(r"`(?!platform\.)((?:\w+\.)+\w+)`")  # but for the types of platform events


def items(section: str) -> list[str]:
    """The items of the numbered list in a section."""
    text = PAGE.read_text().split(f"\n## {section}\n", 1)[1].split("\n## ", 1)[0]
    return re.split(r"^\d+\. ", text, flags=re.MULTILINE)[1:]


def find(name: str) -> object:
    """What a dotted name below `extension` means: modules as far as they go, attributes from there on."""
    parts = name.split(".")
    for length in range(len(parts) - 1, 0, -1):
        module = ".".join(["extension", *parts[:length]])
        try:
            found = importlib.import_module(module)
        except ModuleNotFoundError:
            continue
        return reduce(getattr, parts[length:], found)
    raise LookupError(name)


@pytest.mark.parametrize(
    "name", sorted({name for section in SECTIONS for name in NAME.findall("".join(items(section)))})
)
def test_what_is_named_exists(name: str) -> None:
    """Each `module.function` of the three lists can be imported."""
    assert find(name) is not None


@pytest.mark.parametrize("section", SECTIONS)
def test_every_step_names_code(section: str) -> None:
    """Each item says in which function it happens."""
    assert items(section)
    assert [item for item in items(section) if not NAME.search(item)] == []

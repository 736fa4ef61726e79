"""What the documentation names is there, and what is there is documented."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from extension.config import ConfigError, parse

ROOT = Path(__file__).parent.parent
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]


def settings() -> set[str]:
    """All settings, as the forwarder itself names them."""
    with pytest.raises(ConfigError) as caught:
        parse({"FORWARDER_UNKNOWN": "x"})
    return set(re.findall(r"FORWARDER_\w+", caught.value.problems[0])) - {"FORWARDER_UNKNOWN"}


@pytest.mark.parametrize("page", ["README.md", "docs/configuration.md"])
def test_every_setting_is_documented(page: str) -> None:
    """Each setting stands in the table, in full or as `_SUFFIX` after one with the same beginning."""
    text = (ROOT / page).read_text()
    named = {name for name in settings() if name in text}
    named |= {name for name in settings() if any(f"_{end}`" in text or f"_{end}**" in text for end in suffixes(name))}
    assert named == settings()


def suffixes(name: str) -> list[str]:
    parts = name.split("_")
    return ["_".join(parts[start:]) for start in range(1, len(parts))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link in the documentation is to a file that is there."""
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_a_heading(page: Path) -> None:
    """What stands behind a # is the name that GitHub gives to a heading of that page."""
    links = re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", page.read_text())
    gone = [name for target, name in links if name not in headings(page.parent / target if target else page)]
    assert gone == []


def headings(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title).lower().replace(" ", "-") for title in titles}


def test_every_message_of_the_log_is_explained() -> None:
    """Each WARN and ERROR is in the table of docs/operations.md, which says what to do."""
    told = (ROOT / "docs" / "operations.md").read_text()
    calls = [call for path in sorted((ROOT / "extension").rglob("*.py")) for call in calls_of_log(path)]
    assert len(calls) > 30
    assert [text for text in calls if f"`{text}" not in told] == []


def calls_of_log(path: Path) -> list[str]:
    """What a module logs as WARN or ERROR, as far as its text does not depend on anything."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        if getattr(node.func, "attr", getattr(node.func, "id", "")) not in {"log", "log_seldom", "_say"}:
            continue
        texts = [one.value for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
        if {"WARN", "ERROR"} & set(texts):
            found += [text for text in texts if text not in {"WARN", "ERROR"}]
    return found

"""What the documentation names is there, and what is there is documented."""

from __future__ import annotations

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

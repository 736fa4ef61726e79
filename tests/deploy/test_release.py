"""The release: what the workflow does with GitHub's command line."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support import ROOT

if TYPE_CHECKING:
    from pathlib import Path

NOTES = "### Added\n\n- Everything.\n\n## Layers\n\n| region |\n"
# Notes what it is called with; a release is there where the file `there` is, whose text are its notes.
GH = """#!/bin/sh
echo "$*" >>called
case $* in
"release view v1.2.3") test -e there ;;
"release view"*) cat there ;;
esac
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a layer, release notes and a `gh`."""
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist" / "layer.zip").touch()
    (tmp_path / "notes.md").write_text(NOTES)
    (tmp_path / "gh").write_text(GH)
    (tmp_path / "gh").chmod(0o755)
    return tmp_path


def release(folder: Path) -> list[str]:
    """Run release.sh there; what it called gh with."""
    env = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "GITHUB_REF_NAME": "v1.2.3"}
    command = [str(ROOT / ".github" / "release.sh"), "notes.md"]
    subprocess.run(command, cwd=folder, env=env, check=True, timeout=50)
    return (folder / "called").read_text().splitlines()


def test_a_tag_gets_its_release(folder: Path) -> None:
    """What is in dist/ and the notes become the release of the tag."""
    expected = "release create v1.2.3 dist/layer.zip --verify-tag --title v1.2.3 --notes-file notes.md"
    assert release(folder)[-1] == expected


def test_a_second_run_adds_its_layers(folder: Path) -> None:
    """Where the release is there, the ARNs of the new regions come below its notes."""
    (folder / "there").write_text("Old notes.\n")
    assert "release edit v1.2.3 --notes-file both.md" in release(folder)
    assert (folder / "both.md").read_text() == "Old notes.\n## Layers\n\n| region |\n"

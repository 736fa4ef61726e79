from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.simulator import emulator, judge

if TYPE_CHECKING:
    from pathlib import Path

REASON = emulator.why_not()
pytestmark = pytest.mark.skipif(bool(REASON), reason=REASON)


@pytest.mark.parametrize("trap", ["", "init", "exit"])
@pytest.mark.parametrize("mode", ["classic", "managed"])
async def test_simulator_answers_as_awss_emulator_but_for_what_the_documentation_lists(
    tmp_path: Path, mode: str, trap: str
) -> None:
    """Every field of every answer, event and record is AWS's own, or stands in docs/simulator.md with its reason."""
    managed = mode == "managed"
    theirs = await judge.ask_theirs(tmp_path, managed=managed, trap=trap)
    ours = await judge.ask_ours(tmp_path, managed=managed, trap=trap)
    assert len(theirs.cases) > (2 if trap else 50)
    differences = list(judge.compare(ours, theirs, trap=trap))
    for one in differences if os.environ.get("SHOW_DIFFERENCES") else ():
        print(f"{mode} | {one.case} | {one.field} | {one.ours} | {one.theirs}")  # noqa: T201  to write the table by
    missing, stale = judge.unexplained(differences, f"{mode}, trap" if trap else mode)
    assert (missing, stale) == ([], [])

"""What comes before the first invocation: records of the init, or of the restore of a snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from extension.intake.decoder import Line

INIT = "init"
ENDS = {"platform.restoreStart": "restore", "platform.start": ""}  # with the phase that begins then


def parts(phase: str, lines: Sequence[Line]) -> Iterator[tuple[str, Sequence[Line]]]:
    """The lines that come in a phase, and where it ends those behind, each with their phase; none at the last."""
    begun = 0
    for at, line in enumerate(lines):
        if phase and line.type in ENDS:
            yield phase, lines[begun:at]
            phase, begun = ENDS[line.type], at
    yield phase, lines[begun:]

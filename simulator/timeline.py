"""What happened, in order, with times. Everything that is printed, drawn or judged comes from here."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable


class Moment(NamedTuple):
    """One thing that happened: seconds since the start of the simulation, a dotted name, and details (JSON values)."""

    at: float
    what: str
    details: dict[str, Any]


class Timeline(list[Moment]):
    """All moments so far. `watch` is called with each new one, to print it live."""

    def __init__(self, watch: Callable[[Moment], None] | None = None) -> None:
        super().__init__()
        self._zero = time.monotonic()
        self._watch = watch

    def begin(self) -> None:
        """Count from now: what came before was preparation."""
        self._zero = time.monotonic()

    def note(self, what: str, /, **details: Any) -> None:
        """Add a moment that is happening now."""
        moment = Moment(time.monotonic() - self._zero, what, details)
        self.append(moment)
        if self._watch:
            self._watch(moment)

    def named(self, what: str) -> list[Moment]:
        """The moments of one name, in order."""
        return [moment for moment in self if moment.what == what]

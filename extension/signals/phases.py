"""Init and restore: what comes before invocations, or again within the first of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from extension.signals.event import Event
    from extension.signals.invocations import Invocation

# The initialization types of which no invocation waits for the init.
AHEAD = frozenset({"provisioned-concurrency", "lambda-managed-instances"})
SNAPSHOT = "snap-start"  # the init happened once, before the snapshot; every environment made from that is told of it
MAX_PHASES = 4  # of one invocation: an init, its second try, a restore

NAMES = {
    "initStart": "init",
    "initRuntimeDone": "init",
    "initReport": "init",
    "restoreStart": "restore",
    "restoreRuntimeDone": "restore",
    "restoreReport": "restore",
}  # fmt: skip - a line for each phase


class Phase:
    """An init or a restore, `name`, with its events. `invocation` was running when it began."""

    __slots__ = ("events", "invocation", "name", "number")

    def __init__(self, name: str, number: int, invocation: Invocation | None) -> None:
        self.name = name
        self.number = number
        self.invocation = invocation
        self.events: dict[str, Event] = {}

    @property
    def report(self) -> Event | None:
        """Its last event, once that has come."""
        return self.events.get(f"{self.name}Report")

    @property
    def status(self) -> str:
        """How it ended, as far as is known."""
        said = [event.status for event in self.events.values() if event.status]
        return next((status for status in said if status != "success"), said[0] if said else "")

    @property
    def error_type(self) -> str:
        """What its events call the error."""
        return next((event.error_type for event in self.events.values() if event.error_type), "")


class Phases:
    """The phases of this environment. `kind` is its initialization type, as its variables or else its events say."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.is_cold = False  # whether the next invocation waits for what has begun
        self._count = 0
        self._current: Phase | None = None
        self._ended: list[Phase] = []

    @property
    def initialized(self) -> bool:
        """Whether this environment has begun an init or a restore of its own."""
        return self._count > 0

    @property
    def is_ahead(self) -> bool:
        """Whether no invocation waits for the init."""
        return self.kind in AHEAD

    def take(self, event: Event, running: Invocation | None) -> Phase | None:
        """The phase of an event, once it is over; None until then, and for the init of a snapshot."""
        name = NAMES[event.type]
        self.kind = event.initialization_type or self.kind
        if name == "init" and self.kind == SNAPSHOT:
            return None
        phase = self._current
        if phase is None or phase.name != name or event.type in phase.events:
            self._count += 1
            phase = self._current = Phase(name, self._count, running)
            if running is not None:
                running.is_cold = not self.is_ahead
            else:
                self.is_cold = not self.is_ahead
        phase.events[event.type] = event
        if phase.report is None:
            return None
        self._current = None
        return phase

    def keep(self, phase: Phase) -> None:
        """Have it belong to the invocation that was running when it began, or wait for the next one."""
        running = phase.invocation
        kept = self._ended if running is None or running.is_closed else running.phases
        kept.append(phase)
        del kept[:-MAX_PHASES]

    def hand_over(self, invocation: Invocation) -> None:
        """What waited belongs to this invocation, the first one that has come since."""
        invocation.is_cold, self.is_cold = self.is_cold, False
        invocation.phases, self._ended = self._ended, []
        if self._current is not None and self._current.invocation is None:
            self._current.invocation = invocation  # whose start overtook the phase's report

    def end(self) -> list[Phase]:
        """Those that no invocation came for, or that have not ended: they are waited for no longer."""
        found = [*self._ended, *filter(None, [self._current])]
        self._ended, self._current = [], None
        return found

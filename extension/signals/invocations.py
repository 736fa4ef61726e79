"""Which invocation an event belongs to: a request id may come again, a report after the freeze, anything not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from extension.records import LONGEST_INVOCATION_S
from extension.signals.event import Event

if TYPE_CHECKING:
    from extension.signals.phases import Phase

REMEMBERED = 512  # request ids; on Managed Instances many invocations run at a time
LONGEST_NS = int((LONGEST_INVOCATION_S + 5.0) * 1e9)  # with a grace for the report
MAX_TRIES = 4  # of one request id that are remembered; Lambda itself invokes three times at most

EVENTS = ("start", "runtimeDone", "report")


class Invocation:
    """One try of a request: its events, each of which comes once or never.

    `number` tells tries of one request apart, from 1. It is closed when it has been counted: at its report, or when
    that is waited for no longer. `is_measured` says whether its duration has been; `assumed` is its status where its
    events say none.
    """

    __slots__ = ("assumed", "events", "is_closed", "is_cold", "is_measured", "number", "phases", "request_id")

    def __init__(self, request_id: str, number: int) -> None:
        self.request_id = request_id
        self.number = number
        self.assumed = ""
        self.events: dict[str, Event] = {}
        self.phases: list[Phase] = []
        self.is_closed = self.is_cold = self.is_measured = False

    def forget(self) -> None:
        """Close it: of its events it is still known that they have come."""
        self.is_closed = True
        self.events = {name: Event(name, event.time_ns) for name, event in self.events.items()}
        self.phases = []

    def is_over(self, now_ns: int) -> bool:
        """Whether it is closed, or of so long ago that its report was lost."""
        return self.is_closed or now_ns - max(event.time_ns for event in self.events.values()) > LONGEST_NS

    @property
    def is_running(self) -> bool:
        """Whether it has begun and, as far as is known, not ended."""
        return not self.is_closed and "start" in self.events and len(self.events) == 1

    @property
    def status(self) -> str:
        """How it ended, as its events say: success, error, failure or timeout; empty where they say nothing."""
        said = [event.status for event in self._ends if event.status]
        return next((status for status in said if status != "success"), said[0] if said else self.assumed)

    @property
    def error_type(self) -> str:
        """What its events call the error."""
        return next((event.error_type for event in self._ends if event.error_type), "")

    @property
    def ran_out_of_memory(self) -> bool:
        """Whether Lambda ended it for its memory: it says so, or a crash came with all memory used.

        The second is how runtimes that do not name it are reported: Runtime.ExitError, "signal: killed".
        """
        if any(event.error_type == "Runtime.OutOfMemory" for event in self._ends):
            return True
        report = self.events.get("report")
        if report is None or self.error_type != "Runtime.ExitError":
            return False
        return 0 < report.numbers.get("memorySizeMB", 0) <= report.numbers.get("maxMemoryUsedMB", 0)

    @property
    def _ends(self) -> list[Event]:
        return [self.events[name] for name in ("report", "runtimeDone") if name in self.events]


class Invocations:
    """The invocations of this environment, by request id; of those closed longest ago nothing is known."""

    def __init__(self) -> None:
        self._tries: dict[str, list[Invocation]] = {}  # the latest are last
        self._latest: Invocation | None = None

    @property
    def running(self) -> Invocation | None:
        """The last that has begun, unless it has ended."""
        return self._latest if self._latest is not None and self._latest.is_running else None

    def latest(self, request_id: str) -> Invocation | None:
        """The last try of a request, if any is known."""
        tries = self._tries.get(request_id)
        return tries[-1] if tries else None

    @property
    def open(self) -> list[Invocation]:
        """Those that were not closed."""
        return [invocation for tries in self._tries.values() for invocation in tries if not invocation.is_closed]

    def is_repeated(self, event: Event) -> bool:
        """Whether it is one more report of a request, of which nothing says that it was tried again."""
        tries = self._tries.get(event.request_id, [])
        return event.type == "report" and bool(tries) and all("report" in one.events for one in tries)

    def take(self, event: Event) -> tuple[Invocation, list[Invocation]]:
        """The invocation of a start, runtimeDone or report, which has it now; and those to be closed to make room.

        It is the first try that had not got one yet, the open ones first.
        """
        tries = self._tries.pop(event.request_id, [])
        lacking = [invocation for invocation in tries if event.type not in invocation.events]
        found = min(lacking, key=lambda invocation: invocation.is_closed, default=None)
        if found is None:
            found = Invocation(event.request_id, tries[-1].number + 1 if tries else 1)
            tries.append(found)
        found.events[event.type] = event
        if event.type == "start":
            self._latest = found
        self._tries[event.request_id] = tries
        return found, self._make_room(tries, event.time_ns)

    def _make_room(self, tries: list[Invocation], now_ns: int) -> list[Invocation]:
        gone = [tries.pop(0)] if len(tries) > MAX_TRIES else []
        if len(self._tries) > REMEMBERED:
            # One that still runs would be counted twice; it goes only where all do.
            ended = (name for name, tries in self._tries.items() if all(one.is_over(now_ns) for one in tries))
            gone += self._tries.pop(next(ended, next(iter(self._tries))))
        return [invocation for invocation in gone if not invocation.is_closed]

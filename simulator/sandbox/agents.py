"""One registered extension and the states it may be in (protocol of the Extensions API 2020-01-01)."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Any

from simulator.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_EXTENSIONS = 10  # Developer Guide, "Lambda quotas"
# From which states a call is allowed (AWS's runtime interface emulator, core/externalagent_states.go).
_ALLOWED = {
    "Ready": ("Registered", "Running"),
    "InitError": ("Registered", "InitError"),
    "ExitError": ("Registered", "Ready", "Running", "ExitError"),
}


class Agent:
    """An extension: `state` in AWS's words, `events` it registered for, `external` if it has a process."""

    def __init__(self, name: str, *, external: bool, managed: bool = False) -> None:
        self.name = name
        self.external = external
        self.identifier = ""
        self.state = "Started"
        self.events: list[str] = []
        self.error_type = ""
        self._event: dict[str, Any] | None = None
        self._parked: asyncio.Future[dict[str, Any]] | None = None
        # AWS writes this differently on Managed Instances.
        self._not_allowed = f"Error: {'s' if managed else 'S'}tate transition is not allowed"

    @property
    def registered(self) -> bool:
        """Whether register has succeeded, whatever came after it."""
        return bool(self.identifier)

    def register(self, events: Sequence[str]) -> None:
        """Started -> Registered."""
        if self.registered:
            raise Refused(
                403,
                "Extension.InvalidExtensionState",
                f"State transition from {self.state} to Registered failed for extension {self.name}. "
                f"{self._not_allowed}",
            )
        self.identifier = str(uuid.uuid4())
        self.events = list(events)
        self.state = "Registered"

    def move(self, state: str) -> None:
        """Go to `state`, or refuse as AWS does."""
        if self.state not in _ALLOWED[state]:
            called = "Exited" if state == "ExitError" else state  # so AWS says it
            raise Refused(
                403,
                "Extension.InvalidExtensionState",
                f"State transition from {self.state} to {called} failed for extension {self.identifier}. "
                f"{self._not_allowed}",
            )
        self.state = state

    def park(self) -> asyncio.Future[dict[str, Any]]:
        """A call of event/next: what it waits for."""
        self.move("Ready")
        self._parked = asyncio.get_running_loop().create_future()
        if self._event is not None:
            self.deliver(self._event)
        return self._parked

    def deliver(self, event: dict[str, Any]) -> None:
        """Give it an event: to the call that waits, or to the next one."""
        if self._parked is not None and not self._parked.done():
            self.state = "Running"
            self._event = None
            self._parked.set_result(event)
        else:
            self._event = event

    def unpark(self) -> None:
        """Its process has ended: nobody waits any more."""
        if self._parked is not None and not self._parked.done():
            self._parked.cancel()

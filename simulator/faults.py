"""What goes wrong on request. Every fault is off by default; the places that act on one ask this value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FreezeClocks = Literal["both", "wall", "monotonic", "neither"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Faults of the platform, in the words of its APIs. Calls and invocations are counted from 1; times are seconds."""

    register_status: int = 0  # answer register so, 0: as Lambda does
    subscribe_status: int = 0  # answer the telemetry subscription so: 202 (no Telemetry API), 400, 500
    subscribe_statuses: tuple[int, ...] = ()  # answers to the first subscriptions; after them as above
    next_500: tuple[int, ...] = ()  # these calls of event/next are answered 500
    split_writes: int = 0  # write telemetry over TCP in pieces of so many bytes, each by itself
    coalesce_writes: int = 0  # hold telemetry back until so many batches go out in one write
    burst: int = 0  # so many function records of the platform's own, all at once, in every invocation,
    burst_bytes: int = 0  # each a text of so many bytes; 0: "burst " and a number
    burst_in: tuple[int, ...] = ()  # only in these invocations; none named: in every one
    hold_back_bytes: int = 0  # keep so much for a subscriber who does not read; 0: drop what is due while a batch flies
    stall_s: float = 0.0  # wait so long before each telemetry write, as a congested host would
    freeze_s: float = 0.0  # a freeze lasts so long at least
    clock_jump_s: float = 0.0  # a freeze is made out to last so much longer: the clocks that go on jump ahead
    freeze_clocks: FreezeClocks = "both"  # the clocks of the processes that go on in a freeze; the others stand still
    kill_extension: tuple[int, ...] = ()  # SIGKILL the extensions in the middle of these invocations
    invoke_after_done: tuple[
        int, ...
    ] = ()  # in these invocations INVOKE comes only after platform.runtimeDone was sent
    silence_s: float = 0.0  # nothing comes for so long between the end of the runtime and SHUTDOWN
    after_shutdown_s: tuple[float, ...] = ()  # function records of the platform's own so long after SHUTDOWN was sent,
    after_shutdown: int = 20  # so many each time
    vanish: bool = False  # SIGKILL everything at the end, without SHUTDOWN, as when a host fails

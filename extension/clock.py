"""The one clock for whatever may span a freeze: rhythm, ages, connections that were idle, pauses, intervals.

In a freeze CLOCK_MONOTONIC may go on or stand still, as the host freezes; the wall clock goes on, but may be set, forth
and back (clock_gettime(2)). So what counts is the larger advance of both. A wait within the event loop is the loop's
own business, and deadlineMs is of the wall clock.
"""

from __future__ import annotations

import time

TYPE_CHECKING = False  # as in lambda_api/client.py
if TYPE_CHECKING:
    from collections.abc import Callable


class Clock:
    """Seconds since it was made, which never go back: at each look, the larger advance of `clocks` since the last one.

    Looks on either side of a freeze see it; a clock that is looked at from several threads may count a moment twice.
    """

    def __init__(self, *clocks: Callable[[], float]) -> None:
        self._clocks = clocks
        self._seen = [clock() for clock in clocks]
        self._elapsed_s = 0.0

    def __call__(self) -> float:
        """The time now; it costs less than a microsecond."""
        before, self._seen = self._seen, [clock() for clock in self._clocks]
        self._elapsed_s += max(0.0, *(now - then for now, then in zip(self._seen, before, strict=True)))
        return self._elapsed_s


elapsed = Clock(time.monotonic, time.time)  # one for all: each look makes the next one's advance smaller

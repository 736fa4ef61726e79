"""How many bytes of lines sinks may get in a minute, a bucket that fills as time goes by. Pure; the clock is injected.

What there is never much of, and what tells of the rest, counts and always passes: the platform's records, our own, and
what is derived. So the bound is on what programs print and export.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from extension.records import Record

MINUTE_S = 60.0
EPISODE_S = 60.0  # without a record that was over, after which the next one begins another episode
ALWAYS = frozenset({"platform", "metric", "total", "span"})
OWN, BROKEN = "forwarder.", "forwarder.broken"  # types; a broken line is what a program printed


class Cap:
    """Lets `bytes_per_minute` pass, at once if need be. `clock` gives seconds that go on in a freeze.

    A record passes while anything is left, so the last one may be larger; the next ones wait for that to be made good.
    """

    def __init__(self, bytes_per_minute: int, clock: Callable[[], float]) -> None:
        self.capped = 0  # records that were over
        self._most = bytes_per_minute
        self._left = float(bytes_per_minute)
        self._clock = clock
        self._looked_at = clock()
        self._over_at = -EPISODE_S

    def divide(
        self, records: Sequence[Record], is_wanted: Callable[[Record], bool]
    ) -> tuple[Sequence[Record], Sequence[Record]]:
        """The records that pass, and those that are over; what no sink wants passes and is left to each to count."""
        now = self._clock()
        self._left = min(self._most, self._left + (now - self._looked_at) * self._most / MINUTE_S)
        self._looked_at = now
        passed: list[Record] = []
        over: list[Record] = []
        for record in records:
            if not is_wanted(record):
                passed.append(record)
            elif self._left > 0 or _always(record):
                self._left = max(-self._most, self._left - len(record.line))
                passed.append(record)
            else:
                over.append(record)
        self.capped += len(over)
        return passed, over

    def begins(self) -> bool:
        """Whether a record that was over now is the first one of an episode."""
        is_first = self._clock() - self._over_at >= EPISODE_S
        self._over_at = self._clock()
        return is_first


def _always(record: Record) -> bool:
    return record.kind in ALWAYS or (record.type.startswith(OWN) and record.type != BROKEN)

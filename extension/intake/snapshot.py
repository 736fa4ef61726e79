"""SnapStart: when this environment has become a copy of its snapshot, and what waits until then.

Whatever is in memory when the snapshot is taken, identifiers and the state of random generators among it, is the same
in every copy. When it is taken nobody says: after the first /next, and before the platform tells of the restore.
Source: AWS Lambda Developer Guide, "Handling uniqueness with Lambda SnapStart".
"""

from __future__ import annotations

import os
import random
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from extension.intake.decoder import Line

RESTORES = frozenset({"platform.restoreStart", "platform.restoreReport"})
BEGINS = RESTORES | {"platform.start"}
MAX_HELD_BYTES = 1 << 20  # of lines and what they cost besides
HELD_BYTES = 1000  # that a parsed line costs beside its text


class Snapshot:
    """Holds the lines that come between the first /next and the restore, and has all made anew by `renew` then, once.

    Those are what the function's init prints behind our first /next, and what the platform says of that init: each copy
    finds them here, and delivers them as its own. `told` says whether the environment is known to be one of SnapStart;
    where it is not, nothing is held, and only the events of a restore count.
    """

    def __init__(self, renew: Callable[[], None], *, told: bool) -> None:
        self.told = told
        self.holding = False
        self._renew = renew
        self._restored = False
        self._held: list[Line] = []
        self._held_bytes = 0

    def may_be_taken(self) -> None:
        """The first /next is asked for: from here on nothing is stamped before the restore."""
        self.holding = self.told

    def take(self, lines: list[Line]) -> list[Line]:
        """The lines that may be stamped now.

        What is too much to be held is stamped as before the snapshot: in all copies the same lines, with the same ids.
        """
        types = {line.type for line in lines}
        if types & (BEGINS if self.holding else RESTORES):
            self._become_a_copy()
        elif self.holding:
            self._held += lines
            self._held_bytes += sum(len(line.text) + HELD_BYTES for line in lines)
            return self._release() if self._held_bytes > MAX_HELD_BYTES else []
        return [*self._release(), *lines]

    def restored(self) -> list[Line]:
        """An event came, so the restore, if there is one, is over; the lines that were held for it."""
        if self.holding:
            self._become_a_copy()
        return self._release()

    def _become_a_copy(self) -> None:
        self.holding = False
        if not self._restored:
            self._restored = True
            self._renew()

    def _release(self) -> list[Line]:
        held, self._held, self._held_bytes = self._held, [], 0
        return held


def renew_randomness() -> None:
    """Seed the random generators of this process anew: they went on from the snapshot's state in every copy."""
    random.seed(os.urandom(32))
    if "ssl" in sys.modules:
        import ssl  # noqa: PLC0415 - only where it is loaded anyway

        ssl.RAND_add(os.urandom(32), 32.0)

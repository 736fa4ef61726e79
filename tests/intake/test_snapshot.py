from __future__ import annotations

import pytest

from extension.intake.decoder import Line
from extension.intake.snapshot import MAX_HELD_BYTES, Snapshot


def line(type_: str, text: bytes = b"{}") -> Line:
    return Line(text, type_.partition(".")[0], type_, "")


PRINTED, START = line("function"), line("platform.start")
RESTORES = [line("platform.restoreStart"), line("platform.restoreReport")]


class Rig:
    """A snapshot, and how often all was made anew."""

    def __init__(self, *, told: bool = True) -> None:
        self.renewed = 0
        self.snapshot = Snapshot(self._renew, told=told)

    def _renew(self) -> None:
        self.renewed += 1


def test_what_comes_before_the_first_next_is_stamped_at_once() -> None:
    """The snapshot is not taken before the first /next is asked for."""
    rig = Rig()
    assert rig.snapshot.take([PRINTED]) == [PRINTED]
    assert rig.renewed == 0


@pytest.mark.parametrize("restore", [*RESTORES, START])
def test_what_is_in_the_snapshot_waits_for_the_restore(restore: Line) -> None:
    """Each copy delivers it as its own: it is stamped once all was made anew."""
    rig = Rig()
    rig.snapshot.may_be_taken()
    assert rig.snapshot.take([PRINTED]) == []
    assert rig.snapshot.take([restore]) == [PRINTED, restore]
    assert (rig.renewed, rig.snapshot.holding) == (1, False)


def test_an_event_ends_the_wait_as_well() -> None:
    """The event may be faster than the telemetry of the restore."""
    rig = Rig()
    rig.snapshot.may_be_taken()
    rig.snapshot.take([PRINTED])
    assert rig.snapshot.restored() == [PRINTED]
    assert rig.snapshot.restored() == []
    assert rig.snapshot.take(RESTORES) == RESTORES
    assert rig.renewed == 1


def test_where_no_snapshot_is_told_of_nothing_is_held() -> None:
    """In an ordinary environment a line is never delayed, and nothing is made anew."""
    rig = Rig(told=False)
    rig.snapshot.may_be_taken()
    assert rig.snapshot.take([PRINTED]) == [PRINTED]
    assert rig.snapshot.take([START]) == [START]
    assert rig.snapshot.restored() == []
    assert rig.renewed == 0


def test_a_restore_that_nobody_told_of_counts() -> None:
    """Where the platform speaks of a restore, this is a copy, whatever the variables say."""
    rig = Rig(told=False)
    assert rig.snapshot.take([RESTORES[0]]) == [RESTORES[0]]
    assert rig.snapshot.take([RESTORES[1]]) == [RESTORES[1]]
    assert rig.renewed == 1


def test_what_is_held_has_a_bound() -> None:
    """What is too much is let go of in order, with the ids of before."""
    rig = Rig()
    rig.snapshot.may_be_taken()
    long = line("function", b"x" * MAX_HELD_BYTES)
    assert rig.snapshot.take([PRINTED]) == []
    assert rig.snapshot.take([long]) == [PRINTED, long]
    assert rig.snapshot.take([PRINTED]) == []
    assert rig.renewed == 0

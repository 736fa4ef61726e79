"""How many bytes sinks get in a minute, and what becomes of the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from extension.delivery.cap import EPISODE_S, Cap
from extension.records import Record

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST = 1000


def record(size: int, kind: str = "function", type_: str = "") -> Record:
    return Record(0, kind, b"x" * size, type_ or kind)


def divide(cap: Cap, records: Sequence[Record]) -> tuple[Sequence[Record], Sequence[Record]]:
    return cap.divide(records, lambda _: True)


def capped(clock: list[float]) -> Cap:
    return Cap(MOST, lambda: clock[0])


def test_what_fits_passes_and_the_rest_is_over() -> None:
    """A minute's bytes may come at once; the record that uses up the last of them passes whole."""
    cap = capped([0.0])
    records = [record(400)] * 5
    passed, over = divide(cap, records)
    assert (len(passed), len(over), cap.capped) == (3, 2, 2)


def test_what_no_sink_wants_is_not_counted() -> None:
    """It passes, for each sink to leave it out, and takes nothing from the others."""
    cap = capped([0.0])
    unwanted, wanted = record(5 * MOST), record(MOST)
    assert cap.divide([unwanted, wanted, unwanted, record(1)], lambda one: one is not unwanted) == (
        [unwanted, wanted, unwanted],
        [record(1)],
    )


def test_time_makes_room_again() -> None:
    """What was spent comes back evenly, frozen or not, and never more than a minute's worth."""
    clock = [0.0]
    cap = capped(clock)
    divide(cap, [record(MOST)])
    clock[0] = 30.0
    assert len(divide(cap, [record(250)] * 4)[0]) == 2
    clock[0] = 30_000.0
    assert len(divide(cap, [record(250)] * 9)[0]) == 4


def test_what_is_first_class_always_passes() -> None:
    """Records of the platform's, our own and derived ones pass and count; a broken line is a program's."""
    cap = capped([0.0])
    divide(cap, [record(MOST)])
    always = [record(9, "platform"), record(9, "span"), record(9, "other", "forwarder.ledger")]
    never = [record(9), record(9, "extension"), record(9, "other", "forwarder.broken"), record(9, "otlp-traces")]
    assert divide(cap, [*always, *never]) == (always, never)


def test_a_flood_of_the_platform_does_not_silence_for_long() -> None:
    """Whatever passed before, two minutes later there is room."""
    clock = [0.0]
    cap = capped(clock)
    divide(cap, [record(100 * MOST, "platform")])
    clock[0] = 119.0
    assert divide(cap, [record(1)])[0]


def test_an_episode_is_told_once() -> None:
    """The first record that is over begins an episode; a minute without one ends it."""
    clock = [0.0]
    cap = capped(clock)
    told = []
    for clock[0] in (0.0, 30.0, 80.0, 80.0 + EPISODE_S, 81.0 + EPISODE_S):
        told.append(cap.begins())
    assert told == [True, False, False, True, False]


@given(st.lists(st.tuples(st.floats(0.0, 100.0), st.integers(1, 600)), max_size=60))
def test_no_minute_has_more_than_its_share(came: list[tuple[float, int]]) -> None:
    """In any time, no more than a minute's bytes and what time brought have passed, but for the last record."""
    clock = [0.0]
    cap = capped(clock)
    passed = 0
    for after_s, size in came:
        clock[0] += after_s
        passed += sum(len(one.line) for one in divide(cap, [record(size)])[0])
        assert passed < MOST + clock[0] * MOST / 60 + 600.001

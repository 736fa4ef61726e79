from __future__ import annotations

import random
from typing import TYPE_CHECKING

from extension.decoder import Decoded, Decoder
from extension.snapshot import MAX_HELD_BYTES, Snapshot, renew_randomness

if TYPE_CHECKING:
    from collections.abc import Sequence


def lines(*types: str, size: int = 0) -> list[Decoded]:
    text = b"".join(b'{"type":"%b","record":"%b"}\n' % (type_.encode(), b"x" * size) for type_ in types)
    return Decoder().feed(text)


class Run:
    """A snapshot that may be taken, fed with lines; how often all was made anew."""

    def __init__(self, *, told: bool = True) -> None:
        self.renewals = 0
        self.snapshot = Snapshot(self._renew, told=told)
        self.snapshot.may_be_taken()

    def _renew(self) -> None:
        self.renewals += 1

    def take(self, *types: str, size: int = 0) -> Sequence[Decoded]:
        return self.snapshot.take(lines(*types, size=size))


def test_lines_are_held_until_the_restore() -> None:
    """What comes before the restore comes out with the line that tells of it, in order, after all was made anew."""
    run = Run()
    assert run.take("function", "platform.initReport") == []
    assert run.renewals == 0
    held = run.take("platform.restoreStart", "function")
    assert held == lines("function", "platform.initReport", "platform.restoreStart", "function")
    assert run.renewals == 1


def test_a_restore_happens_once() -> None:
    """None of the events that follow the first one makes anything anew."""
    run = Run()
    run.take("platform.restoreStart", "platform.restoreReport", "platform.start")
    for type_ in ("platform.restoreStart", "platform.restoreReport", "platform.start"):
        run.snapshot.observe(type_)
        assert run.take(type_) == lines(type_)
    assert run.snapshot.restored() == []
    assert run.renewals == 1


def test_what_is_held_has_a_bound() -> None:
    """Lines above it come out as they are, and those after them are held again."""
    run = Run()
    size = MAX_HELD_BYTES // 4
    out = [len(run.take("function", size=size)) for _ in range(8)]
    assert sum(out) == 8 - (8 % max(out))
    assert max(out) <= 4
    assert run.renewals == 0


def test_elsewhere_nothing_is_held() -> None:
    """Where nobody says that this is SnapStart, neither lines nor an invocation's beginning make anything anew."""
    run = Run(told=False)
    for type_ in ("function", "platform.start"):
        assert run.take(type_) == lines(type_)
        run.snapshot.observe(type_)
    assert run.snapshot.restored() == []
    assert run.renewals == 0


def test_python_draws_anew() -> None:
    """Two copies of one state of `random` draw different numbers."""
    state = random.getstate()
    drawn = []
    for _ in range(2):
        random.setstate(state)
        renew_randomness()
        drawn.append(random.random())  # noqa: S311 - it is what is tested
    assert drawn[0] != drawn[1]

from __future__ import annotations

from extension.own_health import AGAIN_S, OwnHealth

LEDGER = {
    "received": 0,
    "platformDropped": 0,
    "sinks": {"https://one/": {"delivered": 0, "fellBack": 0, "dropped": {}}},
}


class Told:
    """What is told in the course of time."""

    def __init__(self, *unhealthy: str) -> None:
        self.now = 1000.0
        self._health = OwnHealth(lambda: self.now)
        self._health.record("start", LEDGER, 0, unhealthy, 0.0)

    def look(self, *unhealthy: str, lost: int = 0) -> str:
        """Why it is told now, if it is."""
        if why := self._health.why_now(LEDGER, lost, unhealthy):
            self._health.record(why, LEDGER, lost, unhealthy, 0.0)
        return why

    def minutes(self, count: int, *unhealthy: str) -> list[str]:
        """What is told in so many minutes, in which it is looked at ten times each."""
        told = []
        for _ in range(count * 10):
            self.now += AGAIN_S / 10
            told.append(self.look(*unhealthy))
        return list(filter(None, told))


def test_nothing_is_told_while_all_is_well() -> None:
    """An environment that does its work says so at its start, and no more."""
    assert Told().minutes(60) == []


def test_an_outage_is_told_in_each_minute() -> None:
    """An alarm looks at minutes: a sink that goes on failing is told again, until it answers."""
    told = Told()
    assert told.look("https://one/") == "change"
    assert told.minutes(5, "https://one/") == ["unhealthy"] * 5
    assert told.minutes(5) == ["change"]


def test_what_was_told_at_the_start_is_told_again_a_minute_later() -> None:
    """An outage that the environment began with is known; its end is told at once."""
    told = Told("https://one/")
    assert told.look("https://one/") == ""
    assert told.look() == "change"
    told = Told("https://one/")
    assert told.minutes(3, "https://one/") == ["unhealthy"] * 3


def test_what_changes_often_is_told_seldom() -> None:
    """Changes within a minute are one record, of the state at its end."""
    told = Told()
    assert [told.look("https://one/"), told.look(), told.look("https://one/"), told.look(lost=1)] == [
        "change",
        "",
        "",
        "",
    ]
    told.now += AGAIN_S
    assert told.look(lost=1) == "change"

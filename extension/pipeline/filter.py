"""Leaving out what was not asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from extension.log import MARK
from extension.records import PRINTED

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from extension.records import Record
    from extension.rules import Rules

OWN_LINE = MARK.decode()


class Filter:
    """Leaves out records by their kinds and types, and those that `rules` leave out; the others stay in order.

    With `stamped`, they have their key "lambda" already. A record that a rule cannot read stays, whatever it is that it
    cannot read, and is counted.
    """

    def __init__(
        self,
        kinds: Collection[str] = (),
        types: Collection[str] = (),
        rules: Rules | None = None,
        *,
        stamped: bool = False,
    ) -> None:
        self._unreadable = 0
        self._left_out: dict[str, int] = {}  # by rule
        self._kinds = frozenset(kinds)
        self._types = frozenset(types)
        self._rules = rules
        self._stamped = stamped

    def __call__(self, records: Sequence[Record]) -> list[Record]:
        """Those that stay."""
        unwanted, types = self._kinds, self._types
        kept = [record for record in records if record.kind not in unwanted and record.type not in types]
        if len(kept) < len(records):
            self._count("types", len(records) - len(kept))
        return kept if self._rules is None else [record for record in kept if self._stays(record, self._rules)]

    def wants(self, record: Record) -> bool:
        """Whether it would stay; nothing is counted."""
        if record.kind in self._kinds or record.type in self._types:
            return False
        try:
            return self._rules is None or not self._why_not(record, self._rules)
        except Exception:  # noqa: BLE001 - as below
            return True

    @property
    def account(self) -> dict[str, object]:
        """What the ledger says of it: how many records each rule left out, and how many it could not read."""
        unreadable = {"unreadable": self._unreadable} if self._rules is not None else {}
        return {"filteredBy": dict(self._left_out), **unreadable}

    def _stays(self, record: Record, rules: Rules) -> bool:
        try:
            rule = self._why_not(record, rules)
        except Exception:  # noqa: BLE001 - whatever it is about this record, nobody asked for it to be left out
            self._unreadable += 1
            return True
        if rule:
            self._count(rule, 1)
        return not rule

    def _why_not(self, record: Record, rules: Rules) -> str:
        """The rule that leaves it out; empty where none does."""
        if record.kind not in PRINTED:
            return ""
        if self._stamped:
            return rules.why_not_stamped(record)
        return rules.why_not(record.kind, record.line, record.content)

    def _count(self, rule: str, number: int) -> None:
        self._left_out[rule] = self._left_out.get(rule, 0) + number


def but_our_own(records: list[Record]) -> list[Record]:
    """Keep all but the lines of the forwarder's own log, which would otherwise come round for ever."""
    return [record for record in records if record.kind != "extension" or not is_our_own(record.content)]


def is_our_own(content: object) -> bool:
    """Whether an extension record is a line of the forwarder's own log."""
    if isinstance(content, str):
        return content.startswith(OWN_LINE)
    return isinstance(content, dict) and content.get("forwarder") is True

"""Leaving out what was not asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from extension.log import MARK
from extension.records import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from extension.records import Record

OWN_LINE = MARK.decode()


def by_type(types: Collection[str]) -> Callable[[list[Record]], list[Record]]:
    """A step that keeps the records of these kinds, and those of no known kind."""
    unwanted = frozenset(KINDS) - frozenset(types)

    def keep(records: list[Record]) -> list[Record]:
        return [record for record in records if record.kind not in unwanted]

    return keep


def but_our_own(records: list[Record]) -> list[Record]:
    """Keep all but the lines of the forwarder's own log, which would otherwise come round for ever."""
    return [record for record in records if record.kind != "extension" or not is_our_own(record.content)]


def is_our_own(content: object) -> bool:
    """Whether an extension record is a line of the forwarder's own log."""
    if isinstance(content, str):
        return content.startswith(OWN_LINE)
    return isinstance(content, dict) and content.get("forwarder") is True

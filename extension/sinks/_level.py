"""The level of a record, as intakes sort by it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from extension import lenient

if TYPE_CHECKING:
    from extension.records import Record

LEVELS = {word: word for word in ("trace", "debug", "info", "warn", "error", "critical", "fatal")} | {"warning": "warn"}
UNKNOWN = "unknown"


def level(record: Record) -> str:
    """The level of a record that is an object, one of LEVELS; unknown where it has none, or another."""
    if b'"level"' not in record.line:  # so no other line is parsed; within a text the quotes are escaped
        return UNKNOWN
    try:
        found = lenient.loads(record.line).get("record")
    except (ValueError, RecursionError, OverflowError):
        return UNKNOWN
    word = found.get("level") if isinstance(found, dict) else None
    return LEVELS.get(word.lower(), UNKNOWN) if isinstance(word, str) else UNKNOWN

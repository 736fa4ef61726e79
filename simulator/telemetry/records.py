"""Telemetry records as the platform writes them: one JSON object a line (Developer Guide, "Event schema reference").

The logs of a function can be a million lines, so a record is encoded once, where it is born.
"""

from __future__ import annotations

import contextlib
from typing import Any, Literal, NamedTuple

import orjson

Kind = Literal["platform", "function", "extension"]


class Printed(NamedTuple):
    """Messages printed together; `epoch_ms` and `is_json` where the writer said when and what."""

    messages: list[bytes]
    epoch_ms: float | None = None
    is_json: bool | None = None


class Record(NamedTuple):
    """One record, ready to be sent: `line` with its line feed; `text` for schema 2022-07-01, which had only strings."""

    kind: Kind
    line: bytes
    text: bytes


def is_function(line: bytes) -> bool:
    """Whether a line, as `logged` makes them, is of the function."""
    return b',"type":"function",' in line[:60]


def platform(type_: str, record: dict[str, Any], stamp: str) -> Record:
    """A platform record of `type_` (for example platform.start), at `stamp`."""
    line = orjson.dumps({"time": stamp, "type": type_, "record": record}) + b"\n"
    return Record("platform", line, line)


def logged(kind: Kind, messages: list[bytes], *, json_format: bool, stamp: str) -> list[Record]:
    """The records of printed `messages`, all read at one time, `stamp`.

    Under the JSON log format a message that is a JSON object becomes an object record; in 2022-07-01, and under the
    text format, records are strings.
    """
    head = f'{{"time":"{stamp}","type":"{kind}","record":'.encode()
    found = []
    for message in messages:
        text = head + orjson.dumps(message.decode("utf-8", "replace")) + b"}\n"
        line = text
        if json_format and message.startswith(b"{"):
            with contextlib.suppress(orjson.JSONDecodeError):  # what does not parse stays a string
                line = head + orjson.dumps(orjson.loads(message)) + b"}\n"
        found.append(Record(kind, line, text))
    return found

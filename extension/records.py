"""The values that flow through the forwarder: Record and Batch. A leaf: it imports nothing of ours."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

KINDS = ("platform", "function", "extension")
RECORD_OVERHEAD_BYTES = 200  # what CPython adds to a line: the bytes object, the tuple, the queue's slot; measured


def kind_of(type_: object) -> str:
    """The kind of a record's type: the part before the dot where it is one of KINDS, else other."""
    kind = type_.partition(".")[0] if isinstance(type_, str) else "other"
    return kind if kind in KINDS else "other"


def member(line: bytes, name: str) -> Any:
    """What the JSON object in a record's line has under `name`; None where it has no such member."""
    try:
        return orjson.loads(line).get(name)
    except orjson.JSONDecodeError:
        import json  # noqa: PLC0415 - for half of a surrogate pair, which the decoder lets pass

        return json.loads(line).get(name)


class Record(NamedTuple):
    """One line of telemetry, ready to be sent.

    `sequence` is unique in this environment and grows by arrival. `kind` is platform, function, extension or other.
    `line` is the platform's JSON object plus the key "lambda", without a newline.
    """

    sequence: int
    kind: str
    line: bytes

    @property
    def size(self) -> int:
        """Bytes of memory that holding this record costs."""
        return len(self.line) + RECORD_OVERHEAD_BYTES

    def refused(self, sink: str, reason: str) -> Record:
        """The same record as the fallback gets it: the key "lambda" says which sink did not take it, and why."""
        said = orjson.dumps({"refusedBy": sink, "reason": reason})
        return self._replace(line=b"%b,%b}" % (self.line[:-2], said[1:]))


class Batch(NamedTuple):
    """What a sink gets in one call. `id` is `<environment>-<sequence>`, unique, the same however often it is tried."""

    id: str
    records: list[Record]

    @property
    def environment(self) -> str:
        """The execution environment that sends it."""
        return self.id.rpartition("-")[0]

    def ndjson(self) -> bytes:
        """The lines, each ended by a newline."""
        return b"\n".join([record.line for record in self.records]) + b"\n"

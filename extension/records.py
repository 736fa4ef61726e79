"""The values that flow through the forwarder: Record and Batch. A leaf: it imports nothing of ours."""

from __future__ import annotations

from typing import NamedTuple, TypeGuard

KINDS = ("platform", "function", "extension")
MAX_REQUEST_ID = 128  # characters; it is repeated in every line of its request
RECORD_OVERHEAD_BYTES = 272  # that CPython adds to a line (bytes, tuple, time, sequence, the queue's slot), as measured


def kind_of(type_: object) -> str:
    """The kind of a record's type: the part before the dot where it is one of KINDS, else other."""
    kind = type_.partition(".")[0] if isinstance(type_, str) else "other"
    return kind if kind in KINDS else "other"


def is_request_id(found: object) -> TypeGuard[str]:
    """Whether it may be the id of a request: Lambda's are UUIDs, an emulator's some short word, all in plain ASCII."""
    return isinstance(found, str) and 0 < len(found) <= MAX_REQUEST_ID and found.isascii() and found.isprintable()


class Record(NamedTuple):
    """One line of telemetry, ready to be sent, and what was learned of it once.

    `sequence` grows by arrival and is unique in a queue. `kind` is platform, function, extension or other; what is
    derived from others is of kind metric, total or span. `line` is the platform's JSON object plus the key "lambda",
    without a newline. `type` and `time` are the platform's; `request_id` names the invocation; each is empty where it
    is not known. `content` is the value of the line's key "record", for the steps of the pipeline; what has passed them
    holds it no longer.
    """

    sequence: int
    kind: str
    line: bytes
    type: str = ""
    time: str = ""
    request_id: str = ""
    content: object = None

    @property
    def size(self) -> int:
        """Bytes of memory that holding this record costs."""
        return len(self.line) + RECORD_OVERHEAD_BYTES

    def refused(self, sink: str, reason: str, sequence: int) -> Record:
        """The same record as the fallback gets it: the key "lambda" says which sink did not take it, and why."""
        from extension import lambda_key  # noqa: PLC0415 - orjson, 6 ms that the subscription need not wait for

        line = lambda_key.extend(self.line, {"refusedBy": sink, "reason": reason})
        return self._replace(sequence=sequence, line=line)


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

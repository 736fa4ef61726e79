"""The values that flow through the forwarder: Record and Batch. A leaf: it imports nothing of ours."""

from __future__ import annotations

import binascii
from typing import TYPE_CHECKING, NamedTuple, TypeGuard

if TYPE_CHECKING:
    from collections.abc import Mapping

KINDS = ("platform", "function", "extension")
PRINTED = frozenset({"function", "extension"})  # kinds of what programs print
LONGEST_INVOCATION_S = 900.0  # Lambda's longest timeout
# Those of "Lambda Telemetry API Event schema reference", without which a setting would not tell a new one from a typo.
PLATFORM_TYPES = tuple(
    f"platform.{name}"
    for name in (
        *("initStart", "initRuntimeDone", "initReport", "start", "runtimeDone", "report"),
        *("restoreStart", "restoreRuntimeDone", "restoreReport"),
        *("extension", "telemetrySubscription", "logsDropped", "fault"),
    )
)
# What runtimes, Powertools and loggers call Lambda's request id in objects; an application's own may be called so too.
REQUEST_IDS = (
    "requestId",
    "AWSRequestId",
    "awsRequestId",
    "aws_request_id",
    "function_request_id",
    "faas.invocation_id",
    "lambda_request_id",
)
MAX_REQUEST_ID = 128  # characters; it is repeated in every line of its request
BODY_KINDS = {"otlp-logs": "logs", "otlp-traces": "traces", "otlp-metrics": "metrics"}  # by kind its signal
HEALTH_KIND = "health"  # what we say of ourselves: one sink is chosen for it, and every other leaves it out
HAND_OFF_BYTES = 512  # the most that a record grows by when it says who refused it, and why
RECORD_OVERHEAD_BYTES = 288  # that CPython adds to a line (bytes, tuple, time, sequence, the queue's slot), as measured


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
    without a newline. One of BODY_KINDS carries what a program exported: behind the object there is a newline, and the
    body of its request as it came. `type` and `time` are the platform's; `request_id` names the invocation; each is
    empty where it is not known. `content` is the value of the line's key "record", for the steps of the pipeline; what
    has passed them holds it no longer. `members` are what a step has to say of it in the key "lambda", until that is
    written.
    """

    sequence: int
    kind: str
    line: bytes
    type: str = ""
    time: str = ""
    request_id: str = ""
    content: object = None
    members: Mapping[str, object] | None = None

    @property
    def size(self) -> int:
        """Bytes of memory that holding this record costs."""
        return len(self.line) + RECORD_OVERHEAD_BYTES

    @property
    def handed_size(self) -> int:
        """The same, at most, once the fallback has it: see `refused`. Of a body base64 makes a third more."""
        return self.size + HAND_OFF_BYTES + (len(self.line) // 3 if self.kind in BODY_KINDS else 0)

    @property
    def head(self) -> bytes:
        """The line, without the body that it may carry."""
        return self.line.partition(b"\n")[0] if self.kind in BODY_KINDS else self.line

    def carried(self) -> tuple[str, bytes]:
        """The body that it carries, in either form, behind its content type."""
        import orjson  # noqa: PLC0415 - 6 ms that the subscription need not wait for

        head, newline, body = self.line.partition(b"\n")
        said = orjson.loads(head)["record"]
        if not newline:
            body = orjson.dumps(said["json"]) if "json" in said else binascii.a2b_base64(said["base64"])
        return said["contentType"], body

    def saying(self, **members: object) -> Record:
        """The same record with more to say in its key "lambda", once that is written."""
        return self._replace(members={**(self.members or {}), **members})

    def refused(self, sink: str, reason: str, sequence: int) -> Record:
        """The same record as the fallback gets it: the key "lambda" says which sink did not take it, and why.

        A body is text in it from here on, since any sink may be the fallback.
        """
        from extension import lambda_key  # noqa: PLC0415 - orjson, 6 ms that the subscription need not wait for

        line = as_text(self.line) if self.kind in BODY_KINDS else self.line
        line = lambda_key.extend(line, {"refusedBy": sink, "reason": reason})
        return self._replace(sequence=sequence, line=line)


def as_text(line: bytes) -> bytes:
    """A line with the body behind it as a member of its record: `json` where it is some, else `base64`."""
    import orjson  # noqa: PLC0415 - as above

    head, newline, body = line.partition(b"\n")
    if not newline:
        return line
    said = orjson.loads(head)
    if said["record"]["contentType"] == "application/json":
        said["record"]["json"] = orjson.loads(body)
    else:
        said["record"]["base64"] = binascii.b2a_base64(body, newline=False).decode()
    return orjson.dumps(said)


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

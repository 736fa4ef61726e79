"""logs://group[/stream]: PutLogEvents to CloudWatch Logs, in another group than the function's own."""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

from botocore.exceptions import ClientError

from extension.sinks import BadSetting, Failure, Limits, Outcome, Unavailable, _aws, _packing
from extension.sinks._time import timestamp_ns

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from extension.records import Batch, Record
    from extension.sinks import SinkURL
    from extension.sinks._iam import Place

# The build reads these two to leave out of botocore's data what is never called.
SERVICE = "logs"
OPERATIONS = ("PutLogEvents", "CreateLogStream")

SCHEMES = ("logs",)
URL = "logs://group/stream"
SUMMARY = "events in another log group of CloudWatch Logs"
PARAMETERS = _aws.PARAMETERS | {"stream"}
HARMLESS = _aws.HARMLESS
IAM_ACTIONS = ("logs:PutLogEvents", "logs:CreateLogStream")
PROBE = "one event, in a log stream that is made where it is missing"

# "PutLogEvents", Amazon CloudWatch Logs API Reference.
MAX_EVENTS = 10_000
MAX_BYTES = 1 << 20
EVENT_OVERHEAD = 26
NS_PER_MS = 1_000_000
MAX_SPAN_MS = 24 * 3600 * 1000
MISSING = "ResourceNotFoundException"
# All members of an answer are optional, and the token is deprecated; every answer of AWS's own has an id.
EXPECTED = ("nextSequenceToken", "rejectedLogEventsInfo", "RequestId")

GROUP = re.compile(r"[.\-_/#A-Za-z0-9]{1,512}")
NOT_IN_A_STREAM = re.compile(r"[:*]")


class Event(NamedTuple):
    """A record as PutLogEvents takes it, and its position in the batch."""

    timestamp_ms: int
    position: int
    line: bytes

    def failures(self, reason: str, outcome: Outcome = Outcome.RETRY) -> list[Failure]:
        """That it was not taken."""
        return [Failure(self.position, reason, outcome)]


class LogsSink:
    """Puts each batch in one request, or in several where it spans more than a day."""

    limits = Limits(MAX_EVENTS, MAX_BYTES, MAX_BYTES - EVENT_OVERHEAD, EVENT_OVERHEAD)

    def __init__(self, client: _aws.Client, group: str, stream: str, function_name: str) -> None:
        self._client = client
        self._group = group
        self._stream = stream
        self._function_name = function_name

    def send(self, batch: Batch, timeout_s: float) -> Sequence[Failure]:
        """Put the batch; the records that are too old or too new to be taken. Raises as Client.call does."""
        stream = self._stream or NOT_IN_A_STREAM.sub("_", f"{self._function_name}/{batch.environment}")[:512]

        def send(events: Sequence[Event], left_s: float) -> Iterable[Failure]:
            return self._put(stream, events, left_s)

        return _packing.send_each(days(batch.records), send, Event.failures, timeout_s)

    def close(self) -> None:
        """Give up the kept connection."""
        self._client.close()

    def _put(self, stream: str, events: Sequence[Event], timeout_s: float) -> list[Failure]:
        where = {"logGroupName": self._group, "logStreamName": stream}
        messages = [{"timestamp": event.timestamp_ms, "message": event.line.decode()} for event in events]
        request: dict[str, Any] = {**where, "logEvents": messages}
        deadline = time.monotonic() + timeout_s
        try:
            answer = self._client.call("PutLogEvents", timeout_s, leave=MISSING, expect=EXPECTED, **request)
        except ClientError:
            self._create(where, deadline - time.monotonic())
            left_s = deadline - time.monotonic()
            try:
                answer = self._client.call("PutLogEvents", left_s, leave=MISSING, expect=EXPECTED, **request)
            except ClientError as error:
                raise Unavailable(f"the log stream was made and is not there yet: {MISSING}") from error
        return rejected(events, answer.get("rejectedLogEventsInfo", {}))

    def _create(self, where: dict[str, str], timeout_s: float) -> None:
        with suppress(ClientError):  # another was quicker
            self._client.call("CreateLogStream", timeout_s, leave="ResourceAlreadyExistsException", **where)


def open_sink(target: SinkURL) -> LogsSink:
    """Make a sink of logs://group/stream, or of logs:///group/with/slashes?stream=stream."""
    group = group_of(target)
    stream = unquote(target.path).strip("/") if target.host else ""
    stream = target.parameters.get("stream") or stream
    if not GROUP.fullmatch(group) or NOT_IN_A_STREAM.search(stream) or len(stream) > 512:
        raise BadSetting("expected logs://group, logs://group/stream or logs:///group/with/slashes?stream=stream")
    if group in {f"/aws/lambda/{target.function_name}", os.environ.get("AWS_LAMBDA_LOG_GROUP_NAME")}:
        raise BadSetting(
            f"{group} is this function's own log group, where its logs are already; expected another group"
        )
    return LogsSink(_aws.Client(SERVICE, f"log group {group}", target), group, stream, target.function_name)


def permissions(target: SinkURL, place: Place) -> dict[str, str]:
    """What the role needs: the resource of each of IAM's actions."""
    return dict.fromkeys(IAM_ACTIONS, place.arn(SERVICE, f"log-group:{group_of(target)}:*"))


def group_of(target: SinkURL) -> str:
    """The name of the log group."""
    return unquote(target.host) or unquote(target.path).rstrip("/")


def days(records: Sequence[Record]) -> Iterator[list[Event]]:
    """The records, one at least, as events in order of time, in parts that span no more than a day."""
    part: list[Event] = []
    for event in sorted(
        Event(timestamp_ns(record.time) // NS_PER_MS, at, record.line) for at, record in enumerate(records)
    ):
        if part and event.timestamp_ms - part[0].timestamp_ms > MAX_SPAN_MS:
            yield part
            part = []
        part.append(event)
    yield part


def rejected(events: Sequence[Event], info: dict[str, int]) -> list[Failure]:
    """What RejectedLogEventsInfo says: the first events, up to an index exclusive, and the last, from an index on."""
    old = max(info.get("tooOldLogEventEndIndex", 0), info.get("expiredLogEventEndIndex", 0))
    new = info.get("tooNewLogEventStartIndex", len(events))
    too_old = [
        failure for event in events[:old] for failure in event.failures("too old for the group", Outcome.RECORD_REFUSED)
    ]
    too_new = [
        failure
        for event in events[max(old, new) :]
        for failure in event.failures("time in the future", Outcome.RECORD_REFUSED)
    ]
    return too_old + too_new

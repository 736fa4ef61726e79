"""sqs://queue: SendMessageBatch to a standard or FIFO queue, one message per line or many lines packed into each."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from extension.sinks import HOST, BadSetting, Limits, Outcome, Refused, Scope, _aws, _aws_errors, _packing, choice

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from extension.records import Batch
    from extension.sinks import Failure, SinkURL
    from extension.sinks._iam import Place

# The build reads these two to leave out of botocore's data what is never called.
SERVICE = "sqs"
OPERATIONS = ("SendMessageBatch", "GetQueueUrl")

SCHEMES = ("sqs",)
URL = "sqs://queue"
SUMMARY = "messages in a queue, standard or FIFO"
PARAMETERS = _aws.PARAMETERS | {"pack"}
HARMLESS = _aws.HARMLESS | {"pack"}
IAM_ACTIONS = ("sqs:SendMessage", "sqs:GetQueueUrl")
PROBE = "one message"

# "SendMessageBatch", Amazon SQS API Reference: the sum of all messages has the same limit as one of them.
MAX_ENTRIES = 10
MAX_BYTES = 1 << 20
SMALL_BYTES = 1 << 18  # the same of a queue made before August 2025; that it is one shows when a message is refused
TOO_LONG = "InvalidParameterValue"
QUEUE = re.compile(r"[A-Za-z0-9_-]{1,80}(?:\.fifo)?")  # "CreateQueue"
REGION = re.compile(r"(?:^|\.)sqs\.([a-z]{2,}-[a-z-]+-\d+)\.")
ACCOUNT = re.compile(r"/(\d{12})/")
MAX_REQUESTS = 50  # in one send, since ten records alone would be waited for too often

# Of what XML 1.0 leaves out ("Char", section 2.2), a line of JSON can hold but these; as escapes they mean the same.
NONCHARACTERS = ((b"\xef\xbf\xbe", b"\\ufffe"), (b"\xef\xbf\xbf", b"\\uffff"))


class SqsSink:
    """Sends a batch in as many requests as it takes."""

    def __init__(self, client: _aws.Client, queue: str, url: str, *, pack: bool) -> None:
        self.limits = Limits(1 << 20 if pack else MAX_ENTRIES * MAX_REQUESTS, MAX_BYTES, MAX_BYTES)
        self._client = client
        self._queue = queue
        self._url = url
        self._fifo = queue.endswith(".fifo")
        self._pack = pack
        self._max_bytes = MAX_BYTES

    def send(self, batch: Batch, timeout_s: float) -> Sequence[Failure]:
        """Send the batch; the records that the queue did not take. Raises as Client.call does."""
        deadline = time.monotonic() + timeout_s
        if not self._url:
            answer = self._client.call("GetQueueUrl", timeout_s, expect=["QueueUrl"], QueueName=self._queue)
            self._url = answer["QueueUrl"]
        lines = [printable(record.line) for record in batch.records]
        entries = _packing.packed(lines, self._max_bytes) if self._pack else _packing.single(lines)

        def send(request: Sequence[_packing.Entry], left_s: float) -> Iterable[Failure]:
            return self._send(batch, request, left_s)

        requests = _packing.requests(entries, MAX_ENTRIES, self._max_bytes)
        return _packing.send_each(requests, send, _packing.Entry.failures, deadline - time.monotonic())

    def close(self) -> None:
        """Give up the kept connection."""
        self._client.close()

    def _send(self, batch: Batch, request: Sequence[_packing.Entry], timeout_s: float) -> Iterable[Failure]:
        messages = [
            {"Id": str(number), "MessageBody": entry.data[:-1].decode(), **self._order(batch, entry)}
            for number, entry in enumerate(request)
        ]
        try:
            answer = self._client.call(
                "SendMessageBatch",
                timeout_s,
                action="sqs:SendMessage",
                expect=["Successful", "Failed"],
                QueueUrl=self._url,
                Entries=messages,
            )
        except Refused as error:
            if error.scope is not Scope.EVERYTHING and sum(len(entry.data) for entry in request) > SMALL_BYTES:
                self._max_bytes = SMALL_BYTES  # the halves of the batch are packed so
            raise
        taken = {one.get("Id") for one in answer.get("Successful", ())}
        failed = {one.get("Id"): one for one in answer.get("Failed", ())}
        for message, entry in zip(messages, request, strict=True):
            if (failure := failed.get(message["Id"])) is not None:
                yield from self._failures(
                    entry, failure.get("Code", ""), sender_fault=failure.get("SenderFault", False)
                )
            elif message["Id"] not in taken:
                yield from entry.failures("not named in the answer")

    def _failures(self, entry: _packing.Entry, code: str, *, sender_fault: bool) -> Iterable[Failure]:
        """What BatchResultErrorEntry says of a message, for each of its lines."""
        refused = sender_fault and code not in _aws_errors.THROTTLED and not _aws_errors.blames_key(code)
        if code == TOO_LONG and len(entry.data) > SMALL_BYTES and len(entry.positions) > 1:
            refused = False
            self._max_bytes = SMALL_BYTES
        return entry.failures(code, Outcome.RECORD_REFUSED if refused else Outcome.RETRY)

    def _order(self, batch: Batch, entry: _packing.Entry) -> dict[str, Any]:
        """In a FIFO queue, an environment's records stay in order, and one sent again within 5 minutes is left out.

        Packed ones are left out only where they come with the same others, and who came with whom is not remembered.
        """
        if not self._fifo:
            return {}
        first, last = (batch.records[position].sequence for position in (entry.positions[0], entry.positions[-1]))
        return {
            "MessageGroupId": batch.environment,
            "MessageDeduplicationId": f"{batch.environment}-{first}" + (f"-{last}" if last != first else ""),
        }


def open_sink(target: SinkURL) -> SqsSink:
    """Make a sink of sqs://queue, or of the queue's whole URL with sqs in the place of https."""
    queue = queue_of(target)
    if not QUEUE.fullmatch(queue) or not (queue == target.host or HOST.fullmatch(target.host)):
        raise BadSetting("expected sqs://queue or sqs://sqs.REGION.amazonaws.com/ACCOUNT/queue")
    url = f"https://{target.host}{target.path}" if queue != target.host else ""
    if found := REGION.search(target.host) if url else None:
        target = target._replace(parameters={"region": found[1], **target.parameters})
    pack = choice(target, "pack", ("false", "true")) == "true"
    return SqsSink(_aws.Client(SERVICE, f"queue {queue}", target), queue, url, pack=pack)


def permissions(target: SinkURL, place: Place) -> dict[str, str]:
    """What the role needs: the resource of each of IAM's actions."""
    found = REGION.search(target.host) if target.path.strip("/") else None
    account = ACCOUNT.match(target.path)
    if found and not target.parameters.get("region"):
        place = place.moved(found[1])
    if account:
        place = place._replace(account=account[1])
    return dict.fromkeys(IAM_ACTIONS, place.arn(SERVICE, queue_of(target)))


def queue_of(target: SinkURL) -> str:
    """The name of the queue."""
    return unquote(target.path).rstrip("/").rpartition("/")[2] or target.host


def printable(line: bytes) -> bytes:
    """The line in characters that SQS takes, the same JSON value."""
    for character, escape in NONCHARACTERS:
        line = line.replace(character, escape)
    return line

"""AWS's batch services as strict as their documentation, for what moto lets pass or cannot do.

Every limit is enforced, requests must be signed, and records fail one by one where asked. Sources: the pages of each
operation in AWS's API references, as quoted in botocore's service models. A Service is a script of FaultServer.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
import re
import time
import zlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import zstandard

from tests.support.fault_server import Action, Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from extension.sinks import Sink
    from tests.support.fault_server import FaultServer, Request

AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/\d{8}/[a-z0-9-]+/(\w+)/aws4_request, .*Signature=[0-9a-f]{64}"
)
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
REGION = "eu-west-1"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "a-secret-key-of-the-tests",
    "AWS_SESSION_TOKEN": "a-session-token-of-the-tests",
    "AWS_REGION": REGION,
    "AWS_DEFAULT_REGION": REGION,
}
MIB = 1 << 20
MESSAGE = "As the reference says."
DAY_MS = 24 * 3600 * 1000


class Call(NamedTuple):
    """A request that was taken: its operation, how many entries it had, and how many bytes as the service counts."""

    operation: str
    entries: int
    size: int


class ErrorAnswer(Exception):
    """An error answer: HTTP status, AWS's code and what it says to people."""

    def __init__(self, code: str, status: int = 400, message: str = MESSAGE) -> None:
        super().__init__(code)
        self.code = code
        self.status = status
        self.message = message


class Service:
    """One service with one stream, queue, group or bucket, which exists. `taken` holds the data of its records.

    `first` are actions for the first requests. `fail` says of each entry, by its number over all requests, whether it
    fails by itself. `message_bytes` is the MaximumMessageSize of a queue: 262,144 in those made before August 2025.
    """

    def __init__(
        self,
        first: Sequence[Action] = (),
        fail: Callable[[int], bool] = lambda _number: False,
        partial_code: str = "",
        message_bytes: int = MIB,
    ) -> None:
        self.taken: list[bytes] = []
        self.calls: list[Call] = []
        self.bodies: list[dict[str, Any]] = []
        self.objects: dict[str, bytes] = {}
        self.streams: set[tuple[str, str]] = set()
        self.keys: set[str] = set()
        self.now_ms: Callable[[], int] = lambda: int(time.time() * 1000)
        self._first = list(first)
        self._fail = fail
        self._partial_code = partial_code
        self._message_bytes = message_bytes
        self._entries = 0

    def __call__(self, request: Request) -> Action:
        """The service's answer."""
        found = AUTHORIZATION.fullmatch(request.headers.get("authorization", ""))
        if not found:
            return refuse(request, ErrorAnswer("MissingAuthenticationToken", 403))
        self.keys.add(found[1])
        if self._first:
            return self._first.pop(0)
        operation = request.headers.get("x-amz-target", "").rpartition(".")[2] or "PutObject"
        try:
            answer: Action = getattr(self, f"_{operation}")(request)
        except ErrorAnswer as refused:
            return refuse(request, refused)
        return answer

    def lines(self) -> list[bytes]:
        """The lines of all that was taken."""
        data = list(self.taken)
        for key, body in self.objects.items():
            data.append(decompress(key, body))
        return [line for part in data for line in part.splitlines()]

    def _failing(self, count: int) -> list[bool]:
        numbers = range(self._entries, self._entries + count)
        self._entries += count
        return [self._fail(number) for number in numbers]

    def _keep(self, operation: str, body: dict[str, Any], data: Sequence[bytes], size: int) -> list[bool]:
        failing = self._failing(len(data))
        self.bodies.append(body)
        self.calls.append(Call(operation, len(data), size))
        self.taken += [one for one, failed in zip(data, failing, strict=True) if not failed]
        return failing

    def _PutRecordBatch(self, request: Request) -> Answer:  # noqa: N802 - AWS's name
        body = json.loads(request.body)
        data = [base64.b64decode(record["Data"], validate=True) for record in body["Records"]]
        size = sum(map(len, data))
        check(1 <= len(data) <= 500, "ValidationException")
        check(all(len(one) <= 1_024_000 for one in data) and size <= 4 * MIB, "InvalidArgumentException")
        check(all(one.endswith(b"\n") for one in data), "InvalidArgumentException")  # ours: else records run together
        failing = self._keep("PutRecordBatch", body, data, size)
        failed = {"ErrorCode": self._partial_code or "ServiceUnavailableException", "ErrorMessage": "Slow down."}
        entries = [failed if one else {"RecordId": "1"} for one in failing]
        return reply({"FailedPutCount": sum(failing), "RequestResponses": entries, "Encrypted": False})

    def _PutRecords(self, request: Request) -> Answer:  # noqa: N802 - AWS's name
        body = json.loads(request.body)
        keys = [record["PartitionKey"] for record in body["Records"]]
        data = [base64.b64decode(record["Data"], validate=True) for record in body["Records"]]
        sizes = [len(one) + len(key.encode()) for one, key in zip(data, keys, strict=True)]
        check(1 <= len(data) <= 500 and all(1 <= len(key) <= 256 for key in keys), "ValidationException")
        check(max(sizes) <= MIB and sum(sizes) <= 5 * MIB, "InvalidArgumentException")
        failing = self._keep("PutRecords", body, data, sum(sizes))
        code = self._partial_code or "ProvisionedThroughputExceededException"
        failed = {"ErrorCode": code, "ErrorMessage": "Rate exceeded for shard shardId-000000000000"}
        entries = [failed if one else {"SequenceNumber": "1", "ShardId": "shardId-000000000000"} for one in failing]
        return reply({"FailedRecordCount": sum(failing), "Records": entries})

    def _GetQueueUrl(self, request: Request) -> Answer:  # noqa: N802 - AWS's name
        name = json.loads(request.body)["QueueName"]
        return reply({"QueueUrl": f"http://{request.headers['host']}/123456789012/{name}"})

    def _SendMessageBatch(self, request: Request) -> Answer:  # noqa: N802 - AWS's name
        body = json.loads(request.body)
        entries = body["Entries"]
        messages = [entry["MessageBody"] for entry in entries]
        size = sum(len(message.encode()) for message in messages)
        check(len(entries) <= 10, "AWS.SimpleQueueService.TooManyEntriesInBatchRequest")
        check(len(entries) >= 1, "AWS.SimpleQueueService.EmptyBatchRequest")
        check(
            len({entry["Id"] for entry in entries}) == len(entries), "AWS.SimpleQueueService.BatchEntryIdsNotDistinct"
        )
        check(size <= MIB, "AWS.SimpleQueueService.BatchRequestTooLong")
        if self._partial_code == "sum":
            check(size <= self._message_bytes, "AWS.SimpleQueueService.BatchRequestTooLong")
        if body["QueueUrl"].endswith(".fifo"):
            check(all(entry.get("MessageGroupId") for entry in entries), "MissingParameter")
        failing = self._failing(len(entries))
        long = [len(message.encode()) > self._message_bytes for message in messages]
        if any(long) and self._partial_code == "whole":
            raise ErrorAnswer("InvalidParameterValue")
        bad = [bool(NOT_XML.search(message)) for message in messages]
        self.bodies.append(body)
        self.calls.append(Call("SendMessageBatch", len(entries), size))
        answer: dict[str, list[dict[str, Any]]] = {"Successful": [], "Failed": []}
        for entry, failed, unprintable, too_long in zip(entries, failing, bad, long, strict=True):
            if failed or unprintable or too_long:
                code = "InvalidMessageContents" if unprintable else self._partial_code or "InternalError"
                code = "InvalidParameterValue" if too_long else code
                fault = unprintable or too_long
                answer["Failed"].append({"Id": entry["Id"], "SenderFault": fault, "Code": code, "Message": "No."})
            else:
                data = entry["MessageBody"].encode()
                self.taken.append(data)
                md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
                answer["Successful"].append({"Id": entry["Id"], "MessageId": "1", "MD5OfMessageBody": md5})
        return reply(answer)

    def _CreateLogStream(self, request: Request) -> Answer:  # noqa: N802 - AWS's name
        body = json.loads(request.body)
        where = body["logGroupName"], body["logStreamName"]
        check(not re.search("[:*]", where[1]) and 1 <= len(where[1]) <= 512, "InvalidParameterException")
        check(where not in self.streams, "ResourceAlreadyExistsException")
        self.streams.add(where)
        return reply({})

    def _PutLogEvents(self, request: Request) -> Answer:  # noqa: N802 - AWS's name
        body = json.loads(request.body)
        check((body["logGroupName"], body["logStreamName"]) in self.streams, "ResourceNotFoundException")
        times = [event["timestamp"] for event in body["logEvents"]]
        data = [event["message"].encode() for event in body["logEvents"]]
        size = sum(map(len, data)) + 26 * len(data)
        check(1 <= len(data) <= 10_000 and all(data) and size <= MIB, "InvalidParameterException")
        check(times == sorted(times), "InvalidParameterException")
        oldest, newest = self.now_ms() - 14 * DAY_MS, self.now_ms() + 2 * 3600 * 1000
        old, new = sum(one < oldest for one in times), sum(one > newest for one in times)
        valid = times[old : len(times) - new]
        check(not valid or valid[-1] - valid[0] <= DAY_MS, "InvalidParameterException")
        kept = data[old : len(data) - new]
        self.bodies.append(body)
        self.calls.append(Call("PutLogEvents", len(data), size))
        self.taken += kept
        info = ({"tooOldLogEventEndIndex": old} if old else {}) | (
            {"tooNewLogEventStartIndex": len(times) - new} if new else {}
        )
        return reply({"nextSequenceToken": "1"} | ({"rejectedLogEventsInfo": info} if info else {}))

    def _PutObject(self, request: Request) -> Answer:  # noqa: N802 - AWS's name
        checksum = base64.b64encode(zlib.crc32(request.body).to_bytes(4, "big")).decode()
        if request.headers.get("x-amz-checksum-crc32") != checksum:
            raise ErrorAnswer("BadDigest")
        if request.headers.get("if-none-match") == "*" and request.path in self.objects:
            raise ErrorAnswer("PreconditionFailed", 412)
        self.objects[request.path] = request.body
        self.calls.append(Call("PutObject", 1, len(request.body)))
        return Answer(200, {"ETag": '"1"'})


class Slow(Service):
    """Takes every request, and says so `after_s` later."""

    def __init__(self, after_s: float) -> None:
        super().__init__()
        self._after_s = after_s

    def __call__(self, request: Request) -> Action:
        """Take it, and wait before saying so."""
        answer = super().__call__(request)
        assert isinstance(answer, Answer)
        return answer._replace(after_s=self._after_s)


class ContainerCredentials:
    """The credentials of a SnapStart function, over HTTP; each answer is good until `expires`."""

    def __init__(self) -> None:
        self.expires = in_an_hour()
        self.given = 0
        self.broken = False

    def __call__(self, request: Request) -> Action:
        """Credentials for whoever knows the token."""
        if self.broken or request.headers.get("authorization") != "the-token":
            return Answer(404, {}, b"no")
        self.given += 1
        body = {"AccessKeyId": f"AKID{self.given}", "SecretAccessKey": "s", "Token": "t", "Expiration": self.expires}
        return Answer(200, {}, json.dumps(body).encode())


class Sts:
    """AssumeRole, and behind it the service in which the role may write."""

    def __init__(self, expires: str | None = None) -> None:
        self.asked: list[Request] = []
        self.service = Service()
        self.refuse = ""
        self._expires = expires or in_an_hour()

    def __call__(self, request: Request) -> Action:
        """Credentials of the role; anything else goes to the service."""
        if b"Action=AssumeRole" not in request.body:
            return self.service(request)
        self.asked.append(request)
        if self.refuse:
            return refusing(self.refuse, 403)(request)
        credentials = "".join(
            f"<{name}>{value}</{name}>"
            for name, value in {
                "AccessKeyId": f"ASIAROLE{len(self.asked)}",
                "SecretAccessKey": "s",
                "SessionToken": "t",
                "Expiration": self._expires,
            }.items()
        )
        result = f"<AssumeRoleResult><Credentials>{credentials}</Credentials></AssumeRoleResult>"
        xmlns = "https://sts.amazonaws.com/doc/2011-06-15/"
        return Answer(200, {}, f'<AssumeRoleResponse xmlns="{xmlns}">{result}</AssumeRoleResponse>'.encode())


def in_an_hour(hours: float = 1.0) -> str:
    """When credentials expire."""
    return (datetime.now(UTC) + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")


def failing_share(share: float, seed: int = 1) -> Callable[[int], bool]:
    """Fail that share of the entries, always the same ones for a seed."""
    dice = random.Random(seed)  # noqa: S311 - repeatable on purpose
    return lambda _number: dice.random() < share


def reply(body: dict[str, Any]) -> Answer:
    """A JSON answer of AWS's."""
    return Answer(200, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(body).encode())


def refuse(request: Request, error: ErrorAnswer, headers: dict[str, str] | None = None) -> Answer:
    """An error answer in the protocol of the request: XML for S3 and STS, else JSON."""
    code, status = error.code, error.status
    if "x-amz-target" in request.headers:
        text = json.dumps({"__type": f"com.amazonaws#{code}", "message": error.message})
        return Answer(status, {"Content-Type": "application/x-amz-json-1.1", **(headers or {})}, text.encode())
    inner = f"<Code>{code}</Code><Message>{error.message}</Message>"
    if request.method == "POST":
        text = f"<ErrorResponse><Error>{inner}</Error><RequestId>1</RequestId></ErrorResponse>"
    else:
        text = f"<Error>{inner}<RequestId>1</RequestId></Error>"
    return Answer(status, {"Content-Type": "application/xml", **(headers or {})}, text.encode())


def refusing(
    code: str, status: int = 400, headers: dict[str, str] | None = None, message: str = MESSAGE
) -> Callable[[Request], Action]:
    """A script that answers every request with this error."""
    return lambda request: refuse(request, ErrorAnswer(code, status, message), headers)


def check(holds: bool, code: str) -> None:
    """Refuse the request if a rule does not hold."""
    if not holds:
        raise ErrorAnswer(code)


def decompress(key: str, body: bytes) -> bytes:
    """An object as what it was, by the end of its key."""
    if key.endswith(".gz"):
        return zlib.decompress(body, 31)
    return zstandard.decompress(body) if key.endswith(".zst") else body


class Strict:
    """A sink and the strict service that it sends to."""

    def __init__(self, server: FaultServer, service: Service, sink: Sink) -> None:
        self.server, self.service, self.sink = server, service, sink

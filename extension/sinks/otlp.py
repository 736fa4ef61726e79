"""otlp+https://host:4318/prefix (and otlp+http): logs, traces and metrics by OpenTelemetry's own protocol over HTTP.

Paths, statuses and partial success are those of "OTLP Specification 1.x", OTLP/HTTP. AWS's endpoints, with auth=sigv4,
are those of "OTLP Endpoints", Amazon CloudWatch User Guide.

A request holds one signal of one execution environment; what programs exported goes in requests of its own, each of one
content type. So a batch may be several requests. What one of them took is not sent again because another failed: then
the records of the other fail alone.
"""

from __future__ import annotations

import os
import re
import time
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple, NoReturn, Protocol

import orjson
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse

from extension.log import describe
from extension.records import BODY_KINDS, Batch
from extension.sinks import (
    SIGNALS,
    BadSetting,
    Failure,
    Limits,
    Outcome,
    Refused,
    Scope,
    Throttled,
    Unavailable,
    _http_intake,
    choice,
    parse_signals,
    signal_of,
    signals_of,
)
from extension.sinks._compression import Packed
from extension.sinks._otlp_resource import build

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentelemetry.proto.resource.v1.resource_pb2 import Resource

    from extension.records import Record
    from extension.sinks import SinkURL
    from extension.sinks._iam import Place
    from extension.sinks._otlp_sigv4 import Signer

    class Encode(Protocol):
        """Makes the body of a request, as each of MODULES does."""

        def __call__(self, records: Sequence[Record], resource: Resource, *, as_json: bool) -> bytes:
            """The body."""
            ...


SCHEMES = ("otlp+https", "otlp+http")
URL = "otlp+https://host:4318"
SUMMARY = "OpenTelemetry logs, metrics and traces, protobuf or JSON"
HARMLESS = _http_intake.HARMLESS | {"signals", "encoding", "resource", "auth", "region", "role", "group", "stream"}
PARAMETERS = _http_intake.PARAMETERS | HARMLESS
IAM_ACTIONS = ("logs:PutLogEvents", "xray:PutTraceSegments", "cloudwatch:PutMetricData")
PROBE = "one log record, whose event name is forwarder.probe"

LIMITS = Limits(bytes=4_000_000)
# Of AWS's endpoints: 1 MB of logs, 5 MB and 10,000 spans, or 1 MB and 1,000 points, of which a record has ten at most.
AWS_LIMITS = {"logs": Limits(bytes=1_000_000), "traces": LIMITS, "metrics": Limits(records=100, bytes=1_000_000)}
CONTENT_TYPES = {"protobuf": "application/x-protobuf", "json": "application/json"}
RETRIABLE = frozenset({429, 502, 503, 504})
PARTS = frozenset({Scope.RECORD, Scope.SIZE})  # what may be taken in parts
MODULES = {"logs": "_otlp_logs", "traces": "_otlp_spans", "metrics": "_otlp_metrics"}
REJECTED = {"logs": "rejectedLogRecords", "traces": "rejectedSpans", "metrics": "rejectedDataPoints"}
PASSING = (Unavailable, Throttled, OSError)  # what another try may mend
MAX_RESOURCES = 16  # a batch has more than one only where what an earlier process left on disk is in it
GROUP = re.compile(r"[.\-_/#A-Za-z0-9]{1,512}")
STREAM = re.compile(r"[ -)+-9;-~]{1,512}")  # no colon and no asterisk
ANSWER_S = 1.0  # to read an answer, which may say that it was taken in part only
PATH = re.compile(rf"(?:/+v1/(?:{'|'.join(SIGNALS)}))*/*$")
ABOUT = {"temporality": "metrics", "invoke_span": "traces"}  # the signal that a parameter is about
AWS_PARAMETERS = frozenset({"region", "role"})
KEY = b',"lambda":{'
# Members of the key that are of one invocation, or of one record.
OF_INVOCATION = ("requestId", "tenantId", "traceId", "phase", "sampleRate")
OF_ONE = frozenset((*OF_INVOCATION, "id", "joined", "redacted", "withheld", "refusedBy", "reason"))


class Part(NamedTuple):
    """The records of one signal and one execution environment, and their positions in the batch.

    `key` is what their keys "lambda" begin with, the same for all of them. `id` is unique, and the same however often
    the part is tried. `carried` is the content type of the bodies that they carry; empty where they are encoded here.
    """

    id: str
    signal: str
    carried: str
    key: bytes
    positions: Sequence[int]
    records: Sequence[Record]

    def cut(self, start: int, stop: int) -> Part:
        """A part of it."""
        return self._replace(
            id=f"{self.id}-{start}", positions=self.positions[start:stop], records=self.records[start:stop]
        )

    def failures(self, reason: str, outcome: Outcome, retry_after_s: float = 0.0) -> list[Failure]:
        """That none of the records was taken."""
        return [Failure(position, reason, outcome, retry_after_s) for position in self.positions]


class OtlpSink:
    """POSTs each signal to a path of its own, over one connection that is kept alive."""

    def __init__(self, target: SinkURL) -> None:
        """Open nothing yet, but import what encodes the signals. Raises BadSetting."""
        self._url = _http_intake.server_url(target)
        signals = parse_signals(target.parameters.get("signals", ",".join(SIGNALS)))
        for name, signal in ABOUT.items():
            if name in target.parameters and signal not in signals:
                raise BadSetting(f"{name}= is about {signal}, which signals= leaves out")
        encoding = choice(target, "encoding", tuple(CONTENT_TYPES))
        signed = choice(target, "auth", ("none", "sigv4")) == "sigv4"
        compression = choice(target, "compression", ("gzip", "none") if signed else ("gzip", "zstd", "none"))
        self._headers = _http_intake.request_headers(target, CONTENT_TYPES[encoding], compression)
        self._signer = _open_signer(target, signals) if signed else None
        self.limits = AWS_LIMITS[signals[0]] if signed else LIMITS
        if not signed and target.parameters.keys() & AWS_PARAMETERS:
            raise BadSetting("region= and role= are for auth=sigv4")
        self._headers |= _log_stream(target, signals, required=signed)
        self._as_json = encoding == "json"
        self._completes = choice(target, "resource", ("keep", "complete")) == "complete"
        prefix = PATH.sub("", target.path)
        self._paths = {signal: f"{prefix}/v1/{signal}" for signal in SIGNALS}
        self._encoders = _encoders(signals)
        self._compress = _http_intake.COMPRESSIONS[compression]
        self._bodies: dict[str, Packed] = {}
        self._resources: dict[bytes, Resource] = {}
        self._connection = _http_intake.open_connection(target)

    def send(self, batch: Batch, timeout_s: float) -> Sequence[Failure]:
        """POST each part of the batch; the records that were not taken, or that the destination rejects.

        Where no part was taken, it raises what one of them met: as check_status does, and OSError.
        """
        deadline = time.monotonic() + timeout_s
        if not any(id_.startswith(f"{batch.id}-") for id_ in list(self._bodies)):
            self._bodies.clear()  # another batch is here
        parts = list(self._parts(batch))
        failures: list[Failure] = []
        failed: list[tuple[Part, Exception]] = []
        for part in parts:
            down = next((error for _, error in failed if isinstance(error, (OSError, Throttled))), None)
            try:
                failures += self._send(part, deadline) if down is None else _raise(down)
            except Exception as error:  # noqa: BLE001 - another part was taken perhaps, and must not be sent again
                failed.append((part, error))
        if len(failed) == len(parts):
            # What passes says more of when to try again than what refuses.
            raise next((met for _, met in failed if isinstance(met, PASSING)), failed[0][1])
        for part, met in failed:
            failures += self._fail(part, met, deadline)
        self._bodies.clear()
        return failures

    def close(self) -> None:
        """Drop the kept connection."""
        self._connection.close()

    def _send(self, part: Part, deadline: float) -> list[Failure]:
        """POST one part; what the destination says that it rejects of it. Raises as send does."""
        packed = self._bodies.setdefault(part.id, Packed(self._compress, lambda _: self._encode(part)))
        body = packed.body(Batch(part.id, []))
        path, headers = self._paths[part.signal], self._headers
        if part.carried:
            headers = _http_intake.merge_headers((*headers.items(), ("Content-Type", part.carried)))
        if self._signer is not None:
            headers = self._signer.sign(f"{self._url}{path}", headers, body)
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("no time left")
        response = self._connection.request("POST", path, headers, body, left_s, ANSWER_S)
        if self._signer is not None and response.status == 403:
            self._signer.forget()
        if part.carried and response.status == 415:
            raise Refused("HTTP 415", Scope.BATCH)  # of what programs choose, and not of every request
        _http_intake.check_status(response, RETRIABLE)
        _http_intake.check_no_page(response, "an OTLP server")
        count = rejected(response.body, part.signal, response.headers.get_content_type())
        return part.cut(0, affected(part, count)).failures(
            "rejected, as its partial success says", Outcome.RECORD_REFUSED
        )

    def _fail(self, part: Part, error: Exception, deadline: float) -> list[Failure]:
        """What becomes of a part that was not taken while another was."""
        if isinstance(error, PASSING):
            reason = describe(error) if isinstance(error, OSError) else str(error)
            wait_s = error.retry_after_s if isinstance(error, Throttled) else 0.0
            return part.failures(reason, Outcome.RETRY, wait_s)
        if not isinstance(error, Refused):
            return part.failures(f"internal error: {type(error).__name__}", Outcome.RECORD_REFUSED)
        if error.scope not in PARTS or len(part.records) == 1:
            return part.failures(f"{error} ({part.signal})", Outcome.RECORD_REFUSED)
        half = len(part.records) // 2
        failures: list[Failure] = []
        for piece in (part.cut(0, half), part.cut(half, len(part.records))):
            try:
                failures += self._send(piece, deadline)
            except Exception as again:  # noqa: BLE001 - as in send
                failures += self._fail(piece, again, deadline)
        return failures

    def _parts(self, batch: Batch) -> Sequence[Part]:
        """The batch by signal, in order of SIGNALS, and by what the records say of where they come from."""
        found: dict[tuple[int, str, bytes], list[int]] = {}
        key = b""
        for position, record in enumerate(batch.records):
            line = record.head
            at = line.rfind(KEY)
            if not key or not line.startswith(key, at):
                key = common_key(line, at)
            carried = orjson.loads(line)["record"]["contentType"] if record.kind in BODY_KINDS else ""
            found.setdefault((SIGNALS.index(signal_of(record.kind)), carried, key), []).append(position)
        return [
            Part(f"{batch.id}-{number}", SIGNALS[signal], carried, key, at, [batch.records[one] for one in at])
            for number, ((signal, carried, key), at) in enumerate(sorted(found.items()))
        ]

    def _encode(self, part: Part) -> bytes:
        resource = self._resources.get(part.key)
        if resource is None:
            if len(self._resources) == MAX_RESOURCES:
                self._resources.clear()
            resource = self._resources[part.key] = build(_members(part.key), os.environ)
        if part.carried:
            from extension.sinks import _otlp_carried  # noqa: PLC0415 - where no program exports, it costs nothing

            return _otlp_carried.join(part.signal, part.records, resource if self._completes else None)
        return self._encoders[part.signal](part.records, resource, as_json=self._as_json)


def open_sink(target: SinkURL) -> OtlpSink:
    """Make a sink of otlp+https://host/prefix; a prefix may end in the path of a signal."""
    return OtlpSink(target)


def permissions(target: SinkURL, place: Place) -> dict[str, str]:
    """What the role needs: the resource of each of IAM's actions."""
    if target.parameters.get("auth") != "sigv4":
        return {}
    from extension.sinks import _otlp_sigv4  # noqa: PLC0415 - as below

    if (named := _otlp_sigv4.region_of(target.host)) and not target.parameters.get("region"):
        place = place.moved(named)
    group = place.arn("logs", f"log-group:{target.parameters.get('group', '*')}:*")
    actions = dict(zip(("logs", "traces", "metrics"), zip(IAM_ACTIONS, (group, "*", "*"), strict=True), strict=True))
    return dict(actions[signal] for signal in signals_of(target))


def common_key(line: bytes, at: int) -> bytes:
    """What the key "lambda", which begins at `at` of a line, says of all records of one environment.

    It is written as the pipeline writes it, so that other lines begin with the same bytes there; empty where it says
    nothing.
    """
    try:
        members = orjson.loads(line[at + len(KEY) - 1 : -1]) if at >= 0 else {}
    except ValueError:
        return b""
    common = {name: value for name, value in members.items() if name not in OF_ONE}
    return KEY + orjson.dumps(common)[1:-1] if common else b""


def rejected(body: bytes, signal: str, content_type: str) -> int:
    """How many items an answer says were not taken, and never will be; 0 where it cannot be read."""
    if content_type == CONTENT_TYPES["json"]:
        try:
            return max(0, int(orjson.loads(body)["partialSuccess"][REJECTED[signal]]))
        except (ValueError, KeyError, TypeError):
            return 0
    answer = ExportLogsServiceResponse()  # the answers of all three signals number their fields alike
    try:
        answer.ParseFromString(body)
    except DecodeError:
        return 0
    return max(0, answer.partial_success.rejected_log_records)


def affected(part: Part, rejected: int) -> int:
    """How many of the first records of a part are refused with so many items: which of them, no destination says."""
    if part.carried:
        return _holding(part.records, rejected)
    if part.signal == "metrics" and rejected:
        from extension.sinks import _otlp_metrics  # noqa: PLC0415 - it is there, where metrics were encoded

        points = max(1, _otlp_metrics.count_points(part.records))
        return -(-rejected * len(part.records) // points)
    return rejected


def _holding(records: Sequence[Record], items: int) -> int:
    """How many of the first records, which programs exported, hold so many items."""
    for count, record in enumerate(records):
        if items <= 0:
            return count
        items -= orjson.loads(record.head)["record"]["items"]
    return len(records)


def _open_signer(target: SinkURL, signals: Sequence[str]) -> Signer:
    if len(signals) > 1:
        raise BadSetting(
            f"auth=sigv4 is for one signal, since each has a host of its own at AWS; expected signals= and"
            f" one of {', '.join(SIGNALS)}"
        )
    from extension.sinks import _otlp_sigv4  # noqa: PLC0415 - botocore, which only AWS's endpoints need

    return _otlp_sigv4.Signer(target, signals[0])


def _log_stream(target: SinkURL, signals: Sequence[str], *, required: bool) -> dict[str, str]:
    """The headers that name the log group and stream of CloudWatch Logs, which must exist. Raises BadSetting."""
    group, stream = target.parameters.get("group", ""), target.parameters.get("stream", "")
    if not group and not stream and not (required and "logs" in signals):
        return {}
    if signals != ("logs",) or not GROUP.fullmatch(group) or not STREAM.fullmatch(stream):
        raise BadSetting("expected group= and stream=, of CloudWatch Logs, for signals=logs and for nothing else")
    return {"x-aws-log-group": group, "x-aws-log-stream": stream}


def _encoders(signals: Sequence[str]) -> dict[str, Encode]:
    """What encodes each signal; imported now, since after the first /next there is little CPU for it."""
    return {signal: import_module(f"extension.sinks.{MODULES[signal]}").encode for signal in signals}


def _raise(error: Exception) -> NoReturn:
    raise error


def _members(key: bytes) -> Mapping[str, object]:
    """The members of a key "lambda" as common_key writes it."""
    found: dict[str, object] = orjson.loads(key.removeprefix(KEY[:-1]) + b"}") if key else {}
    return found

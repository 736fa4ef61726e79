"""A collector as strict as OTLP's specification, that decodes with OpenTelemetry's own messages."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson
import zstandard
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.fault_server import Action, Answer, Request
from tests.support.otlp_json import parse_json
from tests.support.sink_contract import Kind

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
    from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

REQUESTS: dict[str, type[Message]] = {
    "logs": ExportLogsServiceRequest,
    "traces": ExportTraceServiceRequest,
    "metrics": ExportMetricsServiceRequest,
}
OF_A_REQUEST = {"platform.start", "platform.runtimeDone", "platform.report"}


class Collector:
    """Takes the requests of all three signals, and nothing that the specification does not allow."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, Any]] = []

    def __call__(self, request: Request) -> Action:
        """An empty response, which says that all was taken; or 400 for what is none of a request."""
        signal = request.path.rpartition("/v1/")[2]
        if signal not in REQUESTS or request.method != "POST":
            return Answer(404)
        content_type = request.headers.get("content-type", "")
        try:
            message = decoded(REQUESTS[signal], content_type, uncompressed(request))
            if signal == "logs":
                for _, _, log in logs_of([message]):
                    check(log)
        except (DecodeError, ValueError, KeyError) as error:
            return Answer(400, {}, repr(error).encode())
        self.taken.append((signal, message))
        body = b"{}" if content_type == "application/json" else ExportLogsServiceResponse().SerializeToString()
        return Answer(200, {"Content-Type": content_type}, body)

    def logs(self) -> list[LogRecord]:
        """Every log record taken, in order."""
        return [log for _, _, log in logs_of(message for signal, message in self.taken if signal == "logs")]

    def lines(self) -> list[bytes]:
        """The platform's lines, put together again from what was taken of them, in the order of their ids."""
        found = [
            line_of(attributes(resource), kind, log)
            for resource, kind, log in logs_of(message for signal, message in self.taken if signal == "logs")
        ]
        return sorted(found, key=lambda line: int(orjson.loads(line)["lambda"]["id"].rpartition("-")[2]))


def uncompressed(request: Request) -> bytes:
    """The body without its Content-Encoding."""
    match request.headers.get("content-encoding"):
        case "gzip":
            return gzip.decompress(request.body)
        case "zstd":
            return zstandard.ZstdDecompressor().decompress(request.body, 1 << 26)
        case None:
            return request.body
        case other:
            raise ValueError(other)


def decoded(kind: type[Message], content_type: str, body: bytes) -> Any:
    """The request in a body. Raises DecodeError, ValueError."""
    if content_type == "application/json":
        return parse_json(body, kind())
    if content_type != "application/x-protobuf":
        raise ValueError(content_type)
    message = kind()
    message.ParseFromString(body)
    return message


def logs_of(requests: Any) -> Any:
    """Resource, kind and record of every log, in order."""
    for request in requests:
        for of_resource in request.resource_logs:
            for of_scope in of_resource.scope_logs:
                for log in of_scope.log_records:
                    yield of_resource.resource.attributes, of_scope.scope.name.removeprefix("aws.lambda."), log


def check(log: LogRecord) -> None:
    """Raise ValueError for what the data model does not allow: a key that is empty or there twice, an id cut short."""
    keys = [pair.key for pair in log.attributes]
    if len(set(keys)) < len(keys) or "" in keys:
        raise ValueError(f"attributes {keys}")
    if len(log.trace_id) not in {0, 16} or len(log.span_id) not in {0, 8} or not log.observed_time_unix_nano:
        raise ValueError("ids or time")
    if not 0 <= log.severity_number <= 24:
        raise ValueError("severity")


def attributes(pairs: Any) -> dict[str, Any]:
    """Attributes as values of Python."""
    found: list[KeyValue] = list(pairs)
    return {pair.key: value_of(pair.value) for pair in found}


def value_of(any_value: AnyValue) -> Any:
    """An AnyValue as a value of Python."""
    match any_value.WhichOneof("value"):
        case None:
            return None
        case "kvlist_value":
            return attributes(any_value.kvlist_value.values)
        case "array_value":
            return [value_of(value) for value in any_value.array_value.values]
        case name:
            return getattr(any_value, name)


def line_of(resource: dict[str, Any], kind: str, log: LogRecord) -> bytes:
    """The line that a record was, as tests write it."""
    fields = attributes(log.attributes)
    request_id, uid = fields.pop("faas.invocation_id", ""), fields.pop("log.record.uid")
    type_ = log.event_name or kind
    record = value_of(log.body)
    if log.event_name and record == log.event_name:
        record = {"requestId": request_id, **fields} if type_ in OF_A_REQUEST else fields
    observed = datetime.fromtimestamp(log.observed_time_unix_nano / 1e9, UTC)
    key = {
        "functionName": resource["faas.name"],
        "environment": resource["faas.instance"],
        "requestId": request_id,
        "id": uid,
    }
    time = f"{observed:%Y-%m-%dT%H:%M:%S}.{round(observed.microsecond / 1000):03d}Z"
    return orjson.dumps({"time": time, "type": type_, "record": record, "lambda": key})


KIND = Kind(
    url=lambda base, _folder: f"otlp+{base}/tenant",
    receiver=lambda _folder: Collector(),
    permanent=lambda _request: Answer(403),
    throttled=lambda _request: Answer(429, {"Retry-After": "7"}),
    transient=(502, 503, 504),  # and no other, says the specification
)

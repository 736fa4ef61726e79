"""Records as OpenTelemetry's LogRecords: what goes where is in docs/otlp.md.

Names are those of "Logs Data Model" and of the semantic conventions for FaaS, exceptions, and general logs.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import orjson
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from extension import lenient
from extension.reading import Reading, beside, parse_time, parse_x_ray, read
from extension.sinks._otlp_values import Inexact, encodable, loads_exactly, put, put_all, serialize

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ScopeLogs
    from opentelemetry.proto.resource.v1.resource_pb2 import Resource

    from extension.records import Record

    Reader = Callable[[object, str, int], Reading]

INVOCATION, UID = "faas.invocation_id", "log.record.uid"
PRINTED = ("function", "extension")  # kinds of records that somebody wrote to standard output
SAMPLED = 1  # of W3C's trace flags, which are the lowest byte of a LogRecord's
TRACE_ID = "traceId"  # of the key "lambda", where the user asks for it
# The members of the key "lambda" that have a place of their own: here, or in the Resource.
PLACED = frozenset(
    [
        "functionName",
        "functionVersion",
        "functionArn",
        "region",
        "accountId",
        "environment",
        "requestId",
        "traceId",
        "id",
        "tags",
    ]
)

LINE = frozenset(("time", "type", "record", "lambda"))  # keys of the platform's line, and ours
KEY = b',"lambda":{'


def _whole(content: object, _: str, __: int) -> Reading:
    """The value of a record as its message, unread: numbers may be in a text that was printed as JSON."""
    return Reading(content)


def encode(records: Sequence[Record], resource: Resource, *, as_json: bool) -> bytes:
    """The body of an ExportLogsServiceRequest: a scope for each kind of records, which are in order."""
    request = ExportLogsServiceRequest()
    logs = request.resource_logs.add(resource=resource)
    scopes: dict[str, ScopeLogs] = {}
    for record in records:
        scope = scopes.get(record.kind)
        if scope is None:
            scope = scopes[record.kind] = logs.scope_logs.add(scope={"name": f"aws.lambda.{record.kind}"})
        _add(scope, record)
    return serialize(request, as_json=as_json)


def _add(scope: ScopeLogs, record: Record) -> None:
    """Add a record, whatever it is: one that no reader gets the better of is its whole line."""
    log = scope.log_records.add()
    try:
        _fill(log, record, lenient.loads(record.line), read)
    except Exception as error:  # noqa: BLE001 - one bad record must not cost the batch
        if not isinstance(error, Inexact) or not _fill_exactly(log, record):
            log.Clear()
            _fill_plainly(log, record)


def _fill_exactly(log: LogRecord, record: Record) -> bool:
    """Set what a line says that holds numbers of very many digits; whether it could be done."""
    for reader in (read, _whole):
        log.Clear()
        try:
            _fill(log, record, loads_exactly(record.line), reader)
        except Inexact:
            continue
        except Exception:  # noqa: BLE001 - as above
            return False
        return True
    return False


def _fill_plainly(log: LogRecord, record: Record) -> None:
    """Keep a record that could not be read, or has so many values that reading them takes too much memory."""
    observed_ns = parse_time(record.time) or time.time_ns()
    log.time_unix_nano = log.observed_time_unix_nano = observed_ns
    log.body.string_value = encodable(record.line.decode("utf-8", "backslashreplace"))
    known = {INVOCATION: record.request_id, UID: _id_of(record.line)}
    put_all(log.attributes, {name: value for name, value in known.items() if value})
    if record.type != record.kind:
        log.event_name = encodable(record.type)


def _id_of(line: bytes) -> str:
    """What the key "lambda" at the end of a line calls it; empty where that cannot be read."""
    try:
        return str(orjson.loads(line[line.rindex(KEY) + len(KEY) - 1 : -1])["id"])
    except (ValueError, KeyError):
        return ""


def _fill(log: LogRecord, record: Record, line: Mapping[str, Any], reader: Reader) -> None:
    """Set what a line says. Raises KeyError for one of which not all was read, Inexact, and whatever else."""
    content, key = line["record"], line["lambda"]
    observed_ns = parse_time(line["time"]) if isinstance(line["time"], str) else 0
    fields: Mapping[str, object] = {}
    ours: dict[str, object] = {}
    if observed_ns:
        log.observed_time_unix_nano = observed_ns
    else:
        log.observed_time_unix_nano = time.time_ns()
        ours["aws.lambda.time"] = line["time"]
    request_id = key.get("requestId", "")
    if record.kind in PRINTED:
        said = reader(content, request_id, observed_ns)
        put(log.body, said.message)
        if len(vars(said)) > 1:
            request_id = said.request_id or request_id
            _fill_read(log, said)
            fields, ours = said.fields, {**ours, **said.error}
    else:
        fields = _fill_event(log, str(line["type"]), content, request_id)
    if request_id:
        ours[INVOCATION] = request_id
    if not log.trace_id and TRACE_ID in key:
        log.trace_id = bytes.fromhex(key[TRACE_ID])
    if not log.time_unix_nano:
        log.time_unix_nano = log.observed_time_unix_nano
    if line["type"] != record.kind:
        log.event_name = encodable(str(line["type"]))
    ours[UID] = key.get("id")
    ours |= _others(key, PLACED)
    attributes = beside(beside(_others(line, LINE), fields), ours)
    if "" in attributes:  # which the data model does not allow
        name = "_"
        while name in attributes:
            name += "_"
        attributes[name] = attributes.pop("")
    put_all(log.attributes, attributes)


def _others(members: Mapping[str, object], placed: frozenset[str]) -> dict[str, object]:
    """The members of a line, or of its key "lambda", that have no place of their own."""
    if placed.issuperset(members):
        return {}
    return {f"aws.lambda.{name}": value for name, value in members.items() if name not in placed}


def _fill_read(log: LogRecord, said: Reading) -> None:
    """Set what was read beside the message, but for what is an attribute."""
    if said.time_ns:
        log.time_unix_nano = said.time_ns
    if said.level:
        log.severity_text = encodable(said.level)
    if said.severity:
        log.severity_number = said.severity  # type: ignore[assignment] # an enum of protobuf is an int
    if said.trace_id:
        log.trace_id = bytes.fromhex(said.trace_id)
        log.flags = SAMPLED if said.sampled else 0
    if said.span_id:
        log.span_id = bytes.fromhex(said.span_id)


def _fill_event(log: LogRecord, record_type: str, content: Any, request_id: str) -> Mapping[str, object]:
    """Set what the platform says, or we: an event, whose fields these are."""
    if not isinstance(content, dict):
        put(log.body, content)
        return {}
    _join_trace(log, content.get("tracing"))
    log.body.string_value = encodable(record_type)  # of what has no body, some backends keep nothing
    is_known = request_id and content.get("requestId") == request_id
    return {name: value for name, value in content.items() if name != "requestId"} if is_known else content


def _join_trace(log: LogRecord, tracing: Any) -> None:
    """The trace that a platform event names, and the span that it is about, or else the parent of it."""
    found = parse_x_ray(tracing.get("value")) if isinstance(tracing, dict) else None
    if found is None:
        return
    trace_id, parent, sampled = found
    log.trace_id = bytes.fromhex(trace_id)
    log.flags = SAMPLED if sampled else 0
    span = tracing.get("spanId")
    span_id = span if isinstance(span, str) and len(span) == 16 else parent
    log.span_id = bytes.fromhex(span_id)

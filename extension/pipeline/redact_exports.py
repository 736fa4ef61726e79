"""The same for log records that programs export by OTLP: bodies, attributes, and all else in them that is text.

They are decoded, which nothing else here does with an export; what has no place in OTLP's messages as they are known
here is left out, since nobody has looked at it. A log record that cannot be looked through says so in its body, and has
nothing else but its time and its ids.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
from google.protobuf import json_format
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from extension.field_paths import step
from extension.pipeline.redactor import FIELD, Search, Unreadable, mark
from extension.sinks._otlp_values import IDS, serialize
from extension.wire import Malformed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
    from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

    from extension.field_paths import Path
    from extension.pipeline.redactor import Redactor

TRACE_ID_BYTES, SPAN_ID_BYTES = 16, 8
MAX_S = 2.0  # of CPU for the log records of one request, in which the event loop does nothing else


class Redacted(NamedTuple):
    """A request to export logs, encoded as before; how much was replaced in it, and what could not be looked through.

    The latter is a number of log records by reason.
    """

    body: bytes
    replaced: int
    withheld: Mapping[str, int]


def redact(redactor: Redactor, body: bytes, until: float, *, as_json: bool) -> Redacted:
    """What anyone may see of a request, as far as the redactor's clock lets it be looked through. Raises Malformed."""
    try:
        request = _parsed_json(body) if as_json else ExportLogsServiceRequest.FromString(body)
        request.DiscardUnknownFields()
        look = _Request(redactor, until)
        look.redact(request)
        return Redacted(serialize(request, as_json=as_json), look.count, look.withheld)
    except (DecodeError, json_format.ParseError, ValueError, TypeError, RecursionError, AttributeError):
        raise Malformed("not a request of this signal") from None  # their texts quote it
    except Unreadable as error:
        raise Malformed(f"cannot be redacted: {error}") from None


def _parsed_json(body: bytes) -> ExportLogsServiceRequest:
    found = orjson.loads(body)
    _with_base64(found)
    return json_format.ParseDict(found, ExportLogsServiceRequest(), ignore_unknown_fields=True)


def _with_base64(found: Any) -> None:
    """Write ids as protobuf's own JSON does: OTLP's has them in hexadecimal."""
    for value in found if isinstance(found, list) else ():
        _with_base64(value)
    for name, value in found.items() if isinstance(found, dict) else ():
        if name in IDS and value is not None:
            found[name] = base64.b64encode(binascii.unhexlify(value)).decode()
        else:
            _with_base64(value)


class _Request:
    """One look through a request: each log record has the time that any record has, all together until `until`."""

    def __init__(self, redactor: Redactor, until: float) -> None:
        self.count = 0
        self.withheld: dict[str, int] = {}
        self._redactor = redactor
        self._until = until
        self._fields = redactor.fields
        self._search = Search(redactor)  # of what is looked at now, which has the time of a record

    def redact(self, request: ExportLogsServiceRequest) -> None:
        """Replace in place. Raises Unreadable for what is no log record."""
        for logs in request.resource_logs:
            self._look(Search(self._redactor))
            logs.schema_url = self._search.text(logs.schema_url)
            self._attributes(logs.resource.attributes, ())
            for entity in logs.resource.entity_refs:
                entity.schema_url, entity.type = self._search.text(entity.schema_url), self._search.text(entity.type)
                for keys in (entity.id_keys, entity.description_keys):
                    keys[:] = [self._search.text(key) for key in keys]
            for scoped in logs.scope_logs:
                self._look(Search(self._redactor))
                scoped.schema_url = self._search.text(scoped.schema_url)
                scoped.scope.name = self._search.text(scoped.scope.name)
                scoped.scope.version = self._search.text(scoped.scope.version)
                self._attributes(scoped.scope.attributes, ())
                for log in scoped.log_records:
                    self._one(log)
        self._look(Search(self._redactor))

    def _look(self, search: Search) -> None:
        """Count what was replaced so far, and go on with another search."""
        self.count += self._search.count
        self._search = search

    def _one(self, log: LogRecord) -> None:
        self._look(Search(self._redactor, self._until))
        try:
            self._log(log)
        except Unreadable as error:
            self._search = Search(self._redactor)  # what was replaced in the record is gone with it
            _withhold(log, str(error))
            self.withheld[str(error)] = self.withheld.get(str(error), 0) + 1

    def _log(self, log: LogRecord) -> None:
        log.severity_text = self._search.text(log.severity_text)
        log.event_name = self._search.text(log.event_name)
        if log.HasField("body"):
            self._value(log.body, self._fields, "")
        self._attributes(log.attributes, self._fields)
        if len(log.trace_id) != TRACE_ID_BYTES:  # then it is none, and may be anything
            log.ClearField("trace_id")
        if len(log.span_id) != SPAN_ID_BYTES:
            log.ClearField("span_id")

    def _attributes(self, attributes: Iterable[KeyValue], paths: Sequence[Path]) -> None:
        for attribute in attributes:
            name = attribute.key
            attribute.key = self._search.text(name)
            self._value(attribute.value, step(paths, name), name)

    def _value(self, value: AnyValue, paths: Sequence[Path], name: str) -> None:
        kind = value.WhichOneof("value")
        if () in paths:
            value.string_value, self._search.count = mark(FIELD).decode(), self._search.count + 1
        elif kind == "array_value":
            for number, member in enumerate(value.array_value.values):
                self._value(member, step(paths, str(number)), name)
        elif kind == "kvlist_value":
            self._attributes(value.kvlist_value.values, paths)
        elif kind not in {None, "bool_value"}:
            self._plain(value, getattr(value, kind), paths, name)

    def _plain(self, value: AnyValue, found: str | float | bytes, paths: Sequence[Path], name: str) -> None:
        """Text, a number, or bytes, which may be text."""
        if isinstance(found, bytes):
            said = found.decode("utf-8", "replace")
        else:
            said = found if isinstance(found, str) else orjson.dumps(found).decode()
        left = self._search.number(said) if isinstance(found, int | float) else self._search.text(said, paths, name)
        if left != said:
            value.string_value = left


def _withhold(log: LogRecord, reason: str) -> None:
    times = log.time_unix_nano, log.observed_time_unix_nano
    ids = log.trace_id, log.span_id
    log.Clear()
    log.time_unix_nano, log.observed_time_unix_nano = times
    if len(ids[0]) == TRACE_ID_BYTES:
        log.trace_id = ids[0]
    if len(ids[1]) == SPAN_ID_BYTES:
        log.span_id = ids[1]
    log.body.string_value = f"[withheld: {reason}]"

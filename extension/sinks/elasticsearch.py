"""elasticsearch+https://host/index (and elasticsearch+http): documents for Elasticsearch and OpenSearch, by _bulk.

Shapes and answers are those of "Bulk index or delete documents" (elastic.co/docs) and "Bulk API" (docs.opensearch.org),
what a data stream takes that of "Use a data stream": `create` alone, and documents with @timestamp.

A document has the id of its record: what is sent again, since its answer was lost, meets itself and is answered 409. So
nothing is there twice, unless a data stream has got a new backing index meanwhile, since ids are those of an index.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import orjson

from extension.sinks import BadSetting, Failure, Limits, Outcome, Refused, Scope, Unavailable, _document, _http_intake
from extension.sinks._time import iso

if TYPE_CHECKING:
    from collections.abc import Sequence

    from extension.records import Batch, Record
    from extension.sinks import SinkURL
    from extension.sinks._http import Response

SCHEMES = ("elasticsearch+https", "elasticsearch+http")
URL = "elasticsearch+https://host/index"
SUMMARY = "documents in an index or a data stream of Elasticsearch or OpenSearch"
PARAMETERS = _http_intake.PARAMETERS
HARMLESS = _http_intake.HARMLESS
PASSES_ON = True
IAM_ACTIONS: tuple[str, ...] = ()
PROBE = "one document, whose type is forwarder.probe"

# Elastic advises some MiB ("Tune for indexing speed"); an answer for so many documents is within what is read of one.
LIMITS = Limits(records=5_000, overhead=128)
ANSWER_S = 2.0  # to read an answer, which is long
# Of an answer only what is needed: "Common options", Response filtering.
FILTER = "filter_path=errors,items.*.status,items.*.error.type"
TAKEN = 409  # the document is there already
DENIED = frozenset({401, 403, 404})  # no permission, a block, no index: said of an item, it is true of every other
# With 400, and true of every other as well: the cluster has no room for the index, which has to be made; it is closed.
OF_THE_INDEX = frozenset({"validation_exception", "index_closed_exception", "invalid_index_name_exception"})
WORD = re.compile(r"[a-z_]{1,64}")


def open_sink(target: SinkURL) -> _http_intake.Intake:
    """Make a sink of elasticsearch+https://host/index; the path may name _bulk itself."""
    index = target.path.rstrip("/").removesuffix("/_bulk")
    if not index:
        raise BadSetting("expected elasticsearch+https://host/index, of an index or a data stream")
    if "filter_path" in target.parameters:
        raise BadSetting("filter_path= is the forwarder's own; it tells which documents were taken")
    target = target._replace(query=f"{target.query}&{FILTER}" if target.query else FILTER)
    return _http_intake.Intake(
        target,
        f"{index}/_bulk",
        "application/x-ndjson",
        LIMITS,
        bulk,
        ("gzip", "none"),
        judge=judge,
        answer_s=ANSWER_S,
    )


def bulk(batch: Batch) -> bytes:
    """The body of a request: for each record an action and a document, a line each; the last one ends in a newline."""
    return b"".join([_create(record) for record in batch.records])


def _create(record: Record) -> bytes:
    """What creates a record's document.

    Its field `record` is always an object, and all else is the text `message`: no index takes both under one name.
    """
    document = _document.take_apart(record.line)
    action = b'{"create":{"_id":%b}}' % orjson.dumps(document.id) if document.id else b'{"create":{}}'
    begun = orjson.dumps({"@timestamp": iso(record.time), "type": record.type or record.kind})[:-1]
    name, value = (b"record", document.record) if document.is_object else (b"message", _document.text_of(document))
    return b'%b\n%b,"%b":%b,"lambda":%b}\n' % (action, begun, name, value, document.key)


def judge(batch: Batch, response: Response) -> Sequence[Failure]:
    """The documents that were not taken. Raises as check_status does, and Refused where none may be created."""
    _http_intake.check_status(response)
    try:
        answer = orjson.loads(response.body)
        if answer["errors"] is False:
            return ()
        items = [_item(*item.values()) for item in answer["items"]]
    except (orjson.JSONDecodeError, LookupError, TypeError, AttributeError):
        raise Unavailable(f"HTTP {response.status}, but no answer of _bulk's") from None
    if len(items) != len(batch.records):
        raise Unavailable(f"an answer for {len(items)} documents of {len(batch.records)}")
    if all(status in DENIED or reason.partition(": ")[2] in OF_THE_INDEX for status, reason in items):
        raise Refused(items[0][1], Scope.EVERYTHING)
    return [Failure(position, reason, _outcome(status)) for position, (status, reason) in enumerate(items) if reason]


def _item(result: dict[str, object]) -> tuple[int, str]:
    """Status of a document and, where it was not taken, the reason. Raises TypeError for what is no result."""
    status, error = result["status"], result.get("error")
    if not isinstance(status, int):
        raise TypeError
    if 200 <= status < 300 or status == TAKEN:
        return status, ""
    type_ = error.get("type") if isinstance(error, dict) else None
    word = type_ if isinstance(type_, str) and WORD.fullmatch(type_) else "error"
    return status, f"HTTP {status}: {word}"


def _outcome(status: int) -> Outcome:
    passing = status in _http_intake.RETRIABLE or status in DENIED
    return Outcome.RETRY if passing else Outcome.RECORD_REFUSED

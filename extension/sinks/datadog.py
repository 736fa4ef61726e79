"""datadog+https://http-intake.logs.SITE (and datadog+http): sends logs to Datadog's intake, version 2 of its API.

Shape, limits and statuses are those of "Send logs" (docs.datadoghq.com/api/latest/logs), the attributes those of
"Attributes and Aliasing" (Reserved attributes) and "Log Date Remapper" there. A log that is too large would be cut and
still be answered 202, so none is sent.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import orjson

from extension.sinks import Limits, _document, _http_intake
from extension.sinks._level import UNKNOWN, level
from extension.sinks._time import timestamp_ns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from extension.records import Batch, Record
    from extension.sinks import Failure, SinkURL
    from extension.sinks._http import Response

SCHEMES = ("datadog+https", "datadog+http")
URL = "datadog+https://http-intake.logs.SITE"
SUMMARY = "logs for Datadog"
PARAMETERS = _http_intake.PARAMETERS
HARMLESS = _http_intake.HARMLESS
PASSES_ON = True
IAM_ACTIONS: tuple[str, ...] = ()
PROBE = "one log, whose attribute type is forwarder.probe"

LOGS = "/api/v2/logs"
# A request may have 1,000 logs and 5 MB before compression, a log 1 MB. A record that is an object goes as text, where
# every byte of it may be two.
LIMITS = Limits(records=1_000, bytes=2_400_000, record_bytes=490_000, overhead=512)


def open_sink(target: SinkURL) -> _http_intake.Intake:
    """Make a sink of datadog+https://host/prefix; a prefix may end in the path of the API itself."""
    path = target.path.rstrip("/").removesuffix(LOGS) + LOGS
    usual = {
        "ddsource": "lambda",
        "ddtags": f"functionname:{target.function_name}",
        "hostname": target.function_name,
        "service": target.function_name,
    }
    named = parse_qs(target.query, keep_blank_values=True)  # which the intake takes for all logs of a request
    common = {name: value for name, value in usual.items() if name not in named}
    encode = partial(logs, common=common)
    return _http_intake.Intake(target, path, "application/json", LIMITS, encode, ("gzip", "none"), judge=judge)


def judge(batch: Batch, response: Response) -> Sequence[Failure]:
    """What the status says; but a page is no intake's answer, whatever its status. Raises as check_status does."""
    failures = _http_intake.by_status(batch, response)
    _http_intake.check_no_page(response, "Datadog's")
    return failures


def logs(batch: Batch, common: Mapping[str, str]) -> bytes:
    """The body of a request: an array of logs."""
    return b"[%b]" % b",".join([_log(record, common) for record in batch.records])


def _log(record: Record, common: Mapping[str, str]) -> bytes:
    """One log: the text of a record or its JSON, which Datadog parses; type and our key are attributes of it."""
    document = _document.take_apart(record.line)
    word = level(record)
    status = {} if word == UNKNOWN else {"status": word}
    timestamp_ms = timestamp_ns(record.time) // 10**6
    begun = orjson.dumps({**common, **status, "timestamp": timestamp_ms, "type": record.type or record.kind})[:-1]
    return b'%b,"message":%b,"lambda":%b}' % (begun, _document.text_of(document), document.key)

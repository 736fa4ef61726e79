"""splunk+https://host:8088 (and splunk+http): sends events to Splunk's HTTP Event Collector, HEC.

The shape of an event is that of "Format events for HTTP Event Collector", the codes of answers those of "Troubleshoot
HTTP Event Collector" (Possible error codes), both of help.splunk.com. Indexer acknowledgement is not asked for: a 200
says that the events look valid ("About HTTP Event Collector Indexer Acknowledgment").

Of a request with an event that is refused, the answer gives the number of the first such event; whether HEC has taken
those before it, Splunk does not say. So all others are sent again: what had been taken is there twice, under one id.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import orjson

from extension.sinks import Failure, Limits, Outcome, Refused, Scope, Throttled, Unavailable, _http_intake
from extension.sinks._time import timestamp_ns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from extension.records import Batch, Record
    from extension.sinks import SinkURL
    from extension.sinks._http import Response

SCHEMES = ("splunk+https", "splunk+http")
URL = "splunk+https://host:8088"
SUMMARY = "events for Splunk's HTTP Event Collector"
HARMLESS = _http_intake.HARMLESS | {"index", "source", "sourcetype"}
PARAMETERS = _http_intake.PARAMETERS | HARMLESS
PASSES_ON = True
IAM_ACTIONS: tuple[str, ...] = ()
PROBE = "one event, whose field type is forwarder.probe"

COLLECTOR = "/services/collector"
EVENT = f"{COLLECTOR}/event"
# What OpenTelemetry's splunkhecexporter sends by default (max_content_length_logs, max_event_size); HEC's own limits,
# max_content_length in limits.conf and maxEventSize in inputs.conf, are the server's.
LIMITS = Limits(bytes=2 << 20, record_bytes=2 << 20, overhead=512)
ANSWER_S = 1.0  # to read an answer, which says what of the request is wrong

TAKEN = frozenset({0, 24, 25})  # the latter two: queues are filling up
BUSY = frozenset({8, 9, 18, 19, 20, 23})  # an internal error, busy, unhealthy, shutting down
FULL = frozenset({26, 27})
OF_AN_EVENT = frozenset({6, 12, 13, 15})  # not JSON or too large, no event, a blank event, bad fields


def open_sink(target: SinkURL) -> _http_intake.Intake:
    """Make a sink of splunk+https://host:8088/prefix; a prefix may end in the path of the collector itself."""
    path = target.path.rstrip("/").removesuffix(EVENT).removesuffix(COLLECTOR) + EVENT
    chosen = {name: target.parameters[name] for name in ("index", "source", "sourcetype") if name in target.parameters}
    common = {
        "host": target.function_name,
        "source": f"lambda:{target.function_name}",
        "sourcetype": "_json",
        **chosen,
    }
    encode = partial(events, common=common, function_name=target.function_name)
    return _http_intake.Intake(
        target, path, "application/json", LIMITS, encode, ("gzip", "none"), judge=judge, answer_s=ANSWER_S
    )


def events(batch: Batch, common: Mapping[str, str], function_name: str) -> bytes:
    """The body of a request: an object for each record, one behind the other, which is no array."""
    begun = orjson.dumps(common)[:-1]
    return b"\n".join([_event(record, begun, function_name) for record in batch.records])


def _event(record: Record, begun: bytes, function_name: str) -> bytes:
    """One event, our line as it is; `begun` has what all have in common.

    Its time is in plain decimals: HEC refuses an exponent, as JSON of a float may have one.
    """
    seconds, nanoseconds = divmod(timestamp_ns(record.time), 10**9)
    fields = orjson.dumps({"function": function_name, "type": record.type or record.kind})
    return b'%b,"time":%d.%03d,"fields":%b,"event":%b}' % (
        begun, seconds, nanoseconds // 10**6, fields, record.line
    )  # fmt: skip


def judge(batch: Batch, response: Response) -> Sequence[Failure]:
    """What an answer of HEC means. Raises Refused, Throttled, Unavailable."""
    try:
        answer = orjson.loads(response.body or b"{}")
    except orjson.JSONDecodeError:
        _http_intake.check_status(response)
        raise Unavailable(f"HTTP {response.status}, but no answer of HEC's") from None
    code = answer.get("code") if isinstance(answer, dict) else None
    if not isinstance(code, int):  # a proxy's, or that of another maker's collector
        return _http_intake.by_status(batch, response)
    if code in TAKEN:
        return ()
    reason = f"HTTP {response.status}, HEC code {code}"
    if code in FULL:
        raise Throttled(reason, _http_intake.parse_retry_after(response.headers.get("Retry-After", "")))
    if code in BUSY:
        raise Unavailable(reason)
    if code in OF_AN_EVENT:
        return _all_but(batch, answer.get("invalid-event-number"), reason)
    raise Refused(reason, Scope.EVERYTHING)  # the token, the index, the channel: the same for every request


def _all_but(batch: Batch, number: object, reason: str) -> Sequence[Failure]:
    """That the event of this number, from 0, is refused, and all others are to be sent again."""
    if not isinstance(number, int) or not 0 <= number < len(batch.records):
        raise Refused(reason, Scope.RECORD)
    return [
        Failure(position, reason, Outcome.RECORD_REFUSED if position == number else Outcome.RETRY)
        for position in range(len(batch.records))
    ]

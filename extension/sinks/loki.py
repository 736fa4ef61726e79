"""loki+https://host/prefix (and loki+http): pushes lines to Grafana Loki, in streams of few labels.

Shapes and statuses are those of "Loki HTTP API" (Ingest logs) and "Enforce rate limits and push request validation",
limits those of "Grafana Loki configuration parameters", all pages of grafana.com/docs/loki/latest.

400 is said of a push of which some lines are refused, while what is valid is taken ("Loki components", Distributor).
Delivery finds the refused ones by sending halves. What was taken then comes again and is left out by Loki: the same
line in the same stream at the same nanosecond is a duplicate (the same, Ingester and Querier).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import orjson

from extension.sinks import Limits, Unavailable, _http_intake
from extension.sinks._level import level
from extension.sinks._time import timestamp_ns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from extension.records import Batch
    from extension.sinks import Failure, SinkURL
    from extension.sinks._http import Response

SCHEMES = ("loki+https", "loki+http")
URL = "loki+https://host/prefix"
SUMMARY = "lines in streams of Grafana Loki"
PARAMETERS = _http_intake.PARAMETERS
HARMLESS = _http_intake.HARMLESS
IAM_ACTIONS: tuple[str, ...] = ()
PROBE = "one line, in a stream of its own whose label type is other"

PUSH = "/loki/api/v1/push"
# Loki's defaults: max_line_size of 256 KB, and 4 MiB between its parts (grpc_server_max_recv_msg_size), with some 22
# bytes beside each line. Both are below what a tenant may send at once, ingestion_burst_size_mb of 6.
LIMITS = Limits(bytes=4_000_000, record_bytes=256 << 10, overhead=32)


def open_sink(target: SinkURL) -> _http_intake.Intake:
    """Make a sink of loki+https://host/prefix; a prefix may end in the path of the push API itself."""
    path = target.path.rstrip("/").removesuffix(PUSH) + PUSH
    encode = partial(push, function_name=target.function_name)
    return _http_intake.Intake(target, path, "application/json", LIMITS, encode, ("gzip", "none"), judge)


def judge(batch: Batch, response: Response) -> Sequence[Failure]:
    """That all is taken, or nothing. Raises as check_status does, and Unavailable for a page in the place of a 204.

    What speaks like Loki may say 200, as VictoriaLogs did until 2025, but has nothing to add.
    """
    failures = _http_intake.by_status(batch, response)
    has_body = response.body or response.headers.get("Content-Length", "0") != "0"
    if response.status != 204 and has_body:
        raise Unavailable(f"HTTP {response.status} with a body, not from Loki itself: is there a proxy?")
    return failures


def push(batch: Batch, function_name: str) -> bytes:
    """The body of a push: a stream for each type and level, its lines in order of time.

    The levels are words that Loki itself finds for detected_level; as labels they stay few.
    """
    streams: dict[tuple[str, str], list[tuple[int, str]]] = {}
    for record in batch.records:
        value = timestamp_ns(record.time), record.line.decode()
        streams.setdefault((record.kind, level(record)), []).append(value)
    return orjson.dumps(
        {
            "streams": [
                {
                    "stream": {"service": function_name, "function": function_name, "type": kind, "level": level_},
                    # A timestamp that is a number is refused.
                    "values": [(str(time_ns), line) for time_ns, line in sorted(values, key=lambda value: value[0])],
                }
                for (kind, level_), values in sorted(streams.items())
            ]
        }
    )

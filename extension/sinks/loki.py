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

from extension.sinks import Limits, _http_intake
from extension.sinks._level import level
from extension.sinks._time import timestamp_ns

if TYPE_CHECKING:
    from extension.records import Batch
    from extension.sinks import SinkURL

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
    return _http_intake.Intake(target, path, "application/json", LIMITS, encode, ("gzip", "none"))


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

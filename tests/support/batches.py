"""Records, batches and sinks as delivery would make them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

import orjson

from extension import lenient, sinks
from extension.records import Batch, Record

if TYPE_CHECKING:
    from collections.abc import Sequence

ENVIRONMENT = "0f1e2d3c4b5a6978"


def line(sequence: int, text: str = "hello", time: str = "2026-11-21T04:05:06.789Z") -> bytes:
    """Make one line as the pipeline makes it."""
    request = f"{sequence // 10:08x}-0000-4000-8000-000000000000"
    observed = {
        "functionName": "demo",
        "environment": ENVIRONMENT,
        "requestId": request,
        "id": f"{ENVIRONMENT}-{sequence}",
    }
    return orjson.dumps({"time": time, "type": "function", "record": text, "lambda": observed})


def record(sequence: int, line: bytes) -> Record:
    """A line as a record, with what the pipeline would have learned of it."""
    known = lenient.loads(line)
    request_id = known.get("lambda", {}).get("requestId", "")
    return Record(sequence, "function", line, known.get("type", ""), known.get("time", ""), request_id)


def batch(*lines: bytes, number: int = 1) -> Batch:
    """Make a batch of these lines."""
    return Batch(f"{ENVIRONMENT}-b{number}", [record(index, text) for index, text in enumerate(lines)])


def sink_url(url: str, headers: Sequence[tuple[str, str]] = ()) -> sinks.SinkURL:
    """Take a URL apart, for a function called demo."""
    parts = urlsplit(url)
    parameters = dict(parse_qsl(parts.query, keep_blank_values=True))
    return sinks.SinkURL(
        f"{parts.scheme}://{parts.netloc}",
        parts.scheme,
        parts.netloc,
        parts.path,
        parameters,
        headers=tuple(headers),
        function_name="demo",
        query=parts.query,
    )


def open_sink(url: str, headers: Sequence[tuple[str, str]] = ()) -> sinks.Sink:
    """Open the sink of a URL, for a function called demo."""
    return sinks.load(sink_url(url, headers))

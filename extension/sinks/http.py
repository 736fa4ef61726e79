"""https://host/path (and http): POSTs batches of compressed NDJSON to any HTTP intake."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from extension.sinks import HOST, BadSetting, Busy, Limits, Rejected
from extension.sinks._compression import Packed, compress_gzip, compress_zstd
from extension.sinks._http import Connection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from extension.records import Batch
    from extension.sinks import Failure, Target
    from extension.sinks._http import Response

PARAMETERS = frozenset({"compression", "headers"})
COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {"gzip": compress_gzip, "zstd": compress_zstd, "none": bytes}
RETRIABLE = frozenset({408, 425, 429, *range(500, 600)} - {501, 505})


class HttpSink:
    """POSTs to one URL over a connection that is kept alive."""

    limits = Limits()

    def __init__(self, url: str, path: str, headers: Iterable[tuple[str, str]], compression: str) -> None:
        self._path = path
        ours = (("Content-Type", "application/x-ndjson"), ("User-Agent", "telemetry-forwarder"))
        self._headers = merge_headers((*ours, *headers))
        self._packed = Packed(COMPRESSIONS[compression])
        if compression != "none":
            self._headers["Content-Encoding"] = compression
        self._connection = Connection(url)

    def send(self, batch: Batch, timeout_s: float) -> Sequence[Failure]:
        """POST the batch. Raises Rejected for what may not be sent again, Busy where the answer names a delay."""
        body = self._packed.body(batch)
        response = self._connection.request("POST", self._path, self._headers, body, timeout_s)
        check_status(response)
        self._packed.forget()
        return ()

    def close(self) -> None:
        """Drop the kept connection."""
        self._connection.close()


def open_sink(target: Target) -> HttpSink:
    """Make a sink of an http or https URL. Query parameters that are ours are taken off; a URL may have no others."""
    url = f"{target.scheme}://{target.host}"
    if not HOST.fullmatch(target.host) or not target.path.isascii():
        raise BadSetting("expected https://host/path, with what is not ASCII as %XX in the path, as xn-- in the host")
    compression = target.parameters.get("compression", "gzip")
    if compression not in COMPRESSIONS:
        raise BadSetting(f"compression= is none of {', '.join(COMPRESSIONS)}")
    return HttpSink(url, target.path or "/", target.headers, compression)


def merge_headers(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The last header of each name, which is the same in any case (RFC 9110, section 5.1)."""
    return dict({name.lower(): (name, value) for name, value in headers}.values())


def check_status(response: Response) -> None:
    """Raise what the status of an answer means to delivery; the answer's body is not shown, it may quote records."""
    status = response.status
    if 200 <= status < 300:
        return
    message = f"HTTP {status}"
    if status not in RETRIABLE:
        raise Rejected(message, divisible=status in {400, 413, 422})
    raise Busy(message, parse_retry_after(response.headers.get("Retry-After", "")))


def parse_retry_after(value: str) -> float:
    """Seconds to wait as in RFC 9110 section 10.2.3, a number or a date; 0 where there is none that can be read."""
    if value.strip().isdecimal():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return 0.0

"""https://host/path (and http): POSTs batches as gzipped NDJSON to any HTTP intake."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import urllib3

from extension.sinks import Busy, Limits, Rejected, _tls
from extension.sinks._compression import compress_gzip

if TYPE_CHECKING:
    from collections.abc import Sequence

    from extension.records import Batch
    from extension.sinks import Failure, Target

PARAMETERS = frozenset({"compression", "headers"})
COMPRESSIONS = ("gzip", "none")
RETRIABLE = frozenset({408, 425, 429, *range(500, 600)} - {501, 505})
MAX_CONNECT_S = 2.0


class HttpSink:
    """One connection, kept alive. urllib3 finds out by itself when a kept one was closed while we were frozen."""

    limits = Limits()

    def __init__(self, url: str, headers: dict[str, str], *, compressed: bool) -> None:
        self._url = url
        self._headers = {"Content-Type": "application/x-ndjson", "User-Agent": "telemetry-forwarder", **headers}
        self._compressed = compressed
        if compressed:
            self._headers["Content-Encoding"] = "gzip"
        self._pool = _open_pool(url)

    def send(self, batch: Batch, timeout_s: float) -> Sequence[Failure]:
        """POST the batch. Raises Rejected for what may not be sent again, Busy where the answer names a delay."""
        body = batch.ndjson()
        response = self._pool.request(
            "POST",
            self._url,
            body=compress_gzip(body) if self._compressed else body,
            headers=self._headers,
            timeout=urllib3.Timeout(connect=min(MAX_CONNECT_S, timeout_s), total=timeout_s),
            retries=False,  # delivery decides on retries: it knows the deadline
            redirect=False,
        )
        check_status(response)
        return ()

    def close(self) -> None:
        """Drop the kept connection."""
        self._pool.clear()


def open_sink(target: Target) -> HttpSink:
    """Make a sink of an http or https URL. Query parameters that are ours are taken off; a URL may have no others."""
    if not target.host:
        message = "expected https://host/path"
        raise ValueError(message)
    compression = target.parameters.get("compression", "gzip")
    if compression not in COMPRESSIONS:
        message = f"compression={compression}: expected one of {', '.join(COMPRESSIONS)}"
        raise ValueError(message)
    url = f"{target.scheme}://{target.host}{target.path or '/'}"
    return HttpSink(url, dict(target.headers), compressed=compression == "gzip")


def check_status(response: urllib3.BaseHTTPResponse) -> None:
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


def _open_pool(url: str) -> urllib3.PoolManager:
    """A pool that honours HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY, in either case."""
    import urllib.request  # noqa: PLC0415 - http.client is loaded by urllib3 already, so this is 2 ms

    host = urllib3.util.parse_url(url).host or ""
    proxies = urllib.request.getproxies()
    proxy = proxies.get(url.partition(":")[0]) or proxies.get("all")
    context = _tls.open_context() if url.startswith("https:") else None
    if proxy and not urllib.request.proxy_bypass(host):
        return urllib3.ProxyManager(proxy, num_pools=1, maxsize=1, ssl_context=context)
    return urllib3.PoolManager(num_pools=1, maxsize=1, ssl_context=context)

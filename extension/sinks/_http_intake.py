"""What the sinks share that POST to an HTTP intake: compression, headers, and what a status means to delivery."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from extension.records import Batch
from extension.sinks import HOST, BadSetting, Refused, Scope, Throttled, Unavailable, _tls, choice
from extension.sinks._compression import Packed, compress_gzip, compress_zstd, uncompressed
from extension.sinks._http import MAX_BODY_S, Connection
from extension.version import USER_AGENT

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from extension.sinks import Failure, Limits, SinkURL
    from extension.sinks._http import Response

PARAMETERS = _tls.PARAMETERS | {"compression", "headers"}
HARMLESS = frozenset({"compression"})  # headers= may be a secret by mistake, in place of the name of a variable
COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {"gzip": compress_gzip, "zstd": compress_zstd, "none": uncompressed}
SCOPES = {400: Scope.RECORD, 413: Scope.SIZE, 422: Scope.RECORD}
RETRIABLE = frozenset({408, 425, 429, *range(500, 600)} - {501, 505})


class Intake:
    """A sink that POSTs batches to one path over a connection that is kept alive."""

    def __init__(
        self,
        target: SinkURL,
        path: str,
        content_type: str,
        limits: Limits,
        encode: Callable[[Batch], bytes] = Batch.ndjson,
        compressions: Iterable[str] = COMPRESSIONS,
        judge: Callable[[Batch, Response], Sequence[Failure]] | None = None,
        answer_s: float = MAX_BODY_S,
    ) -> None:
        """Open nothing yet. `encode` makes a body of a batch; the first of `compressions` is the usual one.

        `judge` tells from an answer which records it does not take, and raises what it means to the whole batch; where
        there is none, the status says all. The answer's body is read for `answer_s` at most.
        The scheme of the target is http or https, behind a plus where the sink has a name of its own.
        Raises BadSetting, Unavailable.
        """
        self._connection = open_connection(target)
        self.limits = limits
        compression = choice(target, "compression", tuple(compressions))
        self._path = f"{path}?{target.query}" if target.query else path
        self._headers = request_headers(target, content_type, compression)
        self._packed = Packed(COMPRESSIONS[compression], encode)
        self._judge, self._answer_s = judge or by_status, answer_s

    def send(self, batch: Batch, timeout_s: float) -> Sequence[Failure]:
        """POST the batch; the records that were not taken. Raises as check_status does, and OSError."""
        body = self._packed.body(batch)
        response = self._connection.request("POST", self._path, self._headers, body, timeout_s, self._answer_s)
        failures = self._judge(batch, response)
        self._packed.forget()
        return failures

    def close(self) -> None:
        """Drop the kept connection."""
        self._connection.close()


def server_url(target: SinkURL) -> str:
    """The scheme and host that a sink speaks to, behind the name that it may have of its own. Raises BadSetting."""
    name, plus, scheme = target.scheme.rpartition("+")
    if not HOST.fullmatch(target.host) or not target.path.isascii():
        raise BadSetting(
            f"expected {name}{plus}https://host/path, with what is not ASCII as %XX in the path, as xn-- in the host"
        )
    return f"{scheme}://{target.host}"


def open_connection(target: SinkURL) -> Connection:
    """A connection to the server of a sink, not yet made. Raises BadSetting, Unavailable."""
    url, files = server_url(target), _tls.files_of(target.parameters)
    if any(files) and not url.startswith("https:"):
        raise BadSetting("ca=, cert= and key= are for https")
    return Connection(url, files)


def request_headers(target: SinkURL, content_type: str, compression: str) -> dict[str, str]:
    """The headers of every request: ours, and the user's, which win."""
    ours = (("Content-Type", content_type), ("User-Agent", USER_AGENT))
    headers = merge_headers((*ours, *target.headers))
    if compression != "none":
        headers["Content-Encoding"] = compression
    return headers


def merge_headers(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The last header of each name, which is the same in any case (RFC 9110, section 5.1)."""
    return dict({name.lower(): (name, value) for name, value in headers}.values())


def check_status(response: Response, retriable: Collection[int] = RETRIABLE) -> None:
    """Raise what the status of an answer means to delivery; the answer's body is not shown, it may quote records."""
    status = response.status
    if 200 <= status < 300:
        return
    message = f"HTTP {status}"
    if status not in retriable:
        raise Refused(message, SCOPES.get(status, Scope.EVERYTHING))
    retry_after_s = parse_retry_after(response.headers.get("Retry-After", ""))
    if status == 429 or retry_after_s:
        raise Throttled(message, retry_after_s)
    raise Unavailable(message)


def check_no_page(response: Response, whose: str) -> None:
    """Raise Unavailable for a page, which a proxy or a portal answers with any status; what is empty is none."""
    if response.headers.get_content_type() == "text/html" and response.body.lstrip().startswith(b"<"):
        raise Unavailable(f"HTTP {response.status}, but no answer of {whose}")


def by_status(_batch: Batch, response: Response) -> Sequence[Failure]:
    """That all is taken, or nothing: the status says so. Raises as check_status does."""
    check_status(response)
    return ()


def parse_retry_after(value: str) -> float:
    """Seconds to wait as in RFC 9110 section 10.2.3, a number or a date; 0 where there is none that can be read."""
    if value.strip().isdecimal():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return 0.0

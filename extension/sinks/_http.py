"""One kept HTTP/1.1 connection, on the standard library's http.client.

urllib3 would do, but importing it costs each cold start 17 ms and each environment 3 MiB (benchmarks/cold_start.py).
Decisions are the caller's: nothing is tried again here, and no redirect is followed.
"""

from __future__ import annotations

import http.client
import re
import select
import time
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from extension.sinks import _tls
from extension.sinks._proxies import authorization, proxy_of

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

MAX_CONNECT_S = 2.0
MIN_TIMEOUT_S = 0.01  # 0 would mean something else to a socket
MAX_ANSWER_BYTES = 1 << 20
MAX_BODY_S = 0.1  # few need it; it is read so that the connection can be kept
MAX_INTERIM = 16  # answers before the one that counts


class Response(NamedTuple):
    """An answer: `headers` are looked up in any case, and `body` is cut off after 1 MiB."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes


class Connection:
    """A connection to the server of a URL, straight or through the proxy that the environment names for it."""

    def __init__(self, url: str, files: _tls.Files = _tls.Files()) -> None:  # noqa: B008 - it never changes
        """Open nothing yet. Raises Unavailable for a proxy, BadSetting for certificates that cannot be used."""
        self._url = urlsplit(url)
        self._proxy = proxy_of(self._url)
        self._context = _tls.open_context(files) if self._url.scheme == "https" else None
        self._kept: http.client.HTTPConnection | None = None
        # a proxy for https is asked for a tunnel; one for http takes the whole URL
        whole = self._proxy is not None and self._context is None
        self._prefix = f"http://{self._url.netloc}" if whole else ""
        self._extra = authorization(self._proxy) if whole else {}

    def request(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes,
        timeout_s: float,
        body_s: float = MAX_BODY_S,
    ) -> Response:
        """Send a request for `target`, a path with its query, and read the answer. Raises OSError.

        A connection in use is nobody's but its caller's: `close` may come from another thread when a freeze has left
        this one hanging. An answer counts once its head is there; its body is read as far as it comes in `body_s`.
        """
        deadline = time.monotonic() + timeout_s
        connection = self._take() or self._connect(min(MAX_CONNECT_S, timeout_s))
        try:
            sock = connection.sock  # which http.client gives away with an answer that ends the connection
            sock.settimeout(max(deadline - time.monotonic(), MIN_TIMEOUT_S))
            try:
                connection.request(method, self._prefix + target, body, {**headers, **self._extra})
            except OSError as error:
                sock.settimeout(max(deadline - time.monotonic(), MIN_TIMEOUT_S))
                answer = _early_answer(connection, error)
            else:
                answer = connection.getresponse()
            content = _read(answer, sock, min(deadline, time.monotonic() + body_s))
        except http.client.HTTPException as error:
            connection.close()
            raise ConnectionError(f"no HTTP answer: {type(error).__name__}") from None  # its text quotes the server
        except BaseException:
            connection.close()
            raise
        if answer.will_close or not answer.isclosed():
            connection.close()
        else:
            self.close()  # another request may have left its own here meanwhile
            self._kept = connection
        return Response(answer.status, answer.headers, content)

    def close(self) -> None:
        """Drop the kept connection; the next request makes a fresh one."""
        if (connection := self._take()) is not None:
            connection.close()

    def _take(self) -> http.client.HTTPConnection | None:
        """The kept connection, unless it was closed while we were frozen."""
        connection, self._kept = self._kept, None
        if connection is not None and select.select([connection.sock], [], [], 0)[0]:
            connection.close()  # there is nothing to be read but its end
            return None
        return connection

    def _connect(self, timeout_s: float) -> http.client.HTTPConnection:
        """A connection, made. Raises OSError, whatever a proxy says, and whatever is called a host."""
        connection: http.client.HTTPConnection | None = None
        try:
            connection = self._unconnected(timeout_s)
            connection.connect()
        except BaseException as error:
            if connection is not None:
                connection.close()
            if type(error) is OSError and error.errno is None:  # http.client's, with the proxy's own words
                refused = re.search(r"\b\d{3}\b", str(error))
                raise ConnectionError(f"the proxy makes no tunnel: HTTP {refused[0] if refused else 'error'}") from None
            if isinstance(error, UnicodeError):  # of the codec for names of hosts
                raise ConnectionError("the host cannot be one") from None
            if isinstance(error, http.client.HTTPException) and not isinstance(error, OSError):
                raise ConnectionError(f"the proxy cannot be used: {type(error).__name__}") from None
            raise
        return connection

    def _unconnected(self, timeout_s: float) -> http.client.HTTPConnection:
        near = self._proxy or self._url
        host, port = near.hostname or "", near.port or (443 if near.scheme == "https" else 80)
        if self._context is None:
            connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
        else:
            connection = _Secure(host, port, timeout=timeout_s, context=self._context)
            if self._proxy is not None:
                connection.set_tunnel(self._url.hostname or "", self._url.port or 443, authorization(self._proxy))
        connection.response_class = _Answer
        return connection


class _Secure(http.client.HTTPSConnection):
    """One that asks a proxy for an IPv6 address in brackets (RFC 9110, section 9.3.6), as CPython 3.11 does not."""

    _tunnel_host: str

    def _tunnel(self) -> None:
        host = self._tunnel_host
        self._tunnel_host = f"[{host}]" if ":" in host else host
        try:
            super()._tunnel()  # type: ignore[misc] # private, and so not in typeshed
        finally:
            self._tunnel_host = host  # by which the certificate is checked


class _Answer(http.client.HTTPResponse):
    """The answer that counts: http.client passes over 100 by itself, and takes 102 or 103 for the end of it.

    RFC 9110, section 15.2: any number of answers 1xx may come before, to be ignored; but 101 is a last word.
    """

    def begin(self) -> None:
        super().begin()
        for _ in range(MAX_INTERIM):
            if not 101 < self.status < 200:
                return self._check_length()
            self.headers = None  # type: ignore[assignment] # as before the first call: the head is yet to be read
            super().begin()
        raise http.client.HTTPException("no end of interim answers")

    def _check_length(self) -> None:
        """Raise for a length that is none: where such an answer ends nobody knows (RFC 9112, section 6.3, 5)."""
        found = self.headers.get("Content-Length", "0").strip()
        if not self.chunked and not (found.isascii() and found.isdecimal()):
            raise http.client.HTTPException("a length that is none")


def _early_answer(connection: http.client.HTTPConnection, error: OSError) -> http.client.HTTPResponse:
    """What a server said that ended the connection before all was sent; the connection goes with it.

    RFC 9112, section 9.5. Raises `error`, which broke the sending, where there is no answer or none to believe: 2xx is
    of a body that never came, and 408 only says that it was too slow, in a freeze perhaps.
    """
    try:
        answer = connection.getresponse()
    except (OSError, http.client.HTTPException):
        raise error from None
    if answer.status < 300 or answer.status == 408:
        answer.close()
        raise error
    answer.will_close = True
    return answer


def _read(answer: http.client.HTTPResponse, sock: socket.socket, deadline: float) -> bytes:
    """The body, as far as it comes by the deadline; http.client's timeout would be one for each byte."""
    content = b""
    while not answer.isclosed() and len(content) < MAX_ANSWER_BYTES and (left_s := deadline - time.monotonic()) > 0:
        sock.settimeout(left_s)
        try:
            # at its end read1 returns nothing, but only read marks the answer as done
            content += answer.read1(MAX_ANSWER_BYTES - len(content)) if answer.length != 0 else answer.read()
        except OSError:
            break
        except http.client.HTTPException:  # chunks that are none, or cut: what comes next cannot be an answer
            answer.will_close = True
            break
    return content

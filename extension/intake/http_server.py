"""HTTP/1.1 for programs of the same machine, on httptools: requests with a body in, short answers out.

Whatever a client does costs itself a clear status, and nobody else anything: heads, bodies, connections and the time of
a request are bounded, and a client that does not read its answers is not read from. Source: RFC 9110, RFC 9112.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple, cast

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpRequestParser

from extension.log import describe, log_seldom

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_CONNECTIONS = 64
MAX_HEAD_BYTES = 16_384
REQUEST_S = 10.0  # from the first byte of a request to its last
FRESH_S = 1.0  # that a new connection has to begin its first request, before another one may take its place
THAWED_S = 1.0  # more: the time may have gone by while all were frozen
LINGER_S = 1.0  # that a client has to read an answer which ends the connection, while it may still be sending
HEADERS = frozenset({b"content-type", b"content-encoding", b"content-length", b"transfer-encoding", b"expect"})
REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed\r\nAllow: POST",  # which RFC 9110, section 15.5.6, asks for
    408: "Request Timeout",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


class Request(NamedTuple):
    """A request; of its headers there are HEADERS, in lower case, and `body` is as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class Answer(NamedTuple):
    """An answer to a request; `type` is that of its body."""

    status: int
    type: str
    body: bytes = b""


class HttpServer:
    """What the connections share. `check` says of a head, a request without its body, with which status it is refused.

    That is 0 where it is not; of what is refused the body is not kept. `answer` makes the answer to a whole request,
    and `explain` that to one which did not get so far. `max_body` bounds a body, `max_bytes` all that are under way.
    """

    def __init__(
        self,
        check: Callable[[Request], int],
        answer: Callable[[Request], Answer],
        explain: Callable[[Request, int], Answer],
        max_body: int,
        max_bytes: int,
    ) -> None:
        self.check = check
        self.answer = answer
        self.explain = explain
        self.max_body = max_body
        self.max_bytes = max_bytes
        self.bytes = 0  # of bodies that are under way
        self.connections: dict[Connection, None] = {}  # the one that was idle for longest is first
        self.ending = 0  # connections that have their last answer

    def connect(self) -> Connection:
        """The protocol of a new connection."""
        return Connection(self)

    def has_place(self) -> bool:
        """Whether there is a place for one connection more, if need be that of the one that was idle for longest."""
        if len(self.connections) < MAX_CONNECTIONS:
            return True
        idle = next((connection for connection in self.connections if connection.is_idle), None)
        if idle is not None:
            idle.close()
        return idle is not None


class Connection(asyncio.Protocol):
    """One connection: requests one after the other, each answered as soon as it is whole."""

    def __init__(self, server: HttpServer) -> None:
        self._server = server
        self._timer: asyncio.TimerHandle | None = None
        self._lingering: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport
        self._closed = False
        self._made = asyncio.get_running_loop().time()
        self._answered = 0  # requests
        self._parser = HttpRequestParser(self)
        self._begin()

    @property
    def is_idle(self) -> bool:
        """Whether no request is under way, or about to come."""
        is_fresh = not self._answered and asyncio.get_running_loop().time() < self._made + FRESH_S
        return self._timer is None and not is_fresh

    def close(self) -> None:
        """End the connection once what was written is out and read: RFC 9112, section 9.6.

        To close it at once, with something unread, would reset it, and the client might not see its answer.
        """
        self._closed = True
        self._server.connections.pop(self, None)
        if self._server.ending >= MAX_CONNECTIONS or self._transport.is_closing():
            self._transport.close()
            return
        self._server.ending += 1
        self._lingering = asyncio.get_running_loop().call_later(LINGER_S, self._transport.abort)
        self._transport.write_eof()

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or say that there are too many."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's have other parents
        if self._server.has_place():
            self._server.connections[self] = None
        else:
            self._refuse(503)

    def connection_lost(self, _error: Exception | None) -> None:
        """Forget it, and what came of a request that will never be whole."""
        self._closed = True
        self._server.connections.pop(self, None)
        if self._lingering is not None:
            self._lingering.cancel()
            self._server.ending -= 1
        self._end()

    def pause_writing(self) -> None:
        """The client does not read its answers."""
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """It does again."""
        if not self._closed:
            self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        """Parse what came; a whole request is answered from within."""
        rest = memoryview(data)  # shorter in each round
        while rest and not self._closed:
            if self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(REQUEST_S, self._look)
            parsed = len(rest)
            self._unread_bytes += parsed
            try:
                parsed = self._parse(rest)
            except HttpParserCallbackError as error:  # of ours
                log_seldom("ERROR", "request not taken", reason=describe(error.__context__ or error))
                self._refuse(500)
            except (HttpParserError, HttpParserUpgrade):
                self._refuse(400)
            rest = rest[parsed:]
            if self._unread_bytes > MAX_HEAD_BYTES:
                self._refuse(431)

    # What httptools calls

    def on_message_begin(self) -> None:
        """A request begins."""
        if self._timer is None and not self._closed:  # behind another one, in the same packet
            self._timer = asyncio.get_running_loop().call_later(REQUEST_S, self._look)

    def on_url(self, url: bytes) -> None:
        """A part of the target."""
        self._target += url
        self._head_bytes += len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; one that comes twice is a list (RFC 9110, section 5.3), and a trailer is none (section 6.5.1)."""
        if self._has_head:
            return
        self._head_bytes += len(name) + len(value)
        if (known := name.lower()) in HEADERS and self._head_bytes <= MAX_HEAD_BYTES:
            before = self._headers.get(known.decode())
            text = value.decode("latin-1")
            self._headers[known.decode()] = text if before is None else f"{before}, {text}"

    def on_headers_complete(self) -> None:
        """The head is whole."""
        if self._parser.should_upgrade():
            if self._parser.get_method() == b"CONNECT":  # which is an upgrade by itself
                self._refuse(405)
            elif self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(431)
            return
        self._has_head = True
        self._unread_bytes = 0
        length = self._headers.get("content-length", "0")
        self._wrong = 431 if self._head_bytes > MAX_HEAD_BYTES else self._server.check(self._request())
        if not self._wrong and int(length) > self._server.max_body:
            self._wrong = 413
        if self._headers.get("expect", "").lower() == "100-continue":
            if self._wrong:
                self._refuse(self._wrong)  # before a body is sent in vain
            else:
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        """A part of the body; to one that is too large the client gets its answer when it has sent it."""
        self._unread_bytes = 0
        if self._wrong:
            return
        self._server.bytes += len(body)
        self._body += body
        if len(self._body) > self._server.max_body or self._server.bytes > self._server.max_bytes:
            self._wrong = 413
            self._drop_body()

    def on_message_complete(self) -> None:
        """The request is whole."""
        if self._closed or self._parser.should_upgrade():
            return
        request, server = self._request(), self._server
        answer = server.explain(request, self._wrong) if self._wrong else server.answer(request)
        self._write(answer, keep=self._parser.should_keep_alive())
        self._end()
        self._begin()
        self._answered += 1

    # Inside

    def _begin(self) -> None:
        """Nothing is known of the next request."""
        self._target = b""
        self._headers: dict[str, str] = {}
        self._body = bytearray()  # and no list: chunks may be of one byte each
        self._head_bytes = 0  # that were parsed
        self._unread_bytes = 0  # that came, of heads and trailers, since a head or a part of a body was whole
        self._wrong = 0  # the status with which it is refused
        self._has_head = self._is_late = False

    def _end(self) -> None:
        """No request is under way."""
        self._drop_body()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._closed:
            self._server.connections[self] = self._server.connections.pop(self, None)  # the last to be idle

    def _parse(self, data: memoryview) -> int:
        """Parse up to the end of a head that asks for another protocol, or all; returns how many bytes that was.

        Such a head is parsed once more as if it did not ask: the protocol, HTTP/2 perhaps, is one that a server may
        pass over. httptools takes what follows for it; RFC 9110, section 7.8, has the body of the request there first.
        """
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            if not self._closed:
                head, self._parser = self._without_upgrade(), HttpRequestParser(self)
                self._begin()
                self._parser.feed_data(head)
            parsed: int = upgrade.args[0]
            return max(1, parsed)
        return len(data)

    def _without_upgrade(self) -> bytes:
        """The head without what asks for another protocol."""
        keeps = b"" if self._parser.should_keep_alive() else b"Connection: close\r\n"
        lines = "".join(f"{name}: {value}\r\n" for name, value in self._headers.items()).encode("latin-1")
        return b"%b %b HTTP/1.1\r\n%b%b\r\n" % (self._parser.get_method(), self._target, keeps, lines)

    def _drop_body(self) -> None:
        self._server.bytes -= len(self._body)
        self._body = bytearray()

    def _request(self) -> Request:
        method = self._parser.get_method().decode("latin-1") if self._has_head else ""
        return Request(method, self._target.partition(b"?")[0].decode("latin-1"), self._headers, bytes(self._body))

    def _refuse(self, status: int) -> None:
        """Answer what cannot be read to its end, and end the connection."""
        if not self._closed:
            self._write(self._server.explain(self._request(), status), keep=False)

    def _write(self, answer: Answer, *, keep: bool) -> None:
        more = "" if keep else "Connection: close\r\n"
        head = (
            f"HTTP/1.1 {answer.status} {REASONS[answer.status]}\r\nContent-Type: {answer.type}\r\n"
            f"Content-Length: {len(answer.body)}\r\n{more}\r\n"
        )
        self._transport.write(head.encode() + answer.body)
        if not keep:
            self.close()

    def _look(self) -> None:
        """The time of a request is over: but if that went by in a freeze, the rest of it may be here already."""
        if self._closed:
            return
        if not self._is_late:
            self._is_late = True
            self._timer = asyncio.get_running_loop().call_later(THAWED_S, self._look)
        else:
            self._refuse(408)

"""An HTTP server on a real socket that misbehaves to order, and remembers what it was sent.

    with FaultServer([Answer(503, {"Retry-After": "1"}), Reset(), Answer(200)]) as server:
        ...                                    # talk to server.url
    assert server.requests[0].body == b"..."

The script gives one action for each request, in order of arrival over all connections; after its end every request gets
`otherwise`. Instead of a list it may be a function from Request to action: a strict fake of a service (see aws.py).

`at_head` may answer a request of which only the head has come, its body being empty: the server ends the connection
then, and what is sent of the body meets a reset, as with servers that look at nothing but the length or a token.
"""

from __future__ import annotations

import ctypes
import gzip
import itertools
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, NamedTuple, Self

if TYPE_CHECKING:
    import ssl
    from types import TracebackType

WAIT_S = 10.0  # for what a test waits for; it fails after that
_LIBC = ctypes.CDLL(None)


class Request(NamedTuple):
    """What came in. Header names are in lower case; `connection` numbers the TCP connections from 1."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    connection: int

    @property
    def text(self) -> bytes:
        """The body, without gzip if it came so."""
        return gzip.decompress(self.body) if self.headers.get("content-encoding") == "gzip" else self.body


class Answer(NamedTuple):
    """An HTTP answer: `after_s` seconds late, its body with a pause of `byte_s` after every byte.

    With `cut`, the connection is reset after so many bytes of the body. `close` ends it politely after the answer,
    which does not say so: what a server does whose patience with idle connections ends. `raw` goes out instead of all
    that was said of the answer, byte for byte; `close` ends the connection behind it.
    """

    status: int = 200
    headers: Mapping[str, str] = {}
    body: bytes = b""
    after_s: float = 0.0
    byte_s: float = 0.0
    cut: int | None = None
    close: bool = False
    raw: bytes = b""


OK = Answer()


class Hang(NamedTuple):
    """Take the request and never answer."""


class Held(NamedTuple):
    """Take the request, and answer once `until` is set."""

    until: threading.Event
    answer: Answer


class Reset(NamedTuple):
    """Take the request and reset the connection, or end it without an answer when `polite`."""

    polite: bool = False


Action = Answer | Hang | Held | Reset
Script = Iterable[Action] | Callable[[Request], Action]
AtHead = Callable[[Request], Answer | None]


class FaultServer:
    """Serves from a thread for each connection, between __enter__ and __exit__."""

    def __init__(
        self,
        script: Script = (),
        otherwise: Action = OK,
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
        at_head: AtHead = lambda _request: None,
    ) -> None:
        self.requests: list[Request] = []
        self._choose = script if callable(script) else _in_order(script, otherwise)
        self._at_head = at_head
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._connections: dict[int, socket.socket] = {}
        self._count = itertools.count(1)
        self._http = _HttpServer(self, tls, host)
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02})
        scheme = "https" if tls else "http"
        self.host = f"{f'[{host}]' if ':' in host else host}:{self._http.server_address[1]}"
        self.url = f"{scheme}://{self.host}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._closing.set()
        self._http.shutdown()
        self.reset_connections()
        self._http.server_close()
        self._thread.join(WAIT_S)

    @property
    def connections(self) -> int:
        """How many connections were made so far."""
        return max((request.connection for request in self.requests), default=0)

    def wait_for(self, count: int, timeout_s: float = WAIT_S) -> list[Request]:
        """Block until that many requests have come in; those. Raises TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.requests) >= count, timeout_s):
                message = f"{len(self.requests)} of {count} requests in {timeout_s} s"
                raise TimeoutError(message)
            return list(self.requests)

    def reset_connections(self) -> None:
        """Reset what is open, as a NAT does that forgot about it."""
        for connection in list(self._connections.values()):
            _reset(connection)

    def act_early(self, handler: _Handler, head: Request) -> bool:
        """Answer before the body has come, where `at_head` says so, and end the connection."""
        with self._changed:
            answer = self._at_head(head)
            if answer is not None:
                self.requests.append(head)
                self._changed.notify_all()
        if answer is not None:
            self._answer(handler, answer)
            handler.close_connection = True
        return answer is not None

    def act(self, handler: _Handler, request: Request) -> None:
        """Do to the client what the script says."""
        with self._changed:
            self.requests.append(request)
            action = self._choose(request)
            self._changed.notify_all()
        match action:
            case Hang():
                self._closing.wait()
                handler.close_connection = True
            case Reset(polite=polite):
                handler.close_connection = True
                if not polite:
                    _reset(handler.connection)
            case Held(until=until, answer=answer):
                until.wait(WAIT_S)
                self._answer(handler, answer)
            case Answer():
                self._answer(handler, action)

    def _answer(self, handler: _Handler, answer: Answer) -> None:
        self._closing.wait(answer.after_s)
        if answer.raw:
            handler.wfile.write(answer.raw)
            handler.close_connection = handler.close_connection or answer.close
            return
        handler.send_response_only(answer.status)
        for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        body = answer.body[: answer.cut]
        if answer.byte_s:
            for index in range(len(body)):
                handler.wfile.write(body[index : index + 1])
                if self._closing.wait(answer.byte_s):
                    break
        else:
            handler.wfile.write(body)
        if answer.cut is not None:
            _reset(handler.connection)
        handler.close_connection = handler.close_connection or answer.close or answer.cut is not None

    def connected(self, connection: socket.socket) -> int:
        """Note a new connection; its number."""
        number = next(self._count)
        self._connections[number] = connection
        return number

    def disconnected(self, number: int) -> None:
        """Forget a connection."""
        self._connections.pop(number, None)


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, faults: FaultServer, tls: ssl.SSLContext | None, host: str) -> None:
        self.faults = faults
        self._tls = tls
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, 0), _Handler)

    def finish_request(self, request: socket.socket, client_address: object) -> None:  # type: ignore[override] # typeshed's own union
        if not self._tls:
            super().finish_request(request, client_address)
            return
        with self._tls.wrap_socket(request, server_side=True) as wrapped:
            super().finish_request(wrapped, client_address)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is what the tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _HttpServer

    def handle(self) -> None:
        self._number = self.server.faults.connected(self.connection)
        try:
            super().handle()
        finally:
            self.server.faults.disconnected(self._number)

    def _take(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, self.path, headers, b"", self._number)
        if self.server.faults.act_early(self, request):
            return
        if headers.get("transfer-encoding", "").lower() == "chunked":
            body = b"".join(iter(self._read_chunk, b""))
        else:
            body = self.rfile.read(int(headers.get("content-length", 0)))
        self.server.faults.act(self, request._replace(body=body))

    def __getattr__(self, name: str) -> Callable[[], None]:
        if name.startswith("do_"):
            return self._take
        raise AttributeError(name)

    def _read_chunk(self) -> bytes:
        chunk = self.rfile.read(int(self.rfile.readline().partition(b";")[0], 16))
        self.rfile.readline()
        return chunk

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as in the base class
        """Print nothing."""


def refused_port() -> int:
    """A port where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _in_order(script: Iterable[Action], otherwise: Action) -> Callable[[Request], Action]:
    actions = iter(script)
    return lambda _request: next(actions, otherwise)


def _reset(connection: socket.socket) -> None:
    """Send RST now, whoever else holds or reads the socket: on Linux, connect(2) to AF_UNSPEC aborts a connection."""
    with suppress(OSError):  # gone already
        _LIBC.connect(connection.fileno(), bytes(16), 16)

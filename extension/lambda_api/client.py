"""The client of the Extensions API and the Telemetry API. It owns the wire format; it decides nothing.

Everything here blocks and needs only built-in modules: register runs before anything else is imported, because Lambda
starts the runtime only after every extension has registered (docs/decisions/0001). The same four calls serve the event
loop from a thread of their own.

Sources: AWS Lambda Developer Guide, "Using the Lambda Extensions API to create extensions" and "Lambda Telemetry API
reference"; RFC 9112 for the framing of a response.
"""

from __future__ import annotations

import _socket  # `socket` adds 3 ms of enum and selectors to every cold start
import time

TYPE_CHECKING = False  # importing typing for its constant of this name costs 2 ms here
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

REGISTER = "/2020-01-01/extension/register"
NEXT = "/2020-01-01/extension/event/next"
INIT_ERROR = "/2020-01-01/extension/init/error"
TELEMETRY = "/2022-07-01/telemetry"
SCHEMA_VERSIONS = ("2025-01-29", "2022-12-13", "2022-07-01")

CALL_TIMEOUT_S = 5.0  # for a call and its answer
MAX_RESPONSE_BYTES = 1 << 20
MAX_RETRY_S = 1.0  # between tries of a call that is tried for ever


class UnexpectedStatus(Exception):
    """An answer other than the one asked for: `status` as in HTTP, `body` as it came (it holds no secrets)."""

    def __init__(self, what: str, status: int, body: bytes) -> None:
        super().__init__(f"{what} answered {status}: {body[:300].decode('utf-8', 'replace').strip()}")
        self.status = status
        self.body = body


class Response:
    """Status, headers (names in lower case) and body of one HTTP response."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body


class Extension:
    """A registered extension: who it is to the platform, and what register said of the function (JSON, `function`)."""

    def __init__(
        self, runtime_api: str, identifier: str, function: bytes, *, invoked: bool, name: str = "telemetry-forwarder"
    ) -> None:
        self.runtime_api = runtime_api
        self.name = name
        self.identifier = identifier
        self.function = function
        self.invoked = invoked  # False where INVOKE cannot be asked for: Managed Instances
        self.began = self.registered = 0.0  # when our code began to run, and when it was registered, monotonic time

    def next_event(self) -> bytes:
        """Wait for the next event, for ever, as the process may be frozen in here for hours; its JSON."""
        response = call(self.runtime_api, "GET", NEXT, self._headers(), b"", None)
        if response.status != 200:
            raise UnexpectedStatus("event/next", response.status, response.body)
        return response.body

    def subscribe(
        self, port: int, types: Sequence[str], max_items: int, max_bytes: int, timeout_ms: int, until: float
    ) -> str | None:
        """Have the records of `types` sent to TCP `port`; the schema version that was agreed on.

        None where there is no Telemetry API at all, as in AWS's emulator, which answers 202. Raises
        UnexpectedStatus, and OSError where there is no answer `until` that monotonic time.
        """
        names = ",".join(f'"{name}"' for name in types)
        headers = self._headers() + "Content-Type: application/json\r\n"
        for version in SCHEMA_VERSIONS:
            body = (
                f'{{"schemaVersion":"{version}","types":[{names}],'
                f'"buffering":{{"maxItems":{max_items},"maxBytes":{max_bytes},"timeoutMs":{timeout_ms}}},'
                f'"destination":{{"protocol":"TCP","port":{port}}}}}'
            )
            response = call(self.runtime_api, "PUT", TELEMETRY, headers, body.encode(), until - time.monotonic())
            if response.status == 200:
                return version
            if response.status == 202:
                return None
            if response.status not in {400, 404}:
                break
        raise UnexpectedStatus("telemetry", response.status, response.body)

    def init_error(self, error_type: str) -> None:
        """Report that init failed. `error_type` is one token, such as Extension.ConfigInvalid: it becomes a header."""
        headers = self._headers() + f"Lambda-Extension-Function-Error-Type: {error_type}\r\n"
        call(self.runtime_api, "POST", INIT_ERROR, headers, b"", CALL_TIMEOUT_S)

    def _headers(self) -> str:
        return f"Lambda-Extension-Identifier: {self.identifier}\r\n"


def register(runtime_api: str, name: str, *, managed_instances: bool) -> Extension:
    """Register under `name`, which must be the file name in /opt/extensions. Raises UnexpectedStatus or OSError.

    Managed Instances refuse INVOKE, so where it is refused we ask again for SHUTDOWN alone.
    """
    headers = f"Lambda-Extension-Name: {name}\r\nLambda-Extension-Accept-Feature: accountId\r\n"
    for invoked in (False,) if managed_instances else (True, False):
        body = b'{"events":["INVOKE","SHUTDOWN"]}' if invoked else b'{"events":["SHUTDOWN"]}'
        response = call(runtime_api, "POST", REGISTER, headers, body, CALL_TIMEOUT_S)
        if response.status == 200:
            identifier = response.headers.get("lambda-extension-identifier", "")
            return Extension(runtime_api, identifier, response.body, invoked=invoked, name=name)
        if b"INVOKE" not in response.body:
            break
    raise UnexpectedStatus("register", response.status, response.body)


def backoff() -> Iterator[float]:
    """Seconds to pause before each new try of a call that is tried for ever: doubling from 50 ms up to 1 s."""
    pause = 0.05
    while True:
        yield pause
        pause = min(pause * 2, MAX_RETRY_S)


def call(host_port: str, method: str, path: str, headers: str, body: bytes, timeout: float | None) -> Response:
    """One request on a connection of its own: after a freeze a kept one would be one more thing that may be dead.

    `timeout` is for all of it, in seconds; None is for ever. Raises OSError, TimeoutError among it.
    """
    until = None if timeout is None else time.monotonic() + timeout
    request = (
        f"{method} {path} HTTP/1.1\r\nHost: {host_port}\r\nConnection: close\r\n"
        f"Content-Length: {len(body)}\r\n{headers}\r\n"
    )
    host, _, port = host_port.rpartition(":")
    family = _socket.AF_INET6 if host.startswith("[") else _socket.AF_INET
    connection = _socket.socket(family, _socket.SOCK_STREAM)
    try:
        _limit(connection, until)
        connection.connect((host.strip("[]"), int(port)))
        _limit(connection, until)
        connection.sendall(request.encode() + body)
        return _read_response(connection, until)
    finally:
        connection.close()


def _limit(connection: _socket.socket, until: float | None) -> None:
    """What is done next on the connection ends `until` then."""
    if until is not None:
        left_s = until - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("timed out")
        connection.settimeout(left_s)


def _read_response(connection: _socket.socket, until: float | None) -> Response:
    received = bytearray()
    while (end := received.find(b"\r\n\r\n")) < 0:
        _receive(connection, received, until)
    status_line, *lines = bytes(received[:end]).decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    del received[: end + 4]
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = _read_chunks(connection, received, until)
    elif "content-length" in headers:
        length = int(headers["content-length"])
        while len(received) < length:
            _receive(connection, received, until)
        body = bytes(received[:length])
    else:
        while _receive(connection, received, until, may_end=True):
            pass
        body = bytes(received)
    return Response(int(status_line.split(" ", 2)[1]), headers, body)


def _read_chunks(connection: _socket.socket, received: bytearray, until: float | None) -> bytes:
    body = bytearray()
    while True:
        while (end := received.find(b"\r\n")) < 0:
            _receive(connection, received, until)
        size = int(received[:end].split(b";")[0], 16)
        while len(received) < end + 2 + size + 2:
            _receive(connection, received, until)
        if size == 0:
            return bytes(body)
        body += received[end + 2 : end + 2 + size]
        del received[: end + 2 + size + 2]


def _receive(connection: _socket.socket, received: bytearray, until: float | None, *, may_end: bool = False) -> bool:
    _limit(connection, until)
    chunk = connection.recv(65536)
    received += chunk
    if not chunk and not may_end:
        raise ConnectionError("the connection was closed in the middle of a response")
    if len(received) > MAX_RESPONSE_BYTES:
        raise ConnectionError(f"a response is longer than {MAX_RESPONSE_BYTES} bytes")
    return bool(chunk)

"""OTLP/HTTP in: what programs of the same environment export to localhost, the function's SDK above all.

A request is answered as soon as its body is in the queue, or has found no place there: no client ever waits for a sink,
or has to try again. Paths, statuses and answers are those of "OTLP Specification 1.x", OTLP/HTTP.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import orjson
from isal import isal_zlib

from extension.intake.accept import connections
from extension.intake.http_server import Answer, HttpServer
from extension.intake.otlp_body import cut_protobuf, read_json
from extension.log import describe, log, log_seldom
from extension.sinks import SIGNALS
from extension.wire import Malformed, encode_bytes, encode_varint

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from extension.intake.http_server import Request
    from extension.intake.otlp_body import Piece

MAX_BODY_BYTES = 4 << 20
MAX_MEMBERS = 64  # of gzip in one body: a member may be empty
ADDRESSES = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
NO_SUCH = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})  # where there is no IPv6
PATHS = {f"/v1/{signal}": signal for signal in SIGNALS}
PROTOBUF, JSON = "application/x-protobuf", "application/json"
READERS = {PROTOBUF: cut_protobuf, JSON: read_json}
REJECTED = {"logs": "rejectedLogRecords", "traces": "rejectedSpans", "metrics": "rejectedDataPoints"}
NO_PLACE = "telemetry-forwarder has no room for it, or no sink that takes it"
EXPLANATIONS = {
    400: "not HTTP",
    404: "expected /v1/traces, /v1/metrics or /v1/logs",
    405: "expected POST",
    408: "the request did not come in time",
    413: f"the body is larger than {MAX_BODY_BYTES} bytes, or than what is left for all of them",
    415: f"expected {PROTOBUF} or {JSON}, as it is or with gzip",
    431: "the head of the request is too large",
    500: "internal error",
    503: "too many connections",
}


class Bodies(NamedTuple):
    """What one request holds: pieces of one signal, all of one content type, with so many items in all."""

    signal: str
    type: str
    pieces: Sequence[Piece]
    items: int


class Wrong(Exception):
    """A request cannot be taken: its status, and what was expected."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class OtlpEndpoint:
    """Takes requests on sockets that listen, and hands on what they hold.

    `take` says whether there was room for it; it may raise Malformed. `on_data` is called for each request. `max_bytes`
    bounds the bodies that are under way. `received` and `rejected` count spans, data points and log records by signal,
    `refused` requests by status.
    """

    def __init__(
        self,
        listening: Sequence[socket.socket],
        take: Callable[[Bodies], bool],
        on_data: Callable[[], None],
        max_bytes: int,
    ) -> None:
        self._listening = listening
        self._take = take
        self._on_data = on_data
        self._server = HttpServer(check, self._answer, self._explain, MAX_BODY_BYTES, max_bytes)
        self._received = dict.fromkeys(SIGNALS, 0)
        self._rejected = dict.fromkeys(SIGNALS, 0)
        self._refused: Counter[str] = Counter()

    @property
    def account(self) -> dict[str, object]:
        """The ledger's entry."""
        items = {signal: {"received": self._received[signal], "rejected": self._rejected[signal]} for signal in SIGNALS}
        return {**items, "refused": dict(self._refused)}

    async def serve(self) -> None:
        """Accept connections for ever; what was sent before is not lost."""
        async with asyncio.TaskGroup() as group:
            for one in self._listening:
                group.create_task(self._serve(one))

    async def _serve(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        async for connection in connections(listening):
            try:
                await loop.connect_accepted_socket(self._server.connect, connection)
            except OSError as error:
                connection.close()
                log_seldom("WARN", "connection not taken", reason=describe(error))

    def _answer(self, request: Request) -> Answer:
        """Take a request, or say why not."""
        self._on_data()
        try:
            return self._take_in(request)
        except Wrong as error:
            return self._refuse(request, error.status, str(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer
            log_seldom("ERROR", "request not taken", reason=describe(error))
            return self._explain(request, 500)

    def _explain(self, request: Request, status: int) -> Answer:
        """The answer to a request that got no further than its head."""
        return self._refuse(request, status, EXPLANATIONS[status])

    def _refuse(self, request: Request, status: int, text: str) -> Answer:
        """An error, as the message google.rpc.Status in the content type of the request."""
        self._refused[str(status)] += 1
        if media_type(request) == JSON:
            return Answer(status, JSON, orjson.dumps({"message": text}))
        return Answer(status, PROTOBUF, encode_bytes(2, text.encode()))

    def _take_in(self, request: Request) -> Answer:
        signal, type_ = PATHS[request.path], media_type(request)
        body = inflated(request.body) if encoding(request) == "gzip" else request.body
        try:
            pieces = READERS[type_](signal, body)
            items = sum(piece.items for piece in pieces)
            taken = not pieces or self._take(Bodies(signal, type_, pieces, items))
        except Malformed as error:
            raise Wrong(400, str(error)) from None
        self._received[signal] += items
        if taken:
            return TAKEN[type_]
        self._rejected[signal] += items
        return rejection(signal, type_, items)


TAKEN = {PROTOBUF: Answer(200, PROTOBUF), JSON: Answer(200, JSON, b"{}")}


def listen(port: int) -> list[socket.socket]:
    """Listen on both loopback addresses; one whose port is taken, by another layer perhaps, is told and left out."""
    listening = []
    for family, address in ADDRESSES:
        try:
            one = socket.socket(family, socket.SOCK_STREAM)
        except OSError:
            continue
        try:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind((address, port))
            one.listen(128)
        except OSError as error:
            one.close()
            if error.errno not in NO_SUCH:
                log("WARN", f"FORWARDER_OTLP_LISTEN {port} of {address} is not free", reason=describe(error))
            continue
        one.setblocking(False)
        listening.append(one)
    return listening


def check(head: Request) -> int:
    """The status of a request that cannot be taken, whatever its body is; else 0."""
    if head.path not in PATHS:
        return 404
    if head.method != "POST":
        return 405
    return 0 if media_type(head) in READERS and encoding(head) in {"identity", "gzip"} else 415


def encoding(request: Request) -> str:
    """How the body is compressed."""
    return request.headers.get("content-encoding", "").strip().lower() or "identity"


def media_type(request: Request) -> str:
    """The content type, without what is said beside it."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def inflated(body: bytes) -> bytes:
    """What is in gzip, of several members perhaps (RFC 1952, section 2.2). Raises Wrong."""
    found = b""
    for _ in range(MAX_MEMBERS):
        decompressor = isal_zlib.decompressobj(16 + isal_zlib.MAX_WBITS)
        try:
            found += decompressor.decompress(body, MAX_BODY_BYTES + 1 - len(found))
        except isal_zlib.error:  # type: ignore[misc] # which its stub has as an instance
            break
        if len(found) > MAX_BODY_BYTES:
            raise Wrong(413, EXPLANATIONS[413])
        if not decompressor.eof:
            break
        body = decompressor.unused_data
        if not body:
            return found
    raise Wrong(400, "not gzip")


def rejection(signal: str, type_: str, items: int) -> Answer:
    """That none of so many items was taken, and that it is of no use to send them again."""
    if type_ == JSON:
        told = {REJECTED[signal]: str(items), "errorMessage": NO_PLACE}
        return Answer(200, JSON, orjson.dumps({"partialSuccess": told}))
    return Answer(200, PROTOBUF, encode_bytes(1, b"\x08" + encode_varint(items) + encode_bytes(2, NO_PLACE.encode())))

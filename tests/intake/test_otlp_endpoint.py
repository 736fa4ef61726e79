"""The endpoint for what programs export, on a real socket, and what it says to those who do it wrong."""

from __future__ import annotations

import asyncio
import gzip
import socket
import struct
import tracemalloc
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from extension import log
from extension.intake import http_server
from extension.intake.http_server import MAX_CONNECTIONS, MAX_HEAD_BYTES
from extension.intake.otlp_endpoint import MAX_BODY_BYTES, OtlpEndpoint, listen
from tests.support.descriptors import no_descriptors
from tests.support.exports import JSON, PROTOBUF, logs, metrics, traces

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from extension.intake.otlp_endpoint import Bodies

SPANS = traces("a", "b").SerializeToString()
CHUNKED = f"POST /v1/traces HTTP/1.1\r\nContent-Type: {PROTOBUF}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
WAIT_S = 20.0


class Response(NamedTuple):
    """What the endpoint answered."""

    status: int
    head: bytes
    body: bytes


class Client:
    """One connection, kept alive."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def post(
        self, body: bytes, path: str = "/v1/traces", type_: str = PROTOBUF, method: str = "POST", headers: str = ""
    ) -> Response:
        self.send(body, path, type_, method, headers)
        return await self.answer()

    def send(
        self, body: bytes, path: str = "/v1/traces", type_: str = PROTOBUF, method: str = "POST", headers: str = ""
    ) -> None:
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {type_}\r\n{headers}"
        self.writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)

    async def answer(self) -> Response:
        async with asyncio.timeout(WAIT_S):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            return Response(int(head.split(b" ")[1]), head, await self.reader.readexactly(length))

    async def is_ended(self) -> bool:
        async with asyncio.timeout(WAIT_S):
            return await self.reader.read() == b""


class Rig:
    """An endpoint, and what it handed on."""

    def __init__(self, max_bytes: int) -> None:
        self.taken: list[Bodies] = []
        self.has_room = True
        self.data = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.setblocking(False)
        self.port = self._listening.getsockname()[1]
        self.endpoint = OtlpEndpoint([self._listening], self._take, self._saw_data, max_bytes)
        self._clients: list[Client] = []

    def _take(self, bodies: Bodies) -> bool:
        if self.has_room:
            self.taken.append(bodies)
        return self.has_room

    def _saw_data(self) -> None:
        self.data += 1

    async def connect(self) -> Client:
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port))
        self._clients.append(client)
        return client

    def start(self) -> None:
        self._job = asyncio.create_task(self.endpoint.serve())

    async def stop(self) -> None:
        self._job.cancel()
        await asyncio.gather(self._job, return_exceptions=True)
        self._listening.close()
        for client in self._clients:
            client.writer.close()
            with suppress(OSError):
                await client.writer.wait_closed()
        async with asyncio.timeout(WAIT_S):
            while self.endpoint._server.connections or self.endpoint._server.ending:
                await asyncio.sleep(0.001)


@asynccontextmanager
async def serving(max_bytes: int = 2 * MAX_BODY_BYTES) -> AsyncIterator[Rig]:
    rig = Rig(max_bytes)
    rig.start()
    try:
        yield rig
    finally:
        await rig.stop()


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with serving() as made:
        yield made


@pytest.mark.parametrize("encoding", ["", "Content-Encoding: gzip\r\n", "Content-Encoding: identity\r\n"])
@pytest.mark.parametrize("type_", [PROTOBUF, JSON, f"{JSON}; charset=utf-8"])
async def test_each_way_to_export_is_taken(rig: Rig, encoding: str, type_: str) -> None:
    """The body goes on as it was, with the number of its spans, and the answer is OTLP's in the type of the request."""
    body = SPANS if type_ == PROTOBUF else orjson.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [{}, {}]}]}]})
    client = await rig.connect()
    answer = await client.post(gzip.compress(body) if "gzip" in encoding else body, type_=type_, headers=encoding)
    assert (answer.status, answer.body) == (200, b"" if type_ == PROTOBUF else b"{}")
    assert b"content-type: " + type_.partition(";")[0].encode() in answer.head.lower()
    [bodies] = rig.taken
    assert (bodies.signal, bodies.items, [piece.body for piece in bodies.pieces]) == ("traces", 2, [body])


async def test_each_signal_has_its_path(rig: Rig) -> None:
    """One connection may bring all of them, and each is counted by itself."""
    client = await rig.connect()
    for path, body in (("/v1/logs", logs("a")), ("/v1/metrics", metrics(1)), ("/v1/traces?x=1", traces("a", "b"))):
        assert (await client.post(body.SerializeToString(), path)).status == 200
    assert [(bodies.signal, bodies.items) for bodies in rig.taken] == [("logs", 1), ("metrics", 5), ("traces", 2)]
    assert rig.endpoint.account == {
        "logs": {"received": 1, "rejected": 0},
        "traces": {"received": 2, "rejected": 0},
        "metrics": {"received": 5, "rejected": 0},
        "refused": {},
    }
    assert rig.data == 3


@pytest.mark.parametrize(
    ("body", "rest", "status"),
    [
        (SPANS, {"path": "/"}, 404),
        (SPANS, {"path": "/v1/trace"}, 404),
        (SPANS, {"path": "/v1/traces/"}, 404),
        (b"", {"method": "GET"}, 405),
        (SPANS, {"method": "PUT"}, 405),
        (SPANS, {"type_": "text/plain"}, 415),
        (SPANS, {"headers": "Content-Encoding: zstd\r\n"}, 415),
        (SPANS, {"headers": "Content-Encoding: gzip\r\nContent-Encoding: gzip\r\n"}, 415),
        (SPANS, {"headers": f"X: {'x' * MAX_HEAD_BYTES}\r\n"}, 431),
        (SPANS, {"path": f"/v1/traces?{'x' * MAX_HEAD_BYTES}"}, 431),
        (gzip.compress(b"", mtime=0) * 1000, {"headers": "Content-Encoding: gzip\r\n"}, 400),
        (gzip.compress(bytes(MAX_BODY_BYTES), mtime=0) * 2, {"headers": "Content-Encoding: gzip\r\n"}, 413),
        (bytes(MAX_BODY_BYTES + 1), {}, 413),
        (gzip.compress(bytes(MAX_BODY_BYTES + 1), mtime=0), {"headers": "Content-Encoding: gzip\r\n"}, 413),
        (gzip.compress(SPANS, mtime=0)[:-9], {"headers": "Content-Encoding: gzip\r\n"}, 400),
        (gzip.compress(SPANS, mtime=0) + b"more", {"headers": "Content-Encoding: gzip\r\n"}, 400),
        (SPANS, {"headers": "Content-Encoding: gzip\r\n"}, 400),
        (SPANS[:-1], {}, 400),
        (b"hello, world", {}, 400),
        (b"{", {"type_": JSON}, 400),
        (logs("a").SerializeToString(), {"type_": JSON}, 400),
    ],
)
async def test_what_is_wrong_gets_a_clear_status(rig: Rig, body: bytes, rest: dict[str, str], status: int) -> None:
    """And an OTLP Status that says what was expected; it is counted, and the connection is as good as before."""
    client = await rig.connect()
    answer = await client.post(body, **rest)
    assert answer.status == status
    said = orjson.loads(answer.body)["message"] if rest.get("type_") == JSON else answer.body[2:].decode()
    assert said
    assert rig.endpoint.account["refused"] == {str(status): 1}
    assert (await client.post(SPANS)).status == 200
    assert len(rig.taken) == 1


@pytest.mark.parametrize(
    ("signal", "message", "field"),
    [
        ("traces", ExportTraceServiceResponse, "rejectedSpans"),
        ("metrics", ExportMetricsServiceResponse, "rejectedDataPoints"),
        ("logs", ExportLogsServiceResponse, "rejectedLogRecords"),
    ],
)
async def test_without_room_it_says_how_many_are_lost(rig: Rig, signal: str, message: Any, field: str) -> None:
    """The status is 200, so that nobody tries again, and the partial success names the number."""
    rig.has_room = False
    requests = {"traces": traces(*"ab" * 100), "metrics": metrics(40), "logs": logs(*"ab" * 100)}
    client = await rig.connect()
    answer = await client.post(requests[signal].SerializeToString(), f"/v1/{signal}")
    told = message.FromString(answer.body).partial_success
    assert (answer.status, [value for name, value in told.ListFields() if name.number == 1]) == (200, [200])
    assert told.error_message
    json = orjson.dumps({f"resource{signal.capitalize().replace('Traces', 'Spans')}": [{}]})
    answer = await client.post(json, f"/v1/{signal}", JSON)
    assert (answer.status, orjson.loads(answer.body)["partialSuccess"][field]) == (200, "0")
    assert rig.endpoint.account[signal] == {"received": 200, "rejected": 200}


async def test_an_empty_request_needs_no_room(rig: Rig) -> None:
    """There is nothing in it that could be lost."""
    rig.has_room = False
    answer = await (await rig.connect()).post(b"")
    assert (answer.status, answer.body) == (200, b"")
    assert rig.taken == []


async def test_requests_may_come_in_any_pieces(rig: Rig) -> None:
    """Byte by byte, in chunks of HTTP, or two in one packet, with an answer to each, in order."""
    client = await rig.connect()
    client.send(SPANS)
    client.send(b"x", "/other")
    client.send(SPANS)
    assert [(await client.answer()).status for _ in range(3)] == [200, 404, 200]
    for byte in CHUNKED + b"%x\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (5, SPANS[:5], len(SPANS) - 5, SPANS[5:]):
        client.writer.write(bytes([byte]))
        await client.writer.drain()
    assert (await client.answer()).status == 200
    assert len(rig.taken) == 3


async def test_a_client_that_asks_first_is_told_to_go_on(rig: Rig) -> None:
    """Expect: 100-continue, as curl sends it with large bodies."""
    client = await rig.connect()
    client.send(b"", headers="")
    await client.answer()
    client.writer.write(
        f"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: {PROTOBUF}\r\nExpect: 100-continue\r\n"
        f"Content-Length: {len(SPANS)}\r\n\r\n".encode()
    )
    async with asyncio.timeout(WAIT_S):
        assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.writer.write(SPANS)
    assert (await client.answer()).status == 200


async def test_a_client_that_asks_first_is_told_not_to(rig: Rig) -> None:
    """Before it sends what is too large."""
    client = await rig.connect()
    client.writer.write(
        f"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: {PROTOBUF}\r\nExpect: 100-continue\r\n"
        f"Content-Length: {MAX_BODY_BYTES + 1}\r\n\r\n".encode()
    )
    assert (await client.answer()).status == 413
    assert await client.is_ended()


async def test_a_body_of_unknown_length_is_bounded(rig: Rig) -> None:
    """In chunks, whose sum nobody says before."""
    client = await rig.connect()
    client.writer.write(CHUNKED)
    client.writer.write(b"%x\r\n%b\r\n0\r\n\r\n" % (MAX_BODY_BYTES + 1, bytes(MAX_BODY_BYTES + 1)))
    assert (await client.answer()).status == 413
    assert rig.endpoint._server.bytes == 0


@pytest.mark.parametrize(
    ("begun", "more"),
    [("0\r\nX: ", "x"), ("0\r\n", "X: y\r\n"), ("0\r\n", "X"), ("1;", "x"), ("0;", "x"), ("", "0")],
    ids=["trailer", "trailers", "name of a trailer", "chunk extension", "last chunk's extension", "size of a chunk"],
)
async def test_what_frames_a_body_is_bounded(rig: Rig, begun: str, more: str) -> None:
    """Trailers and what chunks say beside their size are no body, and come to an end soon or not at all."""
    client = await rig.connect()
    client.writer.write(CHUNKED + b"%x\r\n%b\r\n" % (len(SPANS), SPANS) + begun.encode())
    client.writer.write(more.encode() * 40 * MAX_HEAD_BYTES)
    assert (await client.answer()).status == 431
    assert await client.is_ended()


async def test_a_body_in_small_chunks_costs_no_more(rig: Rig) -> None:
    """Memory is bounded by the bytes of bodies, so no chunk may cost more than its bytes."""
    client = await rig.connect()
    tracemalloc.start()
    try:
        client.writer.write(CHUNKED)
        for _ in range(100):
            client.writer.write(b"2\r\nxy\r\n" * 1000)
            await client.writer.drain()
        while rig.endpoint._server.bytes < 200_000:
            await asyncio.sleep(0)
        found = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, http_server.__file__)])
        assert sum(trace.size for trace in found.traces) < 400_000
    finally:
        tracemalloc.stop()


async def test_small_chunks_make_a_large_body(rig: Rig) -> None:
    """What frames all of them together may be more than a head."""
    client = await rig.connect()
    body = traces("x" * MAX_HEAD_BYTES).SerializeToString()
    client.writer.write(CHUNKED)
    for at in range(0, len(body), 4):
        client.writer.write(b"%x\r\n%b\r\n" % (len(body[at : at + 4]), body[at : at + 4]))
        if at % 4096 == 0:
            await client.writer.drain()
    client.writer.write(b"0\r\n\r\n")
    assert (await client.answer()).status == 200
    assert rig.taken[0].pieces[0].body == body


@pytest.mark.parametrize("trailer", ["Content-Type: text/plain", "Content-Encoding: gzip"])
async def test_a_trailer_is_no_header(rig: Rig, trailer: str) -> None:
    """It says nothing of the body, which was looked at by what the head says (RFC 9110, section 6.5.1)."""
    client = await rig.connect()
    client.writer.write(CHUNKED + b"%x\r\n%b\r\n0\r\n%b\r\n\r\n" % (len(SPANS), SPANS, trailer.encode()))
    assert (await client.answer()).status == 200


async def test_an_upgrade_is_passed_over(rig: Rig) -> None:
    """Java asks for HTTP/2 in its first request; what follows in HTTP/1.1 is read."""
    client = await rig.connect()
    for _ in range(2):
        answer = await client.post(SPANS, headers="Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n")
        assert answer.status == 200
    assert len(rig.taken) == 2


async def test_an_upgrade_may_come_in_any_pieces(rig: Rig) -> None:
    """Byte by byte, or several in one packet, with an answer to each."""
    client = await rig.connect()
    asks = f"Content-Type: {PROTOBUF}\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: {len(SPANS)}\r\n\r\n"
    request = f"POST /v1/traces HTTP/1.1\r\n{asks}".encode() + SPANS
    for byte in request:
        client.writer.write(bytes([byte]))
        await client.writer.drain()
    assert (await client.answer()).status == 200
    client.writer.write(request * 100)
    assert {(await client.answer()).status for _ in range(100)} == {200}
    assert len(rig.taken) == 101


async def test_an_upgrade_has_no_larger_head(rig: Rig) -> None:
    """Than any other request, even where all of it comes at once."""
    client = await rig.connect()
    asks = "Connection: Upgrade\r\nUpgrade: h2c\r\n"
    assert (await client.post(SPANS, headers=f"{asks}X: {'x' * MAX_HEAD_BYTES}\r\n")).status == 431
    assert await client.is_ended()


async def test_an_upgrade_keeps_no_connection_that_shall_end(rig: Rig) -> None:
    """A client that waits for the end, as it said it would, is not left waiting."""
    client = await rig.connect()
    assert (await client.post(SPANS, headers="Connection: close, Upgrade\r\nUpgrade: h2c\r\n")).status == 200
    assert await client.is_ended()


async def test_a_client_that_ends_the_connection_itself_is_let_go(rig: Rig) -> None:
    """After Connection: close, and after HTTP/1.0."""
    client = await rig.connect()
    assert (await client.post(SPANS, headers="Connection: close\r\n")).status == 200
    assert await client.is_ended()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 9, 400),  # TLS
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"POST /v1/traces HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 7\r\n\r\n", 400),
        (b"POST /v1/traces HTTP/1.1\r\nContent-Length: -5\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 4 * MAX_HEAD_BYTES, 431),
        (b"GET /" + b"x" * 4 * MAX_HEAD_BYTES, 431),
        (b"CONNECT host:443 HTTP/1.1\r\nHost: host\r\n\r\n", 405),
        (b"CONNECT host:443 HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", 405),
    ],
)
async def test_what_is_no_http_is_answered_and_ended(rig: Rig, sent: bytes, status: int) -> None:
    """The client reads why, and is not read any further; others are served."""
    client = await rig.connect()
    client.writer.write(sent)
    assert (await client.answer()).status == status
    assert await client.is_ended()
    assert (await (await rig.connect()).post(SPANS)).status == 200


async def test_a_slow_client_is_told_and_ended(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request has its time from the first byte to the last; an idle connection has all the time there is."""
    idle = await rig.connect()
    assert (await idle.post(SPANS)).status == 200
    monkeypatch.setattr(http_server, "REQUEST_S", 0.05)
    monkeypatch.setattr(http_server, "THAWED_S", 0.05)
    slow = await rig.connect()
    slow.writer.write(b"POST /v1/traces HTTP/1.1\r\nContent-Length: 100\r\n\r\n" + SPANS[:9])
    assert (await slow.answer()).status == 408
    assert await slow.is_ended()
    assert (await idle.post(SPANS)).status == 200
    assert rig.endpoint.account["refused"] == {"408": 1}


async def test_200_connections_are_no_trouble(rig: Rig) -> None:
    """Idle ones give way, what is beyond the bound is told, and requests that are under way come to their end."""
    first = await rig.connect()
    assert (await first.post(SPANS)).status == 200
    busy = []
    for _ in range(MAX_CONNECTIONS):
        client = await rig.connect()
        client.writer.write(b"POST /v1/traces HTTP/1.1\r\n")
        busy.append(client)
        while sum(one._timer is not None for one in rig.endpoint._server.connections) < len(busy):
            await asyncio.sleep(0)
    assert await first.is_ended()
    for _ in range(200 - MAX_CONNECTIONS):
        client = await rig.connect()
        assert (await client.answer()).status == 503
        assert await client.is_ended()
    rest = f"Content-Type: {PROTOBUF}\r\nContent-Length: {len(SPANS)}\r\n\r\n".encode() + SPANS
    for client in busy:
        client.writer.write(rest)
        assert (await client.answer()).status == 200
    assert (await (await rig.connect()).post(SPANS)).status == 200


async def test_those_that_have_just_come_do_not_give_way(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opens many connections at once gets an answer on each, if only that there are too many."""
    monkeypatch.setattr(http_server, "FRESH_S", WAIT_S)
    clients = [await rig.connect() for _ in range(2 * MAX_CONNECTIONS)]
    for client in clients:
        client.send(SPANS)
    answers = [(await client.answer()).status for client in clients]
    assert answers == [200] * MAX_CONNECTIONS + [503] * MAX_CONNECTIONS


async def test_a_connection_that_cannot_be_accepted_is_accepted_later(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The system may have nothing left for it at the moment; that is told, and nothing spins until then."""
    monkeypatch.setattr(log, "_said", {})
    with socket.socket() as client:
        client.setblocking(False)
        with no_descriptors():
            client.connect_ex(("127.0.0.1", rig.port))
            async with asyncio.timeout(WAIT_S):
                while "connection not accepted" not in capfd.readouterr().err:
                    await asyncio.sleep(0.001)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(client, b"GET / HTTP/1.1\r\n\r\n")
        async with asyncio.timeout(WAIT_S):
            assert b"HTTP/1.1 404" in await loop.sock_recv(client, 1000)


async def test_gzip_may_have_several_members(rig: Rig) -> None:
    """As a client writes it that compresses piece by piece."""
    client = await rig.connect()
    body = gzip.compress(SPANS[:9], mtime=0) + gzip.compress(SPANS[9:], mtime=0)
    assert (await client.post(body, headers="Content-Encoding: gzip\r\n")).status == 200
    assert rig.taken[0].pieces[0].body == SPANS


async def test_a_client_that_resets_leaves_nothing(rig: Rig) -> None:
    """Its half of a body is given up, and others are served."""
    client = await rig.connect()
    client.send(SPANS)
    assert (await client.answer()).status == 200
    head = f"POST /v1/traces HTTP/1.1\r\nContent-Type: {PROTOBUF}\r\nContent-Length: 100\r\n\r\n"
    client.writer.write(head.encode() + SPANS[:9])
    while not rig.endpoint._server.bytes:
        await asyncio.sleep(0)
    client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.writer.transport.abort()
    while rig.endpoint._server.bytes:
        await asyncio.sleep(0)
    assert (await (await rig.connect()).post(SPANS)).status == 200
    assert len(rig.taken) == 2


async def test_all_bodies_together_are_bounded() -> None:
    """Where too much is under way, one more is refused with a status after which no SDK tries again."""
    async with serving(max_bytes=1000) as rig:
        slow = await rig.connect()
        slow.writer.write(f"POST /v1/traces HTTP/1.1\r\nContent-Type: {PROTOBUF}\r\n".encode())
        slow.writer.write(b"Content-Length: 901\r\n\r\n" + bytes(900))
        while rig.endpoint._server.bytes < 900:
            await asyncio.sleep(0)
        assert (await (await rig.connect()).post(bytes(200))).status == 413
        slow.writer.write(b"\x00")
        assert (await slow.answer()).status == 400
        assert (await (await rig.connect()).post(SPANS[:0])).status == 200
        assert rig.endpoint._server.bytes == 0


async def test_a_client_that_reads_no_answers_is_not_read_from(rig: Rig) -> None:
    """Its answers do not pile up here, and others are served; once it reads them, it is read from again."""
    loop = asyncio.get_running_loop()
    with socket.create_connection(("127.0.0.1", rig.port)) as client:
        client.setblocking(False)
        sending = asyncio.create_task(loop.sock_sendall(client, b"GET / HTTP/1.1\r\n\r\n" * 100_000))
        async with asyncio.timeout(WAIT_S):
            while not any(not one._transport.is_reading() for one in rig.endpoint._server.connections):
                await asyncio.sleep(0)
        assert (await (await rig.connect()).post(SPANS)).status == 200
        async with asyncio.timeout(WAIT_S):
            while not all(one._transport.is_reading() for one in rig.endpoint._server.connections):
                assert b"HTTP/1.1 404" in await loop.sock_recv(client, 1 << 20)
        sending.cancel()


async def test_a_fault_of_ours_is_answered(rig: Rig, capfd: pytest.CaptureFixture[str]) -> None:
    """With 500, which OTLP's clients do not try again; the log says what it was."""
    rig.taken = None  # type: ignore[assignment] # the fault
    client = await rig.connect()
    assert (await client.post(SPANS)).status == 500
    assert (await client.post(SPANS, "/other")).status == 404
    assert "request not taken" in capfd.readouterr().err


def test_it_listens_on_both_loopback_addresses(capfd: pytest.CaptureFixture[str]) -> None:
    """And nowhere else; what is taken already is told, and the rest works."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        listening = listen(port)
        assert [one.getsockname()[:2] for one in listening] == [("::1", port)]
    [line] = capfd.readouterr().err.splitlines()
    assert orjson.loads(line)["message"] == f"FORWARDER_OTLP_LISTEN {port} of 127.0.0.1 is not free"
    for one in listening:
        one.close()
    both = listen(port)
    assert [one.getsockname()[:2] for one in both] == [("127.0.0.1", port), ("::1", port)]
    assert capfd.readouterr().err == ""
    for one in both:
        one.close()

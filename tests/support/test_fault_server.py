from __future__ import annotations

import gzip
import http.client
import socket
from typing import TYPE_CHECKING

import pytest

from tests.support.fault_server import Answer, FaultServer, Hang, Reset, refused_port

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def server() -> Iterator[FaultServer]:
    """Answer 200 to everything."""
    with FaultServer() as server:
        yield server


def post(server: FaultServer, body: bytes = b"x", timeout_s: float = 5.0) -> tuple[int, bytes]:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection(server.host, timeout=timeout_s)
    try:
        connection.request("POST", "/a?b", body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def connect(server: FaultServer) -> socket.socket:
    """A plain connection."""
    host, port = server.host.split(":")
    return socket.create_connection((host, int(port)), 5)


def test_script_is_played_in_order() -> None:
    """Each request gets the next answer, and those after the last get the one for all others."""
    with FaultServer([Answer(503), Answer(429)], otherwise=Answer(202)) as server:
        assert [post(server)[0] for _ in range(4)] == [503, 429, 202, 202]


def test_requests_are_kept(server: FaultServer) -> None:
    """A request is kept with its method, path, headers and body."""
    post(server, b"hello")
    [request] = server.requests
    assert (request.method, request.path, request.body, request.headers["content-length"]) == (
        "POST",
        "/a?b",
        b"hello",
        "5",
    )


def test_body_in_chunks(server: FaultServer) -> None:
    """A body in chunks is put together."""
    connection = http.client.HTTPConnection(server.host, timeout=5)
    connection.request("POST", "/", iter([b"ab", b"cd"]), encode_chunked=True, headers={"Transfer-Encoding": "chunked"})
    assert connection.getresponse().status == 200
    connection.close()
    assert server.requests[0].body == b"abcd"


def test_text_is_unzipped(server: FaultServer) -> None:
    """A gzipped body can be read as what it was."""
    connection = http.client.HTTPConnection(server.host, timeout=5)
    connection.request("POST", "/", gzip.compress(b"abcd"), headers={"Content-Encoding": "gzip"})
    connection.getresponse().read()
    connection.close()
    assert server.requests[0].text == b"abcd"


def test_connections_are_numbered(server: FaultServer) -> None:
    """Requests on one kept connection have one number, and a new connection has the next."""
    connection = http.client.HTTPConnection(server.host, timeout=5)
    for _ in range(2):
        connection.request("POST", "/", b"x")
        connection.getresponse().read()
    connection.close()
    post(server)
    assert [request.connection for request in server.requests] == [1, 1, 2]


def test_function_as_script() -> None:
    """A function sees each request and says what is done to it."""
    with FaultServer(lambda request: Answer(200, {}, request.body[::-1])) as server:
        assert post(server, b"abc") == (200, b"cba")


def test_answer_at_the_head() -> None:
    """What `at_head` answers goes out before the body has come, and the rest of it meets a reset."""
    with FaultServer(at_head=lambda _: Answer(413)) as server, connect(server) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nContent-Length: 100000000\r\n\r\n")
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            connection.sendall(bytes(100_000_000))
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")
    assert [request.body for request in server.requests] == [b""]


def test_hang() -> None:
    """A request that hangs gets no answer, and the server still closes at once."""
    with FaultServer([Hang()]) as server, pytest.raises(TimeoutError):
        post(server, timeout_s=0.1)


def test_reset() -> None:
    """A reset is a reset, not an end of the connection."""
    with FaultServer([Reset()]) as server, pytest.raises(ConnectionResetError):
        post(server)


def test_polite_end() -> None:
    """A polite end is an empty answer."""
    with FaultServer([Reset(polite=True)]) as server, pytest.raises(http.client.RemoteDisconnected):
        post(server)


def test_cut_body() -> None:
    """A body that is cut ends in a reset after so many bytes."""
    with FaultServer([Answer(body=b"0123456789", cut=4)]) as server:
        connection = http.client.HTTPConnection(server.host, timeout=5)
        connection.request("POST", "/", b"x")
        with pytest.raises((ConnectionResetError, http.client.IncompleteRead)):
            connection.getresponse().read()
        connection.close()


def test_slow_body() -> None:
    """A slow body comes byte after byte."""
    with FaultServer([Answer(body=b"0123456789", byte_s=60.0)]) as server, connect(server) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
        received = b""
        while not received.endswith(b"\r\n\r\n0"):
            received += connection.recv(100)
        connection.settimeout(0.05)
        with pytest.raises(TimeoutError):
            connection.recv(100)


def test_kept_connection_that_is_closed() -> None:
    """A server may close a kept connection after an answer without having said so."""
    with FaultServer([Answer(close=True)]) as server:
        connection = http.client.HTTPConnection(server.host, timeout=5)
        connection.request("POST", "/", b"x")
        answer = connection.getresponse()
        assert answer.getheader("Connection") is None
        assert answer.read() == b""
        assert connection.sock.recv(1) == b""
        connection.close()


def test_raw_answer() -> None:
    """A raw answer goes out byte for byte, and ends the connection where it is told to."""
    raw = b"HTTP/1.0 200 Fine\r\n\r\nbody"
    with FaultServer([Answer(raw=raw, close=True)]) as server, connect(server) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
        assert b"".join(iter(lambda: connection.recv(100), b"")) == raw


def test_reset_of_an_idle_connection(server: FaultServer) -> None:
    """A kept connection can be reset while nothing is sent on it."""
    connection = http.client.HTTPConnection(server.host, timeout=5)
    connection.request("POST", "/", b"x")
    connection.getresponse().read()
    server.reset_connections()
    with pytest.raises(ConnectionResetError):
        connection.sock.recv(1)
    connection.close()


def test_wait_for_requests(server: FaultServer) -> None:
    """Waiting for requests that do not come ends with how many came."""
    post(server)
    assert len(server.wait_for(1)) == 1
    with pytest.raises(TimeoutError, match="1 of 2 requests"):
        server.wait_for(2, 0.01)


def test_refused_port() -> None:
    """Nobody listens on a refused port."""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", refused_port()), 5)

"""The sink of the benchmarks takes whatever extensions send."""

from __future__ import annotations

import gzip
import http.client
import socket
import zlib
from typing import TYPE_CHECKING

import pytest
import zstandard

from benchmarks.intake import Intake, intake

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BODY = b"L00000007 INFO one\nL00000008 INFO two\n"


@pytest.fixture
def sink() -> Iterator[Intake]:
    """A sink."""
    with intake() as found:
        yield found


def connect(sink: Intake) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(sink.url.removeprefix("http://").rstrip("/"), timeout=10)


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [("", bytes), ("gzip", gzip.compress), ("deflate", zlib.compress), ("zstd", zstandard.ZstdCompressor().compress)],
)
def test_lines_are_counted_in_every_encoding(sink: Intake, encoding: str, encode: Callable[[bytes], bytes]) -> None:
    """A body that is answered is there, and its lines are known, however it was compressed."""
    connection = connect(sink)
    connection.request("POST", "/", encode(BODY), {"Content-Encoding": encoding} if encoding else {})
    assert connection.getresponse().status == 200
    assert (sink.lines(), sink.count_lines()) == ([7, 8], 2)
    connection.close()


def test_body_in_chunks(sink: Intake) -> None:
    """A body without a length is taken, and the connection goes on."""
    connection = connect(sink)
    for _ in range(2):
        connection.request("POST", "/", iter([BODY[:5], BODY[5:]]), encode_chunked=True)
        response = connection.getresponse()
        response.read()
        assert response.status == 200
    assert sink.lines() == [7, 8, 7, 8]
    connection.close()


def test_client_that_asks_first(sink: Intake) -> None:
    """Who waits for 100 Continue gets it at once, as boto3's S3 client expects, and an empty answer to a PUT."""
    host, _, port = sink.url.removeprefix("http://").rstrip("/").partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        head = f"PUT /key HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {len(BODY)}\r\n\r\n"
        connection.sendall(head.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        connection.sendall(BODY)
        answer = connection.recv(1000)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"Content-Length: 0\r\n\r\n")
    assert sink.lines() == [7, 8]

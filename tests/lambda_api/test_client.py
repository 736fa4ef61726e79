from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from extension.lambda_api import client as api

if TYPE_CHECKING:
    from collections.abc import Iterator

REGISTERED = b'{"functionName":"orders"}'


@contextmanager
def answering(*chunks: bytes) -> Iterator[str]:
    """A server that answers one request with these writes, and then closes; its address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                for chunk in chunks:
                    connection.sendall(chunk)

        serving = threading.Thread(target=serve)
        serving.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        serving.join(10)


@pytest.mark.parametrize(
    "answer",
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 25\r\nLambda-Extension-Identifier: id-1\r\n\r\n" + REGISTERED,),
        (b"HTTP/1.0 200 OK\r\nlambda-extension-identifier: id-1\r\n\r\n", REGISTERED[:5], REGISTERED[5:]),
        (
            b"HTTP/1.1 200\r\nTRANSFER-ENCODING: Chunked\r\nLAMBDA-EXTENSION-IDENTIFIER:id-1\r\n\r\n",
            b"5;x=y\r\n" + REGISTERED[:5],
            b"\r\n14\r\n" + REGISTERED[5:] + b"\r\n0\r\n\r\n",
        ),
        tuple(
            bytes([byte])
            for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 25\r\nLambda-Extension-Identifier: id-1\r\n\r\n"
            + REGISTERED
        ),
    ],
    ids=["content-length", "until the end", "chunked", "byte by byte"],
)
def test_an_answer_may_be_framed_in_any_way(answer: tuple[bytes, ...]) -> None:
    """Content-Length, chunks, or the end of the connection; any case of header names; any cut into packets."""
    with answering(*answer) as address:
        extension = api.register(address, "name", managed_instances=False)
    assert (extension.identifier, extension.function) == ("id-1", REGISTERED)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (api.MAX_RESPONSE_BYTES + 1),
    ],
    ids=["nothing", "half a head", "half a body", "half a chunk", "too long"],
)
def test_an_answer_that_is_cut_short_or_endless_is_an_error(answer: bytes) -> None:
    """No answer is taken for whole that is not, and none without bound."""
    with answering(answer) as address, pytest.raises(ConnectionError):
        api.register(address, "name", managed_instances=False)


def test_an_answer_has_a_deadline_as_a_whole() -> None:
    """An answer that comes byte by byte, each in time, is given up when the time for all of it is over."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        extension = api.Extension(address, "id-1", b"{}", invoked=True)

        def trickle() -> None:
            connection, _ = listening.accept()
            with connection, suppress(OSError):
                connection.recv(65536)
                for byte in b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1000:
                    connection.sendall(bytes([byte]))
                    time.sleep(0.05)  # what makes it slow, and is not waited for

        serving = threading.Thread(target=trickle)
        serving.start()
        with pytest.raises(TimeoutError):
            extension.subscribe(1, ["platform"], 1000, 262_144, 25, time.monotonic() + 0.5)
        serving.join(10)
    assert not serving.is_alive()


def test_a_refusal_says_what_was_answered() -> None:
    """The error names the call, the status and the body, which the platform wrote for people."""
    body = b'{"errorType":"Extension.RegistrationClosed"}'
    answer = b"HTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    with (
        answering(answer) as address,
        pytest.raises(api.UnexpectedStatus, match=r"register answered 403: .*RegistrationClosed"),
    ):
        api.register(address, "name", managed_instances=True)

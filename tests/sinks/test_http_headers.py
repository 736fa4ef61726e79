"""The headers of the http sink, as they are on the wire."""

from __future__ import annotations

import socket
import threading

import pytest

from extension.config import ConfigError, parse
from extension.sinks import load
from tests.support.batches import batch, line

WAIT_S = 10.0


def sent(headers: str) -> list[str]:
    """The header lines of one request, in small letters, with FORWARDER_HEADERS as given."""
    heads = []

    def serve(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection, connection.makefile("rb") as reading:
            while (header := reading.readline().strip()) != b"":
                heads.append(header.decode().lower())
            connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = threading.Thread(target=serve, args=(listening,))
        serving.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/"
        [target] = parse({"FORWARDER_SINKS": url, "FORWARDER_HEADERS": headers}).sinks
        sink = load(target)
        try:
            sink.send(batch(line(1)), 5.0)
        finally:
            sink.close()
            serving.join(WAIT_S)
    return heads[1:]


@pytest.mark.parametrize("name", ["content-type", "Content-Type", "USER-AGENT", "accept-encoding"])
def test_a_header_of_ours_is_replaced_in_any_case(name: str) -> None:
    """A header that the user gives replaces the one we would send, however it is written."""
    found = [header for header in sent(f"{name}: x-mine") if header.startswith(f"{name.lower()}:")]
    assert found == [f"{name.lower()}: x-mine"]


def test_a_header_that_is_given_twice_is_sent_once() -> None:
    """Of two lines with one name, in any case, the later one counts."""
    assert [header for header in sent("Api-Key: a\nX: y\napi-key: b") if header.startswith("api-key")] == ["api-key: b"]


@pytest.mark.parametrize(
    "name",
    [
        *("Content-Length", "transfer-encoding", "CONNECTION", "Keep-Alive", "Host", "TE", "Trailer", "Upgrade"),
        *("Expect", "Proxy-Authorization", "proxy-connection", "Content-Encoding"),
    ],
)
def test_headers_that_frame_the_message_are_refused(name: str) -> None:
    """What says how the message is framed, or is between us and the next hop, is not the user's to say."""
    with pytest.raises(ConfigError, match=f"line 2 of FORWARDER_HEADERS gives {name.lower()}, "):
        parse({"FORWARDER_HEADERS": f"X: y\n{name}: 1", "FORWARDER_SINKS": "https://h/"})

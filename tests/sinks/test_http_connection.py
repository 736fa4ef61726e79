"""The kept HTTP connection: proxies, and servers that answer oddly."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from extension.delivery.sending import reply_of
from extension.sinks import Outcome, Refused, Throttled, Unavailable
from extension.sinks._http import MAX_ANSWER_BYTES, Connection
from extension.sinks._http_intake import parse_retry_after
from extension.sinks._proxies import proxy_of
from extension.sinks._tls import Files
from tests.support.batches import batch, line, open_sink
from tests.support.fault_server import Answer, FaultServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from extension.records import Batch
    from extension.sinks import Sink

# What may stand behind the status line, and whether the server ends the connection (RFC 9112, section 6.3).
FRAMINGS: dict[str, tuple[bytes, bool]] = {
    "HTTP/1.0, length": (b"HTTP/1.0 %d X\r\nContent-Length: 4\r\n\r\nbody", True),
    "HTTP/1.0, no length": (b"HTTP/1.0 %d X\r\n\r\nbody", True),
    "HTTP/1.0, empty": (b"HTTP/1.0 %d X\r\n\r\n", True),
    "HTTP/1.0, kept": (b"HTTP/1.0 %d X\r\nConnection: keep-alive\r\nContent-Length: 4\r\n\r\nbody", False),
    "close, length": (b"HTTP/1.1 %d X\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody", True),
    "close, no length": (b"HTTP/1.1 %d X\r\nConnection: close\r\n\r\nbody", True),
    "close, empty": (b"HTTP/1.1 %d X\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", True),
    "close, said but not done": (b"HTTP/1.1 %d X\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody", False),
    "close, chunked": (
        b"HTTP/1.1 %d X\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
        True,
    ),
    "no length": (b"HTTP/1.1 %d X\r\n\r\nbody", True),
    "length": (b"HTTP/1.1 %d X\r\nContent-Length: 4\r\n\r\nbody", False),
    "empty": (b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n", False),
    "chunked": (b"HTTP/1.1 %d X\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n", False),
    "chunks that are none": (b"HTTP/1.1 %d X\r\nTransfer-Encoding: chunked\r\n\r\nbody\r\n\r\n", True),
    "chunks that are cut": (b"HTTP/1.1 %d X\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nbody", True),
    "length that is cut": (b"HTTP/1.1 %d X\r\nContent-Length: 9\r\n\r\nbody", True),
}
BEFORE = {"": b"", "100": b"HTTP/1.1 100 Continue\r\n\r\n", "103": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"}
BEFORE["102, 100, 103"] = b"HTTP/1.1 102 Processing\r\n\r\n" + BEFORE["100"] + BEFORE["103"]
STATUSES: dict[int, type[Exception] | None] = {
    200: None,
    202: None,
    204: None,
    302: Refused,
    400: Refused,
    404: Refused,
}
STATUSES |= {429: Throttled, 500: Unavailable}

LARGE = 16_000_000  # bytes, of which the buffers of two sockets hold but a part
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever proxy the developer uses is not part of these tests."""
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


class Tunnel:
    """A proxy that does CONNECT, once, to the port `to` where one is given, and remembers what it was asked for."""

    def __init__(self, to: int | None = None) -> None:
        self._to = to
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.asked = b""
        self._threads = [threading.Thread(target=self._serve)]

    def _serve(self) -> None:
        near, _ = self._listening.accept()
        while b"\r\n\r\n" not in self.asked:
            self.asked += near.recv(65536)
        host, _, port = self.asked.split()[1].decode().rpartition(":")
        far = socket.create_connection((host.strip("[]"), self._to or int(port)))
        near.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        back = threading.Thread(target=self._pump, args=(far, near))
        back.start()
        self._pump(near, far)
        back.join()
        near.close()
        far.close()

    @staticmethod
    def _pump(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._threads[0].join(10)
        self._listening.close()


@contextmanager
def connected(url: str, ca: str = "") -> Iterator[Connection]:
    connection = Connection(url, Files(ca))
    yield connection
    connection.close()


def test_http_proxy_gets_the_whole_url(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy for http is asked for the whole URL, with the credentials of its own."""
    with FaultServer(lambda _request: Answer(204)) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url.replace("://", "://us%40r:pass@"))
        with connected("http://intake.test:8080") as connection:
            assert connection.request("POST", "/a?b=c", {"X": "1"}, b"body", 5.0).status == 204
        [request] = proxy.requests
    assert request.path == "http://intake.test:8080/a?b=c"
    assert (request.headers["host"], request.headers["x"]) == ("intake.test:8080", "1")
    assert request.headers["proxy-authorization"] == "Basic dXNAcjpwYXNz"


def test_https_proxy_makes_a_tunnel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Through a proxy, TLS reaches to the server, which doesn't get to see the proxy's credentials."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with FaultServer(lambda _request: Answer(204), tls=context) as server, Tunnel() as tunnel:
        monkeypatch.setenv("https_proxy", f"http://user:pass@127.0.0.1:{tunnel.port}")
        with connected(server.url) as connection:
            assert connection.request("POST", "/a", {}, b"body", 5.0).status == 204
        [request] = server.requests
    assert tunnel.asked.startswith(b"CONNECT 127.0.0.1:")
    assert b"Proxy-Authorization: Basic dXNlcjpwYXNz\r\n" in tunnel.asked
    assert "proxy-authorization" not in request.headers


def test_no_proxy_excepts_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host in NO_PROXY is asked directly."""
    with FaultServer(lambda _request: Answer(204)) as server:
        monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        with connected(server.url) as connection:
            assert connection.request("POST", "/a", {}, b"body", 5.0).status == 204


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "[2001:db8:1::7]"])
@pytest.mark.parametrize(
    "excepted", ["example.org, 127.0.0.0/8,::1/128,2001:db8::/32", "127.0.0.1,::1,2001:db8:1:0::7"]
)
def test_no_proxy_excepts_networks(monkeypatch: pytest.MonkeyPatch, host: str, excepted: str) -> None:
    """An address in a network that NO_PROXY lists is asked directly, an IPv6 one also without brackets."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", excepted)
    assert proxy_of(urlsplit(f"https://{host}:4318")) is None


@pytest.mark.parametrize("host", ["10.0.0.1", "[2001:db9::1]", "intake.example", "10.example", "999.0.0.1", "127"])
def test_no_proxy_does_not_except_the_rest(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """Other addresses, and names, go through the proxy; entries that are none are passed over."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.0/8,2001:db8::/32,/,1/2/3,::/x,, ,[")
    assert proxy_of(urlsplit(f"https://{host}:4318")) is not None


def test_ipv6(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A host may be an IPv6 address, over TLS and through a proxy, which is asked for it in brackets."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("::1").configure_cert(context)
    with FaultServer(lambda _request: Answer(204), tls=context, host="::1") as server, Tunnel() as tunnel:
        with connected(server.url, str(tmp_path / "ca.pem")) as connection:
            assert connection.request("POST", "/a", {}, b"body", 5.0).status == 204
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{tunnel.port}")
        with connected(server.url, str(tmp_path / "ca.pem")) as connection:
            assert connection.request("POST", "/a", {}, b"body", 5.0).status == 204
        assert [request.headers["host"] for request in server.requests] == [server.host, server.host]
    assert tunnel.asked.startswith(f"CONNECT {server.host} HTTP/1".encode())


@pytest.mark.parametrize("host", ["::1", "127.0.0.1"])
def test_a_proxy_is_asked_for_the_usual_port(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, host: str) -> None:
    """Where a URL names none, CONNECT does; the server behind it is called as in the URL, an address in brackets."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host).configure_cert(context)
    with FaultServer(lambda _request: Answer(204), tls=context, host=host) as server:
        named, _, port = server.host.rpartition(":")
        with Tunnel(int(port)) as tunnel:
            monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{tunnel.port}")
            with connected(f"https://{named}", str(tmp_path / "ca.pem")) as connection:
                connection.request("POST", "/a", {}, b"body", 5.0)
        [request] = server.requests
    assert (tunnel.asked.split()[1].decode(), request.headers["host"]) == (f"{named}:443", named)


def test_proxy_that_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that makes no tunnel is told by its status, without its words: they may quote what it was sent."""
    with FaultServer(otherwise=Answer(407)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("://", "://user:secret@"))
        with pytest.raises(ConnectionError, match=r"^the proxy makes no tunnel: HTTP 407$"):
            Connection("https://intake.example").request("POST", "/", {}, b"", 5.0)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (b"\x15\x03\x01\x00\x02\x02\x46", "BadStatusLine"),  # an alert of TLS, of a port that speaks that
        (b"SSH-2.0 secret words\r\n", "BadStatusLine"),
        (b"HTTP/1.1 200 " + b"x" * 70_000, "LineTooLong"),
    ],
    ids=["TLS", "SSH", "too long"],
)
def test_a_proxy_that_speaks_no_http_costs_no_batch(monkeypatch: pytest.MonkeyPatch, words: bytes, error: str) -> None:
    """What it says to CONNECT is no answer of anybody, and no fault of ours: the records wait."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{listening.getsockname()[1]}")
        serving = threading.Thread(target=_say, args=(listening, words))
        serving.start()
        with (
            connected("https://intake.example") as connection,
            pytest.raises(ConnectionError, match=f"^the proxy cannot be used: {error}$") as caught,
        ):
            connection.request("POST", "/", {}, b"", 5.0)
        serving.join(10)
    assert reply_of(caught.value).outcome is Outcome.DOWN


@pytest.mark.parametrize("host", ["a..b", ".a.b", "a" * 64, "pro xy"])
def test_a_proxy_whose_name_is_none_costs_no_batch(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """It cannot be reached, as one that is not there: the records wait."""
    monkeypatch.setenv("HTTPS_PROXY", f"http://{host}:3128")
    with connected("https://intake.example") as connection, pytest.raises(OSError, match=r"host|proxy") as caught:
        connection.request("POST", "/", {}, b"", 5.0)
    assert reply_of(caught.value).outcome is Outcome.DOWN


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "ALL_PROXY"])
def test_proxy_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """It is named, its password is not shown, and it costs the sinks that need it alone."""
    monkeypatch.setenv(variable, "socks5://user:secret@127.0.0.1:1080")
    with pytest.raises(Unavailable, match=f"{variable} .* expected http://host:port") as caught:
        Connection("https://intake.test")
    assert "secret" not in str(caught.value)


def test_long_answer_is_cut_off() -> None:
    """An answer without end costs bounded memory, and the connection."""
    with FaultServer(lambda _request: Answer(200, {}, b"x" * (MAX_ANSWER_BYTES + 1))) as server:
        with connected(server.url) as connection:
            for _ in range(2):
                assert len(connection.request("GET", "/", {}, b"", 5.0).body) == MAX_ANSWER_BYTES
        assert server.connections == 2


def test_kept_connection_is_used_again() -> None:
    """Requests one after the other share a connection."""
    with FaultServer(lambda _request: Answer(204)) as server:
        with connected(server.url) as connection:
            for _ in range(3):
                connection.request("POST", "/", {}, b"body", 5.0)
        assert server.connections == 1


def test_answer_that_is_no_http() -> None:
    """A server that speaks something else is an error without a word of what it said."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = threading.Thread(target=_say, args=(listening, b"SSH-2.0 secret words\r\n"))
        serving.start()
        with (
            connected(f"http://127.0.0.1:{listening.getsockname()[1]}") as connection,
            pytest.raises(ConnectionError, match=r"no HTTP answer: BadStatusLine$"),
        ):
            connection.request("POST", "/", {}, b"", 5.0)
        serving.join(10)


def _say(listening: socket.socket, words: bytes, done: threading.Event | None = None) -> None:
    """Say it to the first who comes and speaks, and stay connected until `done`."""
    connection, _ = listening.accept()
    with connection:
        connection.recv(65536)
        connection.sendall(words)
        if done is not None:
            done.wait(10)


def test_body_that_never_ends_does_not_hold_an_answer() -> None:
    """An answer whose head has come counts, though its body trickles; the connection is not used again."""
    with FaultServer(lambda _request: Answer(200, {}, b"x" * 1000, byte_s=0.05)) as server:
        with connected(server.url) as connection:
            for _ in range(2):
                answer = connection.request("POST", "/", {}, b"", 5.0)
                assert (answer.status, len(answer.body) < 1000) == (200, True)
        assert [request.connection for request in server.requests] == [1, 2]


BEFORE_THE_BODY: dict[int, type[Exception]] = {
    200: OSError,  # of a body that never came
    204: OSError,
    302: Refused,
    400: Refused,
    401: Refused,
    408: OSError,  # to a sender that was too slow, because of a freeze perhaps
    413: Refused,
    429: Throttled,
    503: Throttled,
}


@pytest.mark.parametrize("status", BEFORE_THE_BODY)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_an_answer_before_the_body_counts_unless_it_says_that_it_came(scheme: str, status: int, tmp_path: Path) -> None:
    """What breaks the sending may be a server that has said all it has to say; of the connection nothing is kept."""
    authority, server_context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    authority.issue_cert("127.0.0.1").configure_cert(server_context)
    early = Answer(status, {"Retry-After": "7"}, b"" if status == 204 else b"why")
    tls = server_context if scheme == "https" else None
    with FaultServer(tls=tls, at_head=lambda request: None if request.connection > 1 else early) as server:
        ca = f"&ca={tmp_path / 'ca.pem'}" if tls else ""
        sink = open_sink(f"{server.url}/?compression=none{ca}")
        with pytest.raises(BEFORE_THE_BODY[status]) as caught:
            sink.send(batch(line(1, "x" * LARGE)), 10.0)
        sink.send(batch(line(1)), 10.0)
        sink.close()
        assert [request.connection for request in server.requests] == [1, 2]
    assert getattr(caught.value, "retry_after_s", 7.0) == 7.0


def test_an_answer_of_a_server_that_stops_reading_counts() -> None:
    """It is found when there is no time left to send; and the next request has a connection of its own."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        done = threading.Event()
        raw = b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n"
        serving = [threading.Thread(target=_say, args=(listening, raw % status, done)) for status in (413, 204)]
        with connected(f"http://127.0.0.1:{listening.getsockname()[1]}") as connection:
            for thread, size, status in zip(serving, (LARGE, 1), (413, 204), strict=True):
                thread.start()
                assert connection.request("POST", "/", {}, bytes(size), 1.0).status == status
        done.set()
        for thread in serving:
            thread.join(10)


def test_close_leaves_a_request_under_way_alone() -> None:
    """What a freeze left hanging in another thread keeps its connection, so that no two sends ever share one."""
    release, hanging = threading.Event(), threading.Event()

    def hold(_request: object) -> Answer:
        if not hanging.is_set():
            hanging.set()
            release.wait(10)
        return Answer()

    with FaultServer(hold) as server, connected(server.url) as connection:
        answers: list[int] = []
        first = threading.Thread(target=lambda: answers.append(connection.request("POST", "/", {}, b"", 10.0).status))
        first.start()
        assert hanging.wait(10)
        connection.close()
        release_later = threading.Thread(target=release.set)
        second = threading.Thread(target=lambda: answers.append(connection.request("POST", "/", {}, b"", 10.0).status))
        second.start()
        release_later.start()
        for thread in (first, second, release_later):
            thread.join(10)
        assert answers == [200, 200]
        assert sorted(request.connection for request in server.requests) == [1, 2]


@pytest.mark.parametrize("status", STATUSES)
def test_answer_means_the_same_however_it_is_framed(status: int) -> None:
    """Taken, refused or for later is what the status says, however it is framed, and whatever came before it."""
    sent = batch(line(1))
    cases = [
        (f"{name} {framing}", Answer(raw=before + answer % status, close=close))
        for name, before in BEFORE.items()
        for framing, (answer, close) in FRAMINGS.items()
        if status != 204 or b"body" not in answer  # which has none
        for _ in (1, 2)  # the second may be asked for on a kept connection
    ]
    with FaultServer([answer for _, answer in cases]) as server:
        sink = open_sink(f"{server.url}/")
        outcomes = [(name, _outcome(sink, sent)) for name, _ in cases]
        sink.close()
    assert outcomes == [(name, STATUSES[status]) for name, _ in cases]
    assert len(server.requests) == len(cases)


@pytest.mark.parametrize("length", [b"-5", b"many", b"+4", b"4, 5"])
def test_an_answer_whose_length_is_none_is_no_answer(length: bytes) -> None:
    """Where it ends nobody knows, so the connection is closed, and nothing waits for more."""
    raw = b"HTTP/1.1 200 OK\r\nContent-Length: %s\r\n\r\nbody" % length
    with FaultServer([Answer(raw=raw)]) as server:
        sink = open_sink(f"{server.url}/")
        with pytest.raises(ConnectionError, match=r"no HTTP answer: HTTPException$"):
            sink.send(batch(line(1)), 5.0)
        sink.close()


def _outcome(sink: Sink, sent: Batch) -> type[Exception] | None:
    try:
        sink.send(sent, 5.0)
    except Exception as error:  # noqa: BLE001 - which one is the question
        return type(error)
    return None


def test_retry_after_that_no_clock_can_hold() -> None:
    """A date that makes no sense is as none."""
    assert parse_retry_after("Mon, 20 Nov 2026 19:12:08 +99999999999999") == 0.0


@given(st.text(st.characters(max_codepoint=255)))
def test_retry_after_of_any_kind(value: str) -> None:
    """Whatever a server writes into Retry-After, it is a number of seconds, 0 where it cannot be read."""
    assert parse_retry_after(value) >= 0.0

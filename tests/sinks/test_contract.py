"""The claims that every sink in extension/sinks/ must meet, on a strict server of ours."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import orjson
import pytest

from extension.pipeline.pipeline import now_iso
from extension.sinks import Refused, Scope, Throttled, Unavailable
from tests.support import sink_contract as contract
from tests.support.batches import batch, line, open_sink
from tests.support.fault_server import Action, Answer, FaultServer, Hang, Request, Reset
from tests.support.strict_aws import CREDENTIALS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from extension.sinks import Sink
    from tests.support.sink_contract import Receiver

SCHEMES = contract.names()
OVER_HTTP = [scheme for scheme in SCHEMES if contract.kind(scheme).permanent]
PASSING_ON = [
    name for name in SCHEMES if getattr(importlib.import_module(f"extension.sinks.{name}"), "PASSES_ON", False)
]
FIRST = 1_000_000  # of sequences that are all as long
SECRET = "words that nobody may read"


class Bench:
    """One sink, its server, and what the server took."""

    def __init__(self, scheme: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.kind = contract.kind(scheme)
        self._scheme, self._folder, self._monkeypatch = scheme, folder, monkeypatch
        self._receiver: Receiver = self.kind.receiver(folder)
        self._first: list[Action] = []
        self._always: Callable[[Request], Action] | None = None
        self.server = FaultServer(self._act)
        self.lines = self._receiver.lines

    def _act(self, request: Request) -> Action:
        if self._first:
            return self._first.pop(0)
        return (self._always or self._receiver)(request)

    def open(self, first: Sequence[Action] = (), always: Callable[[Request], Action] | None = None) -> Sink:
        """The sink, with a server that begins with `first`."""
        self._first, self._always = list(first), always
        found = contract.destination(self._scheme, self.server, self._folder, self._receiver)
        for name, value in found.env.items():
            self._monkeypatch.setenv(name, value)
        self.sink = open_sink(found.url)
        return self.sink


@pytest.fixture
def bench(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """One sink for each parameter."""
    bench = Bench(request.param, tmp_path, monkeypatch)
    with bench.server:
        yield bench
        bench.sink.close()


every_sink = pytest.mark.parametrize("bench", SCHEMES, indirect=True)
every_sink_over_http = pytest.mark.parametrize("bench", OVER_HTTP, indirect=True)


@every_sink
def test_all_records_arrive_as_they_are(bench: Bench) -> None:
    """What arrives is every line of the batch, byte for byte and in order."""
    texts = ["plain", "ü € 😀", 'line\nbreak, tab\t, quote" and \\', "\x00\x0b\x1f\x7f\x85", "x" * 100_000, ""]
    sent = batch(*[line(index, text, now_iso()) for index, text in enumerate(texts)])
    assert list(bench.open().send(sent, 10.0)) == []
    assert bench.lines() == [record.line for record in sent.records]


@every_sink
def test_one_record(bench: Bench) -> None:
    """A batch may be a single record."""
    sent = batch(line(1, time=now_iso()))
    assert list(bench.open().send(sent, 10.0)) == []
    assert bench.lines() == [sent.records[0].line]


@every_sink
def test_as_many_records_as_the_limit_says(bench: Bench) -> None:
    """A batch of as many records as the sink's own limits allow is within the destination's."""
    limits = bench.open().limits
    now = now_iso()
    count = min(limits.records, limits.bytes // (len(line(FIRST, time=now)) + limits.overhead))
    sent = [line(FIRST + index, time=now) for index in range(count)]
    assert list(bench.sink.send(batch(*sent), 30.0)) == []
    assert len(bench.lines()) == count


@every_sink
def test_as_many_bytes_as_the_limit_says(bench: Bench) -> None:
    """A batch of as many bytes as the sink allows, as long as can be, is within the destination's limits."""
    limits = bench.open().limits
    frame = len(line(FIRST, "", now_iso()))
    sent: list[bytes] = []
    room = limits.bytes
    while len(sent) < limits.records and (size := min(limits.record_bytes, room - limits.overhead)) > frame:
        sent.append(line(FIRST + len(sent), "x" * (size - frame), now_iso()))
        room -= size + limits.overhead
    assert list(bench.sink.send(batch(*sent), 30.0)) == []
    assert bench.lines() == sent


@every_sink
def test_as_long_a_record_as_the_limit_says(bench: Bench) -> None:
    """A single record of the length that the sink allows is within the destination's limits."""
    size = min(bench.open().limits.record_bytes, 8 << 20)
    longest = line(1, "x" * (size - len(line(1, "", now_iso()))), now_iso())
    assert list(bench.sink.send(batch(longest), 30.0)) == []
    assert bench.lines() == [longest]


@every_sink
def test_close_then_send(bench: Bench) -> None:
    """After close, a send works as before."""
    sink = bench.open()
    sink.close()
    sink.send(batch(line(1, time=now_iso())), 10.0)
    sink.close()
    sink.close()
    assert list(sink.send(batch(line(2, time=now_iso()), number=2), 10.0)) == []
    assert len(bench.lines()) == 2


@pytest.mark.parametrize("bench", [name for name in SCHEMES if name not in PASSING_ON], indirect=True)
def test_unknown_parameter(bench: Bench) -> None:
    """A parameter that the sink does not know is refused by its place, with those it knows."""
    bench.open()
    base = bench.kind.url(bench.server.url, bench._folder)
    with pytest.raises(ValueError, match=r"unknown parameter, number 2 of the query; expected .*types"):
        open_sink(f"{base}?types=function&frobnicate=1")


@pytest.mark.parametrize("bench", SCHEMES, indirect=True)
def test_a_parameter_that_is_there_twice(bench: Bench) -> None:
    """Neither of the two wins: the second is refused by its place."""
    bench.open()
    base = bench.kind.url(bench.server.url, bench._folder)
    with pytest.raises(ValueError, match=r"there already, number \d of the query"):
        open_sink(f"{base}{'&' if '?' in base else '?'}types=function&types=platform")


@pytest.mark.parametrize("bench", PASSING_ON, indirect=True)
def test_parameters_of_the_intake(bench: Bench) -> None:
    """What is not ours goes on as it stands, and so does what `query.` marks though it is called like one of ours."""
    bench.open()
    base = bench.kind.url(bench.server.url, bench._folder)
    mixed = "a=%2F+1&types=function&a=2&compression=none&query.types=theirs&query.b=&c"
    sink = open_sink(f"{base}{'&' if '?' in base else '?'}{mixed}")
    sink.send(batch(line(1, time=now_iso())), 10.0)
    sink.close()
    assert "a=%2F+1&a=2&types=theirs&b=&c" in bench.server.requests[-1].path
    assert "function" not in bench.server.requests[-1].path
    assert len(bench.lines()) == 1


@every_sink_over_http
def test_permanent_refusal(bench: Bench) -> None:
    """A refusal that has nothing to do with the records is Refused, and not worth dividing the batch for."""
    with pytest.raises(Refused) as caught:
        bench.open(always=bench.kind.permanent).send(batch(line(1, SECRET, now_iso())), 5.0)
    assert caught.value.scope is Scope.EVERYTHING


@every_sink_over_http
def test_throttling(bench: Bench) -> None:
    """Being throttled is Throttled, with the seconds of Retry-After."""
    with pytest.raises(Throttled) as caught:
        bench.open(always=bench.kind.throttled).send(batch(line(1, SECRET, now_iso())), 5.0)
    assert caught.value.retry_after_s == 7.0


@pytest.mark.parametrize(
    ("bench", "status"),
    [(scheme, status) for scheme in OVER_HTTP for status in contract.kind(scheme).transient],
    indirect=["bench"],
)
def test_server_error_is_transient(bench: Bench, status: int) -> None:
    """A server error is Unavailable, and the batch is taken when it is sent again."""
    sink = bench.open([Answer(status)])
    sent = batch(line(1, SECRET, now_iso()))
    with pytest.raises(Unavailable):
        sink.send(sent, 5.0)
    assert list(sink.send(sent, 5.0)) == []
    assert bench.lines() == [sent.records[0].line]


@every_sink_over_http
@pytest.mark.timeout(30)  # a sink that goes by a timeout of its own, or by none, is slower than that
@pytest.mark.parametrize("action", [Reset(), Reset(polite=True), Hang()], ids=["reset", "end", "hang"])
def test_broken_connection_is_transient(bench: Bench, action: Action) -> None:
    """A connection that breaks or says nothing ends the send in time, and the next send works."""
    sink = bench.open([action])
    sent = batch(line(1, SECRET, now_iso()))
    with pytest.raises(OSError):  # noqa: PT011 - anything else would be a fault of ours
        sink.send(sent, 0.3)
    sink.close()
    assert list(sink.send(sent, 5.0)) == []


@every_sink_over_http
def test_kept_connection_that_died(bench: Bench) -> None:
    """A kept connection that the server has closed since costs at most one send that may be repeated."""
    sink = bench.open()
    sink.send(batch(line(1, time=now_iso())), 5.0)
    bench.server.reset_connections()
    try:
        sink.send(batch(line(2, time=now_iso()), number=2), 5.0)
    except Refused:
        raise
    except Exception:  # noqa: BLE001 - delivery sends again
        sink.close()
        sink.send(batch(line(2, time=now_iso()), number=2), 5.0)
    assert {orjson.loads(one)["lambda"]["id"][-2:] for one in bench.lines()} == {"-1", "-2"}


@every_sink_over_http
@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 429, 500, 503])
def test_messages_are_discreet(bench: Bench, status: int) -> None:
    """What an error says holds nothing of records and credentials, even if the server quotes them."""
    body = f'{{"__type":"X","message":"{SECRET}"}}'.encode()
    sink = bench.open(always=lambda request: Answer(status, {"Content-Type": request.headers.get("accept", "x")}, body))
    with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever it is
        sink.send(batch(line(1, SECRET, now_iso())), 5.0)
    shown = f"{type(caught.value).__name__}: {caught.value}"
    assert SECRET not in shown
    assert CREDENTIALS["AWS_SECRET_ACCESS_KEY"] not in shown
    assert CREDENTIALS["AWS_SESSION_TOKEN"] not in shown

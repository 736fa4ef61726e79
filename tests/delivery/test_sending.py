from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from extension.delivery import sending as module
from extension.delivery.sending import KEEPALIVE_EXPIRY_S, Sending, reply_of
from extension.records import Batch, Record
from extension.sinks import Failure, Outcome, Refused, Reply, Scope, Throttled, Unavailable
from tests.support.deliveries import Clock, ScriptedSink, soon

if TYPE_CHECKING:
    from collections.abc import Sequence

BATCH = Batch("e-0", [Record(0, "function", b"{}"), Record(1, "function", b"{}")])


async def test_an_idle_connection_is_not_used_again() -> None:
    """After half a minute, by a clock that goes on in a freeze, the next send makes a fresh connection."""
    clock, sink = Clock(), ScriptedSink()
    sending = Sending(sink, clock)
    await sending.attempt(BATCH, soon)
    closed = sink.closed
    clock.now += KEEPALIVE_EXPIRY_S - 1.0
    await sending.attempt(BATCH, soon)
    assert sink.closed == closed
    clock.now += KEEPALIVE_EXPIRY_S + 1.0
    await sending.attempt(BATCH, soon)
    assert sink.closed == closed + 1


async def test_the_longest_wait_that_failures_ask_for_is_the_replys() -> None:
    """A batch is several requests to some sinks, and each may ask for time."""
    failures = [Failure(0, "HTTP 429", retry_after_s=7.0), Failure(1, "HTTP 429", retry_after_s=3.0)]
    whole, part = Sending(ScriptedSink(failures), Clock()), Sending(ScriptedSink(failures[1:]), Clock())
    assert await whole.attempt(BATCH, soon) == Reply(Outcome.THROTTLED, "HTTP 429", retry_after_s=7.0)
    assert await part.attempt(BATCH, soon) == Reply(Outcome.TAKEN, failures=failures[1:], retry_after_s=3.0)


async def test_a_dead_connection_is_replaced_once() -> None:
    """Where nobody answers on the kept connection, a fresh one is tried before the sink is blamed."""
    sink = ScriptedSink(ConnectionResetError("reset"))
    sending = Sending(sink, Clock())
    assert (await sending.attempt(BATCH, soon)).outcome is Outcome.TAKEN
    sink = ScriptedSink(otherwise=ConnectionResetError("reset"))
    assert (await Sending(sink, Clock()).attempt(BATCH, soon)).outcome is Outcome.DOWN
    assert len(sink.sent) == 2


async def test_nobody_is_blamed_twice_once_the_time_is_over() -> None:
    """At SHUTDOWN a send that fails at the end is not made again: no answer could be waited for."""
    sink = ScriptedSink(otherwise=TimeoutError("timed out"))
    assert (await Sending(sink, Clock()).attempt(BATCH, lambda: 0.0)).outcome is Outcome.DOWN
    assert len(sink.sent) == 1


@pytest.mark.parametrize(
    ("error", "reply"),
    [
        (Throttled("HTTP 429", 7.0), Reply(Outcome.THROTTLED, "HTTP 429", retry_after_s=7.0)),
        (Refused("HTTP 413", Scope.SIZE), Reply(Outcome.REQUEST_REFUSED, "HTTP 413", scope=Scope.SIZE)),
        (Unavailable("HTTP 500"), Reply(Outcome.RETRY, "HTTP 500")),
        (TimeoutError("timed out"), Reply(Outcome.DOWN, "TimeoutError: timed out")),
        (KeyError("records"), Reply(Outcome.REQUEST_REFUSED, "internal error: KeyError", scope=Scope.BATCH)),
    ],
)
async def test_what_a_sink_raises_is_a_reply(error: Exception, reply: Reply) -> None:
    """Each word of the seam has its meaning; a fault of ours costs its batch, and says nothing of what it quotes."""
    assert reply_of(error) == reply
    assert await Sending(ScriptedSink(otherwise=error), Clock()).attempt(BATCH, soon) == reply


async def test_a_batch_of_which_nothing_was_taken_is_sent_again_as_it_is() -> None:
    """A part that was taken must not come twice; where there is none, the very same batch goes again."""
    none = [Failure(0, "slow down"), Failure(1, "slow down")]
    assert await Sending(ScriptedSink(none), Clock()).attempt(BATCH, soon) == Reply(Outcome.RETRY, "slow down")
    reply = await Sending(ScriptedSink(none[:1]), Clock()).attempt(BATCH, soon)
    assert reply == Reply(Outcome.TAKEN, failures=none[:1])


class Hanging(ScriptedSink):
    """Hangs in its first send, as on a dead connection, until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.let_go = threading.Event()

    def send(self, batch: Batch, timeout_s: float) -> Sequence[Failure]:
        """Hang or take."""
        self.sent.append(batch)
        if len(self.sent) == 1:
            self.let_go.wait(30.0)
        return ()


FREEZING_LOOK = 5  # one before the send, two each tick


class FreezingClock(Clock):
    """Jumps by 10 s in the second tick of a send, as behind a freeze."""

    def __init__(self) -> None:
        super().__init__()
        self._looks = 0

    def __call__(self) -> float:
        """The time."""
        self._looks += 1
        if self._looks == FREEZING_LOOK:
            self.now += 10.0
        return self.now


async def test_a_send_that_a_freeze_left_hanging_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the clock shows that the process was stopped, a send that still hangs is repeated, without blame."""
    monkeypatch.setattr(module, "TICK_S", 0.01)
    sink = Hanging()
    try:
        async with asyncio.timeout(30.0):
            reply = await Sending(sink, FreezingClock()).attempt(BATCH, soon)
    finally:
        sink.let_go.set()
    assert (reply.outcome, len(sink.sent), sink.closed > 0) == (Outcome.TAKEN, 2, True)


async def test_what_is_not_wanted_any_more_is_not_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the batch was given up in a freeze, as in a copy of a snapshot, its records are on their way already."""
    monkeypatch.setattr(module, "TICK_S", 0.01)
    sink = Hanging()
    clock = FreezingClock()
    try:
        async with asyncio.timeout(30.0):
            reply = await Sending(sink, clock).attempt(BATCH, lambda: 0.0 if clock.now > 1_005.0 else soon())
    finally:
        sink.let_go.set()
    assert (reply.outcome, len(sink.sent)) == (Outcome.DOWN, 1)


async def test_a_send_that_does_not_end_is_left_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sink that does not keep to its timeout is as one that does not answer."""
    for name in ("SEND_GRACE_S", "TICK_S", "ATTEMPT_S"):
        monkeypatch.setattr(module, name, 0.01)
    sink = Hanging()
    try:
        reply = await Sending(sink, Clock()).attempt(BATCH, soon)
    finally:
        sink.let_go.set()
    assert (reply.outcome, len(sink.sent)) == (Outcome.TAKEN, 2)

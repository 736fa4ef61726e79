from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

import pytest

from extension import sender as module
from extension.records import Batch, Record
from extension.sender import Sender
from extension.sinks import Busy
from tests.test_delivery import ScriptedSink

if TYPE_CHECKING:
    from collections.abc import Callable

    from extension.sinks import Failure

BATCH = Batch("e-0", [Record(0, "function", b"{}")])


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long each pause would have been; none is made."""
    made: list[float] = []

    async def wait(event: asyncio.Event, timeout_s: float) -> bool:
        made.append(timeout_s)
        return False

    monkeypatch.setattr(module, "wait", wait)
    return made


def sender(sink: ScriptedSink, clock: Callable[[], float] = lambda: 0.0) -> Sender:
    """One whose clock stands still if no other is given, and which draws the longest of all pauses."""
    return Sender("test://sink", sink, lambda: None, clock, lambda _shortest, longest: longest)


async def test_retry_after_is_honoured(pauses: list[float]) -> None:
    """A destination that asks to be left alone for 7 s is left alone for so long."""
    sink = ScriptedSink(Busy("HTTP 429", 7.0))
    await sender(sink).send(BATCH)
    assert (pauses, sink.taken) == ([7.0], [0])


async def test_retry_after_has_a_bound(pauses: list[float]) -> None:
    """No answer can silence a sink for longer than five minutes."""
    await sender(ScriptedSink(Busy("HTTP 503", 1e9))).send(BATCH)
    assert pauses == [300.0]


async def test_pauses_grow_up_to_a_bound(pauses: list[float]) -> None:
    """Each pause is drawn from a range that doubles until it is 10 s wide."""
    await sender(ScriptedSink(*[OSError("down")] * 30)).send(BATCH)
    assert pauses == [0.4, 0.8, 1.6, 3.2, 6.4, *[10.0] * 24]  # the first failure is repeated at once


async def test_an_idle_connection_is_not_used_again() -> None:
    """After half a minute, freezes included, the next send makes a fresh connection."""
    now = 1000.0
    sink = ScriptedSink()
    made = sender(sink, lambda: now)
    await made.send(BATCH)
    closed = sink.closed
    now += 29.0
    await made.send(BATCH)
    assert sink.closed == closed
    now += 31.0
    await made.send(BATCH)
    assert sink.closed == closed + 1


async def test_an_invocation_ends_a_pause_but_not_at_once() -> None:
    """A nudge within a second of the last attempt does nothing: dense traffic must not turn into dense attempts."""
    now = 1000.0
    made = sender(ScriptedSink(), lambda: now)
    await made.send(BATCH)
    made.nudge()
    assert not made._hurry.is_set()
    now += 1.1
    made.nudge()
    assert made._hurry.is_set()


async def test_a_freeze_counts_as_pause() -> None:
    """An invocation after a freeze that was longer than the destination had asked for sends at once."""
    now = 0.0
    sink = ScriptedSink(Busy("HTTP 429", 250.0))
    made = sender(sink, lambda: now)
    sending = asyncio.create_task(made.send(BATCH))
    async with asyncio.timeout(10):
        while made.trusted and not made._failures:
            await asyncio.sleep(0.005)
        await asyncio.sleep(0)  # the pause has begun
        now += 60.0
        made.nudge()
        await asyncio.sleep(0)
        assert sink.taken == []
        now += 200.0
        made.nudge()
        await sending
    assert sink.taken == [0]


async def test_a_send_that_a_freeze_left_hanging_is_made_again() -> None:
    """When the clock shows that the process was stopped, a send that still hangs is repeated once, without blame."""
    hang = asyncio.Event()
    loop = asyncio.get_running_loop()
    # Two looks before the wait, two at each tick of it: the first tick ends 10 s late, the second in time.
    clock = itertools.chain([0.0, 0.0, 0.0, 10.0], itertools.repeat(10.25))
    sink = ScriptedSink(lambda batch: asyncio.run_coroutine_threadsafe(_wait(hang), loop).result(5))
    made = Sender("test://sink", sink, lambda: None, lambda: next(clock))
    sending = asyncio.create_task(made.send(BATCH))
    async with asyncio.timeout(10):
        await sending
    assert (sink.taken, made.trusted) == ([0], True)
    hang.set()


async def _wait(event: asyncio.Event) -> list[Failure]:
    await event.wait()
    return []

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

import orjson
import pytest

from extension.fanout import Fanout
from extension.records import KINDS, Record
from extension.sinks import Rejected, Target
from tests.test_delivery import ScriptedSink

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from extension.records import Batch
    from extension.sinks import Failure

WAIT_S = 30.0


class Rig:
    """Fanouts over scripted sinks, with one disk for all of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._jobs: list[asyncio.Task[None]] = []

    async def fanout(
        self, *sinks: ScriptedSink, has_fallback: bool = False, max_bytes: int = 1 << 20, name: str = ""
    ) -> Fanout:
        pairs = [
            (Target(name or f"test://{number}", "test", "", "", {}, KINDS), sink) for number, sink in enumerate(sinks)
        ]
        ids, numbers = itertools.count(), itertools.count(1_000_000)
        made = await asyncio.to_thread(  # it looks at the disk; the forwarder makes it before there is a loop
            Fanout,
            pairs,
            max_bytes,
            str(self._folder),
            lambda: f"e-{next(ids)}",
            lambda: next(numbers),
            has_fallback=has_fallback,
        )
        self._jobs += [asyncio.create_task(job()) for job in made.jobs]
        return made

    async def stop(self) -> None:
        for job in self._jobs:
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    rig = Rig(tmp_path / "spool")
    yield rig
    await rig.stop()


def offer(fanout: Fanout, count: int, text: str = "x") -> None:
    for sequence in range(count):
        line = orjson.dumps({"type": "function", "record": text, "lambda": {"id": f"e-{sequence}"}})
        fanout.offer(Record(sequence, "function", line))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


async def test_all_sinks_get_everything(rig: Rig) -> None:
    """Each sink has every record after a flush."""
    one, two = ScriptedSink(), ScriptedSink()
    fanout = await rig.fanout(one, two)
    offer(fanout, 3)
    await fanout.flush(WAIT_S)
    assert (one.taken, two.taken) == ([0, 1, 2], [0, 1, 2])


async def test_the_fallback_gets_only_what_others_refuse(rig: Rig) -> None:
    """The fallback is no further sink: it is offered what a sink handed over, and in the same flush."""
    fallback = ScriptedSink()
    fanout = await rig.fanout(ScriptedSink(Rejected("HTTP 403")), ScriptedSink(), fallback, has_fallback=True)
    offer(fanout, 2)
    await fanout.flush(WAIT_S)
    [batch] = fallback.batches
    assert [orjson.loads(record.line)["lambda"]["refusedBy"] for record in batch.records] == ["test://0"] * 2


async def test_at_shutdown_the_fallback_gets_what_was_not_taken(rig: Rig) -> None:
    """What a dead sink still holds at the end of SHUTDOWN goes to the fallback, with time left for it."""
    fallback = ScriptedSink()
    fanout = await rig.fanout(ScriptedSink(*[OSError("down")] * 1000), fallback, has_fallback=True)
    offer(fanout, 4)
    await fanout.finish(1.0)
    assert len(fallback.taken) == len(set(fallback.taken)) == 4
    assert [account["pending"] for account in fanout.account().values()] == [0, 0]  # type: ignore[index] # a JSON value


async def test_what_shutdown_leaves_the_next_process_delivers_once(rig: Rig) -> None:
    """Undelivered records go to disk; the next process sends them first, and the one after it finds none."""
    dead = await rig.fanout(ScriptedSink(*[OSError("down")] * 1000))
    offer(dead, 4)
    await dead.finish(0.3)
    account = dead.account()["test://0"]
    assert (account["pending"], account["spooled"]) == (4, 4)  # type: ignore[index] # a JSON value
    sink = ScriptedSink()
    alive = await rig.fanout(sink)
    await until(lambda: len(sink.taken) == 4)
    ids = [orjson.loads(record.line)["lambda"]["id"] for batch in sink.batches for record in batch.records]
    assert ids == ["e-0", "e-1", "e-2", "e-3"]
    await until(lambda: alive.account()["test://0"]["delivered"] == 4)  # type: ignore[index] # a JSON value
    assert alive.account()["test://0"]["restored"] == 4  # type: ignore[index] # a JSON value
    third = ScriptedSink()
    await (await rig.fanout(third)).finish(0.3)
    assert third.taken == []


async def test_sinks_that_are_printed_alike_are_kept_apart(rig: Rig) -> None:
    """Two sinks on one host have each their own account, and their own records on disk."""
    dead = [OSError("down")] * 1000
    fanout = await rig.fanout(ScriptedSink(*dead), ScriptedSink(), name="https://h")
    offer(fanout, 2)
    await fanout.finish(0.3)
    accounts = fanout.account()
    assert [account["spooled"] for account in accounts.values()] == [2, 0]  # type: ignore[index] # a JSON value
    first, second = ScriptedSink(), ScriptedSink()
    await (await rig.fanout(first, second, name="https://h")).restore()
    await until(lambda: len(first.taken) == 2)
    assert second.taken == []


async def test_half_a_surrogate_pair_comes_back_from_disk(rig: Rig) -> None:
    """A line that orjson does not read, but the decoder lets pass, is taken back as any other."""
    dead = await rig.fanout(ScriptedSink(*[OSError("down")] * 1000))
    line = b'{"type":"function","record":"\\ud83d","lambda":{}}'
    dead.offer(Record(0, "function", line))
    await dead.finish(0.3)
    sink = ScriptedSink()
    await (await rig.fanout(sink)).restore()
    await until(lambda: len(sink.taken) == 1)
    assert [record[1:] for batch in sink.batches for record in batch.records] == [("function", line)]


async def test_an_outage_under_pressure_goes_to_disk_and_comes_back(rig: Rig) -> None:
    """When memory runs out during an outage, older records move to disk; after it they are delivered, none lost."""
    down = True

    class Outage(ScriptedSink):
        def send(self, batch: Batch, timeout_s: float) -> Sequence[Failure]:
            if down:
                raise OSError("down")
            return super().send(batch, timeout_s)

    sink = Outage()
    fanout = await rig.fanout(sink, max_bytes=1 << 20)
    offer(fanout, 10)
    await fanout.flush(WAIT_S)
    for start in range(10, 4000, 10):
        for sequence in range(start, start + 10):
            line = orjson.dumps({"type": "function", "record": "x" * 300, "lambda": {"id": f"e-{sequence}"}})
            fanout.offer(Record(sequence, "function", line))
        await asyncio.sleep(0.001)
    await until(lambda: fanout.account()["test://0"]["spooled"] > 0)  # type: ignore[index] # a JSON value
    down = False
    fanout.request()

    def ended() -> int:
        fanout.nudge()  # as an invocation would
        account = fanout.account()["test://0"]
        return account["delivered"] + sum(account["dropped"].values())  # type: ignore[index, no-any-return] # JSON

    await until(lambda: ended() >= 4000)
    ids = {orjson.loads(record.line)["lambda"]["id"] for batch in sink.batches for record in batch.records}
    assert (len(ids), ended()) == (fanout.account()["test://0"]["delivered"], 4000)  # type: ignore[index] # as above

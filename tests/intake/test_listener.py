from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from extension import log
from extension.intake.listener import MAX_CONNECTIONS, Listener
from tests.support.descriptors import no_descriptors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from extension.intake.decoder import Line


WAIT_S = 30.0


class Rig:
    """A listener, what it handed on, and the way to it."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.room_bytes = 65_536
        self.unfinished: list[int] = []  # what `room` was told
        self.connections = 0
        self.fails = False
        self.has_no_answer = False
        self.listener = Listener(self._receive, self._room, self._note)
        self._changed = asyncio.Event()
        self._writers: list[asyncio.StreamWriter] = []

    def _receive(self, lines: list[Line]) -> None:
        self._changed.set()
        if self.fails:
            raise RuntimeError("ours")
        self.lines += [line.text for line in lines]

    async def _room(self, unfinished: int) -> int:
        self.unfinished.append(unfinished)
        self._changed.set()
        if self.has_no_answer:
            raise RuntimeError("ours")
        return self.room_bytes

    def _note(self, count: int) -> None:
        self.connections = count
        self._changed.set()

    async def start(self) -> None:
        listening = socket.create_server(("127.0.0.1", 0))
        self.port = listening.getsockname()[1]
        self._job = asyncio.create_task(self.listener.run(listening))

    async def connect(self) -> asyncio.StreamWriter:
        _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self._writers.append(writer)
        return writer

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def came(self, count: int) -> None:
        await self.until(lambda: len(self.lines) >= count)

    async def is_quiet(self, quiet_s: float, within_s: float) -> bool:
        return await self.listener.wait_quiet(quiet_s, asyncio.get_running_loop().time() + within_s)

    async def stop(self) -> None:
        for writer in self._writers:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
        await self.until(lambda: self.connections == 0)
        self._job.cancel()
        await asyncio.gather(self._job, return_exceptions=True)


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    rig = Rig()
    await rig.start()
    yield rig
    await rig.stop()


async def test_connections_do_not_mix(rig: Rig) -> None:
    """Lines that come in pieces over two connections at once stay whole."""
    one, two = await rig.connect(), await rig.connect()
    one.write(b'{"a":1}\n{"a"')
    two.write(b'{"b":1}\n{"b"')
    await rig.came(2)
    one.write(b":2}\n")
    two.write(b":2}\n")
    await rig.came(4)
    assert sorted(rig.lines) == [b'{"a":1}', b'{"a":2}', b'{"b":1}', b'{"b":2}']


async def test_a_connection_that_ends_is_followed_by_another(rig: Rig) -> None:
    """The last line of a closed connection needs no newline, and whoever comes next is heard."""
    first = await rig.connect()
    first.write(b'{"a":1}\n{"a":2}')
    first.close()
    await rig.came(2)
    (await rig.connect()).write(b'{"a":3}\n')
    await rig.came(3)
    assert rig.lines == [b'{"a":1}', b'{"a":2}', b'{"a":3}']


async def test_silence_is_told_from_a_stream_that_goes_on(rig: Rig) -> None:
    """Only what has been quiet for long enough may be taken for finished."""
    (await rig.connect()).write(b'{"a":1}\n{"a"')
    await rig.came(1)
    assert not await rig.is_quiet(60.0, 0.01)
    assert await rig.is_quiet(0.01, 60.0)
    rig.listener.finish()
    assert rig.lines == [b'{"a":1}', b'{"a"']


async def test_silence_is_none_while_unread_bytes_wait(rig: Rig) -> None:
    """However little time silence takes, it has not begun before everything that came was read."""
    rig.room_bytes = 4096
    (await rig.connect()).write(b'{"a":1}\n' * 100_000)
    await rig.came(1)
    assert await rig.is_quiet(0.0001, 60.0)
    assert len(rig.lines) == 100_000


async def test_silence_of_before_does_not_count(rig: Rig) -> None:
    """Where nothing has come for long, silence is waited for all the same: what comes meanwhile is taken in."""
    writer = await rig.connect()
    waiting = asyncio.create_task(rig.is_quiet(1.0, 60.0))
    await asyncio.sleep(0)
    assert not waiting.done()
    writer.write(b'{"a":1}\n')
    assert await waiting
    assert rig.lines == [b'{"a":1}']


async def test_connections_are_bounded(rig: Rig) -> None:
    """Whoever comes when there are as many connections as may be is turned away; the others are still heard."""
    first, *_ = [await rig.connect() for _ in range(MAX_CONNECTIONS)]
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
    first.write(b'{"a":1}\n')
    await rig.came(1)


async def test_a_connection_that_cannot_be_accepted_is_accepted_later(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The system may have nothing left for it at the moment; that is told, and ends nothing."""
    monkeypatch.setattr(log, "_said", {})
    with socket.socket() as client:
        client.setblocking(False)
        with no_descriptors():
            client.connect_ex(("127.0.0.1", rig.port))
            async with asyncio.timeout(WAIT_S):
                while "connection not accepted" not in capfd.readouterr().err:
                    assert not rig._job.done()
                    await asyncio.sleep(0.001)
        await asyncio.get_running_loop().sock_sendall(client, b'{"a":1}\n')
        await rig.came(1)


async def test_no_more_is_read_than_there_is_room_for(rig: Rig) -> None:
    """Each read asks for room, and says how much of an unfinished line is held already."""
    rig.room_bytes = 5
    (await rig.connect()).write(b'{"a":1}\n{"b":2}\n')
    await rig.came(2)
    assert rig.unfinished[:4] == [0, 5, 2, 7]


async def test_what_waits_to_be_read_is_counted(rig: Rig) -> None:
    """At the end, what has come and was not read is lost, and its bytes are told."""
    full = asyncio.Event()

    async def no_room(_unfinished: int) -> int:
        await full.wait()
        return 65_536

    rig.listener._room = no_room
    writer = await rig.connect()
    await rig.until(lambda: rig.connections == 1)
    writer.write(b'{"a":1}\n')
    async with asyncio.timeout(WAIT_S):
        while rig.listener.unread_bytes < 8:
            await asyncio.sleep(0.001)
    assert not await rig.is_quiet(0.0, 0.01)
    full.set()
    await rig.came(1)
    assert rig.listener.unread_bytes == 0


async def test_a_connection_that_is_reset_gives_what_it_brought(rig: Rig) -> None:
    """A reset is an end like any other: what was read of the last line is handed on, and others are heard."""
    writer = await rig.connect()
    writer.write(b'{"a":1}\n{"a"')
    await rig.came(1)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    await rig.until(lambda: rig.connections == 0)
    assert rig.lines == [b'{"a":1}', b'{"a"']
    (await rig.connect()).write(b'{"b":1}\n')
    await rig.came(3)


async def test_a_fault_of_ours_ends_no_connection(rig: Rig, capfd: pytest.CaptureFixture[str]) -> None:
    """The platform dials once: what cannot be taken costs its chunk, and is told, and the next chunk is read."""
    writer = await rig.connect()
    rig.fails = True
    writer.write(b'{"a":1}\n')
    await rig.until(lambda: len(rig.unfinished) > 1)
    rig.fails = False
    writer.write(b'{"b":1}\n')
    await rig.came(1)
    assert rig.lines == [b'{"b":1}']
    assert "chunk not taken" in capfd.readouterr().err


async def test_a_fault_of_ours_between_reads_ends_nothing(rig: Rig, capfd: pytest.CaptureFixture[str]) -> None:
    """Where it cannot be learned how much may be read, that is told once, and then asked again; no line is lost."""
    rig.has_no_answer = True
    writer = await rig.connect()
    writer.write(b'{"a":1}\n')
    await rig.until(lambda: len(rig.unfinished) > 2)
    rig.has_no_answer = False
    await rig.came(1)
    assert (rig.lines, rig.connections) == ([b'{"a":1}'], 1)
    assert capfd.readouterr().err.count("reading failed") == 1


async def test_what_comes_another_way_ends_the_silence(rig: Rig) -> None:
    """An export to the endpoint says that programs still have something to say."""
    now = asyncio.get_running_loop().time()
    assert rig.listener._last_data < now
    rig.listener.saw_data()
    assert rig.listener._last_data >= now

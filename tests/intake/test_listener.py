from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest

from extension.intake.listener import MAX_CONNECTIONS, Listener

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from extension.intake.decoder import Decoded


class Rig:
    """A listener, what it handed on, and the way to it."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.is_pressed = False
        self.listener = Listener(self._receive, lambda: self.is_pressed)
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []

    def _receive(self, decoded: list[Decoded]) -> None:
        self.lines += [line.line for line in decoded]

    async def start(self) -> None:
        listening = socket.create_server(("127.0.0.1", 0))
        self.port = listening.getsockname()[1]
        self._server = await self.listener.start(listening)

    async def connect(self) -> asyncio.StreamWriter:
        _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self._writers.append(writer)
        return writer

    async def came(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.lines) < count:
                await asyncio.sleep(0.005)

    async def stop(self) -> None:
        for writer in self._writers:
            writer.close()
            await writer.wait_closed()
        assert self._server is not None
        self._server.close()
        while self.listener.connections:
            await asyncio.sleep(0.005)


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
    assert not await rig.listener.wait_quiet(60.0, 0.01)
    assert await rig.listener.wait_quiet(0.01, 60.0)
    rig.listener.finish()
    assert rig.lines == [b'{"a":1}', b'{"a"']


async def test_silence_is_none_while_unread_bytes_wait(rig: Rig) -> None:
    """However little time silence takes, it has not begun before everything that came was read."""
    rig.is_pressed = True  # so that there is a pause after each chunk, as on a busy machine
    (await rig.connect()).write(b'{"a":1}\n' * 100_000)
    await rig.came(1)
    assert await rig.listener.wait_quiet(0.0001, 60.0)
    assert len(rig.lines) == 100_000


async def test_silence_of_before_does_not_count(rig: Rig) -> None:
    """Where nothing has come for long, silence is waited for all the same: what comes meanwhile is taken in."""
    writer = await rig.connect()
    rig.listener.last_data = asyncio.get_running_loop().time() - 3600.0
    waiting = asyncio.create_task(rig.listener.wait_quiet(1.0, 60.0))
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

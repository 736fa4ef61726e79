from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from simulator.environment import Environment
from simulator.sandbox.network import Proxy
from tests.support.fault_server import FaultServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from simulator.sandbox.network import Peer
    from tests.support.probe_layer import MakeFunction, Plan

LIMIT_S = 10.0


class Server:
    """Sends back what it reads, in upper case, when it may."""

    def __init__(self) -> None:
        self.read = b""
        self.heard = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            self.read += data
            self.heard.set()
            await self.may_answer.wait()
            writer.write(data.upper())
        writer.close()


@pytest.fixture
async def behind() -> AsyncIterator[tuple[Server, int]]:
    server = Server()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    yield server, listening.sockets[0].getsockname()[1]
    listening.close()


async def connect(proxy: Proxy) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection through the proxy over which something has passed."""
    reader, writer = await asyncio.open_connection(*proxy.host.split(":"))
    writer.write(b"a")
    assert await reader.readexactly(1) == b"A"
    return reader, writer


async def ask_and_freeze(server: Server, proxy: Proxy, writer: asyncio.StreamWriter) -> None:
    """Have `b` answered in the freeze."""
    server.may_answer.clear()
    server.heard.clear()
    writer.write(b"b")
    await server.heard.wait()
    proxy.freeze(frozen=True)
    server.may_answer.set()
    await go_round()


async def go_round() -> None:
    """Let everyone who can do something do it: over loopback, what is sent is there."""
    for _ in range(100):
        await asyncio.sleep(0)


async def test_nothing_passes_while_frozen(behind: tuple[Server, int]) -> None:
    """What is sent in a freeze, in either direction or over a new connection, arrives after the thaw."""
    server, port = behind
    async with Proxy("127.0.0.1", port) as proxy, asyncio.timeout(LIMIT_S):
        reader, writer = await connect(proxy)
        await ask_and_freeze(server, proxy, writer)
        answer = asyncio.create_task(reader.readexactly(2))
        writer.write(b"c")
        _, late = await asyncio.open_connection(*proxy.host.split(":"))
        late.write(b"d")
        await go_round()
        assert server.read == b"ab"
        assert not answer.done()
        proxy.freeze(frozen=False)
        assert await answer == b"BC"
        while b"d" not in server.read:
            await asyncio.sleep(0.01)
        for one in (writer, late):
            one.close()


@pytest.mark.parametrize(("peer", "end"), [("closes", b""), ("resets", ConnectionResetError), ("vanishes", None)])
async def test_what_the_peer_makes_of_a_connection_in_a_freeze(
    behind: tuple[Server, int], peer: Peer, end: bytes | type[Exception] | None
) -> None:
    """After the thaw the connection is closed, or reset when it is used, or silent; nothing reaches the peer."""
    server, port = behind
    async with Proxy("127.0.0.1", port, peer) as proxy, asyncio.timeout(LIMIT_S):
        reader, writer = await connect(proxy)
        proxy.freeze(frozen=True)
        proxy.freeze(frozen=False)
        if end != b"":
            writer.write(b"b")
        answer = asyncio.create_task(reader.read(1))
        if end is None:
            await go_round()
            assert not answer.done()
            answer.cancel()
        elif isinstance(end, bytes):
            assert await answer == end
        else:
            with pytest.raises(end):
                await answer
        assert server.read == b"a"
        again, fresh = await connect(proxy)
        assert not again.at_eof()
        for one in (writer, fresh):
            one.close()


async def test_a_forgotten_connection_is_silent_until_it_is_used(behind: tuple[Server, int]) -> None:
    """A peer that has forgotten a connection does not tell, and what it had answered in the freeze is lost."""
    server, port = behind
    async with Proxy("127.0.0.1", port, "resets") as proxy, asyncio.timeout(LIMIT_S):
        reader, writer = await connect(proxy)
        await ask_and_freeze(server, proxy, writer)
        answer = asyncio.create_task(reader.read(1))
        proxy.freeze(frozen=False)
        await go_round()
        assert not answer.done()
        writer.write(b"c")
        with pytest.raises(ConnectionResetError):
            await answer
        writer.close()


async def test_an_answer_of_the_freeze_arrives_before_the_end(behind: tuple[Server, int]) -> None:
    """A peer that answered and closed meanwhile is heard to the end."""
    server, port = behind
    async with Proxy("127.0.0.1", port, "closes") as proxy, asyncio.timeout(LIMIT_S):
        reader, writer = await connect(proxy)
        await ask_and_freeze(server, proxy, writer)
        proxy.freeze(frozen=False)
        assert await reader.read() == b"B"
        writer.close()


async def test_the_network_freezes_with_the_environment(probe: Path, plan: Plan, function: MakeFunction) -> None:
    """A kept connection to a server behind the proxy is gone after a freeze in which the peer closed it."""
    code = """
import http.client, os
connection = http.client.HTTPConnection(os.environ["SERVER"], timeout=10)
connection.auto_open = False
def handler(event, context):
    if event["connect"]:
        connection.connect()
    try:
        connection.request("POST", "/", str(event))
        return connection.getresponse().read().decode() or connection.sock.getsockname()[1]
    except OSError as error:
        return type(error).__name__
"""
    with FaultServer() as server:
        host, port = server.host.split(":")
        async with (
            Proxy(host, int(port), "closes") as proxy,
            Environment(
                layer=probe, function=function(code), env={**plan(), "SERVER": proxy.host}, network=(proxy,)
            ) as environment,
        ):
            done = [await environment.invoke({"connect": connect}) for connect in (True, False)]
    assert isinstance(done[0].payload, int)
    assert done[1].payload in {"RemoteDisconnected", "ConnectionResetError", "BrokenPipeError"}
    assert len(server.requests) == 1

"""The network of an environment, which on Lambda is frozen with it: a TCP proxy that stands before one destination.

    async with Proxy("127.0.0.1", server.port, peer="closes") as proxy:
        async with Environment(..., env={"FORWARDER_SINKS": f"http://{proxy.host}/"}, network=(proxy,)):

While it is frozen, nothing passes in either direction. What the peer does meanwhile is asked for by `peer`, and seen
after the thaw on the connections that there were:

- `answers`: nothing odd; what it answered arrives now;
- `closes`: what it answered arrives, then the end of the connection, and nothing reaches it any more;
- `resets`: it has forgotten the connection, and answers its next use with RST;
- `vanishes`: someone in between has forgotten it: nothing ever comes back, whatever is sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from socket import SO_LINGER, SOL_SOCKET
from typing import Literal, Self

Peer = Literal["answers", "closes", "resets", "vanishes"]
CHUNK_BYTES = 1 << 16
AT_ONCE = struct.pack("ii", 1, 0)  # struct linger: closing sends RST


class Proxy:
    """Passes every connection to its own port (`host` is host:port) on to the host and port that are given."""

    def __init__(self, host: str, port: int, peer: Peer = "answers") -> None:
        self.peer = peer
        self.host = ""
        self._behind = (host, port)
        self._thawed = asyncio.Event()
        self._thawed.set()
        self._connections: dict[asyncio.Task[None], _Connection | None] = {}

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.host = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        tasks = list(self._connections)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def freeze(self, *, frozen: bool) -> None:
        """Let nothing pass, or go on with what the peer has made of the connections meanwhile."""
        if frozen:
            self._thawed.clear()
            return
        for connection in filter(None, self._connections.values()):
            connection.thaw(self.peer)
        self._thawed.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None:  # never: asyncio runs it in one
            return
        self._connections[task] = None
        try:
            await self._thawed.wait()
            behind = await asyncio.open_connection(*self._behind)
            self._connections[task] = connection = _Connection((reader, writer), behind, self._thawed)
            await connection.run()
        except OSError:
            writer.transport.abort()
        finally:
            del self._connections[task]
            writer.close()


class _Connection:
    """The two halves of one connection through a proxy, and what the peer has made of it in a freeze."""

    def __init__(
        self,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        behind: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        thawed: asyncio.Event,
    ) -> None:
        self._client_reader, self._client_writer = client
        self._behind_reader, self._behind_writer = behind
        self._thawed = thawed
        self._fate: Peer = "answers"

    def thaw(self, peer: Peer) -> None:
        """Let go of a peer that has gone; what it had answered has been read, and may still be passed on."""
        if peer != "answers":
            self._fate = peer
            self._behind_writer.transport.abort()

    async def run(self) -> None:
        """Pass bytes until one side is at its end. OSError where one is lost."""
        there = asyncio.create_task(self._pass_there())
        back = asyncio.create_task(self._pass_back())
        try:
            await asyncio.wait((there, back), return_when=asyncio.FIRST_COMPLETED)
            if self._fate in ("resets", "vanishes"):
                await there  # nothing tells the client that its peer is gone
        finally:
            there.cancel()
            back.cancel()
            await asyncio.gather(there, back, return_exceptions=True)
            self._behind_writer.close()

    async def _pass_there(self) -> None:
        while data := await self._client_reader.read(CHUNK_BYTES):
            await self._thawed.wait()
            if self._fate == "resets":
                self._client_writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, AT_ONCE)
                self._client_writer.transport.abort()
                return
            if self._fate == "answers":
                self._behind_writer.write(data)
                with contextlib.suppress(OSError):  # its end is seen when it is read
                    await self._behind_writer.drain()

    async def _pass_back(self) -> None:
        with contextlib.suppress(OSError):  # as good as its end
            while data := await self._behind_reader.read(CHUNK_BYTES):
                await self._thawed.wait()
                if self._fate in ("answers", "closes"):
                    self._client_writer.write(data)
                    await self._client_writer.drain()
        await self._thawed.wait()

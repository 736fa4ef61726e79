"""TCP in: reads what connections bring, as fast as there is room for it, and hands the decoded lines on.

Telemetry over TCP is not acknowledged and not redialled: a connection is never closed by us, since what is not read is
lost at the platform. Where there is no room nothing is read for a moment; the platform holds back, or drops and tells.
"""

from __future__ import annotations

import array
import asyncio
import fcntl
import socket
import termios
from contextlib import suppress
from typing import TYPE_CHECKING

from extension.intake.accept import connections
from extension.intake.decoder import Decoder
from extension.log import log_seldom, place

if TYPE_CHECKING:
    import _socket
    from collections.abc import Awaitable, Callable

    from extension.intake.decoder import Line

MAX_CONNECTIONS = 16  # the platform makes one
FAULT_PAUSE_S = 0.1  # before reading goes on after a fault of ours
LOOKS = 10  # at unread bytes, while silence is waited for


class Listener:
    """Accepts connections on a socket that listens already, so that no line sent meanwhile is lost.

    `receive` gets the lines of each chunk. `room` waits until something may be read and says how many bytes; it is told
    how many of an unfinished line are held. `on_connections` is told how many connections there are.
    """

    def __init__(
        self,
        receive: Callable[[list[Line]], None],
        room: Callable[[int], Awaitable[int]],
        on_connections: Callable[[int], object],
    ) -> None:
        self._receive = receive
        self._room = room
        self._on_connections = on_connections
        self._connections: dict[socket.socket, Decoder] = {}
        self._last_data = 0.0  # the loop's time at which a chunk last came

    @property
    def unread_bytes(self) -> int:
        """What has come and was not read yet (tcp(7), SIOCINQ): at the end, what is lost."""
        waiting = array.array("i", [0])
        total = 0
        for connection in self._connections:
            with suppress(OSError):  # reset meanwhile
                fcntl.ioctl(connection.fileno(), termios.FIONREAD, waiting)
                total += waiting[0]
        return total

    async def run(self, listening: _socket.socket) -> None:
        """Accept and read for ever; `listening` was bound by extension.__main__ before asyncio was there."""
        with socket.socket(fileno=listening.detach()) as server:
            server.setblocking(False)
            async with asyncio.TaskGroup() as group:
                async for connection in connections(server):
                    if len(self._connections) >= MAX_CONNECTIONS:
                        connection.close()
                        continue
                    self._connections[connection] = Decoder()
                    self._on_connections(len(self._connections))
                    group.create_task(self._read(connection))

    def saw_data(self) -> None:
        """Something came on another way, after which it is not quiet either."""
        self._last_data = asyncio.get_running_loop().time()

    async def wait_quiet(self, quiet_s: float, until: float) -> bool:
        """Wait until nothing comes for `quiet_s`; False where it still comes at `until`, by the loop's time."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        while True:
            now = loop.time()
            quiet_at = max(began, self._last_data) + quiet_s
            if now >= quiet_at and not self.unread_bytes:
                return True
            if now >= until:
                return False
            # On a busy machine the silence may be over before what has come was read: so it looks again, and soon.
            await asyncio.sleep(min(until, max(quiet_at, now + quiet_s / LOOKS)) - now)

    def finish(self) -> None:
        """Hand on what came after the last newline, once nothing more comes: it would be cut in the middle."""
        for decoder in self._connections.values():
            self._take(decoder.close())

    async def _read(self, connection: socket.socket) -> None:
        decoder = self._connections[connection]
        try:
            while not await self._read_on(connection, decoder):
                pass
        finally:
            self._take(decoder.close())
            del self._connections[connection]
            connection.close()
            self._on_connections(len(self._connections))

    async def _read_on(self, connection: socket.socket, decoder: Decoder) -> bool:
        """Read until the connection ends; False where a fault of ours came first, and it is still open."""
        loop = asyncio.get_running_loop()
        try:
            while data := await loop.sock_recv(connection, await self._room(decoder.unfinished_bytes)):
                self._last_data = loop.time()
                self._take(decoder.feed(data))
                await asyncio.sleep(0)  # sock_recv does not pause where there is something to be read
        except OSError:
            pass  # a reset says no more than an end
        except Exception as error:  # noqa: BLE001 - it must not end the connection, nor the process
            log_seldom("ERROR", "reading failed, going on", reason=type(error).__name__, place=place(error))
            await asyncio.sleep(FAULT_PAUSE_S)
            return False
        return True

    def _take(self, lines: list[Line]) -> None:
        try:
            if lines:
                self._receive(lines)
        except Exception as error:  # noqa: BLE001 - it must not end the connection
            log_seldom("ERROR", "chunk not taken", reason=type(error).__name__, place=place(error))

"""TCP in: reads whatever connections bring and hands the decoded lines on.

Telemetry over TCP is not acknowledged and not redialled: a connection is always read and never closed by us, since what
is not read is lost at the platform, where nobody counts it. What cannot be held is counted in the buffers.
"""

from __future__ import annotations

import array
import asyncio
import fcntl
import select
import socket
import termios
from typing import TYPE_CHECKING, cast

from extension.decoder import Decoder
from extension.log import log

if TYPE_CHECKING:
    import _socket
    from collections.abc import Callable

    from extension.decoder import Decoded

BREATH_S = 0.01  # between two chunks while sinks that answer are behind: still 25 MB a second
LOOK_S = 0.005  # between two looks at what is unread
TURNS = 10  # of the loop are enough for asyncio to make a connection that can be read of one that waits
MAX_CONNECTIONS = 16  # the platform makes one; a bound all the same


class Listener:
    """Accepts connections on a socket that listens already, so that no line sent meanwhile is lost.

    `receive` gets the lines of each chunk; `is_pressed` says whether they come faster than they leave. `last_data` is
    the loop's time at which a chunk last came.
    """

    def __init__(self, receive: Callable[[list[Decoded]], None], is_pressed: Callable[[], bool]) -> None:
        self.last_data = 0.0
        self.connections: set[_Connection] = set()
        self.is_pressed = is_pressed
        self._finished: set[_Connection] = set()
        self._receive = receive
        self._listening: socket.socket | None = None

    @property
    def unread_bytes(self) -> int:
        """What has come and could not be read yet: at the end, what is lost."""
        return sum(connection.unread_bytes for connection in self.connections | self._finished)

    async def start(self, listening: _socket.socket) -> asyncio.Server:
        """Take over `listening`, bound by extension.__main__ before asyncio was there."""
        loop = asyncio.get_running_loop()
        sock = socket.socket(fileno=listening.detach())
        self._listening = sock
        return await loop.create_server(lambda: _Connection(self), sock=sock)

    async def catch_up(self, timeout_s: float) -> None:
        """Take in what has come so far, as far as `timeout_s` goes."""
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout_s
        idle = 0
        while idle < TURNS and loop.time() < until:
            await asyncio.sleep(0)
            idle = 0 if self._has_callers() or self.unread_bytes else idle + 1

    async def wait_quiet(self, quiet_s: float, timeout_s: float) -> bool:
        """Wait until nothing has come for `quiet_s`, from now on; False where it still comes after `timeout_s`."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        until = began + timeout_s
        while True:
            now = loop.time()
            quiet_at = max(began, self.last_data) + quiet_s
            # On a busy machine the time may be over before what has come was read.
            if now >= quiet_at and not self.unread_bytes:
                return True
            if now >= until:
                return False
            await asyncio.sleep(min(until, max(quiet_at, now + LOOK_S)) - now)

    def _has_callers(self) -> bool:
        """Whether a connection waits to be accepted."""
        return self._listening is not None and bool(select.select([self._listening], [], [], 0)[0])

    def take(self, decoded: list[Decoded]) -> None:
        """Lines came in."""
        self.last_data = asyncio.get_running_loop().time()
        if decoded:
            self._receive(decoded)

    def finish(self) -> None:
        """Hand on what came after the last newline, once nothing more comes: it would be cut in the middle."""
        for connection in list(self.connections):
            connection.finish()
            self._finished.add(connection)


class _Connection(asyncio.Protocol):
    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._decoder = Decoder()
        self._transport: asyncio.Transport | None = None

    @property
    def unread_bytes(self) -> int:
        """What waits in the socket (tcp(7), SIOCINQ)."""
        if self._transport is None or self._transport.is_closing():
            return 0
        waiting = array.array("i", [0])
        fcntl.ioctl(self._transport.get_extra_info("socket").fileno(), termios.FIONREAD, waiting)
        return waiting[0]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if len(self._listener.connections) >= MAX_CONNECTIONS:
            transport.close()
            return
        self._transport = cast(asyncio.Transport, transport)
        self._listener.connections.add(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._listener.take(self._decoder.feed(data))
        except Exception as error:  # noqa: BLE001 - raised from here, it would close the connection
            log("ERROR", "chunk not taken", reason=type(error).__name__, bytes=len(data))
        if self._transport is not None and self._listener.is_pressed() and not self._transport.is_closing():
            self._transport.pause_reading()
            asyncio.get_running_loop().call_later(BREATH_S, self._resume, self._transport)

    @staticmethod
    def _resume(transport: asyncio.Transport) -> None:
        if not transport.is_closing():
            transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - a reset says no more than an end
        self.finish()

    def finish(self) -> None:
        self._listener.connections.discard(self)
        self._listener.take(self._decoder.close())

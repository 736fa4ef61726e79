"""Connections that come to a socket, for as long as the process lives."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from extension.log import describe, log_seldom

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator

PAUSE_S = 0.1


async def connections(listening: socket.socket) -> AsyncIterator[socket.socket]:
    """Accept for ever. Where the system has no memory or no descriptor for a connection (accept(2)), it soon may."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            connection, _ = await loop.sock_accept(listening)
        except OSError as error:
            log_seldom("WARN", "connection not accepted, trying again", reason=describe(error))
            await asyncio.sleep(PAUSE_S)
        else:
            yield connection

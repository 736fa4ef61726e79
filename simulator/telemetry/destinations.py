"""Where telemetry is pushed: a TCP connection that takes lines, or an HTTP server that takes JSON arrays.

Sources: Developer Guide, "Lambda Telemetry API reference"; AWS's emulator for what is not written there (it dials
127.0.0.1 at subscription, and never again).
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from typing import TYPE_CHECKING, Protocol

import aiohttp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulator.faults import Faults

DIAL_TIMEOUT_S = 1.0
HTTP_ATTEMPTS = 5  # "Lambda retries with backoff"; the number is not documented
HTTP_BACKOFF_S = 0.05
CLOSED = "the connection is closed"


class NotSent(Exception):
    """A batch did not reach its destination; the message says why."""


class Destination(Protocol):
    """One subscriber's address, which `address` tells from others."""

    address: str

    async def open(self) -> None:
        """Get ready; NotSent where the subscriber does not listen."""

    def begin(self, lines: Sequence[bytes]) -> bool:
        """Begin to push a batch of NDJSON lines; whether it has gone already. NotSent where it failed."""

    async def finish(self) -> None:
        """Go on with the batch that was begun, until the subscriber's side has taken it. NotSent where it failed."""

    async def close(self) -> None:
        """Let go."""


class Tcp:
    """NDJSON over one connection; what the kernel has taken is sent, as there is no acknowledgement."""

    def __init__(self, port: int, faults: Faults) -> None:
        self.address = f"127.0.0.1:{port}"
        self._port = port
        self._faults = faults
        self._writer: asyncio.StreamWriter | None = None
        self._left = memoryview(b"")

    async def open(self) -> None:
        """Dial, once for the life of the subscription."""
        try:
            async with asyncio.timeout(DIAL_TIMEOUT_S):
                _, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        except (OSError, TimeoutError) as error:
            reason = "connection refused" if isinstance(error, ConnectionRefusedError) else str(error) or "timeout"
            raise NotSent(
                f"Invalid destination: could not TCP dial provided address {self.address}: "
                f"dial tcp {self.address}: connect: {reason}"
            ) from error
        self._writer.transport.set_write_buffer_limits(high=0)  # drain() returns when the kernel has taken all

    def begin(self, lines: Sequence[bytes]) -> bool:
        """Write the batch, if it is to go in one piece: a reader that keeps up shall find no batch in flight."""
        if self._writer is None or self._writer.is_closing():
            raise NotSent(CLOSED)
        self._left = memoryview(b"".join(lines))
        if self._faults.split_writes:
            return False
        self._writer.write(self._left)
        self._left = self._left[:0]
        return self._writer.transport.get_write_buffer_size() == 0

    async def finish(self) -> None:
        """Wait until the kernel has taken it; write the pieces that the faults ask for."""
        if self._writer is None:
            raise NotSent(CLOSED)
        try:
            await self._writer.drain()
            for start in range(0, len(self._left), max(1, self._faults.split_writes)):
                self._writer.write(self._left[start : start + self._faults.split_writes])
                await self._writer.drain()
                await asyncio.sleep(0)  # let each piece leave by itself
        except ConnectionError as error:
            raise NotSent(CLOSED) from error
        except OSError as error:
            raise NotSent(str(error)) from error

    async def close(self) -> None:
        """End the stream."""
        if self._writer is not None:
            self._writer.transport.abort()  # all that was sent is in the kernel already


class Http:
    """POSTs of JSON arrays. A failed one is tried again, and so may arrive twice."""

    def __init__(self, port: int, path: str) -> None:
        self.address = f"http://127.0.0.1:{port}{path or '/'}"
        self._session: aiohttp.ClientSession | None = None
        self._body = b""

    async def open(self) -> None:
        """Nothing is sent before the first batch."""
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None, connect=DIAL_TIMEOUT_S))

    def begin(self, lines: Sequence[bytes]) -> bool:
        """Make the body."""
        self._body = b"[" + b",".join(line[:-1] for line in lines) + b"]"
        return False

    async def finish(self) -> None:
        """POST the body until an answer below 400 comes."""
        if self._session is None:
            raise NotSent("not open")
        sequence = base64.b64encode(hashlib.sha256(self._body).digest()).decode()
        headers = {"Content-Type": "application/json", "Sequence-Id": sequence}
        failure = ""
        for attempt in range(HTTP_ATTEMPTS):
            if attempt:
                await asyncio.sleep(HTTP_BACKOFF_S * 2**attempt)
            try:
                # No time limit of its own: the subscriber may be frozen in the middle; the end of its process ends it.
                async with self._session.post(self.address, data=self._body, headers=headers) as response:
                    if response.status < 400:
                        return
                    failure = f"status {response.status}"
            except aiohttp.ClientError as error:
                failure = str(error)
        raise NotSent(failure)

    async def close(self) -> None:
        """Drop the connections."""
        if self._session is not None:
            await self._session.close()

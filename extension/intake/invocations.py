"""What the platform's own events say of invocations: which are done, which were reported, what was lost before us."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

REMEMBERED = 64


class _Request:
    """How often a request id was invoked, done and reported: an asynchronous retry comes with the id of the first try.

    `dropped` are the records that the platform had dropped when the invocation before its first one had begun.
    """

    __slots__ = ("done", "dropped", "invoked", "reported")

    def __init__(self) -> None:
        self.invoked = self.done = self.reported = self.dropped = 0


class Invocations:
    """Is shown every platform event; others wait for what it learns. An event may come before anyone waits for it."""

    def __init__(self) -> None:
        self.logs_dropped = 0  # records, by platform.logsDropped
        self.late_lines = False  # whether a function's line has ever come after its platform.runtimeDone
        self.connected = False  # whether there is a connection on which platform events can come
        self._between = False  # after a runtimeDone and before the next start
        self._dropped_at_start = 0
        self._requests: dict[str, _Request] = {}  # the latest are last
        self._changed = asyncio.Event()

    def observe(self, type_: str, record: Any) -> None:
        """Note a platform event. `record` may be anything at all."""
        if not isinstance(record, dict):
            return
        if type_ == "platform.start":
            self._between = False
            self._dropped_at_start = self.logs_dropped
        elif type_ == "platform.runtimeDone":
            self._between = True
            self._request(record.get("requestId")).done += 1
        elif type_ == "platform.report":
            self._request(record.get("requestId")).reported += 1
        elif type_ == "platform.logsDropped":
            dropped = record.get("droppedRecords")
            self.logs_dropped += dropped if isinstance(dropped, int) else 0
        else:
            return
        self._changed.set()

    def saw_line(self) -> None:
        """A line of the function came; between invocations it is a late one of the last."""
        if self._between:
            self.late_lines = True

    def saw_connections(self, count: int) -> None:
        """So many telemetry connections there are now."""
        self.connected = count > 0
        self._changed.set()

    def invoked(self, request_id: str) -> None:
        """An INVOKE event came; its runtimeDone may have come before it."""
        request = self._request(request_id)
        request.invoked += 1
        if request.invoked == 1:
            request.dropped = self._dropped_at_start

    def is_done(self, request_id: str) -> bool:
        """Whether as many platform.runtimeDone of this request have come as INVOKE events."""
        request = self._request(request_id)
        return request.done >= request.invoked

    async def wait_connected(self, timeout_s: float) -> bool:
        """Wait for a telemetry connection."""
        return await self._wait_until(lambda: self.connected, timeout_s)

    async def wait_done(self, request_id: str, timeout_s: float) -> bool | None:
        """Wait for platform.runtimeDone of this request's last INVOKE; False when it did not come in time.

        None when it may never come: the platform has dropped records since the request was first invoked, or the
        connection was lost.
        """
        dropped = self._request(request_id).dropped
        ended = await self._wait_until(
            lambda: self.is_done(request_id) or self.logs_dropped > dropped or not self.connected, timeout_s
        )
        return self.is_done(request_id) or (None if ended else False)

    async def wait_reported(self, request_id: str, timeout_s: float) -> bool:
        """Wait for platform.report of its last INVOKE; it is made only after all extensions asked for the next."""
        request = self._request(request_id)
        return await self._wait_until(lambda: request.reported >= request.invoked, timeout_s)

    def _request(self, request_id: Any) -> _Request:
        """What is known of a request; of those that were heard of longest ago nothing is."""
        key = request_id if isinstance(request_id, str) else ""
        request = self._requests[key] = self._requests.pop(key) if key in self._requests else _Request()
        if len(self._requests) > REMEMBERED:
            del self._requests[next(iter(self._requests))]
        return request

    async def _wait_until(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        try:
            async with asyncio.timeout(timeout_s):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return condition()
        return True

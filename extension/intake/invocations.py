"""What the platform's own events say of invocations: which are done, which were reported, what was lost before us."""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import TYPE_CHECKING, Any

from extension.records import is_request_id

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from extension.intake.decoder import Line

REMEMBERED = 64  # request ids
MAX_DROPPED = 10**9  # records that one platform.logsDropped can mean: the port is open, so anyone here may forge it


class Seen(Enum):
    """Whether the platform.runtimeDone that was waited for came."""

    YES = "yes"
    NO = "no"  # not in time
    PERHAPS_LOST = "perhaps lost"  # it may never come: records were dropped meanwhile, or the connection was lost


class _Request:
    """How often a request id was invoked, done and reported: an asynchronous retry comes with the id of the first try.

    `failed`: the last that was done was no success. `dropped` are the records that the platform had dropped when the
    invocation before its first one had begun.
    """

    __slots__ = ("done", "dropped", "failed", "invoked", "reported")

    def __init__(self) -> None:
        self.invoked = self.done = self.reported = self.dropped = 0
        self.failed = False


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

    def observe(self, lines: Sequence[Line]) -> None:
        """Note what lines say: platform events, and lines of the function that come after its runtimeDone."""
        for _, kind, type_, _, content, _, _ in lines:
            if kind == "platform":
                self._note(type_, content)
            elif self._between and kind == "function":
                self.late_lines = True

    def _note(self, type_: str, content: Any) -> None:
        if not isinstance(content, dict):
            return
        if type_ == "platform.start":
            self._between = False
            self._dropped_at_start = self.logs_dropped
        elif type_ == "platform.runtimeDone":
            self._between = True
            request = self._request(content.get("requestId"))
            request.done += 1
            request.failed = content.get("status", "success") != "success"
        elif type_ == "platform.report":
            self._request(content.get("requestId")).reported += 1
        elif type_ == "platform.logsDropped":
            dropped = content.get("droppedRecords")
            self.logs_dropped += max(0, min(dropped, MAX_DROPPED)) if type(dropped) is int else 0  # a bool is an int
        else:
            return
        self._changed.set()

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

    def has_failed(self, request_id: str) -> bool:
        """Whether the last platform.runtimeDone of this request said something else than success, as before a reset."""
        return self._request(request_id).failed

    async def wait_connected(self, timeout_s: float) -> bool:
        """Wait for a telemetry connection."""
        return await self._wait_until(lambda: self.connected, timeout_s)

    async def wait_done(self, request_id: str, timeout_s: float) -> Seen:
        """Wait for platform.runtimeDone of this request's last INVOKE."""
        dropped = self._request(request_id).dropped
        ended = await self._wait_until(
            lambda: self.is_done(request_id) or self.logs_dropped > dropped or not self.connected, timeout_s
        )
        if self.is_done(request_id):
            return Seen.YES
        return Seen.PERHAPS_LOST if ended else Seen.NO

    async def wait_reported(self, request_id: str, until: float) -> bool:
        """Wait for platform.report of its last INVOKE; it is made only after all extensions asked for the next."""
        request = self._request(request_id)
        left_s = until - asyncio.get_running_loop().time()
        return await self._wait_until(lambda: request.reported >= request.invoked or not self.connected, left_s)

    def _request(self, request_id: Any) -> _Request:
        """What is known of a request; of those that were heard of longest ago nothing is."""
        key = request_id if is_request_id(request_id) else ""
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

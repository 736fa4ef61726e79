"""What the platform's own events say of invocations: which are done, which were reported, what was lost before us."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

from extension.records import is_request_id

if TYPE_CHECKING:
    from collections.abc import Callable

REMEMBERED = 64
MAX_DROPPED = (
    10**9
)  # records that one platform.logsDropped can mean: the port is open to the function, which may forge it


class Invocations:
    """Is shown every platform event; others wait for what it learns. An event may come before anyone waits for it."""

    def __init__(self) -> None:
        self.logs_dropped = 0  # records, by platform.logsDropped
        self.late_lines = False  # whether a function's line has ever come after its platform.runtimeDone
        self._running = False
        self._dropped_at_start = 0
        self._done: deque[str] = deque(maxlen=REMEMBERED)
        self._reported: deque[str] = deque(maxlen=REMEMBERED)
        self._changed = asyncio.Event()

    def observe(self, type_: str, record: Any) -> None:
        """Note a platform event. `record` may be anything at all."""
        if not isinstance(record, dict):
            return
        request_id = record.get("requestId")
        request_id = request_id if is_request_id(request_id) else ""
        if type_ == "platform.start":
            self._running = True
            self._dropped_at_start = self.logs_dropped
        elif type_ == "platform.runtimeDone":
            self._running = False
            self._done.append(request_id)
        elif type_ == "platform.report":
            self._reported.append(request_id)
        elif type_ == "platform.logsDropped":
            dropped = record.get("droppedRecords")
            self.logs_dropped += max(0, min(dropped, MAX_DROPPED)) if type(dropped) is int else 0  # bool is one as well
        else:
            return
        self._changed.set()

    def saw_line(self) -> None:
        """A line of the function came; between invocations it is a late one of the last."""
        if self._done and not self._running:
            self.late_lines = True

    def is_done(self, request_id: str) -> bool:
        """Whether platform.runtimeDone of this request has come."""
        return request_id in self._done

    async def wait_done(self, request_id: str, timeout_s: float) -> bool | None:
        """Wait for platform.runtimeDone of this request; False when it did not come in time.

        None when the platform dropped records meanwhile, for it may have been among them.
        """
        dropped = self._dropped_at_start
        ended = await self._wait_until(lambda: request_id in self._done or self.logs_dropped > dropped, timeout_s)
        return request_id in self._done or (None if ended else False)

    async def wait_reported(self, request_id: str, timeout_s: float) -> bool:
        """Wait for platform.report of this request; it is made only after all extensions asked for the next event."""
        return await self._wait_until(lambda: request_id in self._reported, timeout_s)

    async def _wait_until(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        try:
            async with asyncio.timeout(timeout_s):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return condition()
        return True

"""The runtime of one sandbox as the platform knows it: whether it is ready, who waits, what is worked on."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field


@dataclass(slots=True)
class Work:
    """One invocation on its way through the runtime: `headers` and `payload`, then what it answered, and when."""

    request_id: str
    payload: bytes
    headers: dict[str, str]
    began: float = field(default_factory=time.monotonic)
    responding: float | None = None  # monotonic seconds: the first byte of the response was here
    responded: float | None = None  # and this the last
    response: bytes = b""
    failed: bool = False  # the handler raised: it came to /error
    error_type: str = ""
    over: bool = False  # the runtime has asked for the next one
    runtime_done: bool = False  # platform.runtimeDone was sent


class Runtime:
    """The runtime's side of one sandbox: who waits in next, what it works on, whether it is ready."""

    def __init__(self) -> None:
        self.ready = False
        self.init_error_type = ""
        self.restoring: asyncio.Event | None = None  # set while a SnapStart runtime waits to be restored
        self.work: dict[str, Work] = {}
        self._queue: deque[Work] = deque()
        self._parked: deque[asyncio.Future[Work]] = deque()

    def offer(self, work: Work) -> None:
        """Give an invocation to a runtime that waits, or to the first that asks."""
        self.work[work.request_id] = work
        while self._parked:
            parked = self._parked.popleft()
            if not parked.done():
                parked.set_result(work)
                return
        self._queue.append(work)

    def park(self) -> asyncio.Future[Work]:
        """A call of invocation/next: what it waits for."""
        parked: asyncio.Future[Work] = asyncio.get_running_loop().create_future()
        if self._queue:
            parked.set_result(self._queue.popleft())
        else:
            self._parked.append(parked)
        return parked

    def unpark(self) -> None:
        """The process has ended: nobody waits any more."""
        for parked in self._parked:
            parked.cancel()
        self._parked.clear()

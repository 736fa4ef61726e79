"""The events of the Extensions API: what /event/next returns, asked for from a thread and for ever."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

from extension import lenient
from extension.lambda_api import client
from extension.log import describe, log

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Invoke(NamedTuple):
    """An invocation has begun. `deadline` is in seconds since the Unix epoch."""

    request_id: str
    deadline: float
    function_arn: str


class Shutdown(NamedTuple):
    """The execution environment ends. `reason` is spindown, timeout or failure, or a word of an emulator's own."""

    deadline: float
    reason: str


async def events(extension: client.Extension) -> AsyncIterator[Invoke | Shutdown]:
    """Each event when it comes, Shutdown being the last; to ask for the next is to be done with the one before.

    It never raises: an API that fails is asked again, since to stop asking would fail the function.
    """
    loop = asyncio.get_running_loop()
    thread = ThreadPoolExecutor(1, "next")  # for one call that blocks for hours
    pauses = client.backoff()
    while True:
        try:
            event = _parse(lenient.loads(await loop.run_in_executor(thread, extension.next_event)))
        except Exception as error:  # noqa: BLE001 - there is nothing better to do than to ask again
            pause_s = next(pauses)
            if pause_s < client.MAX_RETRY_S:
                log("ERROR", "event/next failed, asking again", reason=describe(error))
            await asyncio.sleep(pause_s)
            continue
        pauses = client.backoff()
        yield event
        if isinstance(event, Shutdown):
            return


def _parse(event: dict[str, Any]) -> Invoke | Shutdown:
    """What is missing or odd is left empty: an event that is not understood in full has happened all the same."""
    ms = event.get("deadlineMs")
    deadline = ms / 1000 if isinstance(ms, int | float) else 0.0
    if event["eventType"] == "INVOKE":
        return Invoke(str(event.get("requestId") or ""), deadline, str(event.get("invokedFunctionArn") or ""))
    if event["eventType"] == "SHUTDOWN":
        return Shutdown(deadline, str(event.get("shutdownReason") or "").lower())
    raise ValueError(f"unknown event {event['eventType']}")

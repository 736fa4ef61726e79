from __future__ import annotations

import asyncio
from typing import Any

import pytest

from extension.intake.decoder import Line
from extension.intake.invocations import REMEMBERED, Invocations, Seen

WAIT_S = 30.0


def connected() -> Invocations:
    """Invocations of an environment whose telemetry can come."""
    invocations = Invocations()
    invocations.saw_connections(1)
    return invocations


PRINTED = Line(b"{}", "function", "function", "")


def event(type_: str, content: Any) -> Line:
    """A line of the platform's."""
    return Line(b"{}", "platform", type_, "", content)


def within(seconds: float) -> float:
    """The loop's time then."""
    return asyncio.get_running_loop().time() + seconds


async def test_done_may_come_before_it_is_waited_for() -> None:
    """The TCP stream may be faster than the INVOKE event."""
    invocations = connected()
    invocations.observe([event("platform.start", {"requestId": "r1"})])
    invocations.observe([event("platform.runtimeDone", {"requestId": "r1"})])
    invocations.invoked("r1")
    assert await invocations.wait_done("r1", WAIT_S) is Seen.YES


async def test_done_of_another_request_is_not_ours() -> None:
    """Only the runtimeDone of this request ends the wait."""
    invocations = connected()
    invocations.invoked("r2")
    waiting = asyncio.create_task(invocations.wait_done("r2", WAIT_S))
    await asyncio.sleep(0)
    invocations.observe([event("platform.runtimeDone", {"requestId": "r1"})])
    await asyncio.sleep(0)
    assert not waiting.done()
    invocations.observe([event("platform.runtimeDone", {"requestId": "r2"})])
    assert await waiting is Seen.YES


@pytest.mark.parametrize(("status", "failed"), [("success", False), ("error", True), ("timeout", True)])
async def test_a_status_other_than_success_is_a_failure(status: str, *, failed: bool) -> None:
    """Of an error, a timeout and whatever Lambda will call it, the end of a request says so."""
    invocations = connected()
    invocations.observe([event("platform.runtimeDone", {"requestId": "r1", "status": status})])
    assert invocations.has_failed("r1") is failed


async def test_the_last_try_of_a_request_says_whether_it_failed() -> None:
    """An asynchronous retry that succeeds comes with the request id of the try that failed."""
    invocations = connected()
    for status in ("error", "success"):
        invocations.observe([event("platform.runtimeDone", {"requestId": "r1", "status": status})])
    assert not invocations.has_failed("r1")


async def test_the_wait_has_an_end() -> None:
    """A runtimeDone that never comes is not waited for longer than was asked."""
    invocations = connected()
    invocations.invoked("r1")
    assert await invocations.wait_done("r1", 0.01) is Seen.NO


async def test_a_done_that_may_have_been_dropped_is_not_waited_for() -> None:
    """When the platform says that it dropped records, runtimeDone may be one of them: the function must not wait."""
    invocations = connected()
    invocations.observe([event("platform.start", {"requestId": "r1"})])
    invocations.invoked("r1")
    waiting = asyncio.create_task(invocations.wait_done("r1", WAIT_S))
    await asyncio.sleep(0)
    invocations.observe([event("platform.logsDropped", {"droppedRecords": 10})])
    assert await waiting is Seen.PERHAPS_LOST


async def test_what_was_dropped_in_an_earlier_invocation_is_past() -> None:
    """Records dropped before this invocation's start say nothing of its runtimeDone."""
    invocations = connected()
    invocations.observe([event("platform.logsDropped", {"droppedRecords": 10})])
    invocations.observe([event("platform.start", {"requestId": "r1"})])
    invocations.invoked("r1")
    assert await invocations.wait_done("r1", 0.01) is Seen.NO


async def test_a_retry_waits_for_its_own_done() -> None:
    """The second INVOKE of a request id waits for the second runtimeDone of it."""
    invocations = connected()
    invocations.invoked("r1")
    invocations.observe([event("platform.runtimeDone", {"requestId": "r1"})])
    assert await invocations.wait_done("r1", WAIT_S) is Seen.YES
    invocations.invoked("r1")
    assert await invocations.wait_done("r1", 0.01) is Seen.NO
    invocations.observe([event("platform.runtimeDone", {"requestId": "r1"})])
    assert await invocations.wait_done("r1", WAIT_S) is Seen.YES


async def test_the_done_of_a_retry_may_come_before_its_invoke() -> None:
    """What the platform says of a retry counts for it, though its INVOKE was not read by then."""
    invocations = connected()
    invocations.invoked("r1")
    for _ in range(2):
        invocations.observe([event("platform.start", {"requestId": "r1"})])
        invocations.observe([event("platform.runtimeDone", {"requestId": "r1"})])
    invocations.invoked("r1")
    assert await invocations.wait_done("r1", WAIT_S) is Seen.YES


async def test_a_retry_does_not_wait_where_the_first_done_may_have_been_dropped() -> None:
    """The count is not to be trusted once records were dropped, and the function must not wait for what is gone."""
    invocations = connected()
    invocations.observe([event("platform.start", {"requestId": "r1"})])
    invocations.invoked("r1")
    invocations.observe([event("platform.logsDropped", {"droppedRecords": 10})])
    invocations.observe([event("platform.start", {"requestId": "r1"})])
    invocations.invoked("r1")
    invocations.observe([event("platform.runtimeDone", {"requestId": "r1"})])
    assert await invocations.wait_done("r1", WAIT_S) is Seen.PERHAPS_LOST


async def test_the_report_of_a_retry_is_its_own() -> None:
    """At SHUTDOWN the report of the last try is waited for, not that of the first."""
    invocations = connected()
    for _ in range(2):
        invocations.invoked("r1")
    invocations.observe([event("platform.report", {"requestId": "r1"})])
    assert await invocations.wait_reported("r1", within(0.01)) is False
    invocations.observe([event("platform.report", {"requestId": "r1"})])
    assert await invocations.wait_reported("r1", within(WAIT_S)) is True


async def test_a_report_is_not_waited_for_where_none_can_come() -> None:
    """Where the connection is lost, SHUTDOWN goes on at once."""
    invocations = connected()
    invocations.invoked("r1")
    invocations.saw_connections(0)
    assert await invocations.wait_reported("r1", within(WAIT_S)) is True


async def test_memory_of_requests_is_bounded() -> None:
    """Of any number of requests the latest are remembered."""
    invocations = connected()
    for number in range(1000):
        invocations.invoked(f"r{number}")
        invocations.observe([event("platform.runtimeDone", {"requestId": f"r{number}"})])
    assert len(invocations._requests) == REMEMBERED
    invocations.invoked("r999")
    assert not invocations.is_done("r999")


async def test_without_a_connection_nothing_is_waited_for() -> None:
    """A connection that is lost ends the wait: no runtimeDone can come any more."""
    invocations = connected()
    invocations.invoked("r1")
    waiting = asyncio.create_task(invocations.wait_done("r1", WAIT_S))
    await asyncio.sleep(0)
    invocations.saw_connections(0)
    assert await waiting is Seen.PERHAPS_LOST
    assert not await invocations.wait_connected(0.01)


async def test_records_of_any_shape_are_looked_at() -> None:
    """A platform event may be a string, or lack what is looked for."""
    invocations = Invocations()
    records: list[Any] = [
        "text",
        None,
        5,
        [],
        {},
        {"droppedRecords": "many"},
        {"requestId": None},
        {"requestId": ["r"]},
    ]
    for record in records:
        for type_ in ("platform.runtimeDone", "platform.report", "platform.logsDropped", "platform.fault"):
            invocations.observe([event(type_, record)])
    assert invocations.logs_dropped == 0


@pytest.mark.parametrize(
    ("claimed", "counted"), [(5, 5), (0, 0), (-5, 0), (True, 0), (2.0, 0), (10**9 + 1, 10**9), (2**64 - 1, 10**9)]
)
async def test_a_claim_of_what_was_dropped_has_a_bound(claimed: object, counted: int) -> None:
    """Whoever reaches the port can forge an event: what it adds is a sensible number or nothing."""
    invocations = Invocations()
    invocations.observe([event("platform.logsDropped", {"droppedRecords": claimed})])
    assert invocations.logs_dropped == counted


async def test_lines_after_done_are_late() -> None:
    """A function's line between runtimeDone and the next start shows that this function has such."""
    invocations = Invocations()
    invocations.observe([PRINTED])
    invocations.observe([event("platform.start", {"requestId": "r1"})])
    invocations.observe([PRINTED])
    invocations.observe([event("platform.runtimeDone", {"requestId": "r1"})])
    assert not invocations.late_lines
    invocations.observe([PRINTED])
    assert invocations.late_lines

from __future__ import annotations

import pytest

from extension.lambda_api import client as api
from extension.lambda_api.events import Invoke, Shutdown, events
from extension.lambda_api.function import identify


class ScriptedExtension(api.Extension):
    """Registered with nobody; its events are a list of answers."""

    def __init__(self, *answers: bytes) -> None:
        super().__init__("", "", b"", invoked=True)
        self._answers = list(answers)

    def next_event(self) -> bytes:
        return self._answers.pop(0)


async def test_events_end_with_shutdown() -> None:
    """Each event comes once, deadlines in seconds, and after Shutdown nothing more is asked for."""
    extension = ScriptedExtension(
        b'{"eventType":"INVOKE","deadlineMs":1500,"requestId":"r1","invokedFunctionArn":"arn","tracing":{}}',
        b'{"eventType":"SHUTDOWN","deadlineMs":2500,"shutdownReason":"TIMEOUT"}',
    )
    assert [event async for event in events(extension)] == [Invoke("r1", 1.5, "arn"), Shutdown(2.5, "timeout")]


async def test_odd_members_hide_no_event() -> None:
    """An event whose members are null or of another type has happened: to ask for the next would never end."""
    extension = ScriptedExtension(
        b'{"eventType":"INVOKE","deadlineMs":null,"requestId":null,"invokedFunctionArn":null}',
        b'{"eventType":"SHUTDOWN","deadlineMs":"soon","shutdownReason":null}',
    )
    assert [event async for event in events(extension)] == [Invoke("", 0.0, ""), Shutdown(0.0, "")]


@pytest.mark.parametrize("registered", [b"", b"OK", b"null", b"[]", b"7"])
def test_an_odd_answer_to_register_leaves_the_environment(registered: bytes) -> None:
    """A platform whose answer says nothing of the function is no reason to forward nothing."""
    assert identify(registered, {"AWS_LAMBDA_FUNCTION_NAME": "orders"}).name == "orders"

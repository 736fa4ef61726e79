"""An HTTP intake whose answer a test changes while the layer runs, and which knows what it took.

intake = ChangingIntake(Answer(503))
with FaultServer(intake) as server:
    ...                                    # an outage
    intake.answer = OK                     # is over
assert intake.texts() == ["one", "two"]
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.support.fault_server import OK, Action, Answer

if TYPE_CHECKING:
    from tests.support.fault_server import Request


class ChangingIntake:
    """A script of FaultServer: every request gets `answer`; those that got a 2xx are `taken`."""

    def __init__(self, answer: Action = OK) -> None:
        self.answer = answer
        self.taken: list[Request] = []

    def __call__(self, request: Request) -> Action:
        """The answer of the moment."""
        answer = self.answer
        if isinstance(answer, Answer) and 200 <= answer.status < 300:
            self.taken.append(request)
        return answer

    def records(self) -> list[dict[str, Any]]:
        """Every record taken, those that came twice among them."""
        return [json.loads(line) for request in list(self.taken) for line in request.text.splitlines()]

    def texts(self) -> list[str]:
        """What the function printed, in order of arrival."""
        return [record["record"] for record in self.records() if record["type"] == "function"]


def pour(count: int, size: int = 400, type_: str = "function") -> bytes:
    """So many lines of telemetry, numbered from 0, each with a text of `size` characters."""
    return b"".join(b'{"type":"%b","record":"%b"}\n' % (type_.encode(), b"%0*d" % (size, n)) for n in range(count))

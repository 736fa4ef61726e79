"""Which invocation a record belongs to, decided on receipt and in order of receipt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from extension.records import Record, is_request_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from extension.intake.decoder import Line

REMEMBERED = 64  # invocations: lines may come late


class Correlate:
    """Makes a record of each line, with the request id of its invocation.

    Platform records carry their own. What a function or an extension calls its request id counts only if a
    platform.start of this environment named it; else it is that of the last platform.start. With `in_order` off, as on
    Managed Instances where invocations interleave, it is the record's own or none.
    """

    def __init__(self, *, in_order: bool) -> None:
        self._in_order = in_order
        self._started: dict[str, None] = {}  # the latest is last
        self._current = ""

    def __call__(self, lines: Sequence[Line]) -> list[Record]:
        """Records without a sequence, their lines as they came."""
        records = []
        for line in lines:
            content = line.content
            own = ""
            if type(content) is dict:
                found = content.get("requestId") or content.get("AWSRequestId")  # the latter is Java's name for it
                if is_request_id(found):
                    own = found
                    if line.type == "platform.start" and self._in_order:
                        self._start(own)
            if not self._in_order or (own and (own in self._started or line.kind not in {"function", "extension"})):
                request_id = own
            else:
                request_id = self._current if line.fault == "" else ""
            records.append(Record(-1, line.kind, line.text, line.type, line.time, request_id, content))
        return records

    def _start(self, request_id: str) -> None:
        self._current = request_id
        self._started.pop(request_id, None)
        self._started[request_id] = None
        if len(self._started) > REMEMBERED:
            del self._started[next(iter(self._started))]

"""Which invocation a record belongs to, decided on receipt and in order of receipt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from extension.records import PRINTED, REQUEST_IDS, Record, is_request_id

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from extension.intake.decoder import Line

REMEMBERED = 64  # invocations: lines may come late
REMEMBERED_AT_ONCE = 1024  # the same, where many run at a time


class Correlate:
    """Makes a record of each line, with the request id of its invocation.

    Platform records carry their own. What a function or an extension calls its request id counts only if a
    platform.start of this environment named it; else it is that of the last platform.start. With `in_order` off, as on
    Managed Instances where invocations interleave, it is the record's own or none: the one that was started, or else
    the first. `note` is shown each platform.start, `end` is told of each platform.report.
    """

    def __init__(
        self,
        *,
        in_order: bool,
        note: Callable[[str, dict[str, Any]], None] = lambda *_: None,
        end: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._in_order = in_order
        self._note = note
        self._end = end
        self._most = REMEMBERED if in_order else REMEMBERED_AT_ONCE
        self._started: dict[str, None] = {}  # the latest is last
        self._current = ""

    def __call__(self, lines: Sequence[Line]) -> list[Record]:
        """Records without a sequence, their lines as they came."""
        records: list[Record] = []
        new, append, current = tuple.__new__, records.append, self._current
        for text, kind, type_, time, content, fault, _ in lines:
            if type(content) is dict:
                request_id = self._decide(kind, type_, content)
                current = self._current
            else:
                request_id = "" if fault else current
            append(new(Record, (-1, kind, text, type_, time, request_id, content, None)))
        return records

    def _decide(self, kind: str, type_: str, content: dict[str, Any]) -> str:
        """The request id of a record that may have one of its own."""
        if kind in PRINTED:
            return self._named_by(content)
        found = content.get("requestId")
        if not is_request_id(found):
            return self._current
        if type_ == "platform.start":
            self._start(found, content)
        elif type_ == "platform.report":
            self._end(found)
        return found

    def _named_by(self, content: dict[str, Any]) -> str:
        """The request id of what a program printed."""
        first = ""
        for name in REQUEST_IDS:
            if name in content and is_request_id(found := content[name]):
                if found in self._started:
                    return found
                first = first or found
        return self._current if self._in_order else first

    def _start(self, request_id: str, content: dict[str, Any]) -> None:
        self._note(request_id, content)
        if self._in_order:
            self._current = request_id
        self._started.pop(request_id, None)
        self._started[request_id] = None
        if len(self._started) > self._most:
            del self._started[next(iter(self._started))]

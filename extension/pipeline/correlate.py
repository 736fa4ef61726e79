"""Which invocation a record belongs to, decided on receipt and in order of receipt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from extension.records import Record, is_request_id

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from extension.intake.decoder import Line

REMEMBERED = 64  # invocations: lines may come late


class Correlate:
    """Makes a record of each line, with the request id of its invocation.

    Platform records carry their own. What a function or an extension calls its request id counts only if a
    platform.start of this environment named it; else it is that of the last platform.start. With `in_order` off, as on
    Managed Instances where invocations interleave, it is the record's own or none. `note` is shown each platform.start.
    """

    def __init__(self, *, in_order: bool, note: Callable[[str, dict[str, Any]], None] | None = None) -> None:
        self._in_order = in_order
        self._note = note
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
        found = content.get("requestId") or content.get("AWSRequestId")  # the latter is Java's name for it
        if not is_request_id(found):
            return self._current
        if type_ == "platform.start":
            self._start(found, content)
        is_believed = found in self._started or kind not in {"function", "extension"} or not self._in_order
        return found if is_believed else self._current

    def _start(self, request_id: str, content: dict[str, Any]) -> None:
        if self._note is not None:
            self._note(request_id, content)
        if not self._in_order:
            return
        self._current = request_id
        self._started.pop(request_id, None)
        self._started[request_id] = None
        if len(self._started) > REMEMBERED:
            del self._started[next(iter(self._started))]

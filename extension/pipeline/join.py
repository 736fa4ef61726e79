"""Stack traces that came line by line, each put together to one record. Loaded only where it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from extension import lenient
from extension.pipeline.traces import FIRST, PLAIN, PYTHON, begin, follow, takes_traceback

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from extension.records import Record

MAX_BYTES = 128 << 10  # of the lines that become one record, as they came
MAX_LINES = 1100  # of one record: Java keeps 1,024 frames
HOLD_S = 0.1  # the longest that a line waits for the next, beside the time that the platform gathers lines for
MAX_HOLD_S = 1.0  # that time included
PRINTED = frozenset(("function", "extension"))


class Join:
    """Makes one record of each stack trace. It holds back the last line, for the next chunk may go on with it.

    Only records that come one behind the other go together, of one type, one request and plain text. No line waits
    longer than `hold_s`, nor for anything behind a record of another kind, as the platform's at the end of an
    invocation. `joined` counts the records that went into another one.
    """

    def __init__(self, hold_s: float, clock: Callable[[], float]) -> None:
        self.joined = 0
        self.hold_s = hold_s
        self._clock = clock
        self._open: list[Record] = []  # one trace as far as it has come, or a line
        self._state = PLAIN
        self._size = 0
        self._since = 0.0

    @property
    def is_holding(self) -> bool:
        """Whether a record waits for what comes next."""
        return bool(self._open)

    def __call__(self, records: Sequence[Record]) -> list[Record]:
        """The records, in order, less the last one that more may follow."""
        kept: list[Record] = []
        held = self._open
        for record in records:
            kind, text = record[1], record[6]
            if type(text) is not str or kind not in PRINTED:
                self._end(kept)
                kept.append(record)
            elif self._state is PLAIN and text[:1] not in FIRST:  # so are most lines, and a plain one waits alone
                kept += self._open
                self._open = [record]
            elif not self._add(record, text, kept):
                self._end(kept)
                self._begin(record, begin(text))
        if self._open is not held:
            self._since = self._clock()
        return kept

    def due(self) -> list[Record]:
        """What has waited for its time."""
        return self.close() if self._open and self._clock() - self._since >= self.hold_s else []

    def flush(self) -> list[Record]:
        """What waits: an invocation that is over, or a flush, waits for nothing."""
        return self.close()

    def close(self) -> list[Record]:
        """What waits, which nothing is to follow any more."""
        kept: list[Record] = []
        self._end(kept)
        return kept

    def _add(self, record: Record, text: str, kept: list[Record]) -> bool:
        """Whether a line goes on with what is open; then it is part of that, or of a second record where it is full."""
        if not self._open:
            return False
        first = self._open[0]
        if (record.type, record.request_id) != (first.type, first.request_id):
            return False
        state = follow(self._state, text)
        if not state and len(self._open) == 1 and takes_traceback(str(first.content), text):
            state = PYTHON
        if not state:
            return False
        size = (self._size or len(first.line)) + len(record.line)
        if size > MAX_BYTES or len(self._open) == MAX_LINES:
            self._end(kept)
            self._begin(record, state)
        else:
            self._open.append(record)
            self._state, self._size = state, size
        return True

    def _begin(self, record: Record, state: str) -> None:
        self._open, self._state = [record], state

    def _end(self, kept: list[Record]) -> None:
        if self._open:
            count = len(self._open)
            kept.append(self._open[0] if count == 1 else together(self._open))
            self.joined += count - 1
            self._open, self._state, self._size = [], PLAIN, 0


def together(records: Sequence[Record]) -> Record:
    """The records as one, which has the time of the first. Lines that end in a newline of their own get no other."""
    first = records[0]
    texts = [str(record.content) for record in records]
    content = "".join(text if text.endswith("\n") else f"{text}\n" for text in texts[:-1]) + texts[-1]
    line = lenient.dumps({**lenient.loads(first.line), "record": content})
    return first._replace(line=line, content=content).saying(joined=len(records))

"""The steps from lines to records, composed once. It does no I/O; what is held back is held by a step."""

from __future__ import annotations

import time
from collections.abc import Callable
from operator import attrgetter
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from extension import lenient
from extension.log import describe, log_seldom
from extension.pipeline import phase as phases
from extension.pipeline.enrich import Enrich
from extension.records import Record

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from extension.intake.decoder import Line

Step = Callable[[list[Record]], list[Record]]


@runtime_checkable
class Holding(Protocol):
    """A step that holds records back. It counts itself which of them it does not let go of again."""

    def __call__(self, records: list[Record], /) -> list[Record]:
        """Take records; those that go on."""
        ...

    def due(self) -> list[Record]:
        """What was held back for long enough."""
        ...

    def flush(self) -> list[Record]:
        """What is not to be held back any longer when an invocation is over, or what is here is to leave."""
        ...

    def close(self) -> list[Record]:
        """Whatever it holds."""
        ...


BROKEN_TYPE = "forwarder.broken"
FAULT = attrgetter("fault")  # for a loop in C, in half of the time


class Pipeline:
    """Makes records of lines and counts them: correlate, then `steps`, then enrich. `sequence` numbers the records.

    `derive` is shown the records before any is filtered; those that it makes of them are added behind. `told` is what
    the key "lambda" says of an invocation beside its request id; until the first one begins it names the `phase`.
    `note` is shown the records before any is filtered too, and `rated` may add to those that are stamped.
    """

    def __init__(
        self,
        correlate: Callable[[Sequence[Line]], list[Record]],
        steps: Sequence[Step],
        sequence: Iterator[int],
        derive: Step | None = None,
        *,
        told: Callable[[str], bytes] = lambda _: b"",
        phase: str = "",
        note: Callable[[list[Record]], None] | None = None,
        rated: Callable[[list[Record]], list[Record]] | None = None,
    ) -> None:
        self.received = 0
        self.added = 0
        self.filtered = 0
        self.broken: dict[str, int] = {}
        self._correlate = correlate
        self._steps = steps
        self._derive = derive
        self._holding = [step for step in steps if isinstance(step, Holding)]
        self._enrich = Enrich(sequence, told)
        self._phase = phase
        self._note = note
        self._rated = rated

    def identify(self, members: Mapping[str, object], environment_id: str) -> None:
        """Stamp what is received from here on with these members, and the name of the execution environment."""
        self._enrich.identify(members, environment_id)

    def __call__(self, lines: Sequence[Line]) -> list[Record]:
        """The records of the lines that stay."""
        if not self._phase:
            return self._take(lines)
        records: list[Record] = []
        for phase, part in phases.parts(self._phase, lines):
            if phase != self._phase:
                records += self.release("flush")
                self._phase = phase
            records += self._take(part)
        return records

    def release(self, when: Literal["due", "flush", "close"]) -> list[Record]:
        """What the steps that hold records back let go of then."""
        records: list[Record] = []
        for step in self._steps if self._holding else ():
            if records:
                records = self._apply(step, records)
            if step in self._holding:
                records = [*records, *getattr(step, when)()]
        return self._stamp(records)

    def _take(self, lines: Sequence[Line]) -> list[Record]:
        if any(map(FAULT, lines)):
            lines = [self._keep(line) if line.fault else line for line in lines]
        records = correlated = self._correlate(lines)
        if self._note is not None:
            self._note(correlated)
        for step in self._steps:
            records = self._apply(step, records)
        stamped = self._stamp(records)
        self.received += len(lines)
        if self._derive is not None:
            stamped += self.add_derived(self._derive, correlated)
        return stamped

    def _apply(self, step: Step, records: list[Record]) -> list[Record]:
        """What a step makes of records; one that it fails on goes on as the text of its line.

        So no fault costs a record that was held back, which nobody could hand to the pipeline again. A step through
        which no text may pass unseen has a method `withhold`, which makes of that record what goes on.
        """
        try:
            kept = step(records)
        except Exception as error:  # noqa: BLE001 - one record must not cost the others
            if len(records) > 1:
                return [one for record in records for one in self._apply(step, [record])]
            instead = getattr(step, "withhold", self._broken)
            return [instead(record, f"internal error: {type(error).__name__}") for record in records]
        if step not in self._holding:
            self.filtered += len(records) - len(kept)
        return kept

    def _stamp(self, records: list[Record]) -> list[Record]:
        stamped = self._enrich(records, self._phase)
        return stamped if self._rated is None else self._rated(stamped)

    def add_derived(self, derive: Callable[..., list[Record]], *of: object) -> list[Record]:
        """The records that `derive` makes; a fault in that costs them alone."""
        try:
            records = derive(*of)
        except Exception as error:  # noqa: BLE001 - whatever it is, what the records are derived from must go on
            log_seldom("ERROR", "no signals derived", reason=describe(error))
            return []
        self.added += len(records)
        return self._enrich(records)

    def add(self, type_: str, content: object, request_id: str) -> list[Record]:
        """A record of our own."""
        self.added += 1
        return self._enrich([own_record(type_, content)._replace(request_id=request_id)])

    def carry(
        self,
        kind: str,
        type_: str,
        content: object,
        body: bytes,
        request_id: str,
        members: Mapping[str, object] | None = None,
    ) -> Record:
        """A record that carries what a program exported; `content` says what that is, `members` more in its key."""
        self.received += 1
        now, head = _written(type_, content)
        [record] = self._enrich([Record(-1, kind, head, type_, now, request_id, members=members)])
        return record._replace(line=b"%b\n%b" % (record.line, body))

    def _keep(self, line: Line) -> Line:
        """The text of a line that is no record, as a record; what is not UTF-8 becomes escapes."""
        self.broken[line.fault] = self.broken.get(line.fault, 0) + 1
        text = line.text.decode("utf-8", "backslashreplace")
        content = f"{text}... ({line.cut} bytes cut)" if line.cut else text
        now, whole = _written(BROKEN_TYPE, content)
        return line._replace(text=whole, type=BROKEN_TYPE, time=now, content=content)

    def _broken(self, record: Record, fault: str) -> Record:
        """The line of a record as text."""
        self.broken[fault] = self.broken.get(fault, 0) + 1
        content = record.line.decode("utf-8", "backslashreplace")
        now, whole = _written(BROKEN_TYPE, content)
        return record._replace(line=whole, type=BROKEN_TYPE, time=now, content=content)


def _written(type_: str, content: object) -> tuple[str, bytes]:
    """A line of our own, behind its time."""
    now = now_iso()
    return now, lenient.dumps({"time": now, "type": type_, "record": content})


def own_record(type_: str, content: object) -> Record:
    """A record of our own, as a line of the platform's would be: no sequence yet, and no key "lambda"."""
    now, line = _written(type_, content)
    return Record(-1, "other", line, type_, now, "", content)


def now_iso() -> str:
    """The time now as the platform writes it, in UTC with milliseconds."""
    seconds, milliseconds = divmod(time.time_ns() // 1_000_000, 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{milliseconds:03d}Z"

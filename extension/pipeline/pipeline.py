"""The steps from lines to records, composed once. It does no I/O and keeps no record."""

from __future__ import annotations

import time
from operator import attrgetter
from typing import TYPE_CHECKING

from extension import lenient
from extension.log import describe, log_seldom
from extension.pipeline.enrich import Enrich
from extension.records import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from extension.intake.decoder import Line
    from extension.pipeline.sample import Sampler

    Step = Callable[[list[Record]], list[Record]]

BROKEN_TYPE = "forwarder.broken"
FAULT = attrgetter("fault")  # for a loop in C, in half of the time


class Pipeline:
    """Makes records of lines and counts them: correlate, then `steps`, then enrich. `sequence` numbers the records.

    `derive` is shown the records before any is filtered; those that it makes of them are added behind. `note` is shown
    them too. Of what the steps left `sampler` keeps or holds some; it is not asked about records of our own.
    """

    def __init__(
        self,
        correlate: Callable[[Sequence[Line]], list[Record]],
        steps: Sequence[Step],
        sequence: Iterator[int],
        derive: Step | None = None,
        note: Callable[[list[Record]], None] | None = None,
        sampler: Sampler | None = None,
    ) -> None:
        self.received = 0
        self.added = 0
        self.filtered = 0
        self.broken: dict[str, int] = {}
        self._correlate = correlate
        self._steps = steps
        self._derive = derive
        self._note = note
        self._sampler = sampler
        self._enrich = Enrich(sequence)

    def identify(self, members: Mapping[str, object], environment_id: str) -> None:
        """Stamp what is received from here on with these members, and the name of the execution environment."""
        self._enrich.identify(members, environment_id)

    def __call__(self, lines: Sequence[Line]) -> list[Record]:
        """The records of the lines that stay."""
        if any(map(FAULT, lines)):
            lines = [self._keep(line) if line.fault else line for line in lines]
        records = correlated = self._correlate(lines)
        if self._note is not None:
            self._note(correlated)
        for step in self._steps:
            records = step(records)
        left = len(records)
        stamped = self._enrich(records) if self._sampler is None else self._stamp(self._sampler, records)
        self.received += len(lines)
        self.filtered += len(lines) - left
        if self._derive is not None:
            stamped += self.add_derived(self._derive, correlated)
        return stamped

    def due(self) -> list[Record]:
        """What the sampler held, and lets go by now."""
        return self._stamp(self._sampler, ()) if self._sampler is not None else []

    def _stamp(self, sampler: Sampler, records: Sequence[Record]) -> list[Record]:
        return sampler.rated(self._enrich(sampler(records)))

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
        now = now_iso()
        line = lenient.dumps({"time": now, "type": type_, "record": content})
        return self._enrich([Record(-1, "other", line, type_, now, request_id, content)])

    def carry(self, kind: str, type_: str, content: object, body: bytes, request_id: str) -> Record:
        """A record that carries what a program exported; `content` says what that is."""
        self.received += 1
        now = now_iso()
        head = lenient.dumps({"time": now, "type": type_, "record": content})
        [record] = self._enrich([Record(-1, kind, head, type_, now, request_id)])
        return record._replace(line=b"%b\n%b" % (record.line, body))

    def _keep(self, line: Line) -> Line:
        """The text of a line that is no record, as a record; what is not UTF-8 becomes escapes."""
        self.broken[line.fault] = self.broken.get(line.fault, 0) + 1
        text = line.text.decode("utf-8", "backslashreplace")
        now = now_iso()
        content = f"{text}... ({line.cut} bytes cut)" if line.cut else text
        whole = lenient.dumps({"time": now, "type": BROKEN_TYPE, "record": content})
        return line._replace(text=whole, type=BROKEN_TYPE, time=now, content=content)


def now_iso() -> str:
    """The time now as the platform writes it, in UTC with milliseconds."""
    seconds, milliseconds = divmod(time.time_ns() // 1_000_000, 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{milliseconds:03d}Z"

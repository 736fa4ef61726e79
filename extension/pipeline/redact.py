"""Replacing what nobody shall read, before any sink, fallback, disk or log sees it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from extension import lenient
from extension.log import log_seldom, place
from extension.pipeline.pipeline import BROKEN_TYPE
from extension.pipeline.redactor import Unreadable, is_usual

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from extension.intake.otlp_body import Piece
    from extension.pipeline.redactor import Redactor
    from extension.records import Record

    Step = Callable[[list[Record]], list[Record]]

UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")  # as Lambda's request ids are
REMEMBERED = 64  # request ids that are known to be harmless
CUT = re.compile(r"\.\.\. \(\d+ bytes cut\)\Z")  # how the text of a line ends that was too long
CUT_CHARACTERS = 40  # before that, which may be the first half of a secret, and the word that they are in
WORD_ENDS = " \t\n\",'"
WITHHELD_TYPE = "forwarder.withheld"  # of a record whose own type may not be shown


class Redact:
    """A step. What cannot be looked through becomes a record that says so, in its place.

    `redacted` counts the records in which something was replaced, `withheld` by reason those that did not pass.
    """

    def __init__(self, redactor: Redactor) -> None:
        self.redacted = 0
        self.withheld: dict[str, int] = {}
        self._redactor = redactor
        self._harmless = {""}

    @property
    def account(self) -> dict[str, object]:
        """The ledger's entries."""
        return {"redacted": self.redacted, "withheld": dict(self.withheld)}

    def __call__(self, records: list[Record]) -> list[Record]:
        """The records as anyone may see them, counted."""
        found = [self._redacted(record) if self._suspects(record) else record for record in records]
        for before, after in zip(records, found, strict=True):
            if after is not before and after.members:
                self._count(after.members)
        return found

    def withhold(self, record: Record, reason: str) -> Record:
        """What goes on in place of a record that this step failed on, counted."""
        withheld = _withheld(record, reason)
        self._count(withheld.members or {})
        return withheld

    def before(self, derive: Step) -> Step:
        """What shows `derive` the platform's records as anyone may see them: it makes others of what they say.

        Of all other records it counts lines, bytes and levels alone; these are shown as they are.
        """

        def derived(records: list[Record]) -> list[Record]:
            return derive(
                [
                    self._redacted(record) if record.kind == "platform" and self._suspects(record) else record
                    for record in records
                ]
            )

        return derived

    def exported(self, pieces: Sequence[Piece], *, as_json: bool) -> list[tuple[Piece, Mapping[str, object] | None]]:
        """Pieces of what a program exported as logs, each with what its key "lambda" says of that. Raises Malformed."""
        from extension.pipeline.redact_exports import MAX_S, redact  # noqa: PLC0415 - protobuf, where it is asked for

        until = self._redactor.clock() + MAX_S
        found = [(piece, redact(self._redactor, piece.body, until, as_json=as_json)) for piece in pieces]
        for _, one in found:
            self.redacted += bool(one.replaced)
            for reason, count in one.withheld.items():
                self.withheld[reason] = self.withheld.get(reason, 0) + count
        return [
            (piece._replace(body=one.body), {"redacted": one.replaced} if one.replaced else None)
            for piece, one in found
        ]

    def _suspects(self, record: Record) -> bool:
        if record.type == BROKEN_TYPE:  # whose text may have been cut in the middle of a secret
            return True
        try:
            return not self.is_harmless(record.request_id) or self._redactor.suspects(record.line)
        except Exception:  # noqa: BLE001 - then it is looked at more closely, where the same fault is told
            return True

    def is_harmless(self, request_id: str) -> bool:
        """Whether an id of a request or a tenant, which the record need not be the one to name, may be shown."""
        if request_id in self._harmless:
            return True
        try:
            if not UUID.fullmatch(request_id) and self._redactor.text(request_id)[1]:
                return False
        except Exception:  # noqa: BLE001 - what cannot be looked at is not shown
            return False
        if len(self._harmless) > REMEMBERED:
            self._harmless = {""}
        self._harmless.add(request_id)
        return True

    def _redacted(self, record: Record) -> Record:
        """The record, the same object where there is nothing in it."""
        try:
            if record.type == BROKEN_TYPE and type(record.content) is str:
                record = _without_cut_end(record, record.content)
            line, count = self._redactor.line(record.line)
            request_id = record.request_id if self.is_harmless(record.request_id) else ""
            if not count:
                return record if request_id == record.request_id else record._replace(request_id=request_id)
            return _read_again(record, line)._replace(request_id=request_id).saying(redacted=count)
        except Unreadable as error:
            return _withheld(record, str(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, the text must not pass
            log_seldom("ERROR", "record withheld by a fault of ours", reason=type(error).__name__, place=place(error))
            return _withheld(record, "internal error")

    def _count(self, members: Mapping[str, object]) -> None:
        if "redacted" in members:
            self.redacted += 1
        elif isinstance(reason := members.get("withheld"), str):
            self.withheld[reason] = self.withheld.get(reason, 0) + 1


def _read_again(record: Record, line: bytes) -> Record:
    """The record with another line, and what is to be learned of that."""
    said = lenient.loads(line)
    type_, time = lenient.word(said.get("type")), lenient.word(said.get("time"))
    return record._replace(line=line, type=type_, time=time, content=said.get("record"))


def _withheld(record: Record, reason: str) -> Record:
    """What a record says of itself that is not let through."""
    type_ = record.type if is_usual("type", record.type) else WITHHELD_TYPE
    time = record.time if is_usual("time", record.time) else ""
    content = f"[withheld: {reason}]"
    line = lenient.dumps({"time": time, "type": type_, "record": content})
    request_id = record.request_id if UUID.fullmatch(record.request_id) else ""
    withheld = record._replace(line=line, type=type_, time=time, request_id=request_id, content=content)
    return withheld.saying(withheld=reason)


def _without_cut_end(record: Record, text: str) -> Record:
    """The record of a line that was too long, its text without what is too near the cut."""
    cut = CUT.search(text, max(0, len(text) - CUT_CHARACTERS))
    if cut is None:
        return record
    kept = text[: max(0, cut.start() - CUT_CHARACTERS)]
    content = kept[: max(kept.rfind(end) for end in WORD_ENDS) + 1] + cut[0]
    line = lenient.dumps({"time": record.time, "type": record.type, "record": content})
    return record._replace(line=line, content=content)

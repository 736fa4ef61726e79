"""The last step: each record gets its sequence and its key "lambda", and lets go of what was parsed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from extension.lambda_key import LINE, LambdaKey, extend
from extension.records import Record

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Enrich:
    """Stamps records. `sequence` numbers them."""

    def __init__(self, sequence: Iterator[int]) -> None:
        self._sequence = sequence
        self._key = LambdaKey({}, "")

    def identify(self, members: Mapping[str, object], environment_id: str) -> None:
        """What the key says from here on."""
        self._key = LambdaKey(members, environment_id)

    def __call__(self, records: list[Record]) -> list[Record]:
        """The records as sinks get them."""
        stamped: list[Record] = []
        new, append = tuple.__new__, stamped.append
        last, begun = None, b""
        for (_, kind, line, type_, time, request_id, _, members), sequence in zip(
            records, self._sequence, strict=False
        ):
            if request_id != last:
                last = request_id
                begun = self._key.begun(request_id)
            # No call for each record: it would cost as much as all else here.
            written = LINE % (len(line) - 1, line, begun if len(line) > 2 else begun[1:], sequence)
            if members is not None:
                written = extend(written, members)
            append(new(Record, (sequence, kind, written, type_, time, request_id, None, None)))
        return stamped

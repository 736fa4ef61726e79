"""The last step: each record gets its sequence and its key "lambda", and lets go of what was parsed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from extension.lambda_key import LambdaKey, member
from extension.records import Record

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Enrich:
    """Stamps records. `sequence` numbers them."""

    def __init__(self, sequence: Iterator[int]) -> None:
        self._sequence = sequence
        self._key = LambdaKey({}, "")

    def identify(self, members: Mapping[str, str], environment_id: str) -> None:
        """What the key says from here on."""
        self._key = LambdaKey(members, environment_id)

    def __call__(self, records: list[Record]) -> list[Record]:
        """The records as sinks get them."""
        write = self._key.write
        stamped = []
        request_id, request = "", b""
        for record in records:
            if record.request_id != request_id:
                request_id = record.request_id
                request = member(request_id)
            sequence = next(self._sequence)
            line = write(record.line, request, sequence)
            stamped.append(Record(sequence, record.kind, line, record.type, record.time, request_id))
        return stamped

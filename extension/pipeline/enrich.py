"""The last step: each record gets its sequence and its key "lambda", and lets go of what was parsed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from extension.lambda_key import LINE, LambdaKey, extend, members
from extension.records import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


class Enrich:
    """Stamps records. `sequence` numbers them; `told` is what is known of invocations beside their request ids."""

    def __init__(self, sequence: Iterator[int], told: Callable[[str], bytes]) -> None:
        self._sequence = sequence
        self._told = told
        self._key = LambdaKey({}, "")

    def identify(self, common: Mapping[str, object], environment_id: str) -> None:
        """What the key says from here on."""
        self._key = LambdaKey(common, environment_id)

    def __call__(self, records: list[Record], phase: str = "") -> list[Record]:
        """The records as sinks get them; `phase` is said of all of them."""
        stamped: list[Record] = []
        of_phase = members({"phase": phase}) if phase else b""
        new, append = tuple.__new__, stamped.append
        last, begun = None, b""
        for (_, kind, line, type_, time, request_id, _, own), sequence in zip(records, self._sequence, strict=False):
            if request_id != last:
                last = request_id
                begun = self._key.begun(request_id, self._told(request_id) + of_phase)
            # No call for each record: it would cost as much as all else here.
            written = LINE % (len(line) - 1, line, begun if len(line) > 2 else begun[1:], sequence)
            if own is not None:
                written = extend(written, own)
            append(new(Record, (sequence, kind, written, type_, time, request_id, None, None)))
        return stamped

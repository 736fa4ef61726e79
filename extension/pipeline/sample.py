"""Sampling whole invocations: which are kept, and what waits until that is known. docs/decisions/0024 has the why."""

from __future__ import annotations

import itertools
from collections import deque
from typing import TYPE_CHECKING

from extension import lambda_key, lenient
from extension.pipeline.watch import REMEMBERED, invocation_of
from extension.records import RECORD_OVERHEAD_BYTES, Record

if TYPE_CHECKING:
    from collections.abc import Iterable

    from extension.pipeline.watch import Watch
    from extension.sampling import Sampling

CONTENT = Record._fields.index("content")
RATE, MEMORY = "rate", "memory"  # why a record was left out: for its invocation's sake, or for want of room


class Sampler:
    """Keeps the records of the invocations that are to be kept, and those of none, and counts the others.

    An invocation that the rate leaves out waits, in `max_bytes` of memory, until `watch` knows whether it is kept after
    all; where it is over the bound, the oldest records of the oldest invocation go first.
    """

    def __init__(self, sampling: Sampling, watch: Watch, max_bytes: int) -> None:
        self.held = 0
        self.left_out = {RATE: 0, MEMORY: 0}
        self._rate = b'"sampleRate":' + lenient.dumps(sampling.rate)
        self._slow_ms = sampling.slow_ms
        self._threshold = sampling.threshold
        self._watch = watch
        self._max_bytes = max_bytes
        self._sequence = itertools.count()
        self._bytes = 0
        self._waiting: dict[str, deque[Record]] = {}  # by request id; the oldest invocation is first
        self._lost: dict[str, int] = {}  # by request id: how many of its records were left out
        self._missing = 0  # how many were, of invocations that were kept and need not be looked at again

    @property
    def sampled_out(self) -> int:
        """Records that were left out, and are gone."""
        return sum(self.left_out.values())

    @property
    def left_out_of_kept(self) -> int:
        """How many of them are missing of invocations that were kept in the end: for want of room, or told too late."""
        return self._missing + sum(count for request_id, count in self._lost.items() if self._is_known_kept(request_id))

    @property
    def account(self) -> dict[str, object]:
        """For the ledger, beside how many were left out: by reason, how many of kept ones, and how many wait."""
        of_kept = self.left_out_of_kept
        return {"sampledOutBy": dict(self.left_out), "sampledOutOfKept": of_kept, "held": self.held}

    def __call__(self, records: Iterable[Record]) -> list[Record]:
        """What goes on now, in order; `watch` has seen these records before."""
        going = self.due()
        for request_id, together in itertools.groupby(records, invocation_of):
            keeps = self._keeps(request_id) if request_id else True
            if keeps:
                going += together
                if request_id in self._lost and self._is_known_kept(request_id):  # while that is known
                    self._missing += self._lost.pop(request_id)
            elif keeps is None:
                self._hold(request_id, together)
            else:
                self._leave_out(request_id, len(list(together)), RATE)
        return going

    def due(self) -> list[Record]:
        """What waited, and is to be kept as is known by now; what is known to be left out is gone."""
        going: list[Record] = []
        for request_id in list(self._waiting):
            keeps = self._keeps(request_id)
            if keeps is None:
                continue
            waited = self._waiting.pop(request_id)
            self.held -= len(waited)
            self._bytes -= sum(record.size for record in waited)
            if keeps:
                going += waited
                self._missing += self._lost.pop(request_id, 0)
            else:
                self._leave_out(request_id, len(waited), RATE)
        return going

    def flush(self) -> list[Record]:
        """The same: what is flushed waits for no sampler."""
        return self.due()

    def close(self) -> list[Record]:
        """The same, once the watch is closed."""
        return self.due()

    def rated(self, records: list[Record]) -> list[Record]:
        """The same records, stamped by now; those that stand for others say at which rate they were kept."""
        going: list[Record] = []
        new = tuple.__new__
        for request_id, together in itertools.groupby(records, invocation_of):
            if self._stands_for_others(request_id):
                going += [
                    new(Record, (sequence, kind, lambda_key.splice(line, self._rate), *rest))
                    for sequence, kind, line, *rest in together
                ]
            else:
                going += together
        return going

    def anew(self, records: Iterable[Record]) -> list[Record]:
        """What goes on now to one sink alone, of records that are stamped already; numbered for this sink."""
        going = self.rated(self(records))
        new = tuple.__new__
        return [new(Record, (at, *rest)) for (_, *rest), at in zip(going, self._sequence, strict=False)]

    def _keeps(self, request_id: str) -> bool | None:
        """Whether the records of an invocation are kept; None where that is not known yet."""
        invocation = self._watch.get(request_id)
        if invocation is None or invocation.is_telling(self._slow_ms):
            return True
        if invocation.randomness >= self._threshold and self._watch.is_drawn(invocation):
            return True
        return False if invocation.is_over else None

    def _is_known_kept(self, request_id: str) -> bool:
        return self._watch.get(request_id) is not None and self._keeps(request_id) is True

    def _stands_for_others(self, request_id: str) -> bool:
        """Whether an invocation that is kept is so by the rate alone."""
        invocation = self._watch.get(request_id)
        return invocation is not None and not invocation.is_telling(self._slow_ms)

    def _hold(self, request_id: str, records: Iterable[Record]) -> None:
        """Have records of an invocation wait, without what was parsed of them."""
        waiting, new = self._waiting.setdefault(request_id, deque()), tuple.__new__
        for record in records:
            size = len(record.line) + RECORD_OVERHEAD_BYTES
            if size > self._max_bytes:
                self._leave_out(request_id, 1, MEMORY)
                continue
            waiting.append(new(Record, (*record[:CONTENT], None, *record[CONTENT + 1 :])))
            self.held += 1
            self._bytes += size
        if not waiting:
            del self._waiting[request_id]
        while self._bytes > self._max_bytes:
            first, oldest = next(iter(self._waiting.items()))
            self._bytes -= oldest.popleft().size
            self.held -= 1
            if not oldest:
                del self._waiting[first]
            self._leave_out(first, 1, MEMORY)

    def _leave_out(self, request_id: str, count: int, reason: str) -> None:
        self.left_out[reason] += count
        self._lost[request_id] = self._lost.get(request_id, 0) + count
        if len(self._lost) > REMEMBERED:
            oldest = next(iter(self._lost))
            self._missing += self._lost[oldest] if self._is_known_kept(oldest) else 0
            del self._lost[oldest]

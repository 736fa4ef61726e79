"""The state machine of one sink's queue, against a model that knows of each record only where it is."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from extension.delivery.chunk import Chunk
from extension.delivery.disk import BLOCK_BYTES, Disk, File
from extension.delivery.queue import Forget, HandOff, Queue, Reload, Send, Spill, View, size_of
from extension.records import KINDS, Record
from extension.sinks import Failure, Limits, Outcome, Reply, Scope

if TYPE_CHECKING:
    from collections.abc import Sequence

    from extension.delivery.queue import Action
    from extension.records import Batch

MAX_BYTES = 8_000
MAX_DISK = 20_000  # not quite five blocks
LIMITS = Limits(records=6, bytes=2_000, record_bytes=900, overhead=1)


class OneQueue(RuleBasedStateMachine):
    """Does what the queue asks for, in any order, with any result."""

    def __init__(self) -> None:
        super().__init__()
        self.sequence = itertools.count()
        self.offered: set[int] = set()
        self.restored = 0
        self.excluded = self.delivered = 0
        self.handed_off: list[int] = []
        self.sending: Batch | None = None
        self.spilling: Sequence[Record] | None = None
        self.reloading: File | None = None
        self.on_disk: dict[str, list[Record]] = {}
        self.files = itertools.count()
        self.disk = Disk(MAX_DISK)

    @rule(has_fallback=st.booleans(), excludes=st.booleans(), restored=st.integers(0, 3), read=st.booleans())
    @precondition(lambda self: not hasattr(self, "queue"))
    def open(self, *, has_fallback: bool, excludes: bool, restored: int, read: bool) -> None:
        ids = itertools.count()
        self.queue = Queue(
            MAX_BYTES,
            LIMITS,
            self.disk,
            lambda: f"e-{next(ids)}",
            excluded_kinds={"extension"} if excludes else (),
            has_fallback=has_fallback,
        )
        self.has_fallback = has_fallback
        self.excludes = excludes
        files = []
        for _ in range(restored):
            records = [self._record(size, "function") for size in (50, 60)]
            self.offered |= {record.sequence for record in records}
            files.append(self._write(records))
        self.queue.restore(files)
        self.restored = 2 * restored
        if read and restored:  # or few runs would come to where a record is in a file and in memory as well
            self._do(self.queue.plan(View(ready=False, reload=True)))
            self._do(self.queue.reloaded(self.on_disk[files[0].name]))
            self.reloading = None

    @rule(
        sizes=st.lists(st.integers(20, 1_200), min_size=1, max_size=12),
        kinds=st.lists(st.sampled_from([*KINDS, "other"]), min_size=12, max_size=12),
    )
    @precondition(lambda self: hasattr(self, "queue"))
    def offer(self, sizes: list[int], kinds: list[str]) -> None:
        records = [self._record(size, kind) for size, kind in zip(sizes, kinds, strict=False)]
        self.excluded += sum(self.excludes and record.kind == "extension" for record in records)
        self.offered |= {record.sequence for record in records if not (self.excludes and record.kind == "extension")}
        self._do(self.queue.offer(Chunk(records, 0.0)))

    @rule()
    @precondition(lambda self: hasattr(self, "queue"))
    def flush_soon(self) -> None:
        self.queue.flush_soon()

    @rule(
        view=st.builds(
            View,
            ready=st.booleans(),
            reload=st.booleans(),
            fallback_room=st.sampled_from([0, 500, 50_000]),
            hands_off=st.booleans(),
            needed_room=st.sampled_from([0, 2_000, MAX_BYTES]),
            closing=st.booleans(),
            may_write=st.booleans(),
            asks_again=st.booleans(),
        )
    )
    @precondition(lambda self: hasattr(self, "queue"))
    def plan(self, view: View) -> None:
        if not self.has_fallback:
            view = view._replace(fallback_room=0, hands_off=False)
        actions = self.queue.plan(view)
        # Else the loop, which waits for such room when there is nothing to do, would spin.
        assert actions or not 0 < self.queue.wanted_room(view) <= view.fallback_room
        self._do(actions)

    @rule(
        reply=st.one_of(
            st.sampled_from(
                [Reply(outcome) for outcome in (Outcome.RETRY, Outcome.THROTTLED, Outcome.DOWN, Outcome.TAKEN)]
            ),
            st.sampled_from([Reply(Outcome.REQUEST_REFUSED, "no", scope=scope) for scope in Scope]),
        ),
        failed=st.dictionaries(st.integers(0, 5), st.sampled_from([Outcome.RETRY, Outcome.RECORD_REFUSED])),
    )
    @precondition(lambda self: getattr(self, "sending", None) is not None)
    def sent(self, reply: Reply, failed: dict[int, Outcome]) -> None:
        batch, self.sending = self.sending, None
        assert batch is not None
        failures = [Failure(at, "why", outcome) for at, outcome in failed.items() if at < len(batch.records)]
        if reply.outcome is Outcome.TAKEN:
            reply = reply._replace(failures=failures)
            self.delivered += len(batch.records) - len(failures)
        self._do(self.queue.sent(batch, reply))

    @rule(max_bytes=st.sampled_from([500, MAX_BYTES]))
    @precondition(lambda self: hasattr(self, "queue") and self.reloading is None)
    def spill(self, max_bytes: int) -> None:
        self._do(self.queue.spill(max_bytes))

    @rule(succeeds=st.booleans())
    @precondition(lambda self: getattr(self, "spilling", None) is not None)
    def spilled(self, *, succeeds: bool) -> None:
        records, self.spilling = self.spilling, None
        assert records is not None
        self._do(self.queue.spilled(self._write(records) if succeeds else None))

    @rule(readable=st.sampled_from(["all", "some", "none"]))
    @precondition(lambda self: getattr(self, "reloading", None) is not None)
    def reloaded(self, readable: str) -> None:
        file, self.reloading = self.reloading, None
        assert file is not None
        records = self.on_disk[file.name]
        kept = {"all": records, "some": records[:1], "none": []}[readable]
        renumbered = [record._replace(sequence=file.first_sequence + at) for at, record in enumerate(kept)]
        self._do(self.queue.reloaded(renumbered))

    @rule()
    @precondition(lambda self: self.sending is not None)
    def abandon(self) -> None:
        self.queue.abandon()
        self.sending = None

    @rule()
    @precondition(lambda self: hasattr(self, "queue"))
    def recover(self) -> None:
        self.queue.recover()
        self.sending = self.spilling = self.reloading = None

    @rule()
    @precondition(lambda self: hasattr(self, "queue") and self.has_fallback)
    def hand_off(self) -> None:
        self._do(self.queue.hand_off_oldest(700, "SHUTDOWN"))

    @rule()
    @precondition(lambda self: hasattr(self, "queue") and self.sending is None and self.spilling is None)
    def refuse(self) -> None:
        self._do(self.queue.refuse("cannot be opened"))

    @rule(keep_disk=st.booleans(), succeeds=st.booleans())
    @precondition(lambda self: hasattr(self, "queue") and self.reloading is None)
    def end(self, *, keep_disk: bool, succeeds: bool) -> None:
        self.queue.abandon()
        self.sending = None
        if keep_disk:
            self.queue.leave_on_disk()
            self.balanced()
        if self.spilling is not None:
            self.spilled(succeeds=succeeds)
        self.queue.drop_waiting("SHUTDOWN")
        if not keep_disk:
            self.queue.drop_spooled("SHUTDOWN")
        assert self.queue.pending == self.queue.spooled
        assert keep_disk or self.queue.pending == 0
        self.balanced()
        del self.queue
        self.__init__()  # type: ignore[misc] # a fresh environment, in the same run

    @invariant()
    def balanced(self) -> None:
        """Each record that came is in one place, or has ended in one way."""
        if not hasattr(self, "queue"):
            return
        queue = self.queue
        ended = queue.delivered + queue.fell_back + sum(queue.dropped.values())
        assert len(self.offered) == ended + queue.pending
        assert (queue.delivered, queue.fell_back, queue.excluded) == (
            self.delivered,
            len(self.handed_off),
            self.excluded,
        )
        assert queue.restored == self.restored
        assert not (self.has_fallback and set(queue.dropped) - {"not readable on disk", "SHUTDOWN"})

    @invariant()
    def bounded(self) -> None:
        """Memory is what the records in it cost, and within its bound; so is the disk."""
        if not hasattr(self, "queue"):
            return
        queue = self.queue
        waiting = [record for chunk in queue._waiting for record in chunk.records]
        held = [*waiting, *(queue._in_flight.records if queue._in_flight else ()), *(self.spilling or ())]
        assert queue.memory == size_of(held) + (self.reloading.memory if self.reloading else 0)
        assert queue.memory <= MAX_BYTES
        assert queue._count == len(waiting)
        assert queue._line_bytes == sum(len(record.line) for record in waiting)
        sequences = [record.sequence for record in waiting]
        assert sequences == sorted(set(sequences))
        assert len({record.sequence for record in held}) == len(held)
        assert self.disk.used <= MAX_DISK + 3 * BLOCK_BYTES  # what was restored may be above the bound
        assert queue.is_flushed(queue._newest) == (queue.pending == 0)

    def _record(self, size: int, kind: str) -> Record:
        return Record(next(self.sequence), kind, b"x" * size)

    def _write(self, records: Sequence[Record]) -> File:
        size = sum(len(record.line) + 1 for record in records)
        file = File(f"{next(self.files)}", records[0].sequence, len(records), size, size_of(records), 0.0)
        self.on_disk[file.name] = list(records)
        return file

    def _do(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Send(batch):
                    assert self.sending is None
                    assert len(batch.records) <= LIMITS.records
                    assert all(len(record.line) <= LIMITS.record_bytes for record in batch.records)
                    self.sending = batch
                case Spill(records):
                    assert self.spilling is None
                    assert self.reloading is None
                    self.spilling = records
                case Reload(file):
                    assert self.spilling is None
                    assert self.reloading is None
                    self.reloading = file
                case Forget(file):
                    del self.on_disk[file.name]
                case HandOff(records):
                    assert self.has_fallback
                    self.handed_off += [record.sequence for record in records]


TestOneQueue = OneQueue.TestCase
TestOneQueue.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)

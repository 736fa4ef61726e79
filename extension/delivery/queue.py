"""What waits for one sink, is on its way to it, or is on disk: the state of one sink's records. Pure: no I/O, no clock.

Each step takes what has happened and returns what is to be done about it; delivery.py does it. Every record that was
offered is in exactly one place until it ends as delivered, handed off or dropped, and the ledger is a function of this
state. docs/architecture.md has the table of states and transitions.
"""

from __future__ import annotations

from collections import deque
from itertools import accumulate, islice
from typing import TYPE_CHECKING, NamedTuple

from extension.delivery.batch_size import BatchSize
from extension.delivery.chunk import Chunk
from extension.records import BODY_KINDS, HAND_OFF_BYTES, RECORD_OVERHEAD_BYTES, Batch
from extension.sinks import Outcome, Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from extension.delivery.disk import Disk, File
    from extension.records import Record
    from extension.sinks import Failure, Limits, Reply

# Evicted in this order when memory runs out: a function's own lines are the last to go, and just before them metrics,
# since a sum lacks what is lost of it for good; a total lacks nothing when the next one comes. What the function
# exports is its own as well: of that traces go first, since they are what is sampled.
EVICTION_ORDER = (
    *("extension", "platform", "total", "span", "other", "metric"),
    *("otlp-traces", "otlp-metrics", "otlp-logs", "health", "function"),
)

FULL_SHARE = 0.25  # of the bound in use: above it a batch is sent although nobody asked for it
CROWDED_SHARE = 0.5  # of the bound in use: above it the oldest records of an unhealthy sink go to disk or the fallback
PRESSED_SHARE = 0.75  # of the bound in use: above it those of a healthy sink go to disk, and reading waits for room
ROOMY_SHARE = 0.25  # of the bound in use: below it records come back from disk
MOVE_BYTES = 2 << 20  # written or read at once, at most: meanwhile it takes as much memory again
UNKNOWN = frozenset({Outcome.RETRY, Outcome.THROTTLED, Outcome.DOWN})  # the batch is to be sent again as it is


class Send(NamedTuple):
    """Give the batch to the sink, then say so by `sent`."""

    batch: Batch


class Spill(NamedTuple):
    """Write the records to disk, then say so by `spilled`."""

    records: Sequence[Record]


class Reload(NamedTuple):
    """Read the file from disk, then say so by `reloaded`."""

    file: File


class Forget(NamedTuple):
    """Delete the file: the last of its records has come to its end."""

    file: File


class HandOff(NamedTuple):
    """Offer the records to the fallback: this sink will not get them."""

    records: Sequence[Record]
    reason: str


Action = Send | Spill | Reload | Forget | HandOff


class View(NamedTuple):
    """What a queue has to know of the world to decide what is next.

    `ready`: the sink may be tried now. `reload`: what is on disk may come back. `fallback_room`: bytes that the
    fallback takes. `hands_off`: what is not refused may go there as well, since this sink is unhealthy. `needed_room`:
    bytes that must be free before more can be read. `closing`: SHUTDOWN, when nothing waits for company. `may_write`:
    what is to move to disk may be written. `asks_again`: what was refused may be sent once more, since the fallback is
    unhealthy too.
    """

    ready: bool
    reload: bool
    fallback_room: int = 0
    hands_off: bool = False
    needed_room: int = 0
    closing: bool = False
    may_write: bool = True
    asks_again: bool = False


class Queue:
    """The records of one sink. Memory is bounded by `max_bytes`; those on disk by `disk`, which all sinks share.

    `batch_id` gives each batch its own. What the sink refuses goes to the fallback; without one it is dropped.
    """

    def __init__(
        self,
        max_bytes: int,
        limits: Limits,
        disk: Disk,
        batch_id: Callable[[], str],
        *,
        excluded_kinds: Collection[str] = (),
        has_fallback: bool = False,
    ) -> None:
        self.max_bytes = max_bytes
        self.memory = 0
        self.excluded = self.restored = self.delivered = self.fell_back = 0
        self.dropped: dict[str, int] = {}
        self.limits = limits
        self._size = BatchSize(limits)
        self._disk = disk
        self._batch_id = batch_id
        self._excluded_kinds = frozenset(excluded_kinds)
        self._has_fallback = has_fallback
        self._waiting: deque[Chunk] = deque()
        self._count = self._line_bytes = 0  # of what waits
        self._in_flight: Batch | None = None
        self._in_flight_arrived = 0.0
        self._sending = False  # else the batch in flight waits to be tried again
        self._spilling: Chunk | None = None
        self._files: deque[File] = deque()  # oldest first
        self._reloading: File | None = None
        self._reloaded: dict[File, set[int]] = {}  # files whose records are back in memory, with those not ended
        self._refusal = ""  # why the sink will never take anything
        self._refused_reason = ""  # why records up to this sequence go to the fallback, as it has room for them
        self._refused_newest = -1
        self._newest = self._goal = -1  # sequences: the newest here; records up to the goal are to be sent now

    # What it holds

    @property
    def fill_ratio(self) -> float:
        """Used memory as a share of the bound."""
        return self.memory / self.max_bytes

    @property
    def room(self) -> int:
        """Bytes of memory that may still be used before records have to go."""
        return max(0, self.max_bytes - self.memory)

    def takes(self, kind: str) -> bool:
        """Whether records of this kind are for this sink."""
        return kind not in self._excluded_kinds

    @property
    def is_refused(self) -> bool:
        """Whether the sink will never take anything."""
        return bool(self._refusal)

    @property
    def is_spilling(self) -> bool:
        """Whether records are on their way to disk."""
        return self._spilling is not None

    @property
    def spooled(self) -> int:
        """Records on disk and nowhere else."""
        return sum(file.records for file in self._files) + (self._reloading.records if self._reloading else 0)

    @property
    def pending(self) -> int:
        """Records whose end is not known."""
        in_flight = len(self._in_flight.records) if self._in_flight else 0
        return self._count + in_flight + (len(self._spilling.records) if self._spilling else 0) + self.spooled

    @property
    def oldest_arrival(self) -> float | None:
        """When the oldest record came whose end is not known, by the forwarder's clock; None if there is none."""
        arrivals = [chunk.arrived for chunk in (*islice(self._waiting, 1), *filter(None, [self._spilling]))]
        arrivals += [self._in_flight_arrived] if self._in_flight else []
        arrivals += [file.arrived for file in (*islice(self._files, 1), *filter(None, [self._reloading]))]
        return min(arrivals, default=None)

    @property
    def account(self) -> dict[str, object]:
        """The ledger's entry: what became of every record."""
        return {
            "delivered": self.delivered,
            "fellBack": self.fell_back,
            "excluded": self.excluded,
            "restored": self.restored,
            "dropped": dict(self.dropped),
            "pending": self.pending,
            "spooled": self.spooled,
        }

    # What comes in

    def offer(self, chunk: Chunk) -> list[Action]:
        """Take new records, younger than all that are here. What has to make room for them is handed off or dropped."""
        if self._excluded_kinds & chunk.kinds:
            kept = [record for record in chunk.records if record.kind not in self._excluded_kinds]
            self.excluded += len(chunk.records) - len(kept)
            if not kept:
                return []
            chunk = Chunk(kept, chunk.arrived)
        self._newest = max(self._newest, chunk.records[-1].sequence)
        self.memory += chunk.size
        actions: list[Action] = []
        if chunk.longest + RECORD_OVERHEAD_BYTES > self.max_bytes:
            giants = [record for record in chunk.records if record.size > self.max_bytes]
            actions += self._hand_off(giants, f"larger than the queue's bound of {self.max_bytes} bytes")
            kept = [record for record in chunk.records if record.size <= self.max_bytes]
            if not kept:
                return actions
            chunk = Chunk(kept, chunk.arrived)
        self._waiting.append(chunk)
        self._count += len(chunk.records)
        self._line_bytes += chunk.line_bytes
        return actions + (self.refuse(self._refusal) if self._refusal else self._make_room())

    def set_limits(self, limits: Limits) -> None:
        """The sink is open: this is what it takes."""
        self.limits = limits
        self._size = BatchSize(limits)

    def exclude(self, kinds: Collection[str]) -> list[Action]:
        """What the sink does not take is known only now; what waits of it already goes as if it had never come."""
        self._excluded_kinds = frozenset(kinds)
        arrived = self._waiting[0].arrived if self._waiting else 0.0
        waiting = self._pop(self._count, self.memory, 0)
        kept = [record for record in waiting if record.kind not in self._excluded_kinds]
        gone = [record for record in waiting if record.kind in self._excluded_kinds]
        self.excluded += len(gone)
        self.memory -= size_of(gone)
        self._put_back(kept, arrived)
        return self._ended(gone)

    def refuse(self, reason: str) -> list[Action]:
        """The sink will never take anything: hand off or drop what waits, now and from here on."""
        self._refusal = reason
        return self._hand_off(self._pop(self._count, self.memory, RECORD_OVERHEAD_BYTES), reason)

    def restore(self, files: Sequence[File]) -> None:
        """Take over what an earlier process of this environment left on disk; it is older than all that is here."""
        self._files.extendleft(reversed(files))
        self._newest = max([self._newest, *(file.first_sequence + file.records - 1 for file in files)])
        self.restored += sum(file.records for file in files)
        for file in files:
            self._disk.reserve(file.size)

    def flush_soon(self) -> int:
        """Have all that is here sent; the goal that comes back is for `is_flushed`."""
        self._goal = max(self._goal, self._newest)
        return self._goal

    def is_flushed(self, goal: int) -> bool:
        """Whether every record up to the goal has come to its end."""
        heads = [chunk.first_sequence for chunk in (*islice(self._waiting, 1), *filter(None, [self._spilling]))]
        heads += [self._in_flight.records[0].sequence] if self._in_flight else []
        heads += [file.first_sequence for file in (*self._files, *filter(None, [self._reloading]))]
        return min(heads, default=goal + 1) > goal

    # What is to be done

    def plan(self, view: View) -> list[Action]:
        """What is to begin now: a send, and a move between memory and disk. Each is in progress from here on."""
        if view.hands_off and not self._sending and self._is_crowded(view):
            self.abandon()  # what waits to be tried again can go as well
        actions = self._plan_refused(view) if self._refused_reason else []
        if self._spilling is None and self._reloading is None:
            actions += self._plan_move(view)
        if view.ready and not self._sending and not self._refused_reason:
            actions += self._plan_send(at_once=view.closing or self.room < view.needed_room)
        return actions

    def _plan_send(self, *, at_once: bool) -> list[Action]:
        refused: list[Action] = []
        while self._in_flight is None and self._waiting and (at_once or self._is_due()):
            arrived = self._waiting[0].arrived
            records = self._pop(*self._size.next(), self.limits.overhead) or self._pop_first()
            longest = self.limits.record_bytes
            fitting = [record for record in records if len(record.line) <= longest]
            if len(fitting) < len(records):
                oversize = [record for record in records if len(record.line) > longest]
                refused += self._hand_off(oversize, f"longer than {longest} bytes")
            if fitting:
                self._in_flight, self._in_flight_arrived = Batch(self._batch_id(), fitting), arrived
        if self._in_flight is None:
            return refused
        self._sending = True
        return [*refused, Send(self._in_flight)]

    def wanted_room(self, view: View) -> int:
        """Bytes that the fallback must have free for a plan to hand off the next record; 0 where none is to be."""
        if not self._waiting:
            return 0
        wanted = min(self._waiting[0].records[0].handed_size, self.max_bytes)
        if self._refused_reason:
            return wanted
        moves = view.hands_off and self._is_crowded(view) and not self._spilling and not self._reloading
        return wanted if moves else 0

    @property
    def _part(self) -> int:
        """Bytes that are moved at once: a record, or not so many that what comes back from disk goes out again."""
        one = self._waiting[0].records[0].handed_size if self._waiting else 0
        return max(one, min(MOVE_BYTES, self.max_bytes // 4))

    def _plan_refused(self, view: View) -> list[Action]:
        """Hand off what the sink has refused, as far as there is room; where there is none, ask again in time."""
        count = 0
        for chunk in self._waiting:
            if chunk.first_sequence > self._refused_newest:
                break
            count += sum(record.sequence <= self._refused_newest for record in chunk.records)
        reason = self._refused_reason
        going = self._pop_for_fallback(count, view.fallback_room, view.fallback_room)
        if len(going) == count or (not going and view.asks_again):
            self._refused_reason = ""
        return self._hand_off(going, reason)

    def _plan_move(self, view: View) -> list[Action]:
        if self._files and view.reload and self.fill_ratio < ROOMY_SHARE:
            return self._reload_oldest()
        if not self._is_crowded(view):
            return []
        going = self._pop_for_fallback(self._count, view.fallback_room, self._part) if view.hands_off else []
        if going or not view.may_write:
            return self._hand_off(going, "not taken in time")
        return self._plan_spill(view)

    def _plan_spill(self, view: View) -> list[Action]:
        """Move a part to disk; less than that, which makes a small file, only where memory is about to run out."""
        if self._line_bytes + self._count * RECORD_OVERHEAD_BYTES < self._part:
            if self.fill_ratio <= PRESSED_SHARE and self.room >= view.needed_room:
                return []
            if self._disk.room and not view.reload and not self._sending:
                self.abandon()  # the batch that waits to be tried again takes most of the memory
        return self.spill(self._part)

    def _is_crowded(self, view: View) -> bool:
        """Whether records are to move out of memory; at SHUTDOWN others say when."""
        if view.closing:
            return False
        if view.reload:
            return self.fill_ratio > PRESSED_SHARE
        return self.fill_ratio > CROWDED_SHARE or self.room < view.needed_room

    def _reload_oldest(self) -> list[Action]:
        if self._files[0].memory > self.room and self.memory:
            return []
        self._reloading = self._files.popleft()
        self.memory += self._reloading.memory
        return [Reload(self._reloading)]

    def spill_what_fits(self) -> list[Action]:
        """At the end move a part of what waits to disk; records that are too large for it stop no other."""
        behind: list[Record] = []
        arrived = 0.0
        if self._waiting and self._waiting[0].records[0].size > self._disk.room:
            arrived, room = self._waiting[0].arrived, self._disk.room
            waiting = self._pop(self._count, self.memory, 0)
            behind = [record for record in waiting if record.size > room]
            self._put_back([record for record in waiting if record.size <= room], arrived)
        actions = self.spill(max(self._part, MOVE_BYTES))
        self._put_back(behind, arrived)
        return actions

    def spill(self, max_bytes: int) -> list[Action]:
        """Move the oldest records that wait to disk, as far as there is room on it."""
        if self._spilling is not None or not self._waiting:
            return []
        arrived = self._waiting[0].arrived
        records = self._pop(self._count, min(max_bytes, self._disk.room), RECORD_OVERHEAD_BYTES)
        if not records:
            return []
        self._spilling = Chunk(records, arrived)
        self._disk.reserve(self._spilling.size)
        return [Spill(records)]

    def hand_off_oldest(self, room: int, reason: str) -> list[Action]:
        """Hand off the oldest records that wait, as many as fit into so much memory of the fallback's."""
        return self._hand_off(self._pop_for_fallback(self._count, room, room), reason)

    # What became of it

    def is_sending(self, batch: Batch) -> bool:
        """Whether the batch is on its way, and its answer waited for."""
        return self._in_flight is batch and self._sending

    def sent(self, batch: Batch, reply: Reply) -> list[Action]:
        """What the sink said to a batch. A reply to a batch that was abandoned changes nothing."""
        if self._in_flight is not batch:
            return []
        self._sending = False
        if reply.outcome in UNKNOWN:
            return []  # it stays in flight: the very same batch is sent again, so that a store can tell
        self._in_flight = None
        if reply.outcome is Outcome.TAKEN:
            return self._taken(batch.records, reply.failures)
        return self._refused(batch.records, reply)

    def spilled(self, file: File | None) -> list[Action]:
        """The records are in the file, or could not be written: then they wait again."""
        chunk, self._spilling = self._spilling, None
        assert chunk is not None
        self._disk.release(chunk.size)
        if file is None:
            self._put_back(chunk.records, chunk.arrived)
            return []
        self._disk.reserve(file.size)
        self.memory -= chunk.size
        self._files.append(file._replace(arrived=chunk.arrived))
        return self._ended(chunk.records)  # of an older file, if they had been on disk before

    def reloaded(self, records: Sequence[Record]) -> list[Action]:
        """The file's records are back; what of it could not be read is lost, and counted."""
        file, self._reloading = self._reloading, None
        assert file is not None
        self.memory -= file.memory
        self._drop(file.records - len(records), "not readable on disk")
        taken = [record for record in records if record.kind not in self._excluded_kinds]  # which may be new
        self.excluded += len(records) - len(taken)
        records = taken
        if not records:
            self._disk.release(file.size)
            return [Forget(file)]
        self._reloaded[file] = {record.sequence for record in records}
        self.memory += size_of(records)
        self._newest = max(self._newest, records[-1].sequence)
        self._put_back(records, file.arrived)
        return self._make_room()

    # The end

    def abandon(self) -> None:
        """Wait for the send no longer: its records wait again, and may arrive twice."""
        if self._in_flight is not None:
            batch, self._in_flight, self._sending = self._in_flight, None, False
            self._put_back(batch.records, self._in_flight_arrived)

    def recover(self) -> None:
        """The loop that does what this queue says begins anew: nothing is in progress."""
        self.abandon()
        if self._spilling is not None:
            self.spilled(None)
        if self._reloading is not None:
            file, self._reloading = self._reloading, None
            self.memory -= file.memory
            self._files.appendleft(file)

    def leave_on_disk(self) -> None:
        """What is in memory and on disk as well stays there for the next process; what is being written goes on."""
        writing = {record.sequence for record in self._spilling.records} if self._spilling else set()
        here = {file: sequences - writing for file, sequences in self._reloaded.items()}
        held = {sequence for sequences in here.values() for sequence in sequences}
        if not held:
            return
        left = [record for chunk in self._waiting for record in chunk.records]
        self._files.extend(file._replace(records=len(sequences)) for file, sequences in here.items() if sequences)
        self._reloaded = {file: self._reloaded[file] for file, sequences in here.items() if not sequences}
        self._waiting.clear()
        self._count = self._line_bytes = 0
        self.memory -= size_of([record for record in left if record.sequence in held])
        self._put_back([record for record in left if record.sequence not in held], 0.0)

    def drop_waiting(self, reason: str) -> None:
        """Count what is left in memory as dropped."""
        self.abandon()
        self._drop(self._count, reason)
        self.memory -= self._line_bytes + self._count * RECORD_OVERHEAD_BYTES
        self._waiting.clear()
        self._count = self._line_bytes = 0

    def drop_spooled(self, reason: str) -> None:
        """Count what is left on disk as dropped: the disk goes with the environment."""
        self._drop(self.spooled, reason)
        self._files.clear()
        self._reloading = None

    # Inside

    def _is_due(self) -> bool:
        if self._reloading is not None and self._reloading.first_sequence < self._waiting[0].first_sequence:
            return False  # the older ones first
        if self._waiting[0].first_sequence <= self._goal or self.fill_ratio >= FULL_SHARE:
            return True
        most, max_bytes = self._size.next()
        return self._count >= most or self._line_bytes + self._count * self.limits.overhead >= max_bytes

    def _taken(self, records: Sequence[Record], failures: Sequence[Failure]) -> list[Action]:
        failed = {failure.position: failure for failure in failures}
        done = [record for position, record in enumerate(records) if position not in failed] if failed else records
        self._size.taken(len(records), line_bytes(records) + len(records) * self.limits.overhead)
        self.delivered += len(done)
        self.memory -= size_of(done)
        actions = self._ended(done)
        again = [records[at] for at, failure in sorted(failed.items()) if failure.outcome is Outcome.RETRY]
        refused: dict[str, list[Record]] = {}
        for at, failure in sorted(failed.items()):
            if failure.outcome is not Outcome.RETRY:
                refused.setdefault(failure.reason, []).append(records[at])
        for reason, group in refused.items():
            actions += self._hand_off(group, reason)
        self._put_back(again, self._in_flight_arrived)
        return actions

    def _refused(self, records: Sequence[Record], reply: Reply) -> list[Action]:
        """Try in parts what may be taken in part, later what may be taken later; hand off or drop the rest."""
        if reply.scope is Scope.EVERYTHING:
            again = not self._has_fallback
        elif reply.scope is Scope.BATCH:
            again = False
        else:
            size = line_bytes(records) + len(records) * self.limits.overhead
            again = self._size.refused(len(records), size, too_large=reply.scope is Scope.SIZE)
        if not again and (not self._has_fallback or len(records) == 1):
            return self._hand_off(records, reply.reason)
        if not again:
            self._refused_reason, self._refused_newest = reply.reason, records[-1].sequence
        self._put_back(records, self._in_flight_arrived)
        return []

    def _hand_off(self, records: Sequence[Record], reason: str) -> list[Action]:
        """Records, in no place any more, that this sink will not get: to the fallback, or dropped and counted."""
        if not records:
            return []
        self.memory -= size_of(records)
        actions = self._ended(records)
        if self._has_fallback:
            self.fell_back += len(records)
            actions.append(HandOff(records, reason))
        else:
            self._drop(len(records), reason)
        return actions

    def _make_room(self) -> list[Action]:
        """Hand off or drop the oldest records of the least important kind until memory is within its bound."""
        evicted: list[Record] = []
        excess = self.memory - self.max_bytes
        for kind in EVICTION_ORDER if excess > 0 else ():
            at = 0
            while excess > 0 and at < len(self._waiting):
                chunk = self._waiting[at]
                if kind not in chunk.kinds:
                    at += 1
                    continue
                gone, kept = chunk.without(kind, excess)
                evicted += gone
                excess -= size_of(gone)
                self._count -= len(gone)
                self._line_bytes -= sum(len(record.line) for record in gone)
                if kept:
                    self._waiting[at] = Chunk(kept, chunk.arrived)
                    at += 1
                else:
                    del self._waiting[at]
        return self._hand_off(evicted, "queue full")

    def _pop(self, most: int, max_bytes: int, overhead: int) -> list[Record]:
        """The oldest records that wait and fit, each counted with `overhead`. They stay in `memory`."""
        taken: list[Record] = []
        while self._waiting and most > len(taken):
            chunk = self._waiting[0]
            size = chunk.line_bytes + len(chunk.records) * overhead
            if len(chunk.records) > most - len(taken) or size > max_bytes:
                part = chunk.records[: chunk.fitting(most - len(taken), max_bytes, overhead)]
                if part:
                    self._waiting[0] = Chunk(chunk.records[len(part) :], chunk.arrived)
                    self._line_bytes -= line_bytes(part)
                    taken += part
                break
            taken += chunk.records
            max_bytes -= size
            self._line_bytes -= chunk.line_bytes
            self._waiting.popleft()
        self._count -= len(taken)
        return taken

    def _pop_for_fallback(self, most: int, room: int, max_bytes: int) -> list[Record]:
        """As many of the oldest records as fit into `max_bytes` of the `room` of the fallback.

        One that no room is enough for goes as well: there it is told why it is lost.
        """
        arrived = self._waiting[0].arrived if self._waiting else 0.0
        going = self._pop(most, min(room, max_bytes), RECORD_OVERHEAD_BYTES + HAND_OFF_BYTES)
        if any(record.kind in BODY_KINDS for record in going):  # as text they are longer
            sizes = accumulate(record.handed_size for record in going)
            fitting = sum(size <= min(room, max_bytes) for size in sizes)
            self._put_back(going[fitting:], arrived)
            del going[fitting:]
        return going or (self._pop_first() if most and room >= self.max_bytes else [])

    def _pop_first(self) -> list[Record]:
        return self._pop(1, self.memory, 0)

    def _put_back(self, records: Sequence[Record], arrived: float) -> None:
        """Records that have a place in `memory` already wait again, in order."""
        if not records:
            return
        self._count += len(records)
        self._line_bytes += line_bytes(records)
        if self._waiting and self._waiting[0].first_sequence < records[-1].sequence:
            arrived = min(arrived, self._waiting[0].arrived)
            waiting = [record for chunk in self._waiting for record in chunk.records]
            records = sorted([*records, *waiting], key=lambda record: record.sequence)
            self._waiting.clear()
        self._waiting.appendleft(Chunk(records, arrived))

    def _ended(self, records: Sequence[Record]) -> list[Action]:
        """The files whose last record has come to its end: until then the process may be killed, and needs them."""
        if not self._reloaded:
            return []
        ended = {record.sequence for record in records}
        for sequences in self._reloaded.values():
            sequences.difference_update(ended)
        done = [file for file, sequences in self._reloaded.items() if not sequences]
        for file in done:
            del self._reloaded[file]
            self._disk.release(file.size)
        return [Forget(file) for file in done]

    def _drop(self, count: int, reason: str) -> None:
        if count:
            self.dropped[reason] = self.dropped.get(reason, 0) + count


def size_of(records: Sequence[Record]) -> int:
    """Bytes of memory that the records cost."""
    return line_bytes(records) + len(records) * RECORD_OVERHEAD_BYTES


def line_bytes(records: Sequence[Record]) -> int:
    """Bytes of their lines."""
    return sum([len(record.line) for record in records])  # a list takes half of a generator's time

"""Cutting a batch into the entries and requests that a service takes. Pure, but for the clock of send_each."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from extension.sinks import Failure, Outcome, Refused, Throttled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

T = TypeVar("T")


class Entry(NamedTuple):
    """What a service takes as one record or message: the lines of some records, and their positions in the batch."""

    positions: range
    data: bytes

    def failures(self, reason: str, outcome: Outcome = Outcome.RETRY) -> list[Failure]:
        """That none of these records was taken."""
        return [Failure(position, reason, outcome) for position in self.positions]


def single(lines: Sequence[bytes]) -> list[Entry]:
    """One entry for each line, which ends in a newline."""
    return [Entry(range(position, position + 1), line + b"\n") for position, line in enumerate(lines)]


def packed(lines: Sequence[bytes], max_bytes: int) -> list[Entry]:
    """As many lines in each entry as fit into `max_bytes`, each line ended by a newline."""
    entries = []
    start = 0
    for span in spans([len(line) + 1 for line in lines], len(lines), max_bytes):
        entries.append(Entry(range(start, start + span), b"\n".join(lines[start : start + span]) + b"\n"))
        start += span
    return entries


def requests(entries: Sequence[Entry], most: int, max_bytes: int) -> Iterator[Sequence[Entry]]:
    """Entries in order, at most so many and so many bytes in a request."""
    start = 0
    for span in spans([len(entry.data) for entry in entries], most, max_bytes):
        yield entries[start : start + span]
        start += span


def spans(sizes: Iterable[int], most: int, max_bytes: int) -> Iterator[int]:
    """How many items go together, one number after the other; an item larger than `max_bytes` goes alone."""
    count = total = 0
    for size in sizes:
        if count and (count == most or total + size > max_bytes):
            yield count
            count = total = 0
        count += 1
        total += size
    if count:
        yield count


def send_each(
    parts: Iterable[Sequence[T]],
    send: Callable[[Sequence[T], float], Iterable[Failure]],
    fail: Callable[[T, str], Iterable[Failure]],
    timeout_s: float,
    clock: Callable[[], float] = time.monotonic,
) -> list[Failure]:
    """Send one request after the other, all inside `timeout_s`; the records that were not taken.

    A request that would not be done in time, going by the slowest so far, is not begun: left hanging, the whole batch
    would be sent again, with all that was taken.

    What the first request raises is raised. What a later one raises only fails its records, to be sent again: some were
    taken, so the batch as a whole must not be. After two failures in a row, or one that is AWS's own word, the rest
    fails too.
    """
    now = clock()
    deadline = now + timeout_s
    failures: list[Failure] = []
    reason, in_a_row, slowest_s = "no time left", 0, 0.0
    for number, part in enumerate(parts):
        began, now = now, clock()
        slowest_s = max(slowest_s, now - began)
        if in_a_row < 2 and (number == 0 or now + slowest_s < deadline):
            try:
                failures += send(part, deadline - now)
                in_a_row = 0
                continue
            except Exception as error:
                if number == 0:
                    raise
                reason = str(error)
                in_a_row += 2 if isinstance(error, (Throttled, Refused)) else 1
        failures += [failure for item in part for failure in fail(item, reason)]
    return failures

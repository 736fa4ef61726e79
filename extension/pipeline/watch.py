"""What the stream says of each invocation that decides whether a sampler keeps it. It keeps no record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from extension import reading, sampling
from extension.records import LONGEST_INVOCATION_S, PRINTED, is_request_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from extension.records import Record

REMEMBERED = 1024  # invocations; Managed Instances run many at once
FOREVER = float("inf")
GRACE_S = 5.0  # for the platform.report of an invocation, from the beginning of the next one on
ERROR = 17  # OpenTelemetry's SeverityNumber
STEPS = frozenset({"platform.start", "platform.runtimeDone", "platform.report"})  # platform records of one invocation
DURABLE = "DurableFunction"  # in the runtimeVersion of a function that has durable executions
EXECUTION = "/durable-execution/"  # in the ARN of one (API Reference, GetDurableExecution)
ARN_KEYS = ("executionArn", "durableExecutionArn")  # as the SDKs for JavaScript and Python, and for Java, log it
ARN_MARK = b"xecutionArn"
MAX_ARN = 1024  # characters


def invocation_of(record: Record) -> str:
    """The request id of the invocation that it belongs to, and with which it is kept or left out; empty for none.

    What the platform says of the environment, what is of no known type and what is our own belongs to none, whatever
    invocation it came with.
    """
    return record.request_id if record.kind in PRINTED or record.type in STEPS else ""


class Invocation:
    """What is known of one. `randomness` is that of its trace, its durable execution, or its request id.

    `is_over`: no more will be learned of it, as far as can be told.
    """

    def __init__(self, randomness: int, until: float) -> None:
        self.randomness = randomness
        self.until = until  # when its report is waited for no longer
        self.execution = ""  # the ARN of the durable execution that it is a part of, where that is known
        self.duration_ms = 0.0
        self.is_first = self.has_started = self.has_ended = self.has_error = self.is_over = False

    def is_telling(self, slow_ms: float | None) -> bool:
        """Whether it is kept at any rate: the environment's first, one with an error, or one that took long."""
        return self.is_first or self.has_error or (slow_ms is not None and self.duration_ms > slow_ms)


class Watch:
    """Is shown all records of an environment; samplers ask it what it knows.

    `in_order` is off where invocations interleave; `clock` gives seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float], *, in_order: bool) -> None:
        self._clock = clock
        self._in_order = in_order
        self._known: dict[str, Invocation] = {}  # those heard of first are first
        self._open: dict[str, Invocation] = {}  # those of them that are not over
        self._over: dict[str, None] = {}  # the others; those that ended first are first
        self._unstarted: dict[str, None] = {}  # those of which no start has come: programs name ids of their own, too
        self._has_started = self._is_durable = self._is_closed = False

    def get(self, request_id: str) -> Invocation | None:
        """What is known of an invocation; None where it was forgotten."""
        return self._known.get(request_id)

    def is_drawn(self, invocation: Invocation) -> bool:
        """Whether its randomness stays: that of a durable execution may come with a later line."""
        return not self._is_durable or invocation.execution != "" or invocation.is_over

    def note(self, records: Iterable[Record]) -> None:
        """Learn what the platform says, and which durable executions there are, from all records that came."""
        for record in records:
            if record.kind == "platform" and type(record.content) is dict:
                self._event(record.type, record.content)
            elif ARN_MARK in record.line and record.kind == "function" and record.request_id:
                self._name_execution(record.request_id, arn_in(record.content))

    def read(self, records: list[Record]) -> list[Record]:
        """Learn which invocations have an error, from the lines that filters left; a step that leaves all of them."""
        request_id, invocation = "", None
        for record in records:
            if record.kind == "function" and record.request_id:
                if invocation is None or record.request_id != request_id:
                    request_id = record.request_id
                    invocation = self._find(request_id)
                if not invocation.has_error and not invocation.is_first:
                    invocation.has_error = is_error(record.content, request_id)
        return records

    def expire(self) -> None:
        """Give up what was waited for long enough."""
        now = self._clock()
        self._give_up([request_id for request_id, invocation in self._open.items() if now >= invocation.until])

    def fail(self, request_id: str) -> None:
        """An invocation ended badly, as the reason of a SHUTDOWN says."""
        self._find(request_id).has_error = True

    def close(self) -> None:
        """Nothing is waited for any more."""
        self._is_closed = True
        self._give_up(list(self._open))

    def _give_up(self, request_ids: Iterable[str]) -> None:
        """Their reports will not come. One of which nothing says how it ended may have ended in any way."""
        for request_id in request_ids:
            invocation = self._open[request_id]
            self._finish(request_id, invocation)
            invocation.has_error |= invocation.has_started and not invocation.has_ended

    def _event(self, type_: str, content: dict[str, Any]) -> None:
        if type_ in STEPS and is_request_id(request_id := content.get("requestId")):
            if type_ == "platform.start":
                self._start(request_id, content)
            else:
                self._end(request_id, type_, content)
        elif type_ == "platform.initStart":
            version = content.get("runtimeVersion")
            self._is_durable |= isinstance(version, str) and DURABLE in version

    def _start(self, request_id: str, content: dict[str, Any]) -> None:
        now, is_new = self._clock(), request_id not in self._known
        for other in self._open.values() if self._in_order else ():
            other.until = min(other.until, now + GRACE_S)
        invocation = self._find(request_id)
        if not invocation.has_started:  # one that is tried again goes by what its first try went by
            randomness = sampling.randomness_of_trace(_header(content))
            if randomness is not None:  # what was kept before its start came stays kept
                invocation.randomness = randomness if is_new else max(randomness, invocation.randomness)
        self._name_execution(request_id, arn_in(content))
        invocation.is_first |= not self._has_started
        invocation.has_started = self._has_started = True
        self._unstarted.pop(request_id, None)
        invocation.has_ended, invocation.until = False, self._latest()
        if not self._is_closed:
            self._over.pop(request_id, None)
            invocation.is_over, self._open[request_id] = False, invocation

    def _end(self, request_id: str, type_: str, content: dict[str, Any]) -> None:
        """Read a runtimeDone or a report."""
        invocation = self._find(request_id)
        status, metrics = content.get("status"), content.get("metrics")
        duration = metrics.get("durationMs") if isinstance(metrics, dict) else None
        if isinstance(duration, (int, float)):
            invocation.duration_ms = max(invocation.duration_ms, duration)
        invocation.has_error |= (status is not None and status != "success") or "errorType" in content
        invocation.has_ended = True
        if type_ == "platform.report":
            self._finish(request_id, invocation)

    def _name_execution(self, request_id: str, arn: str) -> None:
        """Go by the durable execution that an invocation is a part of, whatever it went by before."""
        invocation = self._find(request_id) if arn else None
        if invocation is None or invocation.execution:
            return
        randomness = sampling.randomness_of(arn)
        is_free = not self.is_drawn(invocation)  # else nobody knew that there would be one: what was kept stays kept
        invocation.randomness = randomness if is_free else max(randomness, invocation.randomness)
        invocation.execution, self._is_durable = arn, True

    def _find(self, request_id: str) -> Invocation:
        invocation = self._known.get(request_id)
        if invocation is None:
            invocation = self._known[request_id] = Invocation(sampling.randomness_of(request_id), self._latest())
            self._unstarted[request_id] = None
            if self._is_closed:
                self._finish(request_id, invocation)
            else:
                self._open[request_id] = invocation
            if len(self._known) > REMEMBERED:
                self._forget_another_than(request_id)
        return invocation

    def _finish(self, request_id: str, invocation: Invocation) -> None:
        invocation.is_over, self._over[request_id] = True, None
        self._open.pop(request_id, None)

    def _forget_another_than(self, newest: str) -> None:
        """Know nothing more of one that did not start here, or is over; of one that runs only where too many do."""
        firsts = (next(iter(of), newest) for of in (self._unstarted, self._over, self._open))
        oldest = next(first for first in firsts if first != newest)
        del self._known[oldest]
        for of in (self._unstarted, self._over, self._open):
            of.pop(oldest, None)

    def _latest(self) -> float:
        """When nothing more can come of one that begins now; in order, only the next start tells, after any freeze."""
        return FOREVER if self._in_order else self._clock() + LONGEST_INVOCATION_S + GRACE_S


def is_error(content: object, request_id: str) -> bool:
    """Whether a line is of level ERROR or above, or, without a level, the text or the object of an exception."""
    if isinstance(content, str) and content[:1] not in reading.FORMATS and "\n" not in content.rstrip("\n"):
        return "\r" in content and bool(reading.read(content, request_id).error)  # a text without a level, as most are
    found = reading.read(content, request_id)
    return found.severity >= ERROR or (found.severity == 0 and bool(found.error))


def arn_in(content: object) -> str:
    """The ARN of a durable execution that a record names as its own; empty where it names none."""
    if isinstance(content, str):
        try:
            content = orjson.loads(content)
        except ValueError:
            return ""
    found = next((content[key] for key in ARN_KEYS if key in content), None) if isinstance(content, dict) else None
    return found if isinstance(found, str) and EXECUTION in found and len(found) <= MAX_ARN else ""


def _header(content: dict[str, Any]) -> object:
    tracing = content.get("tracing")
    return tracing.get("value") if isinstance(tracing, dict) else None

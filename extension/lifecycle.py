"""The life of the forwarder from the first event to SHUTDOWN. The only module that knows all the others.

Whatever fails in here, the loop of events goes on: an extension that exits, or that does not ask for the next event,
fails the user's invocation.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import sys
import time
from typing import TYPE_CHECKING, Any

from extension import policy, sinks
from extension.config import ConfigError
from extension.events import Invoke, Shutdown, events
from extension.fanout import Fanout
from extension.function import identify
from extension.invocations import Invocations
from extension.listener import Listener
from extension.log import describe, log, write
from extension.pipeline import Pipeline
from extension.snapshot import Snapshot, renew_randomness
from extension.spool import default_folder

if TYPE_CHECKING:
    import _socket
    from collections.abc import Callable, Coroutine, Mapping

    from extension import api
    from extension.config import Config
    from extension.decoder import Decoded

SHUTDOWN_S = 2.0  # what Lambda grants; taken where deadlineMs makes no sense
MAX_SHUTDOWN_S = 10.0
EXIT_S = 0.4  # of the shutdown is kept for the spool, the ledger and the exit
EARLY_S = 0.1  # before the first /next at most goes to what has come, where a snapshot is to be taken behind it
REPORT_SHARE = 0.35  # of the shutdown at most is spent on waiting for the last platform.report, and
STREAM_SHARE = 0.6  # as long as telemetry does come; full batches leave meanwhile
LEDGER_INTERVAL_S = 60.0
SWITCH_S = 0.0005  # so long threads that send wait for the interpreter while records pour in; a tenth of the default


class Forwarder:
    """Everything put together for one execution environment."""

    def __init__(self, extension: api.Extension, config: Config, environment: Mapping[str, str]) -> None:
        self._extension = extension
        self._config = config
        told = environment.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start"
        self._snapshot = Snapshot(self._renew, told=told)
        self._function = identify(extension.function, environment)
        self._environment = os.urandom(8).hex()
        self._last: Invoke | None = None
        self._invocations = Invocations()
        sequence = itertools.count()
        self._pipeline = Pipeline(
            self._function,
            self._environment,
            config.types,
            sequence,
            self._observe,
            correlate=extension.invoked,
        )
        self._listener = Listener(self._receive, lambda: self._fanout.fullness > 0.5)
        mode = config.flush if extension.invoked else "interval"
        self._policy = policy.Policy(mode, config.flush_interval_s, time.monotonic)
        self._batches = itertools.count()
        self._fanout = Fanout(
            _open(config),
            config.queue_bytes,
            default_folder(extension.name),
            lambda: f"{self._environment}-{next(self._batches)}",
            lambda: next(sequence),
            has_fallback=config.fallback is not None,
        )

    async def run(self, listening: _socket.socket) -> None:
        """From the first /next to the end of SHUTDOWN."""
        await self._fanout.restore()
        await self._listener.start(listening)
        if self._snapshot.told:
            await self._listener.catch_up(EARLY_S)
        async with asyncio.TaskGroup() as group:
            jobs = [group.create_task(_keep_running(job)) for job in (*self._fanout.jobs, self._tick)]
            self._snapshot.may_be_taken()
            async for event in events(self._extension):
                try:
                    await (self._invoke(event) if isinstance(event, Invoke) else self._shut_down(event))
                except Exception as error:  # noqa: BLE001 - the next event must be asked for, whatever happened
                    log("ERROR", f"{type(event).__name__} not handled", reason=describe(error))
            for job in jobs:
                job.cancel()
        self._listener.finish()
        write(message="ledger", **self._ledger())

    async def _invoke(self, event: Invoke) -> None:
        """One invocation: hold it until its records are delivered, or let them overlap with the next ones."""
        self._policy.invoked()
        if self._last is not None and self._invocations.is_done(self._last.request_id):
            self._policy.saw_done(seen=True)
        self._last = event
        self._take(self._snapshot.restored())
        self._learn(event.function_arn)
        self._fanout.nudge()
        state = self._state()
        if self._policy.is_due(state):
            self._fanout.request()
        decision = self._policy.decide(state, event.deadline - time.time())
        log("DEBUG", "flush decision", hold=decision.hold, reason=decision.reason, requestId=event.request_id)
        if not decision.hold:
            return
        done = await self._invocations.wait_done(event.request_id, policy.done_timeout_s(event.deadline - time.time()))
        if not done:
            self._fanout.request()
            self._policy.saw_done(seen=done is None)  # what was dropped once may come the next time
            return
        if self._invocations.late_lines:
            await self._listener.wait_quiet(policy.GRACE_S, policy.GRACE_S)
        await self._fanout.flush(policy.tail_timeout_s(event.deadline - time.time()))

    async def _shut_down(self, event: Shutdown) -> None:
        """Take in what still comes, tell what went wrong, deliver everything, and leave in time."""
        left_s = event.deadline - time.time()
        if not 0 < left_s < MAX_SHUTDOWN_S:
            left_s = SHUTDOWN_S
        until = time.monotonic() + left_s - EXIT_S
        self._take(self._snapshot.restored())
        self._fanout.request()
        if await self._drain(left_s):
            self._listener.finish()  # not in the middle of a line that still comes
        if event.reason in {"timeout", "failure"} and self._last is not None:
            self._tell_bad_end(event.reason, self._last)
        if self._fanout.lossy or self._invocations.logs_dropped:
            self._fanout.offer(self._pipeline.add("forwarder.ledger", self._ledger(), ""))
        await self._fanout.finish(max(0.05, until - time.monotonic()))

    async def _drain(self, left_s: float) -> bool:
        """Wait until no more telemetry comes: the last platform.report is made only after the last /next."""
        until = time.monotonic() + left_s * STREAM_SHARE
        if self._last is not None:
            await self._invocations.wait_reported(self._last.request_id, left_s * REPORT_SHARE)
        quiet_s = policy.quiet_s(self._config.buffer_timeout_ms / 1000)
        return await self._listener.wait_quiet(quiet_s, until - time.monotonic())

    def _tell_bad_end(self, reason: str, last: Invoke) -> None:
        """A record of our own where the platform's last one may never come."""
        arn = last.function_arn or self._function.arn
        record = {"requestId": last.request_id, "shutdownReason": reason, "functionArn": arn}
        self._fanout.offer(self._pipeline.add("forwarder.invocationFailed", record, last.request_id))

    async def _tick(self) -> None:
        """Flush what has waited for long while an invocation runs, or between those that overlap."""
        ledger_due = time.monotonic() + LEDGER_INTERVAL_S
        while True:
            await asyncio.sleep(min(1.0, self._config.flush_interval_s / 4))
            if self._policy.is_due(self._state()) and not self._snapshot.holding:
                self._fanout.request()
            if not self._extension.invoked and time.monotonic() >= ledger_due:
                ledger_due += LEDGER_INTERVAL_S
                write(message="ledger", **self._ledger())

    def _receive(self, decoded: list[Decoded]) -> None:
        self._take(self._snapshot.take(decoded))

    def _take(self, decoded: list[Decoded]) -> None:
        """Make records of the lines, and offer them to every sink."""
        for line in decoded:
            try:
                record = self._pipeline(line)
            except Exception as error:  # noqa: BLE001 - one line must not cost the others
                record = self._pipeline.keep(line.line, f"internal error: {type(error).__name__}")
            if record is not None:
                if record.kind == "function":
                    self._invocations.saw_line()
                self._fanout.offer(record)

    def _state(self) -> policy.State:
        return policy.State(self._fanout.trusted, self._fanout.fullness, self._fanout.age_s, self._fanout.latency_s)

    def _observe(self, type_: str, record: Any) -> None:
        self._snapshot.observe(type_)
        self._invocations.observe(type_, record)

    def _renew(self) -> None:
        """This environment is a copy of a snapshot: from here on its records, batches and connections are its own."""
        renew_randomness()
        self._environment = os.urandom(8).hex()
        self._pipeline.identify(self._function, self._environment)
        self._fanout.renew()

    def _learn(self, arn: str) -> None:
        """Take over what the invocation tells of the function."""
        function = self._function.learn(arn)
        if function != self._function:
            self._function = function
            self._pipeline.identify(function, self._environment)

    def _ledger(self) -> dict[str, object]:
        """The account of every record."""
        return {
            "received": self._pipeline.received,
            "added": self._pipeline.added,
            "filtered": self._pipeline.filtered,
            "broken": self._pipeline.broken,
            "platformDropped": self._invocations.logs_dropped,
            "unreadBytes": self._listener.unread_bytes,
            "sinks": self._fanout.account(),
        }


def forward(
    extension: api.Extension, config: Config, listening: _socket.socket, environment: Mapping[str, str]
) -> None:
    """Forward telemetry until SHUTDOWN. Raises ConfigError when a sink cannot be opened."""
    sys.setswitchinterval(SWITCH_S)
    logging.lastResort = None  # libraries log through it to stderr, and may quote what they send
    forwarder = Forwarder(extension, config, environment)
    runner = asyncio.Runner()  # never closed: closing waits for threads that hang
    runner.get_loop().set_exception_handler(_report)
    runner.run(forwarder.run(listening))


def _open(config: Config) -> list[tuple[sinks.Target, sinks.Sink]]:
    targets = [*config.targets, *filter(None, [config.fallback])]
    opened, problems = sinks.open_all(targets)
    if problems:
        raise ConfigError(problems)
    return list(zip(targets, opened, strict=True))


async def _keep_running(job: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Start a background job again when it fails: it must neither die quietly nor take the others with it."""
    while True:
        try:
            await job()
        except Exception as error:  # noqa: BLE001 - see above
            log("ERROR", "background job failed, starting it again", reason=describe(error))
            await asyncio.sleep(1.0)


def _report(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    error = context.get("exception")
    log("ERROR", context.get("message", "fault in a callback"), reason=describe(error) if error else "")

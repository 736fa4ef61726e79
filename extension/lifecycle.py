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
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from extension import policy, sinks
from extension.clock import elapsed
from extension.config import ConfigError
from extension.events import Invoke, Shutdown, events
from extension.fanout import Fanout
from extension.function import identify
from extension.invocations import Invocations
from extension.listener import Listener
from extension.log import describe, log, write
from extension.pipeline import Pipeline
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
QUIET_S = 0.1  # telemetry that is still under way at SHUTDOWN comes within 40 ms
REPORT_SHARE = 0.35  # of the shutdown at most is spent on waiting for the last platform.report, and
STREAM_SHARE = 0.6  # as long as telemetry does come; full batches leave meanwhile
LEDGER_INTERVAL_S = 60.0
SWITCH_S = 0.0005  # so long threads that send wait for the interpreter while records pour in; a tenth of the default


class Forwarder:
    """Everything put together for one execution environment."""

    def __init__(
        self, extension: api.Extension, config: Config, environment: Mapping[str, str], init_until: float
    ) -> None:
        self._extension = extension
        self._config = config
        self._init_until = init_until
        self._initialization = environment.get("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")
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
            self._invocations.observe,
            correlate=extension.invoked,
        )
        self._listener = Listener(self._receive, lambda: self._fanout.fullness > 0.5, self._note_connections)
        self._connection_s = policy.CONNECTION_S  # left to wait for the platform to connect
        self._told_lost = False
        mode = config.flush if extension.invoked else "interval"
        self._policy = policy.Policy(mode, config.flush_interval_s, elapsed, config.buffer_timeout_ms / 1000)
        self._batches = itertools.count()
        self._fanout = Fanout(
            _open(config, init_until - time.monotonic()),
            config.queue_bytes,
            default_folder(extension.name),
            lambda: f"{self._environment}-{next(self._batches)}",
            lambda: next(sequence),
            has_fallback=config.fallback is not None,
        )

    async def run(self, listening: _socket.socket) -> None:
        """From the first /next to the end of SHUTDOWN."""
        restoring = asyncio.create_task(self._fanout.restore())
        await asyncio.wait({restoring}, timeout=max(0.0, self._init_until - time.monotonic()))
        if restoring.done():
            restoring.result()
        await self._listener.start(listening)
        async with asyncio.TaskGroup() as group:
            jobs = [group.create_task(_keep_running(job)) for job in (*self._fanout.jobs, self._tick)]
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
        self._invocations.invoked(event.request_id)
        self._learn(event.function_arn)
        self._fanout.nudge()
        state = self._state()
        if self._policy.is_due(state):
            self._fanout.request()
        decision = self._policy.decide(state, event.deadline - time.time())
        log("DEBUG", "flush decision", hold=decision.hold, reason=decision.reason, requestId=event.request_id)
        if not decision.hold:
            return
        if not await self._has_telemetry(policy.done_timeout_s(event.deadline - time.time())):
            self._fanout.request()
            return
        done = await self._invocations.wait_done(event.request_id, policy.done_timeout_s(event.deadline - time.time()))
        if not done:
            self._fanout.request()
            self._policy.saw_done(seen=done is None)  # what was dropped once may come the next time
            return
        if self._invocations.late_lines:
            await self._listener.wait_quiet(policy.GRACE_S, policy.GRACE_S)
        await self._fanout.flush(policy.tail_timeout_s(event.deadline - time.time()))

    async def _has_telemetry(self, left_s: float) -> bool:
        """Whether the platform is connected, without which no hold would end; the first time it may still come."""
        wait_s, self._connection_s = self._connection_s, 0.0
        if await self._invocations.wait_connected(min(wait_s, left_s)):
            return True
        if wait_s:
            log("WARN", "no telemetry connection yet; no invocation is held until there is one")
        return False

    def _note_connections(self, count: int) -> None:
        """The platform connects once: a connection that is lost before SHUTDOWN is not made again."""
        self._invocations.saw_connections(count)
        if not count and not self._told_lost:
            self._told_lost, self._connection_s = True, 0.0
            log("WARN", "telemetry connection lost; nothing more will come and no invocation is held")

    async def _shut_down(self, event: Shutdown) -> None:
        """Take in what still comes, tell what went wrong, deliver everything, and leave in time."""
        self._told_lost = True  # from here on a connection may end
        left_s = event.deadline - time.time()
        if not 0 < left_s < MAX_SHUTDOWN_S:
            left_s = SHUTDOWN_S
        until = time.monotonic() + left_s - EXIT_S
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
        quiet_s = max(QUIET_S, 2 * self._config.buffer_timeout_ms / 1000)
        return await self._listener.wait_quiet(quiet_s, until - time.monotonic())

    def _tell_bad_end(self, reason: str, last: Invoke) -> None:
        """A record of our own where the platform's last one may never come."""
        arn = last.function_arn or self._function.arn
        record = {"requestId": last.request_id, "shutdownReason": reason, "functionArn": arn}
        self._fanout.offer(self._pipeline.add("forwarder.invocationFailed", record, last.request_id))

    async def _tick(self) -> None:
        """Flush what has waited for long while an invocation runs, or between those that overlap."""
        ledger_due = elapsed() + LEDGER_INTERVAL_S
        while True:
            await asyncio.sleep(min(1.0, self._config.flush_interval_s / 4))
            if self._policy.is_due(self._state()):
                self._fanout.request()
            if not self._extension.invoked and elapsed() >= ledger_due:
                ledger_due = elapsed() + LEDGER_INTERVAL_S  # one, however many were missed in a freeze
                write(message="ledger", **self._ledger())

    def _receive(self, decoded: list[Decoded]) -> None:
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

    def _learn(self, arn: str) -> None:
        """Take over what the invocation tells; a SnapStart environment, being a copy, gets a name of its own."""
        function = self._function.learn(arn)
        if self._initialization == "snap-start":
            self._initialization = "restored"
            self._environment = os.urandom(8).hex()
        elif function == self._function:
            return
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
    extension: api.Extension,
    config: Config,
    listening: _socket.socket,
    environment: Mapping[str, str],
    init_until: float,
) -> None:
    """Forward telemetry until SHUTDOWN. Raises ConfigError when a sink cannot be opened.

    What is not done by `init_until`, in monotonic time, goes on behind the first /next.
    """
    sys.setswitchinterval(SWITCH_S)
    logging.lastResort = None  # libraries log through it to stderr, and may quote what they send
    forwarder = Forwarder(extension, config, environment, init_until)
    runner = asyncio.Runner()  # never closed: closing waits for threads that hang
    runner.get_loop().set_exception_handler(_report)
    runner.run(forwarder.run(listening))


def _open(config: Config, timeout_s: float) -> list[tuple[sinks.Target, sinks.Sink | Future[sinks.Sink]]]:
    targets = [*config.targets, *filter(None, [config.fallback])]
    opened, problems = sinks.open_all(targets, timeout_s)
    if problems:
        raise ConfigError(problems)
    if late := [target.name for target, sink in zip(targets, opened, strict=True) if isinstance(sink, Future)]:
        log("WARN", "sinks are still being opened; their records wait", sinks=late)
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

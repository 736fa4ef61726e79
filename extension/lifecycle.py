"""The life of the forwarder from the first event to SHUTDOWN. The only module that knows all the others.

Whatever fails in here, the loop of events goes on: an extension that exits, or that does not ask for the next event,
fails the user's invocation.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import orjson
import uvloop

from extension import api, policy, sinks
from extension.buffer import Buffer
from extension.config import ConfigError
from extension.delivery import Delivery
from extension.function import identify
from extension.invocations import Invocations
from extension.listener import Listener
from extension.log import describe, log, write
from extension.pipeline import Pipeline

if TYPE_CHECKING:
    import _socket
    from collections.abc import Callable, Coroutine, Mapping

    from extension.config import Config
    from extension.decoder import Decoded

SHUTDOWN_S = 2.0  # what Lambda grants; taken where deadlineMs makes no sense
MAX_SHUTDOWN_S = 10.0
EXIT_S = 0.15  # of the shutdown is kept for the ledger and the exit
QUIET_S = 0.1  # telemetry that is still under way at SHUTDOWN comes within 40 ms
DRAIN_SHARE = 0.35  # of the shutdown at most is spent on waiting for it
LEDGER_INTERVAL_S = 60.0


class Forwarder:
    """Everything put together for one execution environment."""

    def __init__(self, extension: api.Extension, config: Config, environment: Mapping[str, str]) -> None:
        self._extension = extension
        self._config = config
        self._initialization = environment.get("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")
        self._function = identify(extension.function, environment)
        self._environment = ""
        self._batches = itertools.count()
        self._invocations = Invocations()
        self._pipeline = Pipeline(
            self._function,
            self._renew(),
            config.types,
            itertools.count(),
            self._invocations.observe,
            correlate=extension.invoked,
        )
        self._listener = Listener(self._receive)
        self._policy = policy.Policy(
            config.flush if extension.invoked else "interval", config.flush_interval_s, time.monotonic
        )
        self._deliveries = self._open_deliveries()
        self._next_thread = ThreadPoolExecutor(1, "next")
        self._request_id = ""  # of the last invocation

    async def run(self, listening: _socket.socket) -> None:
        """From the first /next to the end of SHUTDOWN."""
        await self._listener.start(listening)
        background = [_keep_running(delivery.run) for delivery in self._deliveries]
        background.append(_keep_running(self._tick))
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(coroutine) for coroutine in background]
            while (event := await self._next_event())["eventType"] != "SHUTDOWN":
                try:
                    await self._invoke(event)
                except Exception as error:  # noqa: BLE001 - the next event must be asked for, whatever happened
                    log("ERROR", "invocation not flushed", reason=describe(error))
            await self._shut_down(event)
            for task in tasks:
                task.cancel()

    async def _next_event(self) -> dict[str, Any]:
        """The next event, however long it takes and however often the API fails."""
        loop = asyncio.get_running_loop()
        for pause_s in api.backoff():
            try:
                body = await loop.run_in_executor(self._next_thread, self._extension.next_event)
                event: dict[str, Any] = orjson.loads(body)
                if event["eventType"] in {"INVOKE", "SHUTDOWN"}:
                    return event
                reason = f"unknown event {event['eventType']}"
            except Exception as error:  # noqa: BLE001 - there is nothing better to do than to ask again
                reason = describe(error)
            if pause_s < api.MAX_RETRY_S:
                log("ERROR", "event/next failed, asking again", reason=reason)
            await asyncio.sleep(pause_s)
        raise AssertionError("backoff never ends")

    async def _invoke(self, event: dict[str, Any]) -> None:
        """One invocation: hold it until its records are delivered, or let them overlap with the next ones."""
        self._policy.invoked()
        self._request_id = event.get("requestId", "")
        self._learn(event.get("invokedFunctionArn", ""))
        deadline_s = event.get("deadlineMs", 0) / 1000
        state = self._state()
        decision = self._policy.decide(state, deadline_s - time.time())
        log("DEBUG", "flush decision", hold=decision.hold, reason=decision.reason, requestId=self._request_id)
        if self._policy.is_due(state):
            self._request()
        if not decision.hold:
            return
        done = await self._invocations.wait_done(self._request_id, policy.done_timeout_s(deadline_s - time.time()))
        self._policy.saw_done(seen=done)
        if done:
            await self._flush(policy.tail_timeout_s(deadline_s - time.time()))

    async def _flush(self, timeout_s: float) -> None:
        """All sinks at the same time, so that a slow one delays no other."""
        await asyncio.gather(*(delivery.flush(timeout_s) for delivery in self._deliveries))

    async def _shut_down(self, event: dict[str, Any]) -> None:
        left_s = event.get("deadlineMs", 0) / 1000 - time.time()
        if not 0 < left_s < MAX_SHUTDOWN_S:
            left_s = SHUTDOWN_S
        until = time.monotonic() + left_s - EXIT_S
        self._request()
        await self._drain(left_s * DRAIN_SHARE)
        self._listener.finish()
        timeout_s = max(0.05, until - time.monotonic())
        await asyncio.gather(*(delivery.finish(timeout_s) for delivery in self._deliveries))
        self._print_ledger()

    async def _drain(self, timeout_s: float) -> None:
        """Wait until no more telemetry comes: the last platform.report is made only after the last /next."""
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout_s
        quiet_s = min(timeout_s, max(QUIET_S, 2 * self._config.buffer_timeout_ms / 1000))
        if self._request_id:
            await self._invocations.wait_reported(self._request_id, timeout_s)
        # A poll, because what is waited for is that nothing happens.
        while (left_s := min(until, self._listener.last_data + quiet_s) - loop.time()) > 0:  # noqa: ASYNC110 - as said
            await asyncio.sleep(left_s)

    async def _tick(self) -> None:
        """Flush what has waited for long while an invocation runs, or between those that overlap."""
        ledger_due = time.monotonic() + LEDGER_INTERVAL_S
        while True:
            await asyncio.sleep(min(1.0, self._config.flush_interval_s / 4))
            if self._policy.is_due(self._state()):
                self._request()
            if not self._extension.invoked and time.monotonic() >= ledger_due:
                ledger_due += LEDGER_INTERVAL_S
                self._print_ledger()

    def _request(self) -> None:
        for delivery in self._deliveries:
            delivery.request()

    def _receive(self, decoded: list[Decoded]) -> None:
        for line in decoded:
            try:
                record = self._pipeline(line)
            except Exception as error:  # noqa: BLE001 - one line must not cost the others
                self._pipeline.fail(describe(error))
                continue
            if record is not None:
                for delivery in self._deliveries:
                    delivery.offer(record)

    def _state(self) -> policy.State:
        share = [delivery.buffer.fullness for delivery in self._deliveries]
        ages = [delivery.age_s for delivery in self._deliveries]
        latencies = [delivery.sender.latency_s for delivery in self._deliveries if delivery.sender.trusted]
        return policy.State(max(share, default=0.0), max(ages, default=0.0), max(latencies, default=0.0))

    def _learn(self, arn: str) -> None:
        """Take over what the invocation tells; a SnapStart environment, being a copy, gets a name of its own."""
        function = self._function.learn(arn)
        if self._initialization == "snap-start":
            self._initialization = "restored"
            self._renew()
        elif function == self._function:
            return
        self._function = function
        self._pipeline.identify(function, self._environment)

    def _renew(self) -> str:
        self._environment = os.urandom(8).hex()
        return self._environment

    def _open_deliveries(self) -> list[Delivery]:
        targets = [*self._config.targets, *filter(None, [self._config.fallback])]
        share = self._config.queue_bytes // max(1, len(targets))
        opened, problems = sinks.open_all(targets)
        if problems:
            raise ConfigError(problems)
        return [
            Delivery(target.url, sink, Buffer(share), target.types, self._next_batch_id)
            for target, sink in zip(targets, opened, strict=True)
        ]

    def _next_batch_id(self) -> str:
        return f"{self._environment}-{next(self._batches)}"

    def _print_ledger(self) -> None:
        """One line that accounts for every record, whatever the log level: it is a promise, not a message."""
        write(
            message="ledger",
            received=self._pipeline.received,
            filtered=self._pipeline.filtered,
            broken=self._pipeline.broken,
            platformDropped=self._invocations.logs_dropped,
            sinks={delivery.name: delivery.account() for delivery in self._deliveries},
        )


async def _keep_running(job: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Start a background job again when it fails: it must neither die quietly nor take the others with it."""
    while True:
        try:
            await job()
        except Exception as error:  # noqa: BLE001 - see above
            log("ERROR", "background job failed, starting it again", reason=describe(error))
            await asyncio.sleep(1.0)


def forward(
    extension: api.Extension, config: Config, listening: _socket.socket, environment: Mapping[str, str]
) -> None:
    """Forward telemetry until SHUTDOWN. Raises ConfigError when a sink cannot be opened."""
    logging.lastResort = None  # libraries log through it to stderr, and may quote what they send
    forwarder = Forwarder(extension, config, environment)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.get_loop().set_exception_handler(_report)
        runner.run(forwarder.run(listening))


def _report(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    error = context.get("exception")
    log("ERROR", context.get("message", "fault in a callback"), reason=describe(error) if error else "")

"""The life of the forwarder from the first event to SHUTDOWN. With composition the only module that knows all others.

Whatever fails in here, the loop of events goes on: an extension that exits, or that does not ask for the next event,
fails the user's invocation.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import os
import sys
import time
from typing import TYPE_CHECKING, Any, Literal

import uvloop

from extension import policy, redaction, sinks
from extension.clock import elapsed
from extension.composition import make_fanout, make_steps
from extension.config import ConfigError, filled, read_rules
from extension.intake.invocations import Invocations, Seen
from extension.intake.listener import Listener
from extension.intake.snapshot import Snapshot, renew_randomness
from extension.lambda_api import function as functions
from extension.lambda_api.events import Invoke, Shutdown, events
from extension.log import describe, log, log_seldom, write
from extension.records import HEALTH_KIND
from extension.restart import keep_running
from extension.version import VERSION

if TYPE_CHECKING:
    import _socket
    from collections.abc import Mapping, Sequence
    from concurrent.futures import Future

    from extension.config import Config
    from extension.intake.decoder import Line
    from extension.intake.otlp_body import Piece
    from extension.intake.otlp_endpoint import Bodies, OtlpEndpoint
    from extension.lambda_api.client import Extension
    from extension.own_health import Metrics, OwnHealth
    from extension.pipeline.join import Join
    from extension.rules import Rules
    from extension.sinks._secrets import Secrets

LEDGER_INTERVAL_S = 60.0  # on Managed Instances, whose environments live long, and where a sink takes metrics
SELDOM_LEDGER_S = 900.0  # elsewhere, while there are invocations: a host may vanish without SHUTDOWN
EARLY_S = 0.1  # before the first /next, at most, to read what has come before a snapshot is taken
HEAD_BYTES = 2048  # about what a record takes beside the body that it carries
START_S = 0.01  # after the first /next was asked for, before the line that says so
SWITCH_S = 0.0005  # a tenth of the default: how long threads that send wait for the interpreter while records pour in


class Forwarder:
    """Everything put together for one execution environment.

    `opening` are the sinks, the fallback last; `rules` are those for all sinks, then each sink's own; `secrets` are
    what sinks refer to.
    """

    def __init__(
        self,
        extension: Extension,
        config: Config,
        opening: Sequence[Future[sinks.Sink]],
        rules: Sequence[Rules | None],
        variables: Mapping[str, str],
        secrets: Secrets | None = None,
    ) -> None:
        self._secrets = secrets
        self._extension = extension
        self._config = config
        self._function = functions.identify(extension.function, variables)._replace(
            tags=config.tags, more=functions.more(config.enrich, variables)
        )
        self._environment_id = os.urandom(8).hex()
        self._snapshot = Snapshot(self._renew, told=variables.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start")
        self._last: Invoke | None = None
        self._missed = ""  # the request whose platform.runtimeDone was waited for in vain, until it comes
        self._invocations = Invocations()
        kind = variables.get("AWS_LAMBDA_INITIALIZATION_TYPE", "")
        self._steps = make_steps(
            config, rules[0], self._function.name, self._environment_id, kind, in_order=extension.invoked
        )
        self._pipeline, self._signals = self._steps.pipeline, self._steps.signals
        self._letting_go: asyncio.TimerHandle | None = None
        self._pipeline.identify(self._function.members(), self._environment_id)
        self._batches = itertools.count()
        self._fanout = make_fanout(config, opening, rules[1:], extension.name, self._steps.watch, self._next_batch)
        self._listener = Listener(self._receive, self._fanout.room, self._note_connections)
        self._endpoint = self._listen_for_exports()
        self._connection_s = policy.CONNECTION_S  # left to wait for the platform to connect
        self._told_lost = False
        self._ledger_due = elapsed() + SELDOM_LEDGER_S
        self._told: dict[str, object] = {}  # by the last ledger
        mode = config.flush if extension.invoked else "interval"
        self._policy = policy.Policy(mode, config.flush_interval_s, elapsed, config.buffer_timeout_ms / 1000)
        self._start = {"flush": mode, "because": _why(mode, extension, config, variables)}
        self._asked = 0.0  # when the first /next was, until it is told
        self._health = _health(config)

    async def run(self, listening: _socket.socket, left_s: float) -> None:
        """From the first /next, which may wait for `left_s` until all sinks are open, to the end of SHUTDOWN."""
        async with asyncio.TaskGroup() as group:
            jobs = [group.create_task(self._listener.run(listening))]
            serving = [self._endpoint.serve] if self._endpoint is not None else []
            jobs += [group.create_task(keep_running(job)) for job in (*serving, *self._fanout.jobs, self._tick)]
            await self._fanout.wait_opened(asyncio.get_running_loop().time() + left_s)
            if self._snapshot.told:
                await self._listener.wait_quiet(EARLY_S / 5, asyncio.get_running_loop().time() + EARLY_S)
            self._release()
            self._snapshot.may_be_taken()
            self._asked = time.monotonic()
            asyncio.get_running_loop().call_later(START_S, self._tell_start)
            async for event in events(self._extension):
                self._tell_start()
                try:
                    await (self._invoke(event) if isinstance(event, Invoke) else self._shut_down(event))
                except Exception as error:  # noqa: BLE001 - the next event must be asked for, whatever happened
                    log_seldom("ERROR", f"{type(event).__name__} not handled", reason=describe(error))
            write(message="ledger", **self._ledger())
            for job in jobs:
                job.cancel()

    def _tell_start(self) -> None:
        """One line, once, that says what runs here; behind the first /next, which it must not delay.

        Each copy of a snapshot says it for itself.
        """
        if not self._asked or self._snapshot.holding:
            return
        asked, self._asked = self._asked, 0.0
        began, registered = self._extension.began, self._extension.registered
        times = {"registerMs": round((registered - began) * 1000, 1), "nextMs": round((asked - began) * 1000, 1)}
        log("INFO", "started", version=VERSION, sinks=self._fanout.names, **self._start, **times)
        self._tell_health("start")

    # Our own health, where FORWARDER_HEALTH asks for it

    def _tell_health(self, why: str, given_up: int = 0) -> None:
        """Tell it; records that are `given_up` are not yet among those that were lost."""
        if self._health is not None:
            own, metrics = self._health
            lost = self._fanout.lost + given_up
            record = own.record(why, self._ledger(), lost, self._fanout.unhealthy, self._fanout.fullest)
            if metrics is not None:
                write(**metrics.of(record, self._function, time.time_ns() // 1_000_000))
            else:
                [stamped] = self._pipeline.add("forwarder.health", record, "")
                self._fanout.tell(stamped._replace(kind=HEALTH_KIND))

    def _tell_last_health(self, *, keeps_disk: bool) -> None:
        """A record has to leave with the others, so that what will be dropped is a guess in it."""
        if self._config.health is not None:
            self._tell_health("shutdown", 0 if keeps_disk else self._fanout.given_up)
            self._health = None

    def _watch_health(self) -> None:
        """Tell of a change, and of what has not changed back."""
        if self._health is None:
            return
        if why := self._health[0].why_now(self._ledger(), self._fanout.lost, self._fanout.unhealthy):
            self._tell_health(why)

    # An invocation

    async def _invoke(self, event: Invoke) -> None:
        """Hold it until its records are delivered, or let them overlap with the next ones."""
        self._policy.invoked()
        waited_for = filter(None, [self._missed, self._last.request_id if self._last is not None else ""])
        if any(self._invocations.is_done(request_id) for request_id in waited_for):
            self._policy.saw_done(seen=True)
            self._missed = ""
        self._last = event
        self._invocations.invoked(event.request_id)
        self._take(self._snapshot.restored())
        self._learn(event.function_arn)
        self._tell_ledger_seldom()
        self._fanout.retry_now()
        state = self._state()
        if self._policy.is_due(state):
            self._flush_soon()
        decision = self._policy.decide(state, event.deadline - time.time())
        log("DEBUG", "flush decision", hold=decision.hold, reason=decision.reason, requestId=event.request_id)
        if decision.hold and not await self._hold(event):
            self._flush_soon()
        self._watch_health()

    async def _hold(self, event: Invoke) -> bool:
        """Wait until the runtime is done, then until the records are delivered; False where the former is not known."""
        if not await self._has_telemetry(policy.done_timeout_s(event.deadline - time.time())):
            return False
        seen = await self._invocations.wait_done(event.request_id, policy.done_timeout_s(event.deadline - time.time()))
        if seen is not Seen.YES:
            self._policy.saw_done(seen=seen is Seen.PERHAPS_LOST)  # what was dropped once may come the next time
            self._missed = event.request_id if seen is Seen.NO else ""
            return False
        loop = asyncio.get_running_loop()
        now = loop.time()
        if self._invocations.late_lines:
            await self._listener.wait_quiet(policy.GRACE_S, now + policy.GRACE_S)
        self._release()
        failed = self._invocations.has_failed(event.request_id)
        until = now + policy.tail_timeout_s(event.deadline - time.time(), failed=failed)
        await asyncio.gather(self._fanout.probe(min(until, now + policy.PROBE_S)), self._fanout.flush(until))
        if self._health is not None:
            self._health[0].held(loop.time() - now)
        return True

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

    # SHUTDOWN

    async def _shut_down(self, event: Shutdown) -> None:
        """Take in what still comes, tell what went wrong, deliver everything, and leave in time."""
        self._told_lost = True  # from here on a connection may end
        plan = policy.plan_shutdown(
            asyncio.get_running_loop().time(),
            event.deadline - time.time(),
            event.reason if self._extension.invoked else "spindown",  # Managed Instances: another /tmp is next
            waiting_bytes=self._fanout.waiting_bytes,
            fallback_latency_s=self._fanout.fallback_latency_s,
        )
        # 1. What is here leaves while the rest still comes.
        self._fanout.end_sends_by(plan)
        self._take(self._snapshot.restored())
        self._fanout.retry_now()
        self._flush_soon()
        # 2. The last platform.report is made only after the last /next; handlers of SIGTERM print even later.
        if self._last is not None:
            await self._invocations.wait_reported(self._last.request_id, plan.report)
        quiet_s = policy.quiet_s(self._config.buffer_timeout_ms / 1000)
        if await self._listener.wait_quiet(quiet_s, plan.drain):
            self._listener.finish()  # not in the middle of a line that still comes
        # 3. What is held back, or waits for the end of an invocation, waits no longer; then records of our own.
        if self._steps.watch is not None:
            if event.reason in {"timeout", "failure"} and self._last is not None:
                self._steps.watch.fail(self._last.request_id)
            self._steps.watch.close()
        self._release("close")
        if event.reason in {"timeout", "failure"} and self._last is not None:
            self._tell_bad_end(event.reason, self._last)
        if self._signals is not None:
            self._fanout.offer(self._pipeline.add_derived(self._signals.shut_down, event.reason))
            self._fanout.offer(self._pipeline.add_derived(self._signals.account, self._ledger()))
        if (
            self._fanout.lossy
            or self._invocations.logs_dropped
            or (self._steps.sampler and self._steps.sampler.left_out_of_kept)
        ):
            self._fanout.offer(self._pipeline.add("forwarder.ledger", self._ledger(), ""))
        self._tell_last_health(keeps_disk=plan.keeps_disk)
        # 4. Sinks, fallback, disk.
        await self._fanout.shut_down(plan)
        # 5. What came too late, or found no place, is counted.
        self._listener.finish()
        self._release("close")
        self._fanout.end(keeps_disk=plan.keeps_disk)
        self._tell_health("shutdown")  # as metrics, which know what became of everything

    def _tell_bad_end(self, reason: str, last: Invoke) -> None:
        """A record of our own where the platform's last one may never come."""
        arn = last.function_arn or self._function.arn
        record = {"requestId": last.request_id, "shutdownReason": reason, "functionArn": arn}
        self._fanout.offer(self._pipeline.add("forwarder.invocationFailed", record, last.request_id))

    # Beside events

    async def _tick(self) -> None:
        """Flush what has waited for long while an invocation runs, or between those that overlap."""
        ledger_due = elapsed() + LEDGER_INTERVAL_S
        while True:
            await asyncio.sleep(min(1.0, self._config.flush_interval_s / 4))
            if self._steps.watch is not None and not self._snapshot.holding:
                self._release("due")
            if self._policy.is_due(self._state()) and not self._snapshot.holding:
                self._flush_soon()
            if elapsed() >= ledger_due and not self._snapshot.holding:
                ledger_due = elapsed() + LEDGER_INTERVAL_S  # one, however many were missed in a freeze
                self._account()
            if not self._snapshot.holding:
                self._watch_health()
            self._tell_ledger_seldom()

    def _account(self) -> None:
        """Tell the ledger, on Managed Instances in a line, where a sink takes metrics in a record."""
        self._release()  # what is held back has no place in it
        if self._signals is not None:
            self._fanout.offer(self._pipeline.add_derived(self._signals.account, self._ledger()))
        if not self._extension.invoked:
            self._tell_ledger()

    def _tell_ledger_seldom(self) -> None:
        """Print the ledger where it is time: at the first invocation behind a freeze, or while one runs."""
        if self._extension.invoked and elapsed() >= self._ledger_due and not self._snapshot.holding:
            self._ledger_due = elapsed() + SELDOM_LEDGER_S
            self._release()  # as above
            self._tell_ledger()

    def _tell_ledger(self) -> None:
        """Print the ledger, unless the last one said the same."""
        ledger = self._ledger()
        # Each line of ours comes round, and is filtered.
        told = {**ledger, "received": self._pipeline.received - self._pipeline.filtered, "filtered": 0}
        if told != self._told:
            self._told = told
            write(message="ledger", **ledger)

    def _receive(self, lines: list[Line]) -> None:
        self._take(self._snapshot.take(lines))

    def _take(self, lines: list[Line]) -> None:
        """Make records of the lines, and offer them to every sink."""
        self._invocations.observe(lines)
        try:
            self._fanout.offer(self._pipeline(lines))
            if self._steps.join is not None and self._steps.join.is_holding:
                self._let_go_soon(self._steps.join)
        except Exception as error:  # noqa: BLE001 - one line must not cost the others
            for line in lines if len(lines) > 1 else ():
                self._take([line])
            if len(lines) == 1:
                broken = lines[0]._replace(fault=f"internal error: {type(error).__name__}")
                self._fanout.offer(self._pipeline([broken]))

    def _let_go_soon(self, join: Join) -> None:
        """See to it that nothing is held back for long."""
        if self._letting_go is None:
            self._letting_go = asyncio.get_running_loop().call_later(join.hold_s, self._let_go, join)

    def _let_go(self, join: Join) -> None:
        self._letting_go = None
        self._fanout.offer(self._pipeline.release("due"))
        if join.is_holding:
            self._let_go_soon(join)

    def _release(self, when: Literal["due", "flush", "close"] = "flush") -> None:
        """Have steps, and samplers of sinks, let go of what they hold back: in time, for a flush, or for good."""
        if self._steps.watch is not None:
            self._steps.watch.expire()
        self._fanout.offer(self._pipeline.release(when))
        if self._steps.watch is not None:
            self._fanout.settle()

    def _flush_soon(self) -> None:
        self._release()
        self._fanout.flush_soon()

    def _listen_for_exports(self) -> OtlpEndpoint | None:
        """What takes the exports of programs in this environment, where the user asks for it; else not an import."""
        if not self._config.otlp_listen:
            return None
        from extension.intake.otlp_endpoint import OtlpEndpoint, listen  # noqa: PLC0415 - see above

        listening = listen(self._config.otlp_listen)
        return OtlpEndpoint(listening, self._take_bodies, self._listener.saw_data, self._config.queue_bytes)

    def _take_bodies(self, bodies: Bodies) -> bool:
        """Make records of what a program exported, where there is a place for all of it. Raises Malformed."""
        kind, type_ = f"otlp-{bodies.signal}", f"otlp.{bodies.signal}"
        if not self._fanout.has_place(kind, sum(len(piece.body) + HEAD_BYTES for piece in bodies.pieces)):
            self._fanout.flush_soon()
            return False
        request_id = self._last.request_id if self._last is not None and self._extension.invoked else ""
        pieces: list[tuple[Piece, Mapping[str, object] | None]] = [(piece, None) for piece in bodies.pieces]
        if self._steps.redact is not None and bodies.signal == "logs":
            pieces = self._steps.redact.exported(bodies.pieces, as_json=bodies.type == "application/json")
        self._fanout.offer(
            [
                self._pipeline.carry(
                    kind, type_, {"contentType": bodies.type, "items": piece.items}, piece.body, request_id, members
                )
                for piece, members in pieces
            ]
        )
        return True

    def _renew(self) -> None:
        """The environment is a copy of a snapshot: from here on its records, batches and connections are its own."""
        renew_randomness()
        self._environment_id = os.urandom(8).hex()
        self._pipeline.identify(self._function.members(), self._environment_id)
        if self._signals is not None:
            self._signals.renew(self._environment_id)
            self._signals.account(self._ledger())  # what was counted before is not this environment's
        if self._secrets is not None:
            self._secrets.forget()
        self._fanout.renew()
        self._tell_start()

    def _state(self) -> policy.State:
        fanout = self._fanout
        return policy.State(fanout.healthy, fanout.fill_ratio, fanout.age_s, fanout.latency_s, fanout.probe_due)

    def _learn(self, arn: str) -> None:
        """Take over what the invocation tells of the function."""
        function = self._function.learn(arn)
        if function != self._function:
            self._function = function
            self._pipeline.identify(function.members(), self._environment_id)

    def _next_batch(self) -> str:
        return f"{self._environment_id}-{next(self._batches)}"

    def _ledger(self) -> dict[str, object]:
        """The account of every record, and of what programs exported."""
        return {
            "version": VERSION,
            **self._steps.account,
            **({"capped": self._fanout.capped} if self._config.max_bytes_per_minute else {}),
            "platformDropped": self._invocations.logs_dropped,
            "unreadBytes": self._listener.unread_bytes,
            "sinks": self._fanout.account(),
            **({"otlp": self._endpoint.account} if self._endpoint is not None else {}),
        }


def forward(
    extension: Extension, config: Config, listening: _socket.socket, variables: Mapping[str, str], until: float
) -> None:
    """Forward telemetry until SHUTDOWN. Raises ConfigError for settings that sinks do not like.

    What is not open by `until`, in monotonic time, is opened behind the first /next.
    """
    sys.setswitchinterval(SWITCH_S)
    logging.lastResort = None  # libraries log through it to stderr, and may quote what they send
    urls = config.urls
    secrets = sinks.secrets_of(urls)
    opening = sinks.start_opening(urls, secrets)
    rules, problems = [], redaction.compile_problems(config.redaction)
    try:
        rules = read_rules(config)
    except ConfigError as error:
        problems += error.problems
    problems += sinks.wait_opened(urls, opening, until)
    if problems:
        raise ConfigError(problems)
    if late := [url.name for url, one in zip(urls, opening, strict=True) if not one.done()]:
        log("WARN", "sinks are still being opened; their records wait", sinks=late)
    if secrets is not None:
        config = filled(config, [sinks.known_by_now(url, one) for url, one in zip(urls, opening, strict=True)])
        rules = read_rules(config)  # those of URLs that are secrets
    forwarder = Forwarder(extension, config, opening, rules, variables, secrets)
    gc.freeze()  # modules stay for ever; __main__ has disabled it for the imports
    gc.enable()
    runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)  # never closed: closing waits for threads that hang
    runner.get_loop().set_exception_handler(_report)
    runner.run(forwarder.run(listening, until - time.monotonic()))


def _why(mode: str, extension: Extension, config: Config, variables: Mapping[str, str]) -> str:
    """Where the flush mode comes from, for the log."""
    if not extension.invoked:
        return "there are no INVOKE events, as on Managed Instances"
    if mode == "adaptive" and config.buffer_timeout_ms > policy.MAX_BUFFERING_S * 1000:
        return "no invocation is held, since FORWARDER_BUFFER_TIMEOUT_MS is long"
    return "FORWARDER_FLUSH" if variables.get("FORWARDER_FLUSH", "").strip() else "the default"


def _health(config: Config) -> tuple[OwnHealth, Metrics | None] | None:
    """What says how we are, and makes metrics of it where they are asked for; None where nobody asks."""
    if config.health is None and not config.emf:
        return None
    from extension.own_health import Metrics, OwnHealth  # noqa: PLC0415 - see above

    return OwnHealth(elapsed), Metrics() if config.emf else None


def _report(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    error = context.get("exception")
    log("ERROR", context.get("message", "fault in a callback"), reason=describe(error) if error else "")

"""What the settings ask for, put together: the steps that records go through, and a delivery for each sink.

What is not asked for is not imported. Nothing here has a life of its own; that is lifecycle's.
"""

from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING, NamedTuple

from extension import sink_url, sinks
from extension.clock import elapsed
from extension.delivery.delivery import Delivery
from extension.delivery.disk import Disk
from extension.delivery.fanout import Fanout
from extension.delivery.health import Health
from extension.delivery.overflow import Overflow, default_folder
from extension.delivery.progress import Progress
from extension.delivery.queue import Queue
from extension.pipeline.correlate import Correlate
from extension.pipeline.filter import Filter, but_our_own
from extension.pipeline.phase import INIT
from extension.pipeline.pipeline import Pipeline
from extension.pipeline.starts import Starts
from extension.records import HEALTH_KIND, KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from concurrent.futures import Future

    from extension.config import Config
    from extension.delivery.cap import Cap
    from extension.pipeline.join import Join
    from extension.pipeline.redact import Redact
    from extension.pipeline.sample import Sampler
    from extension.pipeline.watch import Watch
    from extension.rules import Rules
    from extension.sampling import Sampling
    from extension.signals.signals import Signals
    from extension.sinks import SinkURL

HEALTH_BYTES = 1 << 18  # of the memory, for a sink that is told of our health alone
HELD_SHARE = 4  # the largest part of the memory that is for what a sampler holds, as a divisor


class Steps(NamedTuple):
    """The pipeline, and those of its steps that somebody else has to speak to; None are those that nobody asks for."""

    pipeline: Pipeline
    signals: Signals | None
    filter: Filter | None
    join: Join | None
    redact: Redact | None
    watch: Watch | None
    sampler: Sampler | None

    @property
    def account(self) -> dict[str, object]:
        """What the ledger says of records before they are delivered."""
        pipeline, sampler = self.pipeline, self.sampler
        return {
            "received": pipeline.received,
            "added": pipeline.added,
            "filtered": pipeline.filtered,
            **(self.filter.account if self.filter is not None else {}),
            "joined": self.join.joined if self.join is not None else 0,
            **({"sampledOut": sampler.sampled_out, **sampler.account} if sampler is not None else {}),
            "broken": pipeline.broken,
            **(self.redact.account if self.redact is not None else {}),
        }


def make_steps(
    config: Config,
    rules: Rules | None,
    function_name: str,
    environment_id: str,
    initialization_type: str,
    *,
    in_order: bool,
) -> Steps:
    """The pipeline of the settings; `rules` are those for all sinks, `in_order` is off where invocations interleave."""
    signals = _signals(config, function_name, environment_id, initialization_type, in_order=in_order)
    chosen = _filter(set(KINDS) - set(config.types), config.unwanted_types, rules)
    join = _join(config) if in_order else None  # where lines of several come in turn, text does not say whose it is
    redact = _redact(config)
    watch = _watch(config, in_order=in_order)
    sampler = _sampler(config.sample, watch, _held_bytes(config.sample, config.queue_bytes, len(config.urls)))
    is_harmless = redact.is_harmless if redact is not None else lambda _: True
    starts = Starts(traces="traceId" in config.enrich, is_harmless=is_harmless)
    steps = (but_our_own, chosen, join, redact, watch.read if watch is not None else None, sampler)
    pipeline = Pipeline(
        Correlate(in_order=in_order, note=starts.note, end=starts.end),
        [step for step in steps if step is not None],
        itertools.count(),
        redact.before(signals) if redact is not None and signals is not None else signals,
        told=starts.of,
        phase=INIT,
        note=watch.note if watch is not None else None,
        rated=sampler.rated if sampler is not None else None,
    )
    return Steps(pipeline, signals, chosen, join, redact, watch, sampler)


def make_fanout(
    config: Config,
    opening: Sequence[Future[sinks.Sink]],
    rules: Sequence[Rules | None],
    extension_name: str,
    watch: Watch | None,
    batch_id: Callable[[], str],
) -> Fanout:
    """A queue and a loop for each sink; they share memory, disk and fallback. `rules` are each sink's own."""
    urls = config.urls
    names = sinks.numbered([url.name for url in urls])
    health = next((url for url in urls if config.health and sink_url.is_same(url, config.health)), None)
    aside = health if health is not None and health not in (*config.sinks, config.fallback) else None
    beside = _held_bytes(config.sample, config.queue_bytes, len(urls)) + HEALTH_BYTES * (aside is not None)
    share = (config.queue_bytes - beside) // (len(urls) - (aside is not None))
    disk, progress = Disk(config.queue_bytes), Progress()
    folder = default_folder(extension_name)

    def excluded(url: SinkURL, filled: SinkURL) -> set[str]:
        kinds = sinks.excluded_kinds(filled, is_fallback=url is config.fallback)
        if url is aside:
            kinds |= {*KINDS, "other", *sinks.OF_KIND}
        return kinds | ({HEALTH_KIND} if url is not health else set())

    def make(at: int, fallback: Delivery | None, select: Filter | None = None) -> Delivery:
        queue = Queue(
            HEALTH_BYTES if urls[at] is aside else share - _held_bytes(urls[at].sample, share),
            sinks.Limits(),
            disk,
            batch_id,
            excluded_kinds=excluded(urls[at], urls[at]),
            has_fallback=fallback is not None,
        )
        health = Health(elapsed, random.uniform)
        overflow = Overflow(folder, names[at])
        sampler = _sampler(urls[at].sample, watch, _held_bytes(urls[at].sample, share))
        delivery = Delivery(
            names[at], queue, health, overflow, opening[at], elapsed, progress, fallback, select, sampler
        )
        if not urls[at].scheme:  # which is in a secret that is not there yet, and what the sink takes as well
            delivery.excluded_once_open = lambda opening: excluded(urls[at], _late(urls[at], opening))
        return delivery

    chosen = _filter((), config.fallback.unwanted_types, None, stamped=True) if config.fallback else None
    fallback = make(len(urls) - 1, None, chosen) if config.fallback else None
    own = [_filter((), url.unwanted_types, one, stamped=True) for url, one in zip(config.sinks, rules, strict=True)]
    return Fanout(
        [make(at, fallback, select) for at, select in enumerate(own)],
        fallback,
        elapsed,
        progress,
        make(len(config.sinks), None) if aside is not None else None,
        _cap(config),
    )


def _filter(
    kinds: Collection[str], types: Collection[str], rules: Rules | None, *, stamped: bool = False
) -> Filter | None:
    """What leaves out records, where anything is to be left out."""
    return Filter(kinds, types, rules, stamped=stamped) if kinds or types or rules else None


def _signals(
    config: Config, function_name: str, environment_id: str, initialization_type: str, *, in_order: bool
) -> Signals | None:
    """What derives metrics and spans, as far as sinks take them, and summaries; None, and no import, without these."""
    wanted = {signal for url in config.sinks for signal in sinks.signals_of(url)} - {"logs"}
    if not wanted and config.summary == "none":
        return None
    from extension.signals.signals import Signals  # noqa: PLC0415 - see above

    return Signals(
        function_name,
        environment_id,
        temporalities={sinks.temporality_of(url) for url in config.sinks if "metrics" in sinks.signals_of(url)},
        traces="traces" in wanted,
        invoke_span=all(sinks.signal_parameter(url, "invoke_span") != "no" for url in config.sinks),
        summary=config.summary,
        has_lines="function" in config.types,
        in_order=in_order,
        initialization_type=initialization_type,
    )


def _cap(config: Config) -> Cap | None:
    """The bound on what sinks get in a minute; None, and nothing imported, where there is none."""
    if not config.max_bytes_per_minute:
        return None
    from extension.delivery.cap import Cap  # noqa: PLC0415 - see above

    return Cap(config.max_bytes_per_minute, elapsed)


def _late(url: SinkURL, opening: Future[sinks.Sink]) -> SinkURL:
    """What a URL that is a secret says, which came late. Raises BadSetting for rules in it."""
    filled = sinks.known_by_now(url, opening)
    if sinks.chooses(filled):
        raise sinks.BadSetting("a URL that is a secret came too late for its rules; expected them in other settings")
    return filled


def _join(config: Config) -> Join | None:
    """What puts stack traces together, where the user asks for it."""
    if config.join != "traces":
        return None
    from extension.pipeline.join import HOLD_S, MAX_HOLD_S, Join  # noqa: PLC0415 - see above

    return Join(min(MAX_HOLD_S, HOLD_S + config.buffer_timeout_ms / 1000), elapsed)


def _redact(config: Config) -> Redact | None:
    """The step that redacts; None, and nothing imported, where there is nothing to be redacted."""
    if not config.redaction:
        return None
    from extension.pipeline.redact import Redact  # noqa: PLC0415 - see above
    from extension.pipeline.redactor import Redactor  # noqa: PLC0415

    return Redact(Redactor(*config.redaction))


def _watch(config: Config, *, in_order: bool) -> Watch | None:
    """What follows the invocations for samplers; None, and nothing imported, where there is none."""
    if config.sample is None and all(url.sample is None for url in config.sinks):
        return None
    from extension.pipeline.watch import Watch  # noqa: PLC0415 - see above

    return Watch(elapsed, in_order=in_order)


def _sampler(sampling: Sampling | None, watch: Watch | None, held_bytes: int) -> Sampler | None:
    """What samples as is asked for, and may hold so many bytes."""
    if sampling is None or watch is None:
        return None
    from extension.pipeline.sample import Sampler  # noqa: PLC0415 - see above

    return Sampler(sampling, watch, held_bytes)


def _held_bytes(sampling: Sampling | None, share_bytes: int, queues: int = 1) -> int:
    """How much of so much memory is for what a sampler holds.

    It is let go at once, and so takes half of each of the `queues` at most that share the rest.
    """
    return share_bytes // max(HELD_SHARE, 2 * queues + 1) if sampling is not None else 0

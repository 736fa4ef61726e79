"""How what settings ask for shares its memory."""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING

import pytest

from extension.composition import make_fanout, make_steps
from extension.config import Config, parse
from extension.intake.decoder import Decoder
from extension.pipeline.starts import REMEMBERED
from tests.support.otlp_corpus import record

if TYPE_CHECKING:
    from extension.sinks import Sink

MIB = 1 << 20


@pytest.fixture(params=[(1, False), (1, True), (2, True), (3, False), (8, True)])
def config(request: pytest.FixtureRequest) -> Config:
    """Settings with so many sinks, with or without a fallback."""
    sinks, has_fallback = request.param
    return parse(
        {
            "FORWARDER_SINKS": " ".join(f"file:///tmp/{number}" for number in range(sinks)),
            "FORWARDER_FALLBACK": "file:///tmp/fallback" if has_fallback else "",
            "FORWARDER_SAMPLE": "0.1",
            "FORWARDER_QUEUE_BYTES": str(MIB),
        }
    )


async def test_what_is_kept_after_all_has_a_place(config: Config) -> None:
    """What a sampler holds, let go at once, takes half of each queue at most; together they are within the bound."""
    steps = make_steps(config, None, "orders", "e1", "", in_order=True)
    opening: list[Future[Sink]] = [Future() for _ in config.urls]
    rules = [None] * len(config.sinks)
    fanout = make_fanout(config, opening, rules, "telemetry-forwarder", steps.watch, lambda: "e1-1")
    assert steps.sampler is not None
    held = steps.sampler._max_bytes
    bounds = [delivery.queue.max_bytes for delivery in fanout._all]
    assert MIB / 32 < held <= min(bounds) / 2
    assert held + sum(bounds) <= MIB


@pytest.fixture
def reports_alone() -> Config:
    """Settings with a fallback that asks for one type of the platform."""
    return parse({"FORWARDER_SINKS": "file:///tmp/a", "FORWARDER_FALLBACK": "file:///tmp/b?types=platform.report"})


async def test_the_fallback_leaves_out_types_of_the_platform(reports_alone: Config) -> None:
    """What sinks hand off is left out by types= of the fallback as it is by that of a sink, and is counted."""
    opening: list[Future[Sink]] = [Future() for _ in reports_alone.urls]
    fanout = make_fanout(reports_alone, opening, [None], "telemetry-forwarder", None, lambda: "e1-1")
    fallback = fanout._all[-1]
    wanted = ("platform.report", "platform.start", "function", "platform.initStart")
    fallback.adopt([record("x", type_) for type_ in wanted], "file://", "refused")
    waiting = [one.type for chunk in fallback.queue._waiting for one in chunk.records]
    assert (waiting, fallback.account["excluded"]) == (["platform.report"], 3)


def test_what_a_start_said_is_remembered_beyond_many_that_ended() -> None:
    """The pipeline as it is made hears of starts and of reports: one that still runs outlives those that do not."""
    config = parse({"FORWARDER_SINKS": "file:///tmp/a"})
    pipeline = make_steps(config, None, "orders", "e1", "", in_order=False).pipeline
    start, end = (
        b'{"time":"","type":"platform.start","record":{"requestId":"%b","tenantId":"blue"}}\n',
        b'{"time":"","type":"platform.report","record":{"requestId":"%b"}}\n',
    )
    pipeline(Decoder().feed(start % b"long"))
    for number in range(REMEMBERED + 1):
        pipeline(Decoder().feed((start + end) % ((b"r%d" % number,) * 2)))
    [last] = pipeline(Decoder().feed(end % b"long"))
    assert b'"tenantId":"blue"' in last.line

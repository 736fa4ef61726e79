"""How what settings ask for shares its memory."""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING

import pytest

from extension.composition import make_fanout, make_steps
from extension.config import Config, parse

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

"""How what settings ask for shares its memory."""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING

import pytest

from extension.composition import make_fanout, make_steps
from extension.config import parse, read_rules

if TYPE_CHECKING:
    from extension.sinks import Sink

MIB = 1 << 20


@pytest.mark.parametrize("sinks", [1, 2, 3, 8])
@pytest.mark.parametrize("fallback", [True, False])
async def test_what_is_kept_after_all_has_a_place(sinks: int, *, fallback: bool) -> None:
    """What a sampler holds for all sinks, let go at once, takes half of each queue at most; together it is the bound."""
    config = parse(
        {
            "FORWARDER_SINKS": " ".join(f"file:///tmp/{number}" for number in range(sinks)),
            "FORWARDER_FALLBACK": "file:///tmp/fallback" if fallback else "",
            "FORWARDER_SAMPLE": "0.1",
            "FORWARDER_QUEUE_BYTES": str(MIB),
        }
    )
    steps = make_steps(config, None, "orders", "e1", "", in_order=True)
    opening: list[Future[Sink]] = [Future() for _ in config.urls]
    fanout = make_fanout(config, opening, read_rules(config)[1:], "telemetry-forwarder", steps.watch, lambda: "e1-1")
    assert steps.sampler is not None
    held = steps.sampler._max_bytes
    bounds = [delivery.queue.max_bytes for delivery in fanout._all]
    assert MIB / 32 < held <= min(bounds) / 2
    assert held + sum(bounds) <= MIB

"""What the model of a fleet says."""

from __future__ import annotations

import math

import pytest

from benchmarks.scale import (
    LAMBDA_LOGS_GB,
    MONTH_S,
    SINKS,
    Load,
    by_cloudwatch,
    load_of,
    month_of_300,
    retries,
    sample,
    tail_dollars,
)

LOAD = Load(environments=100, lines_s=10.0, interval_s=20.0, line_bytes=500, gzip_bytes=50.0, text_bytes=200)


@pytest.mark.parametrize("name", SINKS)
def test_twice_the_environments_cost_twice(name: str) -> None:
    """No sink is cheaper by the dozen, but for what is bought whole, a shard, and what Lambda sells by tiers."""
    once, twice = (SINKS[name](LOAD._replace(environments=number)).dollars for number in (200, 400))
    assert twice == pytest.approx(2 * once, rel=0.3)


def test_tiers_are_gone_through_in_order() -> None:
    """100 TB of lines by Lambda pay each tier for its own share."""
    lines = 100_000e9 / (LOAD.text_bytes + 26)
    load = LOAD._replace(environments=1, lines_s=lines / MONTH_S)
    sizes = [*(size for size, _ in LAMBDA_LOGS_GB[:3]), 50_000]
    expected = sum(size * price for size, (_, price) in zip(sizes, LAMBDA_LOGS_GB, strict=True))
    assert by_cloudwatch(load).dollars == pytest.approx(expected)


def test_a_flush_is_as_many_requests_as_it_takes() -> None:
    """200 lines of 500 bytes, in requests of 50 lines or of 10,000 bytes."""
    assert LOAD.requests_s(1 << 20, 1 << 20) == 100 / 20
    assert LOAD.requests_s(50, 1 << 20) == 4 * 100 / 20
    assert LOAD.requests_s(1 << 20, 10_000) == 10 * 100 / 20


def test_a_line_that_comes_seldom_is_a_request_of_its_own() -> None:
    """An environment with a line an hour is flushed once an hour."""
    assert LOAD._replace(lines_s=1 / 3600).requests_s(100, 1 << 20) == pytest.approx(100 / 3600)


def test_lines_are_the_forwarder_s_own() -> None:
    """The size of a line is that of one with our key, and it compresses."""
    load = load_of(10, 1.0, 20.0, 210)
    assert load.line_bytes == pytest.approx(len(sample(1, 210)[0].line), abs=10)
    assert load.gzip_bytes < load.line_bytes / 2


def test_a_longer_interval_costs_no_more() -> None:
    """Fewer and larger requests, by sink, in what README quotes; lines may compress a little less by chance."""
    for _, short, long in month_of_300(210):
        assert float(long.replace(",", "")) <= float(short.replace(",", "")) * 1.02


def test_holding_is_billed_by_memory_and_time() -> None:
    """A million invocations held 25 ms at 128 MB."""
    assert math.isclose(tail_dollars(1e6, 25, 128), 1e6 * 0.025 / 8 * 0.0000166667)


def test_jitter_spreads_a_fleet() -> None:
    """Without it a fleet that failed together comes back together, all of it in one second."""
    spread, together = (retries(200, 120.0, jitter=jitter)[0] for jitter in (True, False))
    assert max(count for second, count in together.items() if second > 60) == 200
    assert max(count for second, count in spread.items() if second > 60) < 100

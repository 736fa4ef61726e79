from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace._sampling_experimental import composable_traceid_ratio_based, composite_sampler
from opentelemetry.sdk.trace.sampling import Decision

from extension import sampling
from extension.sampling import Sampling

TRACE_IDS = st.integers(1, 2**128 - 1).map(lambda number: f"{number:032x}")
RATES = st.floats(0, 1, exclude_max=True)


def header(trace_id: str) -> str:
    """As X-Ray names a trace."""
    return f"Root=1-{trace_id[:8]}-{trace_id[8:]};Parent=0efbd19962d95b05;Sampled=1"


@pytest.mark.parametrize(
    ("text", "sampling_"),
    [
        ("0.1", Sampling(0.1)),
        ("0", Sampling(0.0)),
        (".5", Sampling(0.5)),
        ("1e-3", Sampling(0.001)),
        (" 0.1 ; slow = 1000 ", Sampling(0.1, 1000)),
        ("0.1;slow=0", Sampling(0.1, 0)),
        ("1", None),
        ("1.0;slow=5", None),
    ],
)
def test_a_rate_and_what_is_slow_are_read(text: str, sampling_: Sampling | None) -> None:
    """A rate of 1 is no sampling at all."""
    assert sampling.parse(text) == sampling_


@pytest.mark.parametrize(
    "text",
    [
        *("", "nan", "inf", "1e400", "-0.1", "1.1", "10%", "0,1", "1_0", "\u0660.1", "slow=1"),
        *("0.1;", "0.1;slow", "0.1;slow=", "0.1;slow=1s", "0.1;slow=-1", "0.1;slow=900001", "0.1;slow=1e3"),
        *("0.1;fast=1", "0.1;slow=1;slow=2", "0.1;SLOW=1"),
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    """What is refused is answered by what was expected."""
    with pytest.raises(ValueError, match=r"from 0 to 1"):
        sampling.parse(text)


@given(TRACE_IDS, RATES)
def test_opentelemetrys_own_sampler_decides_the_same(trace_id: str, rate: float) -> None:
    """Whoever samples a trace at the same rate by OpenTelemetry's SDK keeps and drops the same traces."""
    theirs = composite_sampler(composable_traceid_ratio_based(rate)).should_sample(None, int(trace_id, 16), "span")
    ours = sampling.randomness_of_trace(header(trace_id))
    assert ours is not None
    assert (ours >= Sampling(rate).threshold) == (theirs.decision is Decision.RECORD_AND_SAMPLE)


@pytest.mark.parametrize(
    ("rate", "threshold"),
    [(0.5, "80000000000000"), (0.25, "c0000000000000"), (0.1, "e6666666666666"), (1 / 3, "aaaaaaaaaaaaac")],
)
def test_thresholds_are_those_of_the_specification(rate: float, threshold: str) -> None:
    """Values of "TraceState: Probability Sampling" and OTEP 235, within what a float tells of a rate."""
    assert Sampling(rate).threshold == pytest.approx(int(threshold, 16), abs=8)


def test_a_rate_of_0_keeps_nothing() -> None:
    """Not even the highest randomness there is."""
    assert Sampling(0.0).threshold > sampling.ALL - 1


@given(TRACE_IDS, RATES, RATES)
def test_a_lower_rate_keeps_a_part_of_what_a_higher_one_keeps(trace_id: str, one: float, other: float) -> None:
    """So services with different rates have whole traces in common."""
    randomness = sampling.randomness_of_trace(header(trace_id)) or 0
    low, high = sorted((one, other))
    assert randomness < Sampling(low).threshold or randomness >= Sampling(high).threshold


@pytest.mark.parametrize(
    "text",
    [
        "Root=1-62e900b2-710d76f009d6e7785905449a;Parent=0efbd19962d95b05;Sampled=1",
        "Self=1-62e900b2-000000000000000000000000; root = 1-62E900B2-710D76F009D6E7785905449A",
        "Root=1-62e900b2-710d76f009d6e7785905449a",
    ],
)
def test_the_randomness_of_a_trace_is_its_last_7_bytes(text: str) -> None:
    """Fields come in any order, as in "AWS X-Ray concepts", Tracing header."""
    assert sampling.randomness_of_trace(text) == 0xD6E7785905449A


@pytest.mark.parametrize("text", [None, 7, "", "Root=1-62e900b2-710d", "Root=", "Sampled=1", "Root=1-" + "0" * 2000])
def test_what_names_no_trace_has_no_randomness(text: object) -> None:
    """The header may be missing, or anything."""
    assert sampling.randomness_of_trace(text) is None


def test_a_request_id_is_hashed_as_documented() -> None:
    """SHA-256, its last 7 bytes: `printf %s ID | sha256sum` says the same."""
    assert sampling.randomness_of("79b5e81f-9cdd-4145-b1f6-7c50ef8a2a36") == 0xE6CD073D83EA5D

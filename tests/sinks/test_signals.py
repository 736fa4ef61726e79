"""Which signals a sink takes, and as which kinds of records."""

from __future__ import annotations

import pytest

from extension import sinks
from extension.sink_url import take_apart
from extension.sinks import BadSetting

LOGS = {"platform", "function", "extension", "other", "otlp-logs"}
EXPORTED = {"otlp-logs", "otlp-metrics", "otlp-traces"}


@pytest.mark.parametrize(
    ("url", "excluded"),
    [
        ("https://host", {"metric", "total", "span", *EXPORTED}),
        ("otlp+https://host", {"total"}),
        ("otlp+https://host?temporality=cumulative", {"metric"}),
        ("otlp+https://host?signals=logs", {"metric", "total", "span", "otlp-metrics", "otlp-traces"}),
        ("otlp+https://host?signals=metrics,traces", {*LOGS, "total"}),
        ("otlp+https://host?signals=metrics&temporality=cumulative", {*LOGS, "metric", "span", "otlp-traces"}),
        ("otlp+https://host?signals=nonsense", {"total"}),
    ],
)
def test_a_sink_gets_the_signals_that_it_takes(url: str, excluded: set[str]) -> None:
    """Only one that speaks OTLP takes more than logs, and metrics in one temporality."""
    assert sinks.excluded_kinds(take_apart(url, "the sink")) == excluded


@pytest.mark.parametrize(
    ("url", "excluded"),
    [
        ("file:///tmp/out", set()),
        ("otlp+https://host?temporality=cumulative", set()),
        ("otlp+https://host?signals=logs", {"metric", "total", "span", "otlp-metrics", "otlp-traces"}),
    ],
)
def test_a_fallback_gets_whatever_others_did_not_take(url: str, excluded: set[str]) -> None:
    """Its own signals= alone leaves any out."""
    assert sinks.excluded_kinds(take_apart(url, "the fallback"), is_fallback=True) == excluded


@pytest.mark.parametrize("parameter", ["temporality=both", "invoke_span=never", "temporality="])
def test_how_signals_are_derived_is_one_of_few(parameter: str) -> None:
    """The parameter and what was expected are named, and what was given is not."""
    with pytest.raises(BadSetting, match=rf"^{parameter.partition('=')[0]}= is none of \w+, \w+$"):
        sinks.load(take_apart(f"otlp+https://host?{parameter}", "the sink"))


@pytest.mark.parametrize("parameter", ["temporality=delta", "invoke_span=no"])
def test_only_sinks_that_take_signals_have_such_parameters(parameter: str) -> None:
    """Elsewhere they are unknown, as any other."""
    sinks.load(take_apart(f"otlp+https://host?{parameter}", "the sink"))
    with pytest.raises(BadSetting, match="unknown parameter"):
        sinks.load(take_apart(f"loki+https://host?{parameter}", "the sink"))


@pytest.mark.parametrize("query", ["signals=traces", "temporality=cumulative", "signals=&invoke_span=no"])
@pytest.mark.parametrize("is_fallback", [True, False])
def test_parameters_of_an_intake_choose_no_signals(query: str, is_fallback: bool) -> None:
    """Where such a parameter goes on to the intake, the sink gets what it would get without it."""
    plain, with_query = take_apart("https://host", "the sink"), take_apart(f"https://host?{query}", "the sink")
    assert sinks.excluded_kinds(with_query, is_fallback=is_fallback) == sinks.excluded_kinds(
        plain, is_fallback=is_fallback
    )
    assert sinks.signal_parameter(with_query, "invoke_span") is None

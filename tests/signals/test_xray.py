from __future__ import annotations

import pytest

from extension.signals.xray import Tracing, read

ROOT, TRACE_ID = "Root=1-62e900b2-710d76f009d6e7785905449a", "62e900b2710d76f009d6e7785905449a"
PARENT = "0efbd19962d95b05"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (f"{ROOT};Parent={PARENT};Sampled=1", Tracing(TRACE_ID, PARENT)),
        (f"Sampled=1; Parent={PARENT} ;Lineage=1:a87bd80c:0|68fd508a:5;{ROOT}", Tracing(TRACE_ID, PARENT)),
        (f"{ROOT.upper()};PARENT={PARENT.upper()};SAMPLED=0", Tracing(TRACE_ID, PARENT, is_sampled=False)),
        (ROOT, Tracing(TRACE_ID)),
        (f"{ROOT};Sampled=?", Tracing(TRACE_ID)),
        (f"{ROOT};Parent=0000000000000000", Tracing(TRACE_ID)),
        (f"{ROOT};Parent=0efb", Tracing(TRACE_ID)),
        ("Root=1-00000000-000000000000000000000000", Tracing()),
        ("Root=2-62e900b2-710d76f009d6e7785905449a;Sampled=0", Tracing(is_sampled=False)),
        ("", Tracing()),
        (";;=;a", Tracing()),
    ],
)
def test_a_header_is_read_field_by_field(header: str, expected: Tracing) -> None:
    """Fields come in any order and any case; one that is no id is none, and costs no other."""
    assert read({"type": "X-Amzn-Trace-Id", "value": header}) == expected


def test_the_span_that_lambda_made_is_known() -> None:
    """It stands beside the header."""
    tracing = read({"type": "X-Amzn-Trace-Id", "value": ROOT, "spanId": "54565fb41ac79632"})
    assert tracing == Tracing(TRACE_ID, span_id="54565fb41ac79632")


@pytest.mark.parametrize("tracing", [None, "", 7, [], {}, {"value": None}, {"value": "x" * 5000}])
def test_what_is_no_tracing_is_none(tracing: object) -> None:
    """Any value may come where an object is expected."""
    assert read(tracing) is None

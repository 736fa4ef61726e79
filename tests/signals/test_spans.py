from __future__ import annotations

import pytest

from extension.signals.phases import MAX_PHASES
from tests.support.signals import (
    BEGAN_NS,
    MS,
    PARENT_ID,
    TRACE,
    TRACE_ID,
    Derived,
    done,
    event,
    init,
    invocation,
    report,
    span,
    start,
)


def since(times: dict[str, int]) -> tuple[float, float]:
    """Begin and end of a span, in ms after BEGAN."""
    return (times["startTimeUnixNano"] - BEGAN_NS) / MS, (times["endTimeUnixNano"] - BEGAN_NS) / MS


def whole() -> Derived:
    """A cold start with all that the platform tells of it."""
    derived = Derived()
    arn = "arn:aws:lambda:eu-west-1:123456789012:function:orders:live"
    derived.feed(
        *init(),
        start("r1", 300, tracing=TRACE, functionArn=arn),
        done(
            "r1",
            310,
            spans=[
                span("responseLatency", 300, 8),
                span("responseDuration", 308, 0.5),
                span("runtimeOverhead", 309, 1),
            ],
        ),
        report("r1", 312, duration_ms=12.25, spans=[span("extensionOverhead", 310, 2.25)]),
    )
    return derived


def test_the_invoke_span_joins_the_trace_of_its_caller() -> None:
    """It is a server's, named after the function, below the span that caused it, as long as the report says."""
    found = whole().span("orders")
    assert (found["traceId"], found["parentSpanId"], found["kind"]) == (TRACE_ID, PARENT_ID, "server")
    assert since(found) == (300, 312.25)
    assert found["flags"] == 0x301
    assert (found["status"], found["statusMessage"]) == ("unset", "")
    assert found["attributes"] == {
        "faas.invocation_id": "r1",
        "faas.coldstart": True,
        "aws.lambda.invoked_arn": "arn:aws:lambda:eu-west-1:123456789012:function:orders:live",
    }


def test_what_the_platform_spans_are_children() -> None:
    """Latency, duration, and the overhead of runtime and extensions, each where it was."""
    derived = whole()
    parent = derived.span("orders")
    expected: dict[str, tuple[float, float]] = {
        "responseLatency": (300, 308),
        "responseDuration": (308, 308.5),
        "runtimeOverhead": (309, 310),
        "extensionOverhead": (310, 312.25),
    }
    for name, times in expected.items():
        child = derived.span(name)
        assert since(child) == times
        assert (child["traceId"], child["parentSpanId"], child["kind"]) == (TRACE_ID, parent["spanId"], "internal")
        assert child["flags"] == 0x101


def test_the_init_that_an_invocation_waited_for_is_in_its_trace() -> None:
    """It comes before the invocation, so it is beside it, below the same parent."""
    found = whole().span("init")
    assert (found["traceId"], found["parentSpanId"]) == (TRACE_ID, PARENT_ID)
    assert since(found) == (0, 200)
    assert found["attributes"] == {"aws.lambda.initialization_type": "on-demand"}


def test_an_init_within_an_invocation_is_its_child() -> None:
    """Where the first init failed, the second one is part of the invocation."""
    derived = Derived()
    derived.feed(start("r1", 0, tracing=TRACE), *init(10, phase="invoke"), done("r1", 300), report("r1", 301))
    assert derived.span("init")["parentSpanId"] == derived.span("orders")["spanId"]
    assert derived.span("orders")["attributes"]["faas.coldstart"]


def test_an_init_whose_report_the_start_overtakes_is_of_that_invocation() -> None:
    """The platform writes both at once, in either order."""
    derived = Derived()
    *begun, reported = init()
    derived.feed(*begun, start("r1", 200, tracing=TRACE), reported, done("r1", 300), report("r1", 301))
    derived.feed(*invocation("r2", 400))
    cold = {
        found["attributes"]["faas.invocation_id"]
        for found in derived.spans
        if found["attributes"].get("faas.coldstart")
    }
    assert (derived.span("init")["traceId"], cold) == (TRACE_ID, {"r1"})


def test_phases_of_an_invocation_are_bounded() -> None:
    """Whoever forges inits without end fills no memory."""
    derived = Derived()
    derived.feed(start("r1", 0), *(one for ms in range(50) for one in init(ms, phase="invoke")), report("r1", 300))
    assert len(derived.spans) == 1 + MAX_PHASES


def test_an_init_behind_an_invocation_that_ended_belongs_to_the_next() -> None:
    """After a timeout the runtime is started again before the next invocation begins; the report may be missing."""
    derived = Derived()
    derived.feed(start("r1", 0), done("r1", 10, "timeout"), *init(20, phase="invoke"))
    derived.feed(*invocation("r2", 300, tracing=TRACE))
    derived.shut_down()
    assert derived.span("init")["traceId"] == TRACE_ID
    cold = {
        found["attributes"]["faas.invocation_id"]: found["attributes"]["faas.coldstart"]
        for found in derived.spans
        if found["kind"] == "server"
    }
    assert cold == {"r1": False, "r2": True}


def test_a_restore_is_a_span() -> None:
    """It stands where the init of the snapshot does not."""
    derived = Derived(initialization_type="snap-start")
    derived.feed(
        *init(kind="snap-start"),
        event("restoreStart", 1000),
        event("restoreRuntimeDone", 1009, status="success"),
        event("restoreReport", 1010, status="success", metrics={"durationMs": 10}),
        *invocation("r1", 1020, tracing=TRACE),
    )
    assert since(derived.span("restore")) == (1000, 1010)
    assert [found["name"] for found in derived.spans] == ["orders", "restore"]


@pytest.mark.parametrize("kind", ["provisioned-concurrency", "lambda-managed-instances"])
def test_an_init_made_ahead_has_a_trace_of_its_own(kind: str) -> None:
    """It may be hours older than the first invocation, which did not wait for it."""
    derived = Derived()
    derived.feed(*init(kind=kind), *invocation("r1", 300, tracing=TRACE))
    found = derived.span("init")
    assert found["traceId"] != TRACE_ID
    assert (found["parentSpanId"], found["flags"]) == ("", 1)
    assert derived.span("orders")["attributes"]["faas.coldstart"] is False


def test_an_init_that_nothing_came_of_is_told_at_shutdown() -> None:
    """So is one that never ended."""
    derived = Derived()
    derived.feed(*init())
    derived.shut_down()
    assert since(derived.span("init")) == (0, 200)
    unfinished = Derived()
    unfinished.feed(init()[0])
    unfinished.shut_down()
    assert since(unfinished.span("init")) == (0, 3_600_000)


def test_a_trace_that_is_not_sampled_has_no_spans() -> None:
    """Neither the invocation nor the init before it; its metrics are counted all the same."""
    derived = Derived()
    derived.feed(
        *init(), *invocation("r1", 300, tracing={**TRACE, "value": TRACE["value"].replace("Sampled=1", "Sampled=0")})
    )
    derived.shut_down()
    assert derived.spans == []
    assert derived.total("faas.invocations") == 1


def test_without_a_context_the_trace_begins_here() -> None:
    """Its id begins with its time, as X-Ray's do; the next invocation has another one."""
    derived = Derived()
    derived.feed(*invocation("r1", 0), *invocation("r2", 100))
    one, two = (found for found in derived.spans if found["name"] == "orders")
    assert one["traceId"][:8] == f"{BEGAN_NS // 10**9:08x}"
    assert one["traceId"] != two["traceId"]
    assert (one["parentSpanId"], one["flags"]) == ("", 1)


def test_the_span_id_is_lambdas_own_where_it_has_one() -> None:
    """As the Developer Guide says of tracing.spanId: so spans of the function's SDK that name it find it."""
    derived = Derived()
    derived.feed(*invocation("r1", 0, tracing={**TRACE, "spanId": "54565fb41ac79632"}))
    assert derived.span("orders")["spanId"] == "54565fb41ac79632"


@pytest.mark.parametrize(
    ("status", "told", "error_type"),
    [
        ("error", "Runtime.ExitError", "Runtime.ExitError"),
        ("failure", "", "_OTHER"),
        ("timeout", "", "timeout"),
        ("timeout", "Sandbox.Timedout", "Sandbox.Timedout"),
    ],
)
def test_a_failure_is_an_error_with_its_type(status: str, told: str, error_type: str) -> None:
    """The status is the platform's word."""
    derived = Derived()
    derived.feed(start("r1", 0), done("r1", 1, status, errorType=told), report("r1", 2, status))
    found = derived.span("orders")
    assert (found["status"], found["statusMessage"]) == ("error", status)
    assert found["attributes"]["error.type"] == error_type


def test_a_failed_init_is_an_error() -> None:
    """Its error type is the report's."""
    derived = Derived()
    failed = event("initReport", 200, initializationType="on-demand", status="error", errorType="Extension.Crash")
    derived.feed(init()[0], failed, *invocation("r1", 300))
    assert derived.span("init")["attributes"]["error.type"] == "Extension.Crash"
    assert derived.span("init")["status"] == "error"


def test_without_the_invoke_span_its_children_take_its_place() -> None:
    """An SDK in the function makes one of its own, whose id is not known here."""
    derived = Derived(invoke_span=False)
    derived.feed(start("r1", 0, tracing=TRACE), done("r1", 10, spans=[span("responseLatency", 0, 8)]), report("r1", 12))
    [child] = derived.spans
    assert (child["name"], child["parentSpanId"], child["flags"]) == ("responseLatency", PARENT_ID, 0x301)


def test_ids_are_the_same_whenever_they_are_made() -> None:
    """The same events make the same ids; another environment or another try makes others."""
    ids = [[found["spanId"] for found in whole().spans] for _ in range(2)]
    assert ids[0] == ids[1]
    elsewhere = Derived("e2")
    elsewhere.feed(*invocation("r1", 0))
    retried = Derived("e1")
    retried.feed(*invocation("r1", 0), *invocation("r1", 0))
    found = {elsewhere.span("orders")["spanId"], *(one["spanId"] for one in retried.spans)}
    assert len(found) == 3


def test_a_span_whose_time_cannot_be_read_is_left_out() -> None:
    """What it lasted is measured."""
    derived = Derived()
    odd = {"name": "responseLatency", "start": "2026-11-21 at noon", "durationMs": 23.02}
    derived.feed(start("r1", 0), done("r1", 10, spans=[odd, span("responseDuration", 8, 1)]), report("r1", 12))
    assert [found["name"] for found in derived.spans] == ["orders", "responseDuration"]
    assert derived.total("aws.lambda.response_latency") == pytest.approx(0.02302)


def test_a_colon_too_many_costs_no_span() -> None:
    """The Developer Guide's own examples have one before the milliseconds."""
    derived = Derived()
    odd = {"name": "responseLatency", "start": "2026-11-21T00:00:00:521Z", "durationMs": 1}
    derived.feed(start("r1", 0), done("r1", 10, spans=[odd]), report("r1", 12))
    assert since(derived.span("responseLatency")) == (521, 522)


def test_a_lost_start_costs_no_span() -> None:
    """The invocation began as long before its report as it took; the context is that of whatever event has it."""
    derived = Derived()
    derived.feed(done("r1", 10, tracing=TRACE), report("r1", 12))
    found = derived.span("orders")
    assert since(found) == (0, 12)
    assert found["traceId"] == TRACE_ID


def test_a_timeout_is_told_at_shutdown() -> None:
    """No report may come any more; what is known is that it ran until then."""
    derived = Derived()
    derived.feed(start("r1", 0, tracing=TRACE))
    derived.shut_down("timeout")
    found = derived.span("orders")
    assert (since(found), found["statusMessage"]) == ((0, 3_600_000), "timeout")


def test_a_record_of_a_span_names_its_invocation() -> None:
    """So do the records of what an invocation measured: the key "lambda" gets its request id."""
    derived = Derived()
    derived.feed(*invocation("r1", 0))
    assert {(found.kind, found.type, found.request_id) for found in derived.records} == {
        ("metric", "forwarder.metric", "r1"),
        ("span", "forwarder.span", "r1"),
    }

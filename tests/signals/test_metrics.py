from __future__ import annotations

from typing import Any

import pytest

from extension.signals.metrics import MAX_STREAMS
from tests.support.signals import (
    BEGAN_NS,
    MS,
    Derived,
    at,
    done,
    event,
    init,
    invocation,
    record,
    report,
    span,
    start,
)


@pytest.mark.parametrize(
    ("status", "name"),
    [
        ("success", "faas.invocations"),
        ("error", "faas.errors"),
        ("failure", "faas.errors"),
        ("timeout", "faas.timeouts"),
        ("of tomorrow", "faas.errors"),
    ],
)
def test_an_invocation_is_in_exactly_one_of_three_counters(status: str, name: str) -> None:
    """Successes, errors and timeouts are counted apart, as the conventions say; a status not known is no success."""
    derived = Derived()
    derived.feed(*invocation("r1", 0, status))
    counted = {name: derived.total(name) for name in ("faas.invocations", "faas.errors", "faas.timeouts")}
    assert counted == {**dict.fromkeys(counted, 0), name: 1}


def test_everything_that_a_report_and_a_runtime_done_measure_is_there() -> None:
    """Each number and span becomes a point, in seconds and bytes."""
    derived = Derived()
    derived.feed(
        start("r1", 0),
        done(
            "r1",
            10,
            spans=[span("responseLatency", 0, 8.0), span("responseDuration", 8, 0.5), span("runtimeOverhead", 9, 1)],
        ),
        report("r1", 12, spans=[span("extensionOverhead", 10, 2.0)]),
    )
    [content] = derived.metrics
    assert {(point["name"], point.get("value", point.get("sum")), point["unit"]) for point in content["metrics"]} == {
        ("faas.invocations", 1, "{invocation}"),
        ("faas.invoke_duration", 0.01, "s"),
        ("faas.mem_usage", 90 << 20, "By"),
        ("aws.lambda.billed_duration", 0.013, "s"),
        ("aws.lambda.produced_bytes", 40, "By"),
        ("aws.lambda.response_latency", 0.008, "s"),
        ("aws.lambda.response_duration", 0.0005, "s"),
        ("aws.lambda.runtime_overhead", 0.001, "s"),
        ("aws.lambda.extension_overhead", 0.002, "s"),
    }


def test_the_error_type_is_an_attribute_of_errors() -> None:
    """What is no word, or missing, is OpenTelemetry's word for it."""
    derived = Derived()
    for request_id, error_type in [("r1", "Runtime.ExitError"), ("r2", "not a word " * 99), ("r3", None)]:
        derived.feed(start(request_id, 0), report(request_id, 1, "error", errorType=error_type))
    types = [point["attributes"] for point in derived.points("faas.errors")]
    assert types == [{"error.type": "Runtime.ExitError"}, {"error.type": "_OTHER"}, {"error.type": "_OTHER"}]


def test_an_error_that_only_the_runtime_saw_counts() -> None:
    """A report that says success does not hide a runtimeDone that says error."""
    derived = Derived()
    derived.feed(start("r1", 0), done("r1", 1, "error", errorType="Function.X"), report("r1", 2))
    assert derived.points("faas.errors")[0]["attributes"] == {"error.type": "Function.X"}


def test_a_report_that_comes_behind_the_freeze_belongs_to_the_invocation_it_names() -> None:
    """It may come in a later chunk, when the next invocation has begun."""
    derived = Derived()
    derived.feed(start("r1", 0), done("r1", 10, "error"))
    assert derived.records == []
    derived.feed(start("r2", 60_000), report("r1", 12, "error", errorType="Function.X"))
    assert [found.request_id for found in derived.records] == ["r1", "r1"]
    derived.feed(done("r2", 60_010), report("r2", 60_012))
    assert (derived.total("faas.errors"), derived.total("faas.invocations")) == (1, 1)


def test_a_retry_with_the_same_request_id_is_another_invocation() -> None:
    """Lambda retries asynchronous invocations under one id; each try is counted, with its own outcome."""
    derived = Derived()
    derived.feed(*invocation("r1", 0, "error"), *invocation("r1", 100, "error"), *invocation("r1", 200))
    assert (derived.total("faas.errors"), derived.total("faas.invocations")) == (2, 1)


def test_a_lost_runtime_done_costs_only_what_it_said() -> None:
    """The duration is the report's then."""
    derived = Derived()
    derived.feed(start("r1", 0), report("r1", 12))
    derived.feed(*invocation("r1", 100))
    assert [point["value"] for point in derived.points("faas.invoke_duration")] == [0.012, 0.01]
    assert derived.total("faas.invocations") == 2


@pytest.mark.parametrize(
    ("reason", "name"), [("timeout", "faas.timeouts"), ("failure", "faas.errors"), ("spindown", "faas.invocations")]
)
def test_an_invocation_without_an_end_ends_with_the_environment(reason: str, name: str) -> None:
    """What was running at a SHUTDOWN ended as its reason says; a report that still comes does not count it again."""
    derived = Derived()
    derived.feed(*invocation("r0", 0), start("r1", 100))
    derived.shut_down(reason)
    derived.feed(done("r1", 200, "timeout"), report("r1", 201, "timeout"))
    assert derived.total(name) == 1 + (name == "faas.invocations")
    assert sum(derived.total(name) for name in ("faas.invocations", "faas.errors", "faas.timeouts")) == 2
    assert len(derived.points("faas.mem_usage")) == 2
    assert [point["attributes"] for point in derived.points("aws.lambda.shutdowns")] == [
        {"aws.lambda.shutdown_reason": reason}
    ]


def test_only_what_was_running_ends_with_the_environment() -> None:
    """Where invocations follow each other, one before the last has ended, though nothing is known of its end."""
    derived = Derived()
    derived.feed(start("r1", 0), start("r2", 100))
    derived.shut_down("timeout")
    assert (derived.total("faas.invocations"), derived.total("faas.timeouts")) == (1, 1)


def test_a_runtime_done_that_comes_late_is_measured_without_its_duration() -> None:
    """That was the report's already."""
    derived = Derived()
    derived.feed(start("r1", 0), report("r1", 12), done("r1", 10))
    assert [point["value"] for point in derived.points("faas.invoke_duration")] == [0.012]
    assert derived.total("aws.lambda.produced_bytes") == 40


def test_what_interleaves_on_managed_instances_is_told_apart() -> None:
    """There is no runtimeDone; what runs when the environment fails, fails."""
    derived = Derived(in_order=False, initialization_type="lambda-managed-instances")
    derived.feed(
        start("r1", 0), start("r2", 1), start("r3", 2), report("r2", 5), report("r1", 9, "timeout"), start("r4", 10)
    )
    derived.shut_down("failure")
    counted = [derived.total(name) for name in ("faas.invocations", "faas.timeouts", "faas.errors", "faas.coldstarts")]
    assert counted == [1, 1, 2, 0]


@pytest.mark.parametrize(
    ("kind", "cold"),
    [("on-demand", 1), ("provisioned-concurrency", 0), ("lambda-managed-instances", 0), ("snap-start", 0)],
)
def test_an_init_that_an_invocation_waited_for_is_its_cold_start(kind: str, cold: int) -> None:
    """Only the first invocation is cold, and not where the environment was made ahead."""
    derived = Derived()
    derived.feed(*init(kind=kind), *invocation("r1", 300), *invocation("r2", 400))
    assert derived.total("faas.coldstarts") == cold


def test_an_init_is_measured_with_its_type() -> None:
    """The init of a snapshot is not, since each of the environments made from it is told of it."""
    derived = Derived()
    derived.feed(*init())
    [point] = derived.points("faas.init_duration")
    assert (point["value"], point["attributes"]) == (0.2, {"aws.lambda.initialization_type": "on-demand"})
    snapshot = Derived()
    snapshot.feed(*init(kind="snap-start"))
    assert snapshot.points("faas.init_duration") == []


def test_a_restore_is_a_cold_start() -> None:
    """With SnapStart the restore is what the invocation waits for."""
    derived = Derived(initialization_type="snap-start")
    derived.feed(
        event("restoreStart", 0),
        event("restoreRuntimeDone", 9, status="success"),
        event("restoreReport", 10, status="success", metrics={"durationMs": 15.19}),
        *invocation("r1", 20),
    )
    assert derived.total("aws.lambda.restore_duration") == pytest.approx(0.01519)
    assert derived.total("faas.coldstarts") == 1


def test_an_init_within_an_invocation_makes_that_one_cold() -> None:
    """An init that failed is tried again in the first invocation: one cold start, two inits."""
    derived = Derived()
    failed = event(
        "initReport",
        200,
        initializationType="on-demand",
        phase="init",
        status="error",
        errorType="Runtime.Unknown",
        metrics={"durationMs": 100},
    )
    derived.feed(
        init()[0],
        failed,
        start("r1", 300),
        *init(301, phase="invoke"),
        done("r1", 900),
        report("r1", 901),
        *invocation("r2", 950),
    )
    assert derived.total("faas.coldstarts") == 1
    assert [point["attributes"].get("error.type") for point in derived.points("faas.init_duration")] == [
        "Runtime.Unknown",
        None,
    ]


def test_an_init_that_nothing_came_of_is_unused() -> None:
    """It is counted at SHUTDOWN where no invocation was ever seen."""
    derived = Derived()
    derived.feed(*init())
    derived.shut_down()
    assert derived.total("aws.lambda.unused_inits") == 1
    used = Derived()
    used.feed(*init(), *invocation("r1", 300))
    used.shut_down()
    assert used.total("aws.lambda.unused_inits") == 0


@pytest.mark.parametrize(
    ("records", "count"),
    [
        (
            [
                done("r1", 1, "error", errorType="Runtime.OutOfMemory"),
                report("r1", 2, "error", errorType="Runtime.OutOfMemory"),
            ],
            1,
        ),
        (
            [
                report(
                    "r1",
                    2,
                    "error",
                    errorType="Runtime.ExitError",
                    metrics={"memorySizeMB": 128, "maxMemoryUsedMB": 128},
                )
            ],
            1,
        ),
        (
            [
                report(
                    "r1",
                    2,
                    "error",
                    errorType="Runtime.ExitError",
                    metrics={"memorySizeMB": 128, "maxMemoryUsedMB": 90},
                )
            ],
            0,
        ),
        ([report("r1", 2, metrics={"memorySizeMB": 128, "maxMemoryUsedMB": 128})], 0),
    ],
)
def test_running_out_of_memory_is_counted_once_an_invocation(records: list[Any], count: int) -> None:
    """Each of the signals counts, all of them together once; all memory used and no crash is none."""
    derived = Derived()
    derived.feed(start("r1", 0), *records)
    derived.shut_down()
    assert derived.total("aws.lambda.out_of_memory") == count


def test_what_the_platform_dropped_is_counted() -> None:
    """Records and bytes, from platform.logsDropped; what is no number is none."""
    derived = Derived()
    derived.feed(event("logsDropped", 0, droppedRecords=123, droppedBytes=12345, reason="slow"))
    derived.feed(
        event("logsDropped", 1, droppedRecords=True, droppedBytes=-1), event("logsDropped", 2, droppedRecords=1e300)
    )
    assert (derived.total("aws.lambda.dropped_records"), derived.total("aws.lambda.dropped_bytes")) == (123, 12345)


def ledger(received: int, delivered: int, dropped: int) -> dict[str, Any]:
    sink = {"delivered": delivered, "fellBack": 0, "excluded": 0, "restored": 0, "dropped": {"queue full": dropped}}
    return {"received": received, "added": 0, "filtered": 0, "joined": 0, "sinks": {"https://host": sink}}


def test_the_forwarders_own_counters_are_the_ledgers() -> None:
    """Each account adds what came since the one before; nothing new, nothing added."""
    derived = Derived()
    derived.account(ledger(10, 5, 0))
    derived.account(ledger(12, 9, 3))
    assert derived.account(ledger(12, 9, 3)) == []
    assert [point["value"] for point in derived.points("telemetry_forwarder.received")] == [10, 2]
    assert derived.total("telemetry_forwarder.delivered") == 9
    [dropped] = derived.points("telemetry_forwarder.dropped")
    attributes = {"telemetry_forwarder.sink": "https://host", "telemetry_forwarder.reason": "queue full"}
    assert (dropped["value"], dropped["attributes"]) == (3, attributes)


def test_the_ledger_does_not_move_the_time_of_events() -> None:
    """Behind a freeze it may be measured before the report comes of an invocation before the freeze."""
    derived = Derived()
    derived.feed(start("r1", 0))
    derived.account(ledger(1, 1, 0))
    derived.feed(report("r1", 12))
    assert [content["timeUnixNano"] for content in derived.metrics] == [derived.now_ns, BEGAN_NS + 12 * MS]


def test_intervals_follow_each_other() -> None:
    """A record begins where the one before ended, the first at the first event; its end is that of its event."""
    derived = Derived()
    derived.feed(*init(), *invocation("r1", 300), *invocation("r2", 305), *invocation("r3", 250))
    times = [(content["startTimeUnixNano"], content["timeUnixNano"]) for content in derived.metrics]
    since = [(start - BEGAN_NS, end - BEGAN_NS) for start, end in times]
    assert since == [(0, 200 * MS), (200 * MS, 312 * MS), (312 * MS, 317 * MS), (317 * MS, 317 * MS + 1)]


def test_a_time_of_the_future_is_now() -> None:
    """Who forges a time must not move all that comes later."""
    derived = Derived()
    derived.feed(*invocation("r1", 10 * 3_600_000))
    assert derived.metrics[0]["timeUnixNano"] <= derived.now_ns + 1


def test_totals_are_what_has_come_since_one_time() -> None:
    """A record holds what its streams have come to since the first event."""
    derived = Derived(temporalities={"cumulative"})
    derived.feed(*init(), *invocation("r1", 300), *invocation("r2", 400))
    assert [point["value"] for point in derived.points("faas.invocations")] == [1, 2]
    last = derived.points("faas.invoke_duration")[-1]
    assert (last["count"], last["sum"], last["min"], last["max"]) == (2, 0.02, 0.01, 0.01)
    assert last["buckets"] == [0, 2, *[0] * 13]
    assert {(content["temporality"], content["startTimeUnixNano"]) for content in derived.metrics} == {
        ("cumulative", BEGAN_NS)
    }


def test_sinks_may_take_deltas_and_totals() -> None:
    """Each event makes a record of either kind, so that each sink gets its own."""
    derived = Derived(temporalities={"delta", "cumulative"}, traces=False)
    derived.feed(*invocation("r1", 0), *invocation("r2", 100))
    assert [record.kind for record in derived.records] == ["metric", "total", "metric", "total"]
    assert [point["value"] for point in derived.points("faas.invocations")] == [1, 1, 1, 2]


def test_streams_are_bounded() -> None:
    """Beyond the limit, what is measured goes to one stream that says so."""
    derived = Derived(temporalities={"cumulative"})
    for number in range(MAX_STREAMS + 10):
        derived.feed(start(f"r{number}", number), report(f"r{number}", number, "error", errorType=f"Runtime.X{number}"))
    last = derived.points("faas.errors")[-1]
    assert (last["attributes"], last["value"]) == ({"otel.metric.overflow": True}, 10)


def test_a_copy_of_a_snapshot_begins_anew() -> None:
    """What was counted before the snapshot was counted in it; each copy has totals of its own."""
    derived = Derived(temporalities={"cumulative"})
    derived.feed(*invocation("r1", 0))
    derived.signals.renew("e2")
    derived.feed(*invocation("r2", 100))
    assert [point["value"] for point in derived.points("faas.invocations")] == [1, 1]


@pytest.mark.parametrize(
    "content",
    [
        "RequestId: r1 Process exited before completing request",
        None,
        [],
        {"requestId": 1, "metrics": [], "spans": "x", "status": {}, "tracing": 7},
        {"metrics": {"durationMs": float("nan"), "maxMemoryUsedMB": True}, "spans": [None, {"name": "x"}, {}]},
    ],
)
def test_odd_records_measure_nothing_and_cost_nothing(content: object) -> None:
    """Any value may come where an object is expected; the invocation behind it is counted."""
    derived = Derived()
    derived.feed(
        record("platform.report", at(0), content), record("platform.start", "no time", content), *invocation("r1", 1)
    )
    assert derived.total("faas.mem_usage") == 90 << 20


def test_nothing_is_derived_that_no_sink_takes() -> None:
    """Metrics alone, or traces alone."""
    metrics, traces = Derived(traces=False), Derived(temporalities=())
    for derived in (metrics, traces):
        derived.feed(*init(), *invocation("r1", 300))
        derived.shut_down()
    assert {record.kind for record in metrics.records} == {"metric"}
    assert {record.kind for record in traces.records} == {"span"}


def test_a_report_that_comes_twice_is_counted_once() -> None:
    """Without a second start or runtimeDone it is no second try: nothing of it is measured again, and no span made."""
    derived = Derived()
    derived.feed(start("r1", 0), done("r1", 10, "failure", errorType="Runtime.ExitError"))
    full = {"memorySizeMB": 128, "maxMemoryUsedMB": 128}
    derived.feed(report("r1", 12, "failure", errorType="Runtime.ExitError", metrics=full))
    derived.feed(report("r1", 12, "error", errorType="Runtime.OutOfMemory", metrics=full))
    assert (derived.total("faas.errors"), derived.total("aws.lambda.out_of_memory")) == (1, 1)
    assert len(derived.points("faas.mem_usage")) == 1
    assert [span["name"] for span in derived.spans] == ["orders"]


def test_an_init_that_timed_out_has_one_error_type() -> None:
    """That of the metric is that of the span."""
    derived = Derived()
    timed_out = event("initReport", 200, status="timeout", metrics={"durationMs": 10_000})
    derived.feed(init()[0], timed_out, *invocation("r1", 300))
    [point] = derived.points("faas.init_duration")
    assert point["attributes"]["error.type"] == derived.span("init")["attributes"]["error.type"] == "timeout"

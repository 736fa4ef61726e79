"""The port is open to anyone in the environment: whatever comes, what is derived can be encoded."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from extension.sinks import _otlp_metrics, _otlp_spans
from tests.support.signals import TRACE, Derived, at, record

TYPES = (
    "initStart",
    "initRuntimeDone",
    "initReport",
    "start",
    "runtimeDone",
    "report",
    "restoreStart",
    "restoreRuntimeDone",
    "restoreReport",
    "logsDropped",
    "fault",
    "of.tomorrow",
)  # fmt: skip - in groups
TIMES = st.sampled_from([at(0), at(1e9), "1970-01-01T00:00:00.001Z", "9999-12-31T23:59:59.999Z", "", "noon"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
NUMBERS = st.sampled_from([0, 1, 12.5, 1e11, 1e300, -1, True])
SPANS = st.fixed_dictionaries(
    {}, optional={"name": st.sampled_from(["init", "x" * 200]), "start": TIMES, "durationMs": NUMBERS}
)
CONTENTS = JSON | st.fixed_dictionaries(
    {},
    optional={
        "requestId": st.sampled_from(["r1", "r2", "", "\ud800", 7]),
        "status": st.sampled_from(["success", "error", "timeout", "\ud800"]) | JSON,
        "errorType": st.sampled_from(["Runtime.ExitError", "\ud800"]) | JSON,
        "initializationType": st.sampled_from(["on-demand", "snap-start", "provisioned-concurrency"]) | JSON,
        "phase": st.sampled_from(["init", "invoke"]),
        "functionArn": st.sampled_from(["arn", "\ud800"]),
        "metrics": st.dictionaries(st.sampled_from(["durationMs", "billedDurationMs", "maxMemoryUsedMB"]), NUMBERS)
        | JSON,
        "spans": st.lists(SPANS | JSON, max_size=20) | JSON,
        "tracing": st.sampled_from([TRACE, {"value": "Root=\ud800"}]) | JSON,
        "droppedRecords": NUMBERS,
    },
)


@given(st.lists(st.tuples(st.sampled_from(TYPES), TIMES, CONTENTS), max_size=8))
@example([("report", "1970-01-01T00:00:00.001Z", {"metrics": {"durationMs": 1e11}})])
@example([("initReport", "1970-01-01T00:00:00.001Z", {"metrics": {"durationMs": 1e11}})])
@example([("start", at(0), {"functionArn": "\ud800"})])
@settings(deadline=None)
def test_whatever_comes_can_be_encoded(events: list[tuple[str, str, object]]) -> None:
    """No record is refused for what another process made the platform seem to say."""
    derived = Derived(temporalities={"delta", "cumulative"})
    for type_, time, content in events:
        derived.feed(record(f"platform.{type_}", time, content))
    derived.shut_down("\ud800")
    for as_json in (False, True):
        metrics = [one for one in derived.records if one.kind != "span"]
        assert _otlp_metrics.encode(metrics, Resource(), as_json=as_json)
        spans = [one for one in derived.records if one.kind == "span"]
        assert _otlp_spans.encode(spans, Resource(), as_json=as_json)

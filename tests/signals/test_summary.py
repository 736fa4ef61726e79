from __future__ import annotations

from typing import Any

import jsonschema
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from extension.records import Record
from extension.signals.summary import METRICS, WAITING
from tests.support.emf import SCHEMA
from tests.support.signals import BEGAN_NS, MS, Derived, at, content, done, event, init, invocation, report, start


class Summed(Derived):
    """Signals with summaries alone, unless asked for more."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"temporalities": set(), "traces": False, "summary": "json", **options})

    @property
    def summaries(self) -> list[dict[str, Any]]:
        return [content(record) for record in self.records if record.type == "forwarder.invocation"]

    @property
    def requests(self) -> list[str]:
        return [summary["requestId"] for summary in self.summaries]


def wrote(request_id: str, text: object) -> Record:
    line = orjson.dumps({"time": at(5), "type": "function", "record": text})
    return Record(-1, "function", line, "function", at(5), request_id, text)


def test_a_summary_says_all_that_is_known() -> None:
    """Of the report, of the init that the invocation waited for, and of what the function wrote meanwhile."""
    summed = Summed(initialization_type="on-demand")
    lines = [wrote("r1", "[ERROR] bad"), wrote("r1", {"level": "INFO", "message": "x"}), wrote("r1", "plain")]
    assert summed.feed(*init(), start("r1", 300), *lines, done("r1", 310)) == []
    [record] = summed.feed(report("r1", 312))
    assert content(record) == {
        "requestId": "r1",
        "status": "success",
        "initializationType": "on-demand",
        "coldStart": True,
        "durationMs": 12.0,
        "billedDurationMs": 13,
        "initDurationMs": 200.0,
        "memorySizeMB": 128,
        "maxMemoryUsedMB": 90,
        "producedBytes": 40,
        "lines": 3,
        "bytes": sum(len(one.line) for one in lines),
        "levels": {"ERROR": 1, "INFO": 1},
    }
    assert (record.kind, record.type, record.time, record.request_id) == (
        "other",
        "forwarder.invocation",
        at(312),
        "r1",
    )


@pytest.mark.parametrize(
    ("word", "level"),
    [("TRACE", "TRACE"), ("TRACE4", "TRACE"), ("debug", "DEBUG"), ("INFO4", "INFO"), ("critical", "FATAL")],
)
def test_levels_are_those_of_opentelemetry(word: str, level: str) -> None:
    """Whatever word a library has for one."""
    summed = Summed()
    summed.feed(start("r1", 0), wrote("r1", {"level": word, "message": "x"}), report("r1", 5))
    assert summed.summaries[0]["levels"] == {level: 1}


def test_what_is_not_sent_is_not_counted() -> None:
    """Where the platform sends no lines of the function, a summary does not say that there were none."""
    summed = Summed(has_lines=False, summary="emf")
    summed.feed(*invocation("r1", 0))
    line = orjson.loads(summed.records[0].line)
    assert not {"lines", "bytes", "levels"} & line["record"].keys()
    assert not {"Lines", "Bytes"} & line.keys()


def test_each_invocation_has_one_summary() -> None:
    """A report that comes again, or a retry with the same request id, makes no second one, or one of its own."""
    summed = Summed()
    summed.feed(*invocation("r1", 0), report("r1", 20), *invocation("r2", 30), *invocation("r1", 60))
    summed.shut_down()
    assert summed.requests == ["r1", "r2", "r1"]


def test_a_report_comes_while_the_next_invocation_runs() -> None:
    """The lines of the next are not the first one's."""
    summed = Summed()
    summed.feed(
        start("r1", 0), wrote("r1", "one"), done("r1", 10), start("r2", 20), wrote("r2", "two"), wrote("r2", "x")
    )
    summed.feed(report("r1", 12), done("r2", 30), report("r2", 32))
    assert [(summary["requestId"], summary["lines"]) for summary in summed.summaries] == [("r1", 1), ("r2", 2)]


def test_a_report_that_does_not_come_is_not_waited_for() -> None:
    """When the invocation behind the next one begins, there is a summary of what is known; a late report adds none."""
    summed = Summed()
    assert summed.feed(start("r1", 0), done("r1", 10, "timeout"), start("r2", 20)) == []
    [record] = summed.feed(start("r3", 40))
    assert {"durationMs": 10.0, "status": "timeout"}.items() <= content(record).items()
    assert "billedDurationMs" not in content(record)
    assert summed.feed(report("r1", 50)) == []


def test_shutdown_sums_up_what_is_left() -> None:
    """With the status that the reason of SHUTDOWN tells, where it was still running."""
    summed = Summed()
    summed.feed(start("r1", 0), done("r1", 10), start("r2", 20))
    summed.shut_down("timeout")
    assert [(summary["requestId"], summary.get("status")) for summary in summed.summaries] == [
        ("r1", "success"),
        ("r2", "timeout"),
    ]


def test_an_error_is_told() -> None:
    """Its status and its type."""
    summed = Summed()
    summed.feed(start("r1", 0), report("r1", 10, "error", errorType="Runtime.ExitError"))
    assert {"status": "error", "errorType": "Runtime.ExitError"}.items() <= summed.summaries[0].items()


def test_invocations_that_interleave_are_summed_up_by_request_id() -> None:
    """On Managed Instances: each line by its own, those without one are nobody's."""
    summed = Summed(in_order=False)
    summed.feed(start("r1", 0), start("r2", 1), start("r3", 2), wrote("r2", {"level": "WARN"}), wrote("", "x"))
    summed.feed(report("r2", 5), report("r1", 6), report("r3", 7))
    assert [(summary["requestId"], summary["lines"]) for summary in summed.summaries] == [
        ("r2", 1),
        ("r1", 0),
        ("r3", 0),
    ]


def test_so_many_invocations_wait_for_their_summary() -> None:
    """The oldest of more is summed up as it is."""
    summed = Summed(in_order=False)
    summed.feed(*[start(f"r{number}", number) for number in range(WAITING + 2)])
    assert summed.requests == ["r0", "r1"]


def test_a_restore_is_told() -> None:
    """As the report says it, or else as the restore itself did."""
    summed = Summed(initialization_type="snap-start")
    summed.feed(event("restoreStart", 0), event("restoreReport", 50, status="success", metrics={"durationMs": 50.0}))
    summed.feed(*invocation("r1", 60))
    assert summed.summaries[0]["restoreDurationMs"] == 50.0


def test_what_the_report_says_of_an_init_counts() -> None:
    """It is what AWS bills by."""
    summed = Summed()
    metrics = {"durationMs": 12.0, "initDurationMs": 198.5}
    summed.feed(*init(), start("r1", 300), report("r1", 312, metrics=metrics))
    assert summed.summaries[0]["initDurationMs"] == 198.5


def test_summaries_change_no_metric() -> None:
    """What is measured and spanned beside them is the same."""
    records = [*init(), *invocation("r1", 300), *invocation("r2", 400, "timeout"), start("r3", 500), start("r4", 600)]
    alone, beside = Derived(), Summed(temporalities={"delta"}, traces=True)
    for one in (alone, beside):
        one.feed(*records)
        one.shut_down()
    assert alone.metrics == beside.metrics
    assert alone.spans == beside.spans


def test_metrics_are_embedded_on_request() -> None:
    """By the specification's schema; and the line is a record as any other besides."""
    summed = Summed(summary="emf")
    summed.feed(*init(), start("r1", 300), wrote("r1", "x"), done("r1", 310, "timeout"), report("r1", 312, "timeout"))
    line = orjson.loads(summed.records[0].line)
    jsonschema.validate(line, SCHEMA)
    [directive] = line["_aws"]["CloudWatchMetrics"]
    values = {metric["Name"]: line[metric["Name"]] for metric in directive["Metrics"]}
    assert all(type(value) in {int, float} for value in values.values())
    assert [[line[name] for name in names] for names in directive["Dimensions"]] == [["orders"]]
    assert values == {
        "Duration": 12.0,
        "BilledDuration": 13,
        "InitDuration": 200.0,
        "MaxMemoryUsed": 90,
        "Lines": 1,
        "Bytes": len(wrote("r1", "x").line),
        "ColdStart": 1,
        "Error": 0,
        "Timeout": 1,
    }
    assert line["_aws"]["Timestamp"] == (BEGAN_NS + 312 * MS) // MS
    assert (line["type"], line["record"]["status"]) == ("forwarder.invocation", "timeout")
    assert next(iter(line)) == "_aws"


@pytest.mark.parametrize(("status", "error", "timeout"), [("success", 0, 0), ("error", 1, 0), ("failure", 1, 0)])
def test_how_it_ended_is_a_metric(status: str, error: int, timeout: int) -> None:
    """Each invocation is a 1 or a 0, so that an average is a rate."""
    summed = Summed(summary="emf")
    summed.feed(*invocation("r1", 0, status))
    line = orjson.loads(summed.records[0].line)
    assert (line["Error"], line["Timeout"], line["ColdStart"]) == (error, timeout, 0)


@given(st.lists(st.sampled_from(["start", "runtimeDone", "report", "initStart", "initReport", "text"]), max_size=30))
def test_whatever_comes_each_summary_is_valid(kinds: list[str]) -> None:
    """Events in any order, or not at all, make lines that CloudWatch takes."""
    summed = Summed(summary="emf")
    for number, kind in enumerate(kinds):
        request_id = f"r{number % 3}"
        summed.feed(wrote(request_id, "x") if kind == "text" else event(kind, number, requestId=request_id, metrics={}))
    summed.shut_down()
    for record in summed.records:
        line = orjson.loads(record.line)
        jsonschema.validate(line, SCHEMA)
        assert not {name for name, (field, _) in METRICS.items() if name in line and field not in line["record"]}

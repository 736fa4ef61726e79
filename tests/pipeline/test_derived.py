from __future__ import annotations

import itertools

import orjson

from extension.intake.decoder import Decoder
from extension.pipeline.correlate import Correlate
from extension.pipeline.filter import Filter
from extension.pipeline.pipeline import Pipeline
from extension.records import Record

LINE = b'{"time":"2026-11-21T00:00:00.000Z","type":"platform.report","record":{"requestId":"r1"}}\n'


def derive(records: list[Record]) -> list[Record]:
    """One record of each, which still has its content."""
    assert [record.content for record in records] == [{"requestId": "r1"}] * len(records)
    return [Record(-1, "metric", b'{"record":{}}', "forwarder.metric", "", "r1") for _ in records]


def raises(_records: list[Record]) -> list[Record]:
    raise RuntimeError


def test_what_is_derived_comes_behind_and_is_counted_as_added() -> None:
    """It has a sequence and the key "lambda" as others do."""
    pipeline = Pipeline(Correlate(in_order=True), [], itertools.count(), derive)
    pipeline.identify({"functionName": "orders"}, "e1")
    records = pipeline(Decoder().feed(LINE * 2))
    assert [(record.sequence, record.kind) for record in records] == [
        (0, "platform"),
        (1, "platform"),
        (2, "metric"),
        (3, "metric"),
    ]
    key = {"functionName": "orders", "environment": "e1", "requestId": "r1", "id": "e1-2"}
    assert orjson.loads(records[2].line)["lambda"] == key
    assert (pipeline.received, pipeline.added, pipeline.filtered) == (2, 2, 0)


def test_records_are_derived_from_what_is_filtered() -> None:
    """FORWARDER_TYPES=function leaves platform records out, and not what they measure."""
    pipeline = Pipeline(Correlate(in_order=True), [Filter({"platform", "extension"})], itertools.count(), derive)
    assert [record.kind for record in pipeline(Decoder().feed(LINE))] == ["metric"]
    assert (pipeline.received, pipeline.added, pipeline.filtered) == (1, 1, 1)


def test_a_fault_in_deriving_costs_no_record() -> None:
    """What came goes on."""
    pipeline = Pipeline(Correlate(in_order=True), [], itertools.count(), raises)
    assert [record.kind for record in pipeline(Decoder().feed(LINE))] == ["platform"]
    assert (pipeline.received, pipeline.added) == (1, 0)

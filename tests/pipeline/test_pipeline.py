from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from extension import lambda_key
from extension.intake.decoder import MAX_TEXT_BYTES, Decoder
from extension.lambda_api.function import Function
from extension.pipeline.correlate import Correlate
from extension.pipeline.filter import Filter, but_our_own
from extension.pipeline.pipeline import BROKEN_TYPE, Pipeline
from extension.records import KINDS, REQUEST_IDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from extension.records import Record

FUNCTION = Function("orders", "7", "arn:aws:lambda:eu-west-1:123456789012:function:orders", "eu-west-1", "123456789012")


class Run:
    """A pipeline fed with lines."""

    def __init__(self, function: Function = FUNCTION, types: tuple[str, ...] = (), *, in_order: bool = True) -> None:
        unwanted = set(KINDS) - set(types) if types else set()
        steps: list[Callable[[list[Record]], list[Record]]] = [but_our_own, Filter(unwanted)]
        self.pipeline = Pipeline(Correlate(in_order=in_order), steps, itertools.count())
        self.pipeline.identify(function.members(), "e1")

    def feed(self, *lines: bytes) -> list[Record]:
        decoder = Decoder()
        return self.pipeline([decoded for line in lines for decoded in decoder.feed(line + b"\n")])

    def request_ids(self, *lines: bytes) -> list[str | None]:
        """As the key says; the record says the same."""
        records = self.feed(*lines)
        ids = [orjson.loads(record.line)["lambda"].get("requestId") for record in records]
        assert [record.request_id or None for record in records] == ids
        return ids


def line(type_: str, record: object) -> bytes:
    return orjson.dumps({"time": "2026-11-21T00:00:00.000Z", "type": type_, "record": record})


def test_the_line_stays_as_it_is_and_gains_one_key() -> None:
    """Spacing, order, number formats and unknown fields of the platform are kept byte for byte."""
    came = rb'{ "time":"2026-11-21T00:00:00.000Z", "type":"function","record": {"n":1.0,"u":"\u00e9"},"new":[1e3] }'
    [record] = Run().feed(came)
    assert record.line == came[:-1] + (
        b',"lambda":{"functionName":"orders","functionVersion":"7",'
        b'"functionArn":"arn:aws:lambda:eu-west-1:123456789012:function:orders","region":"eu-west-1",'
        b'"accountId":"123456789012","environment":"e1","id":"e1-0"}}'
    )


@given(st.dictionaries(st.text(), st.none() | st.integers(-(2**53), 2**53) | st.text(), max_size=4))
def test_whatever_comes_leaves_as_json(value: dict[str, object]) -> None:
    """Any object, the empty one among them, leaves as valid JSON with its members unchanged."""
    [record] = Run().feed(orjson.dumps(value))
    left = orjson.loads(record.line)
    assert {**left, "lambda": None} == {**value, "lambda": None}


def test_what_is_not_known_is_left_out() -> None:
    """Without an account, say, there is no accountId, not even null."""
    [record] = Run(Function(name="orders")).feed(line("function", "hello"))
    assert orjson.loads(record.line)["lambda"] == {"functionName": "orders", "environment": "e1", "id": "e1-0"}


def test_a_text_line_belongs_to_the_last_start() -> None:
    """A record without a request id of its own gets that of the last platform.start, and none before the first."""
    ids = Run().request_ids(
        line("function", "init"),
        line("platform.start", {"requestId": "r1"}),
        line("function", "one"),
        line("platform.start", {"requestId": "r2"}),
        line("extension", "two"),
    )
    assert ids == [None, "r1", "r1", "r2", "r2"]


@pytest.mark.parametrize("key", REQUEST_IDS)
def test_a_records_own_request_id_wins(key: str) -> None:
    """A late record of an earlier invocation keeps its own id, under any of the names for it."""
    ids = Run().request_ids(
        line("platform.start", {"requestId": "r1"}),
        line("platform.start", {"requestId": "r2"}),
        line("function", {key: "r1", "message": "late"}),
        line("platform.report", {"requestId": "r1"}),
        line("function", "text"),
    )
    assert ids == ["r1", "r2", "r1", "r1", "r2"]


@pytest.mark.parametrize("key", ["requestId", "AWSRequestId"])
@pytest.mark.parametrize("type_", ["function", "extension"])
def test_a_request_id_that_lambda_does_not_know_is_the_functions_own(type_: str, key: str) -> None:
    """What a function calls its request id counts only if a platform.start of this environment named it."""
    ids = Run().request_ids(
        line(type_, {key: "upstream"}),
        line("platform.start", {"requestId": "r1"}),
        line(type_, {key: "upstream"}),
        line("platform.report", {"requestId": "r0"}),
    )
    assert ids == [None, "r1", "r1", "r0"]


def test_request_ids_are_remembered_for_a_while() -> None:
    """So many invocations ago a line may come late and keep its id; what is older is forgotten."""
    count = 100
    starts = [line("platform.start", {"requestId": f"r{number}"}) for number in range(count)]
    late = [line("function", {"requestId": f"r{number}"}) for number in (0, count - 10)]
    assert Run().request_ids(*starts, *late)[count:] == [f"r{count - 1}", f"r{count - 10}"]


def test_nothing_is_guessed_where_invocations_interleave() -> None:
    """On Managed Instances a record has its own request id or none."""
    ids = Run(in_order=False).request_ids(
        line("platform.start", {"requestId": "r1"}), line("function", "x"), line("function", {"requestId": "r2"})
    )
    assert ids == ["r1", None, "r2"]


def test_of_several_ids_the_one_that_was_started_counts() -> None:
    """Where they interleave: a caller's `requestId` does not hide Lambda's. Where none was started it is the first."""
    ids = Run(in_order=False).request_ids(
        line("platform.start", {"requestId": "r1"}),
        line("function", {"requestId": "upstream", "AWSRequestId": "r1"}),
        line("function", {"requestId": 7, "function_request_id": "r1"}),
        line("function", {"requestId": "early", "awsRequestId": "other"}),
    )
    assert ids == ["r1", "r1", "r1", "early"]


def test_types_that_are_not_wanted_are_counted() -> None:
    """A filtered record is counted, and platform events still tell the request id."""
    run = Run(types=("function",))
    records = run.feed(line("platform.start", {"requestId": "r1"}), line("function", "x"), line("extension", "y"))
    assert [record.kind for record in records] == ["function"]
    assert (run.pipeline.received, run.pipeline.filtered) == (3, 2)
    assert b'"requestId":"r1"' in records[0].line


@pytest.mark.parametrize("record", ['{"forwarder":true,"message":"ledger"}\n', {"forwarder": True, "message": "x"}])
def test_our_own_log_never_comes_round(record: object) -> None:
    """Lines of the forwarder's own log are filtered out of the extension stream, as text and as objects."""
    run = Run()
    assert run.feed(line("extension", record)) == []
    assert run.pipeline.filtered == 1


@pytest.mark.parametrize("value", [{"type": "new.kind", "record": 1}, {"type": 5}, {"record": {}}])
def test_unknown_types_pass(value: dict[str, object]) -> None:
    """A type nobody has heard of, or none at all, is delivered."""
    [record] = Run().feed(orjson.dumps(value))
    assert record.kind == "other"


def test_a_broken_line_becomes_a_record_of_its_text() -> None:
    """What is no JSON object is kept as text, bytes that are not UTF-8 as escapes, and counted."""
    run = Run()
    [record] = run.feed(b'{"a":"\xff')
    left = orjson.loads(record.line)
    assert (left["type"], left["record"], record.kind) == ("forwarder.broken", '{"a":"\\xff', "other")
    assert run.pipeline.broken == {"not UTF-8": 1}


@pytest.mark.parametrize("long", [b"x" * (1 << 20), b'{"a":"' + b"\xff" * (1 << 20)])
def test_of_a_long_broken_line_the_beginning_is_kept(long: bytes) -> None:
    """The record of a broken line is bounded, and says how much of the line is not in it."""
    [record] = Run().feed(long)
    assert len(record.line) < 6 * MAX_TEXT_BYTES + 1000
    assert orjson.loads(record.line)["record"].endswith(f"... ({len(long) - MAX_TEXT_BYTES} bytes cut)")


@pytest.mark.parametrize("id_", ["\\ud800", "x" * 129, "\\u0000", "ü", ""])
def test_what_cannot_be_a_request_id_is_none(id_: str) -> None:
    """It is stamped neither on its own line nor on those that follow."""
    start = b'{"type":"platform.start","record":{"requestId":"%b"}}' % id_.encode()
    records = [json.loads(record.line) for record in Run().feed(start, line("function", "x"))]
    assert ["requestId" in record["lambda"] for record in records] == [False, False]


def test_ids_are_unique_and_in_order() -> None:
    """Every record has the environment's name and the next number."""
    records = Run().feed(*[line("function", "x")] * 3)
    assert [orjson.loads(record.line)["lambda"]["id"] for record in records] == ["e1-0", "e1-1", "e1-2"]


def test_what_was_learned_of_a_line_goes_with_its_record() -> None:
    """Type and time stand beside the line, so that no sink parses it again; the parsed content is let go of."""
    [record] = Run().feed(line("platform.start", {"requestId": "r1"}))
    assert record[:2] == (0, "platform")
    assert record[3:] == ("platform.start", "2026-11-21T00:00:00.000Z", "r1", None, None)


def test_a_record_of_our_own_is_stamped_as_any_other() -> None:
    """It has a time, an id and the request that it tells of, and is counted as added."""
    run = Run()
    [record] = run.pipeline.add("forwarder.invocationFailed", {"requestId": "r1"}, "r1")
    left = orjson.loads(record.line)
    assert (left["type"], left["record"]) == ("forwarder.invocationFailed", {"requestId": "r1"})
    assert (left["lambda"]["requestId"], left["lambda"]["id"]) == ("r1", "e1-0")
    assert (record.time, record.type, run.pipeline.added) == (left["time"], left["type"], 1)


def test_what_is_stamped_changes_with_the_identity() -> None:
    """A copy of a snapshot goes on with a name of its own, and the numbers go on as well."""
    run = Run()
    run.feed(line("function", "x"))
    run.pipeline.identify({"functionName": "copy"}, "e2")
    [record] = run.feed(line("function", "y"))
    assert orjson.loads(record.line)["lambda"] == {"functionName": "copy", "environment": "e2", "id": "e2-1"}


def test_a_broken_line_has_a_time() -> None:
    """So that a sink that goes by time has one for it."""
    [record] = Run().feed(b"no JSON")
    assert (record.type, record.time) == (BROKEN_TYPE, orjson.loads(record.line)["time"])


def test_the_key_can_be_extended() -> None:
    """It is the last of the line, so that what is learned later is appended to it."""
    [record] = Run(Function(name="orders")).feed(line("function", "x"))
    left = orjson.loads(lambda_key.extend(record.line, {"refusedBy": "s3://b", "reason": "no"}))
    assert left["lambda"] == {**orjson.loads(record.line)["lambda"], "refusedBy": "s3://b", "reason": "no"}

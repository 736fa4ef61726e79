"""Decoder, pipeline and invocations together, on whatever bytes may come in."""

from __future__ import annotations

import itertools
import json

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from extension.intake.decoder import Decoder, Line
from extension.intake.invocations import Invocations
from extension.pipeline.correlate import Correlate
from extension.pipeline.filter import Filter, but_our_own
from extension.pipeline.pipeline import Pipeline

ANY_TEXT = st.text(
    st.sampled_from('a"\\}\x00\x1b\ud800\udfff\xfc\ufeff\uffff\U0001f600') | st.characters(), max_size=20
)
ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**63, 2**64 - 1, 2**64, -(2**63) - 1, 10**400, 1e308, -0.0])
    | st.floats(allow_nan=False, allow_infinity=False)
    | ANY_TEXT
    | st.sampled_from(["r1", "r2", "x" * 1000]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=5,
)
TYPES = st.sampled_from(
    ["start", "runtimeDone", "report", "logsDropped", "initStart", "restoreStart", "telemetrySubscription", "new"]
).map("platform.{}".format)
RECORDS = (
    ODD
    | st.fixed_dictionaries({"requestId": ANY_TEXT})
    | st.dictionaries(st.sampled_from(["requestId", "AWSRequestId", "droppedRecords", "metrics"]), ODD)
)
OBJECTS = st.fixed_dictionaries(
    {}, optional={"time": ODD, "type": TYPES | st.sampled_from(["function", "extension"]) | ODD, "record": RECORDS}
) | st.dictionaries(ANY_TEXT, ODD, max_size=3)
LINES = (
    OBJECTS.map(lambda value: json.dumps(value).encode())
    | OBJECTS.map(lambda value: json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    | st.binary(max_size=50)
    | st.sampled_from(
        [b"\xef\xbb\xbf{}", b'{"a":NaN}', b'{"a":' * 3000, b'{"a":1e999}', b'{"type":1,"type":"function"}', b"{ }"]
    )
)


class Intake:
    """What stands between the socket and the sinks."""

    def __init__(self) -> None:
        self.invocations = Invocations()
        self.decoder = Decoder()
        self.pipeline = Pipeline(Correlate(in_order=True), [but_our_own, Filter({"extension"})], itertools.count())
        self.pipeline.identify({"functionName": "orders"}, "e1")

    def take(self, data: bytes) -> list[bytes]:
        """The records of the lines that stay."""
        lines = [*self.decoder.feed(data), *self.decoder.close()]
        self.invocations.observe(lines)
        return [record.line for record in self.pipeline(lines)]


@given(st.lists(LINES, max_size=8))
@settings(max_examples=500, deadline=None)
def test_one_line_in_is_one_record_out(lines: list[bytes]) -> None:
    """Whatever comes, each line is a record of valid JSON with an id of its own, or is counted as filtered."""
    intake = Intake()
    data = b"\n".join(lines)
    kept = intake.take(data)
    assert len([line for line in data.split(b"\n") if line.strip()]) == intake.pipeline.received
    assert intake.pipeline.received - len(kept) == intake.pipeline.filtered
    read = [json.loads(line.decode()) for line in kept]
    assert len({one["lambda"]["id"] for one in read}) == len(kept)
    assert all(len(one["lambda"].get("requestId", "r")) in range(1, 200) for one in read)


@given(
    st.lists(
        st.tuples(TYPES, RECORDS)
        | st.tuples(st.just("platform.logsDropped"), st.fixed_dictionaries({"droppedRecords": ODD})),
        max_size=8,
    )
)
def test_what_is_learnt_of_odd_events_can_be_told(events: list[tuple[str, object]]) -> None:
    """Whatever platform events claim, the ledger's figure of what was dropped is a number that JSON holds."""
    invocations = Invocations()
    for type_, record in events:
        invocations.observe([Line(b"{}", "platform", type_, "", record)])
    assert type(invocations.logs_dropped) is int
    assert 0 <= invocations.logs_dropped < 2**63
    orjson.dumps(invocations.logs_dropped)

"""Filters of the layer as it ships: RE2 is compiled into it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from tests.support.forwarding import assert_balanced, delivered

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.fake_lambda import FakeLambda

EXCLUDE = r"GET /health(z|y)\b" + "\n\nlevel=DEBUG\n(?i)ÄRGER"


def said(path: Path) -> list[object]:
    """What the function printed, as it is in a file sink."""
    return [record["record"] for record in delivered(path) if record["type"] == "function"]


async def test_rules_of_every_kind(lambda_: FakeLambda, tmp_path: Path) -> None:
    """Levels, expressions and fields leave out what they should, and the ledger says which did."""
    path = tmp_path / "out.ndjson"
    await lambda_.start(
        FORWARDER_SINKS=f"file://{path}",
        FORWARDER_MIN_LEVEL="function=INFO",
        FORWARDER_INCLUDE="order\nuser.id=7\nhealth",
        FORWARDER_EXCLUDE=EXCLUDE,
    )
    await lambda_.subscribe()
    lambda_.send(b"this line with an order is broken and stays\n")
    await lambda_.invoke("r1", "order 1", "GET /healthz for order 2", "cart", '{"level":"DEBUG","order":3}')
    lambda_.record("function", {"level": "TRACE", "message": "order 4"})
    lambda_.record("function", {"level": "WARN", "user": {"id": 7}})
    lambda_.record("function", "order 5 macht Ärger")
    assert await lambda_.shut_down() == 0
    assert said(path) == ["order 1", {"level": "WARN", "user": {"id": 7}}]
    ledger = lambda_.ledger
    assert ledger["filteredBy"] == {"exclude 1": 1, "exclude 3": 1, "exclude 4": 1, "min_level": 1, "include": 1}
    assert (ledger["filtered"], ledger["unreadable"]) == (5, 0)
    assert [record["type"] for record in delivered(path)].count("forwarder.broken") == 1
    assert_balanced(ledger)


async def test_errors_to_one_sink_and_everything_to_another(lambda_: FakeLambda, tmp_path: Path) -> None:
    """A sink's own rules are that sink's, and what they leave out is counted there; the fallback has none."""
    errors, rest = tmp_path / "errors.ndjson", tmp_path / "all.ndjson"
    rules = f"min_level=ERROR&types=function,platform,-platform.start&exclude={quote('noise')}%0Acode=418"
    await lambda_.start(FORWARDER_SINKS=f"file://{errors}?{rules} file://{rest}")
    await lambda_.subscribe()
    await lambda_.invoke("r1", "no level", "no level and noise", '{"level":"info"}')
    for content in ({"level": "error", "code": 500}, {"level": "error", "code": 418}):
        lambda_.record("function", content)
    assert await lambda_.shut_down() == 0
    assert said(errors) == ["no level", {"level": "error", "code": 500}]
    assert len(said(rest)) == 5
    own, other = lambda_.ledger["sinks"].values()
    assert own["filteredBy"] == {"types": 1, "exclude 1": 1, "exclude 2": 1, "min_level": 1}
    assert (own["excluded"], own["unreadable"], other["excluded"]) == (4, 0, 0)
    assert "filteredBy" not in {**other, **lambda_.ledger}
    assert_balanced(lambda_.ledger)


async def test_what_is_filtered_out_is_still_known(lambda_: FakeLambda, tmp_path: Path) -> None:
    """Without platform.start and runtimeDone in the output, records have their request id and leave in time."""
    path = tmp_path / "out.ndjson"
    await lambda_.start(
        FORWARDER_SINKS=f"file://{path}",
        FORWARDER_TYPES="-platform.start,-platform.runtimeDone",
        FORWARDER_FLUSH="invocation",
    )
    await lambda_.subscribe()
    await lambda_.invoke("r1", "one")
    assert [(record["record"], record["lambda"]["requestId"]) for record in delivered(path)] == [("one", "r1")]
    assert await lambda_.shut_down() == 0
    assert lambda_.ledger["filteredBy"] == {"types": 2}
    assert_balanced(lambda_.ledger)


async def test_a_record_that_a_rule_cannot_read_is_delivered(lambda_: FakeLambda, tmp_path: Path) -> None:
    """One of so many values that it is not parsed passes a field and a level, unchanged, and is counted."""
    path = tmp_path / "out.ndjson"
    await lambda_.start(FORWARDER_SINKS=f"file://{path}", FORWARDER_MIN_LEVEL="WARN", FORWARDER_INCLUDE="level=ERROR")
    await lambda_.subscribe()
    many = {"level": "DEBUG", "values": list(range(40_000))}
    lambda_.record("function", many)
    await lambda_.invoke("r1")
    assert await lambda_.shut_down() == 0
    assert said(path) == [many]
    assert lambda_.ledger["unreadable"] == 1
    assert_balanced(lambda_.ledger)


@pytest.mark.parametrize(
    ("variables", "problem"),
    [
        ({"FORWARDER_EXCLUDE": "a\n(s3cret"}, "FORWARDER_EXCLUDE, line 2: expected an expression of RE2 (missing ))"),
        ({"FORWARDER_INCLUDE": r"s3cret\pL{1000}"}, "FORWARDER_INCLUDE, line 1: expected a smaller one"),
        (
            {"FORWARDER_SINKS": "discard://?exclude=a%0As3cret("},
            "sink 1 of FORWARDER_SINKS, exclude=, line 2: expected an expression of RE2 (missing ))",
        ),
        ({"FORWARDER_MIN_LEVEL": "s3cret"}, "FORWARDER_MIN_LEVEL: expected a level such as WARN"),
    ],
)
async def test_a_rule_that_is_none_is_an_error(lambda_: FakeLambda, variables: dict[str, str], problem: str) -> None:
    """A rule that cannot be stops forwarding with one error, which says where it stands and not what it is."""
    await lambda_.start(**{"FORWARDER_SINKS": "discard://", **variables})
    await lambda_.invoke("r1")
    assert await lambda_.shut_down() == 0
    [entry] = [entry for entry in lambda_.log if entry["message"].startswith("bad settings")]
    [found] = entry["problems"]
    assert found.startswith(problem)
    assert "s3cret" not in str(lambda_.log)

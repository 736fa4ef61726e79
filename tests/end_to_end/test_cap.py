"""FORWARDER_MAX_BYTES_PER_MINUTE in the layer as it ships."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support.forwarding import assert_balanced, delivered

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.fake_lambda import FakeLambda

CAP = 65_536
LINES = [f"{number:03d}" + "x" * 1000 for number in range(150)]


@pytest.mark.parametrize("has_fallback", [True, False])
async def test_the_rest_goes_to_the_fallback_or_is_counted(
    lambda_: FakeLambda, tmp_path: Path, has_fallback: bool
) -> None:
    """Each line is in the sinks, or once in the fallback, or in the ledger, which balances; it is told once."""
    fallback = {"FORWARDER_FALLBACK": f"file://{tmp_path}/fallback"} if has_fallback else {}
    sinks = f"file://{tmp_path}/a file://{tmp_path}/b"
    await lambda_.start(FORWARDER_SINKS=sinks, FORWARDER_MAX_BYTES_PER_MINUTE=str(CAP), **fallback)
    await lambda_.subscribe()
    await lambda_.invoke("r1", *LINES[:100])
    await lambda_.invoke("r2", *LINES[100:])
    assert await lambda_.shut_down() == 0
    texts = [(tmp_path / name).read_text() for name in ("a", "b")]
    passed = [
        [one["record"] for one in map(json.loads, text.splitlines()) if one["type"] == "function"] for text in texts
    ]
    assert passed[0] == passed[1]
    assert CAP - 3000 < len("".join(passed[0])) + 300 * len(passed[0]) < 1.3 * CAP
    assert lambda_.ledger["capped"] == len(LINES) - len(passed[0])
    ledger = lambda_.ledger
    if has_fallback:
        assert ledger["sinks"].pop("file:// (3)")["delivered"] == ledger["capped"]
    assert_balanced(ledger)
    [told] = [line for line in lambda_.log if line["message"] == "over FORWARDER_MAX_BYTES_PER_MINUTE"]
    types = [one["type"] for one in map(json.loads, texts[0].splitlines())]
    assert types.count("platform.start") == 2
    if has_fallback:
        rest = delivered(tmp_path / "fallback")
        assert sorted([one["record"] for one in rest] + passed[0]) == LINES
        why = {(one["lambda"]["refusedBy"], one["lambda"]["reason"]) for one in rest}
        assert why == {("telemetry-forwarder", "over FORWARDER_MAX_BYTES_PER_MINUTE")}
    else:
        assert told["to"] == "nowhere"
        assert types[-1] == "forwarder.ledger"

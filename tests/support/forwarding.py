"""What came out of the layer, on the other side of a sink, and in its ledger."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.fault_server import FaultServer


def delivered(path: Path) -> list[dict[str, Any]]:
    """The records in the file of a file sink."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def received(server: FaultServer) -> list[str]:
    """What the function printed, as the server got it."""
    lines = [json.loads(line) for request in server.requests for line in request.text.splitlines()]
    return [line["record"] for line in lines if line["type"] == "function"]


def assert_balanced(ledger: dict[str, Any]) -> None:
    """For each sink, what came is what ended, or is pending."""
    for account in ledger["sinks"].values():
        ended = account["delivered"] + account["fellBack"] + sum(account["dropped"].values()) + account["pending"]
        came = ledger["received"] + ledger["added"] + account["restored"]
        left_out = ledger["filtered"] + ledger["joined"] + account["excluded"]
        left_out += sum(ledger.get(name, 0) for name in ("capped", "sampledOut", "held"))
        assert came - left_out == ended

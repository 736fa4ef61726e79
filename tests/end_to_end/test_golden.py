"""What users see, word for word: output lines, ledger, log, settings, exit codes. The files in golden/ hold it.

`GOLDEN=write` writes them anew; a change of them is a change for users, and CHANGELOG.md says it first.
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from extension import config, sinks
from tests.support.fake_lambda import Answer as ApiAnswer
from tests.support.fault_server import Answer, FaultServer

if TYPE_CHECKING:
    from tests.support.fake_lambda import FakeLambda

GOLDEN = Path(__file__).parent / "golden"
EXTENSION = Path(config.__file__).parent
KNOWN = sinks.schemes()
STAMP = "2026-11-21T03:53:22.117Z"
LINES = (
    ("platform.initStart", {"initializationType": "on-demand", "phase": "init", "functionName": "orders"}),
    ("platform.telemetrySubscription", {"name": "telemetry-forwarder", "state": "Subscribed", "types": ["function"]}),
    ("platform.start", {"requestId": "79b5e81f-9cdd-4145-b1f6-7c50ef8a2a36", "version": "7"}),
    ("function", "plain text\n"),
    ("function", {"timestamp": STAMP, "level": "INFO", "message": "an object", "nested": {"a": [1, 2.5, None, "é😀"]}}),
    ("extension", "a line of another extension"),
    ("extension", '{"forwarder":true,"level":"INFO","message":"our own"}'),
    ("brand.new", {"never": "seen"}),
    ("platform.logsDropped", {"droppedRecords": 3, "droppedBytes": 300, "reason": "slow"}),
    ("platform.runtimeDone", {"requestId": "79b5e81f-9cdd-4145-b1f6-7c50ef8a2a36", "status": "success"}),
    ("platform.report", {"requestId": "79b5e81f-9cdd-4145-b1f6-7c50ef8a2a36", "metrics": {"durationMs": 1.5}}),
)
BROKEN = b'{"broken":\n[1,2]\n{"r":"\xff"}\n'


def line(type_: str, record: object) -> bytes:
    """A line as the platform writes it, at a time that is always the same."""
    return json.dumps({"time": STAMP, "type": type_, "record": record}, ensure_ascii=False).encode() + b"\n"


def normal(text: str) -> str:
    """Without what differs from run to run: environment, ports, durations, folders, the time of our own records."""
    text = re.sub(r'("environment": ?")[0-9a-f]{16}"', r'\1ENVIRONMENT"', text)
    text = re.sub(r'("id": ?")[0-9a-f]{16}-', r"\1ENVIRONMENT-", text)
    text = re.sub(r'("(?:register|next)Ms": ?)[0-9.]+', r"\1MS", text)
    text = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT", text)
    text = re.sub(r"file:///[^\" ]*/(out|fallback)\.ndjson", r"file:///\1.ndjson", text)
    return re.sub(r'("time": ?")(?!2026-11-21T03:53:22)[^"]+"', r'\1NOW"', text)


def check(name: str, text: str) -> None:
    """Compare with the file, or write it."""
    path = GOLDEN / name
    if os.environ.get("GOLDEN") == "write":
        path.write_text(text)
    assert text == path.read_text()


def log_lines(lambda_: FakeLambda) -> str:
    """The log but for the account, which has a file of its own."""
    lines = [entry for entry in lambda_.log if entry["message"] != "ledger"]
    return "".join(normal(json.dumps(entry)) + "\n" for entry in lines)


async def run(lambda_: FakeLambda, reason: str = "spindown", **variables: str) -> int:
    """A short life: init, one invocation with all kinds of lines, SHUTDOWN; the exit status."""
    await lambda_.start(**variables)
    await lambda_.subscribe()
    for type_, record in LINES[:2]:
        lambda_.send(line(type_, record))
    await lambda_.ready()
    lambda_.send(b"".join(line(type_, record) for type_, record in LINES[2:]) + BROKEN)
    await lambda_.invoke("r2", "again")
    return await lambda_.shut_down(reason)


async def test_output_ledger_and_log(lambda_: FakeLambda, tmp_path: Path) -> None:
    """What an ordinary life writes to the sink, to the ledger and to the log stays as it is."""
    path = tmp_path / "out.ndjson"
    assert await run(lambda_, FORWARDER_SINKS=f"file://{path}") == 0
    output = path.read_text().splitlines(keepends=True)
    ours = [entry for entry in output if '"type":"forwarder.ledger"' in entry]
    check("output.ndjson", normal("".join(entry for entry in output if entry not in ours)))
    check("ledger.json", normal(json.dumps(lambda_.ledger, indent=1)) + "\n")
    check("log.ndjson", log_lines(lambda_))
    account: dict[str, Any] = json.loads(ours[0])
    assert account["record"]["platformDropped"] == 3


async def test_what_a_fallback_gets(lambda_: FakeLambda, tmp_path: Path) -> None:
    """A refused record says who refused it and why; the ledger counts it twice, once for each sink."""
    path = tmp_path / "fallback.ndjson"
    with FaultServer(otherwise=Answer(400)) as server:
        status = await run(lambda_, FORWARDER_SINKS=f"{server.url}/in", FORWARDER_FALLBACK=f"file://{path}")
    assert status == 0
    records = [json.loads(entry) for entry in path.read_text().splitlines()]
    refused = next(record["lambda"] for record in records if record["type"] == "platform.initStart")
    check("refused.json", normal(json.dumps(refused, sort_keys=True)) + "\n")
    check("fallback_ledger.json", normal(json.dumps(lambda_.ledger, indent=1)) + "\n")


async def test_how_an_invocation_that_failed_is_told(lambda_: FakeLambda, tmp_path: Path) -> None:
    """SHUTDOWN for a timeout adds a record of the forwarder's own."""
    path = tmp_path / "out.ndjson"
    assert await run(lambda_, "timeout", FORWARDER_SINKS=f"file://{path}") == 0
    [told] = [entry for entry in path.read_text().splitlines() if '"forwarder.invocationFailed"' in entry]
    check("invocation_failed.json", normal(told) + "\n")


@pytest.mark.parametrize(("on_error", "status"), [("open", 0), ("strict", 1)])
async def test_how_bad_settings_are_told(lambda_: FakeLambda, on_error: str, status: int) -> None:
    """Every mistake is named at once; the function is left alone, unless its owner wants it otherwise."""
    variables = {
        "FORWARDER_SINKS": "ftp://example.com/ loki+https://example.com/in?colour=red",
        "FORWARDER_TYPES": "function,spans",
        "FORWARDER_BUFFER_MAX_ITEMS": "5",
        "FORWARDER_LISTEN_PORT": "9001",
        "FORWARDER_ON_ERROR": on_error,
        "FORWARDER_COLOUR": "red",
    }
    lambda_.answers["error"] = [ApiAnswer(202)]
    await lambda_.start(**variables)
    assert lambda_.process is not None
    ended = await lambda_.process.wait() if status else await lambda_.shut_down()
    if lambda_._reading is not None:
        await lambda_._reading
    assert ended == status
    told = "".join(json.dumps(entry) + "\n" for entry in lambda_.log)
    check("problems.ndjson", told.replace(", ".join(f"{scheme}://" for scheme in KNOWN), "SCHEMES"))


def test_outside_of_lambda(layer: Path) -> None:
    """Started by hand it says what it is, and exits with 2."""
    ended = subprocess.run(
        [layer / "extensions" / "telemetry-forwarder"], env={}, capture_output=True, text=True, timeout=30, check=False
    )
    assert ended.returncode == 2
    check("outside.txt", ended.stderr)


def test_the_names_of_settings() -> None:
    """The variables are these, and an error about another names them all."""
    with pytest.raises(config.ConfigError) as raised:
        config.parse({"FORWARDER_X": "1"})
    check("settings.txt", raised.value.problems[0] + "\n")


def test_the_messages_of_the_log() -> None:
    """Operators search for these messages and alarm on them."""
    messages = set()
    for path in EXTENSION.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            called = getattr(node, "func", None)
            if getattr(called, "id", getattr(called, "attr", "")) in {"log", "log_seldom", "_say"}:
                messages.add(ast.unparse(node.args[1]))  # type: ignore[attr-defined] # it is a call
    check("messages.txt", "".join(f"{message}\n" for message in sorted(messages)))

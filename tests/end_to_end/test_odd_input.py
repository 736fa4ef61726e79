"""The layer as it ships against values from outside that no well-meaning sender makes."""

from __future__ import annotations

import asyncio
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.fake_lambda import Answer as Reply
from tests.support.fake_lambda import FakeLambda
from tests.support.fault_server import Answer, FaultServer
from tests.support.forwarding import assert_balanced, delivered

if TYPE_CHECKING:
    from collections.abc import Callable

MIB = 1 << 20


@pytest.mark.parametrize("count", [2**64 - 1, 2**63])
async def test_forged_counts_do_not_end_shutdown(lambda_: FakeLambda, tmp_path: Path, count: int) -> None:
    """However many records a platform.logsDropped claims, SHUTDOWN delivers everything, the account among it."""
    path = tmp_path / "out"
    await lambda_.start(FORWARDER_SINKS=f"file://{path}", FORWARDER_FLUSH="interval")
    await lambda_.subscribe()
    for dropped in (count, count, True, 0.5, None):
        lambda_.record("platform.logsDropped", {"droppedRecords": dropped, "reason": "forged"})
    await lambda_.invoke("r1", "one")
    assert await lambda_.shut_down() == 0
    [account] = lambda_.ledger["sinks"].values()
    assert (account["pending"], lambda_.ledger["platformDropped"] > 0) == (0, True)
    assert delivered(path)[-1]["type"] == "forwarder.ledger"
    assert_balanced(lambda_.ledger)


@pytest.mark.parametrize("id_", [r"\ud800", r"\udfff-1", "x" * 5000, r"\u0000", r"\u001b[31m", "ü"])
async def test_a_request_id_that_is_none_is_not_repeated(lambda_: FakeLambda, tmp_path: Path, id_: str) -> None:
    """What cannot be Lambda's id of a request is left where it came, and stamped on no later line."""
    path = tmp_path / "out"
    await lambda_.start(FORWARDER_SINKS=f"file://{path}")
    await lambda_.subscribe()
    start = b'{"time":"2026-11-21T00:00:00.000Z","type":"platform.start","record":{"requestId":"%b"}}' % id_.encode()
    lambda_.send(start + b"\n")
    lambda_.record("function", "after it")
    await lambda_.invoke("r1", "one")
    assert await lambda_.shut_down() == 0
    lines = path.read_bytes().splitlines()
    assert lines[0].startswith(start[:-1] + b',"lambda"')
    found = delivered(path)
    assert [record["lambda"].get("requestId") for record in found] == [None, None, "r1", "r1", "r1"]
    assert lambda_.ledger["broken"] == {}


@pytest.mark.parametrize(
    "value",
    [b"1e400", b"-1e400", b"9" * 5000, b"-" + b"9" * 100_000, rb'[1e400,"\ud83d"]', b"0." + b"1" * 5000 + b"e999"],
    ids=["1e400", "-1e400", "5000 digits", "100000 digits", "half a pair", "long fraction"],
)
async def test_json_that_no_double_holds_is_json(lambda_: FakeLambda, tmp_path: Path, value: bytes) -> None:
    """A line with a number of any size goes through byte for byte, with its type, and the request id it belongs to."""
    path = tmp_path / "out"
    await lambda_.start(FORWARDER_SINKS=f"file://{path}?types=function")
    await lambda_.subscribe()
    lambda_.record("platform.start", {"requestId": "r1"})
    line = b'{"time":"2026-11-21T00:00:00.000Z","type":"function","record":{"message":%b,"requestId":"r1"}}' % value
    lambda_.send(line + b"\n")
    await lambda_.invoke("r2", "one")
    assert await lambda_.shut_down() == 0
    first = path.read_bytes().splitlines()[0]
    assert first.startswith(line[:-1] + b',"lambda":{')
    assert b'"requestId":"r1","id":' in first
    assert lambda_.ledger["broken"] == {}


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b'{"type":"function","record":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        (b'{"type":"function","record":"\xed\xa0\x80"}', "not UTF-8"),
        (b"\xef\xbb\xbf" + b'{"type":"function"}', "not an object"),
        (b'{"type":"function","record":"\x00"}', "not JSON"),
        (b'{"type":"function","record":NaN}', "not JSON"),
        (b'{"type":"function","record":-Infinity}', "not JSON"),
    ],
    ids=["deep", "surrogates in bytes", "BOM", "NUL", "NaN", "Infinity"],
)
async def test_odd_lines_cost_only_themselves(lambda_: FakeLambda, tmp_path: Path, line: bytes, fault: str) -> None:
    """What is no JSON, or none that can be read, is told with the right reason, and what comes after it is whole."""
    path = tmp_path / "out"
    await lambda_.start(FORWARDER_SINKS=f"file://{path}")
    await lambda_.subscribe()
    lambda_.send(line + b"\n")
    await lambda_.invoke("r1", "one")
    assert await lambda_.shut_down() == 0
    assert [record["type"] for record in delivered(path)][::2] == ["forwarder.broken", "function"]
    assert lambda_.ledger["broken"] == {fault: 1}
    assert_balanced(lambda_.ledger)


def _bad_line(good: Path, odd: Path) -> None:
    import zlib  # noqa: PLC0415 - for this one

    header, body = json.loads(good.read_bytes().splitlines()[0]), b"[1]\n"
    header |= {"records": 1, "crc32": zlib.crc32(body)}
    odd.write_bytes(json.dumps(header).encode() + b"\n" + body)


def _huge(good: Path, odd: Path) -> None:
    with odd.open("wb") as file:
        file.write(good.read_bytes().splitlines(keepends=True)[0])
        file.truncate(1 << 40)


def _link(good: Path, odd: Path) -> None:
    odd.symlink_to(good)


ODD_FILES: dict[str, Callable[[Path, Path], object]] = {
    "FIFO": lambda _good, odd: os.mkfifo(odd),
    "folder": lambda _good, odd: odd.mkdir(),
    "no permission": lambda _good, odd: odd.touch(0),
    "a line that is no object": _bad_line,
    "huge": _huge,
    "a link": _link,
}


@pytest.mark.parametrize("kind", ODD_FILES)
async def test_an_odd_file_in_the_spool_stops_nothing(layer: Path, tmp_path: Path, kind: str) -> None:
    """Whatever else is in the spool's folder, what was left there by an earlier life is delivered, and what comes."""
    executable = layer / "extensions" / "telemetry-forwarder"
    answers = [Answer(503)]
    with FaultServer(lambda _request: answers[0]) as server:
        async with FakeLambda(executable, tmp_path) as first:
            await first.start(FORWARDER_SINKS=f"{server.url}/")
            await first.subscribe()
            await first.invoke("r1", "left")
            assert await first.shut_down("timeout") == 0
        [good] = (tmp_path / "telemetry-forwarder").glob("*/*.spool")
        odd = good.with_name(re.sub(r"-\d", "-0", good.name, count=1).replace("-0", "-00", 1)[: len(good.name)])
        odd = odd.with_suffix(".spool")
        ODD_FILES[kind](good, odd)
        assert sorted([odd.name, good.name]) == [odd.name, good.name]
        answers[0] = Answer()
        refused = len(server.requests)
        async with FakeLambda(executable, tmp_path) as second:
            await second.start(FORWARDER_SINKS=f"{server.url}/")
            await second.subscribe()
            await second.invoke("r2", "new")
            assert await second.shut_down() == 0
    taken = [json.loads(line) for request in server.requests[refused:] for line in request.text.splitlines()]
    assert [line["record"] for line in taken if line["type"] == "function"] == ["left", "new"]
    assert "spooled file set aside" in [line["message"] for line in second.log]
    assert_balanced(second.ledger)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense",
        b"null",
        b"[1]",
        b'{"functionName":null,"functionVersion":7,"accountId":[],"handler":{}}',
        b'{"functionName":{"a":%b1%b},"accountId":1e400}' % (b"[" * 500, b"]" * 500),
        rb'{"functionName":"\ud800"}',
    ],
    ids=["empty", "nonsense", "null", "list", "types", "deep", "half a pair"],
)
async def test_odd_answers_to_register(lambda_: FakeLambda, tmp_path: Path, body: bytes) -> None:
    """Whatever register says of the function, records are forwarded, and name the function as far as it is known."""
    lambda_.answers["register"] = [Reply(200, body)]
    await lambda_.start(FORWARDER_SINKS=f"file://{tmp_path}/out")
    await lambda_.subscribe()
    await lambda_.invoke("r1", "one")
    assert await lambda_.shut_down() == 0
    found = delivered(tmp_path / "out")
    assert "one" in [record["record"] for record in found]
    assert {type(value) for record in found for value in record["lambda"].values()} == {str}


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"null",
        b"{}",
        b'{"eventType":null}',
        b'{"eventType":"INVOKE"}',
        b'{"eventType":"INVOKE","requestId":null,"deadlineMs":null,"invokedFunctionArn":null}',
        b'{"eventType":"INVOKE","requestId":7,"deadlineMs":"soon","invokedFunctionArn":[1,2,3,4,5,6,7,8]}',
        b'{"eventType":"INVOKE","requestId":{},"deadlineMs":-1,"invokedFunctionArn":"a:b:c:d:e:f:g:h"}',
        rb'{"eventType":"INVOKE","requestId":"\ud800","deadlineMs":0,"invokedFunctionArn":"\ud800:b:c:d:e:f:g"}',
        b'{"eventType":"INVOKE","requestId":"r0","deadlineMs":NaN}',
        b'{"eventType":"INVOKE","requestId":"r0","deadlineMs":true}',
        b'{"eventType":"INVOKE","requestId":"r0","deadlineMs":-1e400}',
        b"[" * 5000,
    ],
)
async def test_odd_answers_to_next(lambda_: FakeLambda, tmp_path: Path, body: bytes) -> None:
    """Whatever an event looks like, the next one is asked for and handled, and every record is delivered."""
    lambda_.answers["next"] = [Reply(200, body)]
    await lambda_.start(FORWARDER_SINKS=f"file://{tmp_path}/out")
    await lambda_.subscribe()
    await lambda_.invoke("r1", "one")
    assert await lambda_.shut_down() == 0
    assert "one" in [record["record"] for record in delivered(tmp_path / "out")]
    assert_balanced(lambda_.ledger)
    assert not [line for line in lambda_.log if line["message"].endswith("not handled")]


async def test_a_deadline_beyond_all_numbers_is_none(lambda_: FakeLambda, tmp_path: Path) -> None:
    """A SHUTDOWN whose deadline makes no sense is a SHUTDOWN all the same, with the time that Lambda grants."""
    await lambda_.start(FORWARDER_SINKS=f"file://{tmp_path}/out", FORWARDER_FLUSH="interval")
    await lambda_.subscribe()
    await lambda_.invoke("r1", "one")
    lambda_.answers["next"] = [Reply(200, b'{"eventType":"SHUTDOWN","deadlineMs":1e400,"shutdownReason":[]}')]
    invocation = asyncio.create_task(lambda_.invoke("r2", "two"))  # whose end is answered with SHUTDOWN
    assert lambda_.process is not None
    async with asyncio.timeout(10):
        assert await lambda_.process.wait() == 0
    invocation.cancel()
    assert "two" in [record["record"] for record in delivered(tmp_path / "out")]


async def test_a_record_larger_than_the_room_is_told_as_such(lambda_: FakeLambda, tmp_path: Path) -> None:
    """A record that no emptying of the queue would help is dropped with another reason than those for want of room."""
    await lambda_.start(FORWARDER_SINKS=f"file://{tmp_path}/out", FORWARDER_QUEUE_BYTES=str(MIB))
    await lambda_.subscribe()
    lambda_.record("function", "x" * (2 * MIB))
    await lambda_.invoke("r1", "one")
    assert await lambda_.shut_down() == 0
    [account] = lambda_.ledger["sinks"].values()
    assert account["dropped"] == {f"larger than the queue's bound of {MIB} bytes": 1}
    assert_balanced(lambda_.ledger)


@pytest.mark.parametrize(
    ("line", "most_mib"),
    [
        (b"\0" * (4 * MIB - 1), 13),
        (b"\xff" * (4 * MIB - 1), 13),
        (b'{"' + b"\xff" * (4 * MIB - 3), 17),
        (b'{"' + b"\0" * (4 * MIB - 3), 17),
        (b"{}" * (MIB // 2), 5),
        (b'{"time":"","type":"function","record":[%b{}]}' % (b"{}," * (4 * MIB // 3 - 30)), 26),
    ],
    ids=["NUL", "0xff", "0xff in a string", "NUL in a string", "objects", "array of objects"],
)
async def test_hostile_lines_take_little_memory(
    lambda_: FakeLambda, tmp_path: Path, line: bytes, most_mib: int
) -> None:
    """At its highest, memory grows by little more than the line and its record: others share it with us."""
    await lambda_.start(FORWARDER_SINKS=f"file://{tmp_path}/out", FORWARDER_QUEUE_BYTES=str(16 * MIB))
    await lambda_.subscribe()
    await lambda_.invoke("r1", "one")
    before = peak_mib(lambda_)
    lambda_.send(line + b"\n")
    await lambda_.invoke("r2", "two")
    assert peak_mib(lambda_) - before < most_mib
    assert await lambda_.shut_down() == 0
    assert lambda_.ledger["received"] == 7
    assert_balanced(lambda_.ledger)


def peak_mib(lambda_: FakeLambda) -> float:
    """The most memory that the forwarder has had (proc(5), VmHWM)."""
    assert lambda_.process is not None
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{lambda_.process.pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024

"""The layer as it ships, from register to exit, on the file sink."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from typing import TYPE_CHECKING

import pytest

from extension.__main__ import _listen
from tests.support.fake_lambda import Answer
from tests.support.forwarding import assert_balanced, delivered

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.fake_lambda import FakeLambda


async def test_everything_that_is_sent_is_delivered(lambda_: FakeLambda, tmp_path: Path) -> None:
    """Every line arrives as it was, in order, with the request id it belongs to, and the ledger balances."""
    path = tmp_path / "out.ndjson"
    await lambda_.start(FORWARDER_SINKS=f"file://{path}")
    await lambda_.subscribe()
    lambda_.record("platform.initStart", {"phase": "init", "initializationType": "on-demand"})
    await lambda_.invoke("r1", "one", "zwei ü 😀\n")
    await lambda_.invoke("r2", "two")
    assert await lambda_.shut_down() == 0
    records = delivered(path)
    assert [{**record, "lambda": 0} for record in records] == [
        {**json.loads(line), "lambda": 0} for line in lambda_.sent
    ]
    assert all(
        line.startswith(sent[:-1]) for line, sent in zip(path.read_bytes().splitlines(), lambda_.sent, strict=True)
    )
    assert [record["lambda"].get("requestId") for record in records] == [None, "r1", "r1", "r1", "r1", "r2", "r2", "r2"]
    assert lambda_.ledger["received"] == len(lambda_.sent)
    assert_balanced(lambda_.ledger)


async def test_records_of_an_invocation_leave_before_its_end(lambda_: FakeLambda, tmp_path: Path) -> None:
    """By the time the extension asks for the next event, the invocation's records are in the sink."""
    path = tmp_path / "out.ndjson"
    await lambda_.start(FORWARDER_SINKS=f"file://{path}", FORWARDER_FLUSH="invocation")
    await lambda_.subscribe()
    await lambda_.invoke("r1", "one")
    assert [record["record"] for record in delivered(path)][1] == "one"


async def test_shutdown_delivers_what_came_last(lambda_: FakeLambda, tmp_path: Path) -> None:
    """What arrives after the last invocation, and even a last line without a newline, is delivered."""
    path = tmp_path / "out.ndjson"
    await lambda_.start(FORWARDER_SINKS=f"file://{path}", FORWARDER_FLUSH="interval")
    await lambda_.subscribe()
    await lambda_.invoke("r1", "one")
    lambda_.record("platform.report", {"requestId": "r1", "status": "success"})
    lambda_.send(b'{"type":"function","record":"unfinished"}')
    assert await lambda_.shut_down() == 0
    assert [record["type"] for record in delivered(path)][-2:] == ["platform.report", "function"]


async def test_a_burst_that_is_under_way_at_shutdown_is_delivered(lambda_: FakeLambda, tmp_path: Path) -> None:
    """What still pours in when SHUTDOWN comes is read as long as it comes, and delivered."""
    path = tmp_path / "out.ndjson"
    await lambda_.start(FORWARDER_SINKS=f"file://{path}")
    await lambda_.subscribe()
    await lambda_.invoke("r1")
    lambda_.send(b'{"type":"function","record":"a line of the burst"}\n' * 10_000)
    assert await lambda_.shut_down(timeout_s=8.0) == 0  # Lambda grants 2 s, but no machine so busy
    assert path.read_bytes().count(b"a line of the burst") == 10_000
    assert lambda_.ledger["unreadBytes"] == 0


async def test_shutdown_may_be_the_first_event(lambda_: FakeLambda, tmp_path: Path) -> None:
    """An environment that never served an invocation delivers its init records and exits with 0."""
    path = tmp_path / "out.ndjson"
    await lambda_.start(FORWARDER_SINKS=f"file://{path}")
    await lambda_.subscribe()
    lambda_.record("platform.initStart", {"phase": "init"})
    assert await lambda_.shut_down() == 0
    assert [record["type"] for record in delivered(path)] == ["platform.initStart"]


async def test_broken_lines_cost_only_themselves(lambda_: FakeLambda, tmp_path: Path) -> None:
    """Lines that are no records are kept as text and counted; all others are delivered, a 2 MiB line among them."""
    path = tmp_path / "out.ndjson"
    await lambda_.start(FORWARDER_SINKS=f"file://{path}")
    await lambda_.subscribe()
    long = "x" * (2 << 20)
    lambda_.send(b'{"type":"function","rec')
    lambda_.send(b'ord":"halves"}\n{"type":"function","record":"same chunk"}\r\n\n{"broken":\n[1,2]\n{"r":"\xff"}\n')
    lambda_.send(b'{"type":"function","record":"' + long.encode() + b'"}\n')
    lambda_.send(b'{"type":"function","record":"' + b"y" * (5 << 20) + b'"}\n')
    lambda_.send(b'{"type":"brand.new","record":{"level":"INFO"},"added":true}\n')
    await lambda_.invoke("r1", "after")
    assert await lambda_.shut_down() == 0
    texts = [record["record"] for record in delivered(path) if record["type"] in {"function", "brand.new"}]
    assert texts == ["halves", "same chunk", long, {"level": "INFO"}, "after"]
    broken = [record["record"] for record in delivered(path) if record["type"] == "forwarder.broken"]
    assert [text[:11] for text in broken] == ['{"broken":', "[1,2]", '{"r":"\\xff"', '{"type":"fu']
    assert lambda_.ledger["broken"] == {"not JSON": 1, "not an object": 1, "not UTF-8": 1, "too long": 1}
    assert_balanced(lambda_.ledger)


async def test_types_are_filtered_and_counted(lambda_: FakeLambda, tmp_path: Path) -> None:
    """FORWARDER_TYPES filters for all sinks, types= for one; both are in the ledger."""
    one, two = tmp_path / "one", tmp_path / "two"
    await lambda_.start(
        FORWARDER_SINKS=f"file://{one} file://{two}?types=function", FORWARDER_TYPES="function,extension"
    )
    await lambda_.subscribe()
    lambda_.record("extension", "from another extension")
    lambda_.record("extension", '{"forwarder":true,"message":"own"}\n')
    await lambda_.invoke("r1", "line")
    assert await lambda_.shut_down() == 0
    assert [record["type"] for record in delivered(one)] == ["extension", "function"]
    assert [record["type"] for record in delivered(two)] == ["function"]
    assert (lambda_.ledger["received"], lambda_.ledger["filtered"]) == (5, 3)
    assert_balanced(lambda_.ledger)


async def test_the_subscription_carries_the_settings(lambda_: FakeLambda, tmp_path: Path) -> None:
    """Buffering goes to the platform as set; platform events are asked for even where they are not delivered."""
    await lambda_.start(
        FORWARDER_SINKS=f"file://{tmp_path}/out",
        FORWARDER_TYPES="function",
        FORWARDER_BUFFER_MAX_ITEMS="2000",
        FORWARDER_BUFFER_MAX_BYTES="300000",
        FORWARDER_BUFFER_TIMEOUT_MS="50",
    )
    await lambda_.subscribe()
    [request] = [request for request in lambda_.requests if request.path.endswith("telemetry")]
    asked = json.loads(request.body)
    assert asked["buffering"] == {"maxItems": 2000, "maxBytes": 300_000, "timeoutMs": 50}
    assert (asked["schemaVersion"], asked["types"]) == ("2025-01-29", ["function", "platform"])


@pytest.mark.parametrize(
    ("refusals", "version"),
    [
        ([Answer(400)], "2022-12-13"),
        ([Answer(404), Answer(400)], "2022-07-01"),
    ],
)
async def test_older_schema_versions_are_tried(
    lambda_: FakeLambda, tmp_path: Path, refusals: list[Answer], version: str
) -> None:
    """A platform that does not know the newest schema gets the next older one."""
    lambda_.answers["telemetry"] = refusals
    await lambda_.start(FORWARDER_SINKS=f"file://{tmp_path}/out")
    await lambda_.subscribe()
    assert json.loads(lambda_.requests[-1].body or lambda_.requests[-2].body)["schemaVersion"] == version


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Answer(202, b'{"errorType":"Telemetry.NotSupported"}'), "there is no Telemetry API here"),
        (Answer(500, b'{"errorType":"InternalServerError"}'), "not subscribed to telemetry; nothing is forwarded"),
    ],
)
async def test_without_telemetry_the_function_lives(
    lambda_: FakeLambda, tmp_path: Path, answer: Answer, message: str
) -> None:
    """Where there is no Telemetry API, or it fails, invocations go on and SHUTDOWN ends in 0."""
    lambda_.answers["telemetry"] = [answer] * 3
    await lambda_.start(FORWARDER_SINKS=f"file://{tmp_path}/out")
    await lambda_.invoke("r1")
    await lambda_.invoke("r2")
    assert await lambda_.shut_down() == 0
    assert [line["message"] for line in lambda_.log if line["message"].startswith(message)] != []


async def test_register_is_tried_again(lambda_: FakeLambda, tmp_path: Path) -> None:
    """A register that is refused at first is repeated, for an exit would fail the function."""
    lambda_.answers["register"] = [Answer(500), Answer(403, b'{"errorType":"Extension.RegistrationClosed"}')]
    await lambda_.start(FORWARDER_SINKS=f"file://{tmp_path}/out")
    await lambda_.subscribe()
    await lambda_.invoke("r1")
    assert await lambda_.shut_down() == 0


async def test_where_invoke_is_refused_shutdown_is_asked_for(lambda_: FakeLambda, tmp_path: Path) -> None:
    """Managed Instances refuse INVOKE; the forwarder then registers for SHUTDOWN alone, and forwards."""
    path = tmp_path / "out"
    lambda_.answers["register"] = [Answer(403, b'{"errorMessage":"INVOKE: ErrorInvalidEventType"}')]
    await lambda_.start(FORWARDER_SINKS=f"file://{path}")
    await lambda_.subscribe()
    await lambda_.ready()
    lambda_.record("platform.start", {"requestId": "r1"})
    lambda_.record("function", "text")
    assert await lambda_.shut_down() == 0
    assert json.loads(lambda_.requests[1].body) == {"events": ["SHUTDOWN"]}
    assert [record["lambda"].get("requestId") for record in delivered(path)] == ["r1", None]


async def test_next_is_asked_for_again_when_it_fails(lambda_: FakeLambda, tmp_path: Path) -> None:
    """A Runtime API that answers 500, or nonsense, for a while stops nothing."""
    lambda_.answers["next"] = [Answer(500), Answer(200, b"nonsense"), Answer(403), Answer(200, b'{"eventType":"NEW"}')]
    path = tmp_path / "out"
    await lambda_.start(FORWARDER_SINKS=f"file://{path}")
    await lambda_.subscribe()
    await lambda_.invoke("r1", "one")
    assert await lambda_.shut_down() == 0
    assert "one" in [record["record"] for record in delivered(path)]


async def test_a_subscription_that_fails_once_is_tried_again(lambda_: FakeLambda, tmp_path: Path) -> None:
    """One 500 at start does not cost the telemetry of the environment's whole life."""
    lambda_.answers["telemetry"] = [Answer(500)]
    await lambda_.start(FORWARDER_SINKS=f"file://{tmp_path}/out")
    await lambda_.subscribe()
    await lambda_.invoke("r1", "one")
    assert await lambda_.shut_down() == 0
    assert "one" in [record["record"] for record in delivered(tmp_path / "out")]


async def test_bad_settings_leave_the_function_alone(lambda_: FakeLambda) -> None:
    """With bad settings nothing is forwarded, every mistake is in one line, and invocations go on."""
    await lambda_.start(FORWARDER_SINKS="gopher://x s3://", FORWARDER_TYPO="1", FORWARDER_BUFFER_TIMEOUT_MS="1")
    await lambda_.invoke("r1")
    assert await lambda_.shut_down() == 0
    [line] = [line for line in lambda_.log if line["message"].startswith("bad settings")]
    assert len(line["problems"]) == 4


async def test_strict_reports_bad_settings(lambda_: FakeLambda) -> None:
    """FORWARDER_ON_ERROR=strict fails the init with an error type that is one token."""
    lambda_.answers["error"] = [Answer(202, b'{"status":"OK"}')]
    await lambda_.start(FORWARDER_SINKS="gopher://x", FORWARDER_ON_ERROR="strict")
    assert lambda_.process is not None
    async with asyncio.timeout(10):
        assert await lambda_.process.wait() == 1
    assert lambda_.requests[-1].path.endswith("/init/error")
    assert lambda_.requests[-1].headers["lambda-extension-function-error-type"] == "Extension.ConfigInvalid"


async def test_without_sinks_it_idles_and_says_so_once(lambda_: FakeLambda) -> None:
    """A layer that is attached but not configured does nothing, in one line."""
    await lambda_.start()
    await lambda_.invoke("r1")
    await lambda_.invoke("r2")
    assert await lambda_.shut_down() == 0
    assert [line["message"] for line in lambda_.log] == ["FORWARDER_SINKS is not set; nothing is forwarded"]


async def test_a_missing_done_does_not_use_up_the_function(lambda_: FakeLambda, tmp_path: Path) -> None:
    """Where platform.runtimeDone never comes, the wait ends by itself, and the records come later."""
    path = tmp_path / "out"
    await lambda_.start(FORWARDER_SINKS=f"file://{path}")
    await lambda_.subscribe()
    async with asyncio.timeout(20):  # how long before the deadline it ends is a test of policy's
        await lambda_.invoke("r1", "one", timeout_s=1.0, done=False)
        await lambda_.invoke("r2", "two", timeout_s=1.0, done=False)
    assert await lambda_.shut_down() == 0
    assert [record["record"] for record in delivered(path) if record["type"] == "function"] == ["one", "two"]


async def test_a_retry_with_the_same_request_id_is_held(lambda_: FakeLambda, tmp_path: Path) -> None:
    """An asynchronous retry comes with the id of the first try, and is held until its own runtimeDone."""
    path = tmp_path / "out"
    await lambda_.start(FORWARDER_SINKS=f"file://{path}", FORWARDER_FLUSH="invocation")
    await lambda_.subscribe()
    await lambda_.invoke("r1", "one")
    retry = asyncio.create_task(lambda_.invoke("r1", timeout_s=30.0, done=False))
    assert await asyncio.wait({retry}, timeout=0.5) == (set(), {retry})
    lambda_.record("function", "two")
    lambda_.record("platform.runtimeDone", {"requestId": "r1", "status": "success"})
    async with asyncio.timeout(20):
        await retry
    assert "two" in [record["record"] for record in delivered(path)]
    assert await lambda_.shut_down() == 0


async def test_telemetry_that_does_not_come_holds_nothing(lambda_: FakeLambda, tmp_path: Path) -> None:
    """A connection that the platform never makes costs the first invocation a second at most, and no other one."""
    await lambda_.start(FORWARDER_SINKS=f"file://{tmp_path}/out", FORWARDER_FLUSH="invocation")
    async with asyncio.timeout(20):
        await lambda_.invoke("r1", timeout_s=60.0)
        await lambda_.invoke("r2", timeout_s=60.0)
    assert await lambda_.shut_down() == 0
    assert [line["message"] for line in lambda_.log if line.get("level") == "WARN"] == [
        "no telemetry connection yet; no invocation is held until there is one"
    ]


async def test_telemetry_that_comes_late_counts(lambda_: FakeLambda, tmp_path: Path) -> None:
    """Once the platform has connected after all, invocations are held until their records are delivered."""
    path = tmp_path / "out"
    await lambda_.start(FORWARDER_SINKS=f"file://{path}", FORWARDER_FLUSH="invocation")
    async with asyncio.timeout(20):
        await lambda_.invoke("r0", timeout_s=60.0)
        await lambda_.subscribe()
        lines: list[str] = []
        while not path.exists() or lines[-1] not in [record["record"] for record in delivered(path)]:
            lines.append(f"line {len(lines)}")  # the first may come before the connection is accepted
            await lambda_.invoke(f"r{len(lines)}", lines[-1], timeout_s=60.0)
    assert len(lines) < 5
    assert await lambda_.shut_down() == 0


async def test_telemetry_that_was_lost_holds_nothing(lambda_: FakeLambda, tmp_path: Path) -> None:
    """The platform does not connect again: that is told once, and no invocation waits for what cannot come."""
    path = tmp_path / "out"
    await lambda_.start(FORWARDER_SINKS=f"file://{path}", FORWARDER_FLUSH="invocation")
    await lambda_.subscribe()
    await lambda_.invoke("r1", "one")
    await lambda_.disconnect()
    async with asyncio.timeout(20):
        for number in range(2, 5):
            await lambda_.invoke(f"r{number}", timeout_s=60.0)
    assert await lambda_.shut_down() == 0
    assert [line["message"] for line in lambda_.log if line.get("level") == "WARN"] == [
        "telemetry connection lost; nothing more will come and no invocation is held"
    ]
    assert_balanced(lambda_.ledger)


async def test_a_connection_lost_in_an_invocation_ends_its_hold(lambda_: FakeLambda, tmp_path: Path) -> None:
    """An invocation that is being held when the connection is lost goes on at once."""
    await lambda_.start(FORWARDER_SINKS=f"file://{tmp_path}/out", FORWARDER_FLUSH="invocation")
    await lambda_.subscribe()
    await lambda_.invoke("r1", "one")
    held = asyncio.create_task(lambda_.invoke("r2", timeout_s=60.0, done=False))
    assert await asyncio.wait({held}, timeout=0.5) == (set(), {held})
    await lambda_.disconnect()
    async with asyncio.timeout(20):
        await held
    assert await lambda_.shut_down() == 0


async def test_long_buffering_holds_nothing(lambda_: FakeLambda, tmp_path: Path) -> None:
    """Where the user has the platform buffer for seconds, no invocation waits for what it buffers."""
    await lambda_.start(FORWARDER_SINKS=f"file://{tmp_path}/out", FORWARDER_BUFFER_TIMEOUT_MS="5000")
    await lambda_.subscribe()
    async with asyncio.timeout(20):
        await lambda_.invoke("r1", timeout_s=60.0, done=False)
    assert await lambda_.shut_down() == 0


async def test_a_busy_port_is_replaced(lambda_: FakeLambda, tmp_path: Path) -> None:
    """A FORWARDER_LISTEN_PORT that somebody has is no reason to lose telemetry."""
    server = await asyncio.start_server(lambda reader, writer: None, "0.0.0.0", 0)
    port = server.sockets[0].getsockname()[1]
    await lambda_.start(FORWARDER_SINKS=f"file://{tmp_path}/out", FORWARDER_LISTEN_PORT=str(port))
    await lambda_.subscribe()
    await lambda_.invoke("r1", "one")
    assert await lambda_.shut_down() == 0
    assert "not free" in lambda_.log[0]["message"]
    server.close()


async def test_a_listen_host_that_is_none_is_a_bad_setting(lambda_: FakeLambda, tmp_path: Path) -> None:
    """A host that cannot be listened on is named with its variable; the function runs as if we were not there."""
    await lambda_.start(FORWARDER_SINKS=f"file://{tmp_path}/out", FORWARDER_LISTEN_HOST="no-such-host.invalid")
    await lambda_.invoke("r1")
    assert await lambda_.shut_down() == 0
    [line] = lambda_.log
    assert line["message"] == "bad settings; nothing is forwarded"
    [problem] = line["problems"]
    assert problem.startswith("FORWARDER_LISTEN_HOST is 'no-such-host.invalid'; expected ")


def test_another_port_is_of_the_same_host() -> None:
    """Where the port is taken, what is listened on instead is no wider."""
    with socket.create_server(("127.0.0.2", 0)) as taken:
        listening = _listen("127.0.0.2", taken.getsockname()[1], time.monotonic() + 10)
    assert listening.getsockname()[0] == "127.0.0.2"
    listening.close()


async def test_secrets_and_records_are_not_in_the_log(lambda_: FakeLambda, tmp_path: Path) -> None:
    """Neither credentials nor what the function printed appear on stderr, at the most talkative level."""
    await lambda_.start(
        FORWARDER_SINKS="http://127.0.0.1:1/", FORWARDER_HEADERS="Api-Key: s3cr3t", FORWARDER_LOG_LEVEL="DEBUG"
    )
    await lambda_.subscribe()
    lambda_.send(b'{"broken-content":\n')
    await lambda_.invoke("r1", "private-content")
    await lambda_.shut_down()
    log = json.dumps(lambda_.log)
    assert "ledger" in log
    assert not [word for word in ("s3cr3t", "private-content", "broken-content") if word in log]


async def test_outside_of_lambda_it_says_so(layer: Path) -> None:
    """Started by hand, it explains itself and ends."""
    process = await asyncio.create_subprocess_exec(
        layer / "extensions" / "telemetry-forwarder", env={}, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(10):
        _, said = await process.communicate()
    assert (process.returncode, b"started by Lambda" in said) == (2, True)

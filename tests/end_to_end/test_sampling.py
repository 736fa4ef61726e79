"""The layer as it ships: whole invocations are kept or left out, and those that tell something are kept."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from extension.sampling import ALL, Sampling, randomness_of
from simulator.environment import Environment
from simulator.report import picture
from tests.faults.promises import last_ledgers
from tests.support.fault_server import FaultServer
from tests.support.forwarding import assert_balanced, delivered
from tests.support.probe_layer import EXAMPLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.fake_lambda import FakeLambda

MIB = 1 << 20
HANDLER = """
import time

def handler(event, context):
    print("begins")
    time.sleep(event.get("sleep_s", 0))
    if event.get("fails"):
        raise ValueError("no")
    print("ends")
"""

CONCURRENT = """
import logging
import time

logging.getLogger().setLevel("INFO")

def handler(event, context):
    logging.info("request %s", context.aws_request_id)
    time.sleep(0.2)
    if event.get("fails"):
        raise ValueError("no")
"""


def requests(*, kept: bool, rate: float = 0.5) -> Iterator[str]:
    """Request ids that the rate keeps, or leaves out."""
    ids = (f"{number:08x}-0000-4000-8000-000000000000" for number in itertools.count())
    return (one for one in ids if (randomness_of(one) >= Sampling(rate).threshold) is kept)


def told(path: Path, request_id: str) -> list[Any]:
    """What there is of an invocation: what its function printed, and the platform's types."""
    of_it = [record for record in delivered(path) if record["lambda"].get("requestId") == request_id]
    return [record["record"] if record["type"] == "function" else record["type"] for record in of_it]


WHOLE = ["platform.start", "line", "platform.runtimeDone", "platform.report"]


async def invoke(
    lambda_: FakeLambda, request_id: str, *lines: str, status: str = "success", duration_ms: float = 5.0
) -> None:
    """One invocation, and its report, which comes with the next one."""
    await lambda_.invoke(request_id, *lines)
    metrics = {"durationMs": duration_ms}
    lambda_.record("platform.report", {"requestId": request_id, "status": status, "metrics": metrics})


async def test_what_tells_something_is_kept_whole(layer: Path, tmp_path: Path) -> None:
    """At 1 %: cold starts, an error and a timeout; of others nothing, unless their request id says so."""
    (tmp_path / "app.py").write_text(HANDLER)
    out = tmp_path / "out"
    env = {"FORWARDER_SINKS": f"file://{out}", "FORWARDER_SAMPLE": "0.01", "FORWARDER_FLUSH": "interval"}
    async with Environment(layer=layer, function=tmp_path, env=env, timeout_s=8.0) as environment:
        done = {"cold": await environment.invoke({})}
        plain = [await environment.invoke({}) for _ in range(5)]
        done["error"] = await environment.invoke({"fails": True})
        plain += [await environment.invoke({}) for _ in range(5)]
        done["timeout"] = await environment.invoke({"sleep_s": 60})
        done["cold again"] = await environment.invoke({})
    of = {name: told(out, invocation.request_id) for name, invocation in done.items()}
    assert of["cold"] == ["platform.start", "begins", "ends", "platform.runtimeDone", "platform.report"]
    assert of["cold again"][:1] == ["platform.start"]
    assert of["error"][:2] == ["platform.start", "begins"]
    assert of["error"][-2:] == ["platform.runtimeDone", "platform.report"]
    assert of["timeout"][:2] == ["platform.start", "begins"]
    for invocation in plain:
        is_kept = randomness_of(invocation.request_id) >= Sampling(0.01).threshold
        assert len(told(out, invocation.request_id)) == (5 if is_kept else 0)
    for ledger in last_ledgers(environment):
        assert_balanced(ledger)
        assert ledger["held"] == ledger["sampledOutOfKept"] == 0
    assert sum(ledger["sampledOut"] for ledger in last_ledgers(environment)) > 0


async def test_a_slow_one_is_kept(lambda_: FakeLambda, tmp_path: Path) -> None:
    """Whole, where the platform says that it took longer than `slow`; one that took as long is as any other."""
    out = tmp_path / "out"
    slow, fast = itertools.islice(requests(kept=False), 2)
    await lambda_.start(FORWARDER_SINKS=f"file://{out}", FORWARDER_SAMPLE="0.5;slow=1500", FORWARDER_FLUSH="interval")
    await lambda_.subscribe()
    await invoke(lambda_, "first", "line")
    await invoke(lambda_, slow, "line", duration_ms=1500.1)
    await invoke(lambda_, fast, "line", duration_ms=1500.0)
    assert await lambda_.shut_down() == 0
    assert [told(out, one) for one in (slow, fast)] == [WHOLE, []]
    assert_balanced(lambda_.ledger)


async def test_two_forwarders_agree(layer: Path, tmp_path: Path) -> None:
    """Whose functions were called with the same trace: each keeps it, or neither does."""
    traces = [f"1-62e900b2-710d76f009{number:x}7e77859054490" for number in range(1, 16, 2)]
    kept = []
    for name in ("one", "two"):
        out = tmp_path / name
        env = {"FORWARDER_SINKS": f"file://{out}", "FORWARDER_SAMPLE": "0.5"}
        async with Environment(layer=layer, function=EXAMPLE, env=env, name=name) as environment:
            await environment.invoke({})
            ids = {
                (await environment.invoke({}, trace_id=f"Root={trace};Sampled=1")).request_id: trace for trace in traces
            }
        kept.append({ids[one] for one in {record["lambda"].get("requestId") for record in delivered(out)} & ids.keys()})
    expected = {trace for trace in traces if int(trace[-14:], 16) >= ALL // 2}
    assert kept == [expected, expected]
    assert 0 < len(expected) < len(traces)


async def test_what_waits_holds_no_invocation(lambda_: FakeLambda, tmp_path: Path) -> None:
    """Nor is it pending: an invocation that is left out ends at once, and one that is kept is delivered by its end."""
    out = tmp_path / "out"
    left_out, kept = next(requests(kept=False)), next(requests(kept=True))
    await lambda_.start(FORWARDER_SINKS=f"file://{out}", FORWARDER_SAMPLE="0.5", FORWARDER_FLUSH="invocation")
    await lambda_.subscribe()
    await invoke(lambda_, "first", "line")
    await lambda_.invoke(left_out, "line")
    assert told(out, left_out) == []
    await lambda_.invoke(kept, "line")
    assert told(out, kept) == WHOLE[:3]
    assert await lambda_.shut_down() == 0


@pytest.mark.parametrize("of_one", [False, True])
async def test_a_report_with_an_error_brings_back_what_waited(
    lambda_: FakeLambda, tmp_path: Path, *, of_one: bool
) -> None:
    """It comes with the next invocation, and is delivered with that, whether the rate is of all sinks or of one."""
    out = tmp_path / "out"
    one, other = itertools.islice(requests(kept=False), 2)
    where = (
        {"FORWARDER_SINKS": f"file://{out}?sample=0.5"}
        if of_one
        else {
            "FORWARDER_SINKS": f"file://{out}",
            "FORWARDER_SAMPLE": "0.5",
        }
    )
    await lambda_.start(**where, FORWARDER_FLUSH="invocation")
    await lambda_.subscribe()
    await invoke(lambda_, "first", "line")
    await invoke(lambda_, one, "line", status="error")
    await lambda_.invoke(other, "line")
    assert told(out, one) == WHOLE
    assert await lambda_.shut_down() == 0
    assert told(out, other) == []
    assert_balanced(lambda_.ledger)


async def test_everything_to_one_sink_and_a_part_to_another(lambda_: FakeLambda, tmp_path: Path) -> None:
    """sample= is for one sink alone: its ledger counts the rest as excluded, and its records say their rate."""
    every, some = tmp_path / "every", tmp_path / "some"
    kept, left_out = next(requests(kept=True)), next(requests(kept=False))
    await lambda_.start(
        FORWARDER_SINKS=f"file://{every} file://{some}?sample=0.5%3Bslow=1000", FORWARDER_FLUSH="interval"
    )
    await lambda_.subscribe()
    for request_id in ("first", kept, left_out):
        await invoke(lambda_, request_id, "line")
    assert await lambda_.shut_down() == 0
    assert [told(every, one) for one in ("first", kept, left_out)] == [WHOLE] * 3
    assert [told(some, one) for one in ("first", kept, left_out)] == [WHOLE, WHOLE, []]
    rates = {record["lambda"].get("requestId"): record["lambda"].get("sampleRate") for record in delivered(some)}
    assert rates == {"first": None, kept: 0.5}
    assert all("sampleRate" not in record["lambda"] for record in delivered(every))
    all_of_it, part = lambda_.ledger["sinks"].values()
    assert (all_of_it["excluded"], part["excluded"], part["pending"]) == (0, 4, 0)
    assert part["sampledOutBy"] == {"rate": 4, "memory": 0}
    assert_balanced(lambda_.ledger)


async def test_an_invocation_that_shutdown_calls_failed_is_kept(lambda_: FakeLambda, tmp_path: Path) -> None:
    """The platform's last records may never come; what waited is delivered, with ours that tells of it."""
    out = tmp_path / "out"
    left_out = next(requests(kept=False))
    await lambda_.start(FORWARDER_SINKS=f"file://{out}", FORWARDER_SAMPLE="0")
    await lambda_.subscribe()
    await invoke(lambda_, "first", "line")
    await lambda_.invoke(left_out, "line")
    assert await lambda_.shut_down("failure") == 0
    assert told(out, left_out) == [*WHOLE[:3], "forwarder.invocationFailed"]
    assert_balanced(lambda_.ledger)


async def test_memory_is_bounded_under_one_that_prints_a_lot(lambda_: FakeLambda, tmp_path: Path) -> None:
    """Lines of 1 MiB that wait take a quarter of the memory; the oldest go, and of an error the rest is kept."""
    out = tmp_path / "out"
    left_out = next(requests(kept=False))
    await lambda_.start(
        FORWARDER_SINKS=f"file://{out}",
        FORWARDER_SAMPLE="0",
        FORWARDER_QUEUE_BYTES=str(16 * MIB),
        FORWARDER_FLUSH="invocation",
    )
    await lambda_.subscribe()
    await invoke(lambda_, "first", "line")
    before = peak_mib(lambda_)
    await lambda_.invoke(left_out, *[f"{number:0{MIB - 300}}" for number in range(60)], timeout_s=30.0)
    assert peak_mib(lambda_) - before < 20
    lambda_.record("platform.report", {"requestId": left_out, "status": "error"})
    assert await lambda_.shut_down(timeout_s=8.0) == 0
    ledger, whole = lambda_.ledger, told(out, left_out)
    assert ledger["sampledOutBy"] == {"rate": 0, "memory": ledger["sampledOutOfKept"]}
    assert len(whole) == 63 - ledger["sampledOutOfKept"] < 8
    assert [int(line[-9:]) for line in whole[:-2]] == list(range(62 - len(whole), 60))
    assert whole[-2:] == WHOLE[2:]
    [account] = [record for record in delivered(out) if record["type"] == "forwarder.ledger"]
    assert account["record"]["sampledOutOfKept"] == ledger["sampledOutOfKept"]
    assert_balanced(ledger)


def peak_mib(lambda_: FakeLambda) -> float:
    """The most memory that the forwarder has had (proc(5), VmHWM)."""
    assert lambda_.process is not None
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{lambda_.process.pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


async def test_invocations_that_interleave_are_told_apart(layer: Path, tmp_path: Path) -> None:
    """On Managed Instances, where there is no runtimeDone, each waits for its own report."""
    (tmp_path / "app.py").write_text(CONCURRENT)
    out = tmp_path / "out"
    env = {"FORWARDER_SINKS": f"file://{out}", "FORWARDER_SAMPLE": "0"}
    managed: dict[str, Any] = {"init_type": "lambda-managed-instances", "log_format": "JSON"}
    async with Environment(layer=layer, function=tmp_path, env=env, **managed) as environment:
        first = await environment.invoke({})
        several = await asyncio.gather(*[environment.invoke({"fails": number == 1}) for number in range(3)])
    kept = {record["lambda"].get("requestId") for record in delivered(out) if record["type"] == "platform.report"}
    assert kept == {first.request_id, several[1].request_id}
    messages = {record["record"].get("message") for record in delivered(out) if record["type"] == "function"}
    assert {f"request {one.request_id}" for one in (first, several[1])} == {
        message for message in messages if message and message.startswith("request")
    }
    ledger = picture.ledger(environment)
    assert ledger
    assert_balanced(ledger)


async def test_metrics_are_of_all_invocations(layer: Path, tmp_path: Path) -> None:
    """What is left out of the lines is counted all the same."""
    with FaultServer() as server:
        env = {"FORWARDER_SINKS": f"otlp+{server.url}?signals=metrics", "FORWARDER_SAMPLE": "0"}
        async with Environment(layer=layer, function=EXAMPLE, env=env) as environment:
            for _ in range(3):
                await environment.invoke({})
        counts: Counter[str] = Counter()
        for request in server.requests:
            for of_resource in ExportMetricsServiceRequest.FromString(request.text).resource_metrics:
                for metric in (metric for scope in of_resource.scope_metrics for metric in scope.metrics):
                    counts[metric.name] += sum(point.as_int for point in metric.sum.data_points)
    assert counts["faas.invocations"] == 3
    assert counts["telemetry_forwarder.sampled_out"] > 0

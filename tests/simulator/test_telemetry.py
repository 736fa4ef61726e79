from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from simulator.environment import Environment
from simulator.faults import Faults
from tests.simulator.reading import records, said, sent
from tests.support.probe_layer import EXAMPLE, MakeFunction, Plan

if TYPE_CHECKING:
    from pathlib import Path

JSON_LINE = '{"level": "INFO", "timestamp": "2026-11-21T00:00:00Z", "message": "tea"}'
PRINT_JSON = f"def handler(event, context):\n    print('{JSON_LINE}')\n    print('plain')\n"


def batches(environment: Environment) -> list[int]:
    """How many records each batch had."""
    return [moment.details["records"] for moment in environment.timeline.named("telemetry.batch")]


def arrived(folder: Path, file: str = "received.ndjson") -> list[str]:
    """The types of the records that the probe wrote down."""
    return [json.loads(line)["type"] for line in (folder / file).read_text().splitlines()]


async def test_batch_is_sent_when_it_has_max_items(probe: Path, plan: Plan) -> None:
    """A batch is full at maxItems; what is left goes with the clock."""
    env = plan(types=["function"], buffering={"maxItems": 1000, "maxBytes": 1048576, "timeoutMs": 25}, hold_s=0.3)
    async with Environment(layer=probe, function=EXAMPLE, env=env, faults=Faults(burst=2500)) as environment:
        await environment.invoke()
    full = [count for count in batches(environment) if count == 1000]
    assert len(full) == 2
    assert sum(batches(environment)) == len(records(environment, "function")) == 2505


async def test_batch_is_sent_when_it_has_max_bytes(probe: Path, plan: Plan, function: MakeFunction) -> None:
    """A batch is full with the record that reaches maxBytes."""
    code = "def handler(event, context):\n    for _ in range(6):\n        print('x' * 100_000)\n"
    env = plan(types=["function"], buffering={"maxItems": 1000, "maxBytes": 262144, "timeoutMs": 30000}, hold_s=0.2)
    async with Environment(layer=probe, function=function(code), env=env) as environment:
        await environment.invoke()
    assert batches(environment) == [3, 3]


async def test_http_subscriber_gets_arrays_and_a_failed_post_again(probe: Path, plan: Plan, tmp_path: Path) -> None:
    """Over HTTP every record arrives, though the first POSTs are answered 500."""
    env = plan(protocol="HTTP", http_failures=2, types=["platform"], hold_s=0.6, shutdown_s=0.2)
    async with Environment(layer=probe, function=EXAMPLE, env=env) as environment:
        await environment.invoke()
    assert "platform.report" in arrived(tmp_path)
    assert sent(environment)
    written = set((tmp_path / "received.ndjson").read_text().splitlines())
    assert {json.dumps(record) for record in sent(environment)} <= written


async def test_slow_subscriber_loses_whole_batches_and_is_told_how_many(probe: Path, plan: Plan) -> None:
    """While one batch is in flight the next is dropped; delivered and dropped make up all that was printed."""
    env = plan(types=["platform", "function"], accept_delay_s=5.0, hold_s=5.5)
    burst = 100_000
    async with Environment(
        layer=probe, function=EXAMPLE, env=env, faults=Faults(burst=burst), timeout_s=30
    ) as environment:
        await environment.invoke()
    dropped = sum(record["droppedRecords"] for record in records(environment, "platform.logsDropped"))
    lost = sum(moment.details["records"] for moment in environment.timeline.named("telemetry.dropped"))
    assert dropped == lost > 0
    own = len(records(environment, "platform.logsDropped"))
    published = 5 + burst + 5 + 3  # init, the burst, the example's lines, the invocation's own records
    assert len(sent(environment)) - own + dropped == published


async def test_slow_subscriber_is_waited_for_on_request(probe: Path, plan: Plan, tmp_path: Path) -> None:
    """With hold_back_bytes what a subscriber does not read in time waits for it: nothing is dropped."""
    env = plan(types=["platform", "function"], accept_delay_s=5.0, hold_s=5.5, shutdown_s=0.5)
    faults = Faults(burst=100_000, hold_back_bytes=64 << 20)
    async with Environment(layer=probe, function=EXAMPLE, env=env, faults=faults, timeout_s=30) as environment:
        await environment.invoke()
    assert environment.timeline.named("telemetry.dropped") == []
    bursts = [record for record in records(environment, "function") if record.startswith("burst")]
    assert bursts == [f"burst {number}" for number in range(100_000)]
    received = await asyncio.to_thread((tmp_path / "received.ndjson").read_bytes)
    assert received == b"".join(environment.sent["probe"])


async def test_what_is_held_back_is_bounded(probe: Path, plan: Plan) -> None:
    """Beyond hold_back_bytes batches are dropped, and their records counted, as ever."""
    env = plan(types=["platform", "function"], accept_delay_s=8.0, hold_s=8.5)
    faults = Faults(burst=60_000, burst_bytes=100, hold_back_bytes=1 << 20)
    async with Environment(layer=probe, function=EXAMPLE, env=env, faults=faults, timeout_s=30) as environment:
        await environment.invoke()
    lost = sum(moment.details["records"] for moment in environment.timeline.named("telemetry.dropped"))
    assert records(environment, "function").count("x" * 100) == 60_000 - lost
    assert 0 < lost < 60_000
    assert sum(record["droppedRecords"] for record in records(environment, "platform.logsDropped")) == lost


async def test_one_extension_may_subscribe_two_destinations(probe: Path, plan: Plan, tmp_path: Path) -> None:
    """Each destination gets the types that were asked for it, what came before its subscription among them."""
    env = plan(types=["platform"], second=["platform", "function", "extension"], shutdown_s=0.3)
    async with Environment(layer=probe, function=EXAMPLE, env=env) as environment:
        await environment.invoke()
    first, second = arrived(tmp_path), arrived(tmp_path, "received.ndjson.second")
    assert [type_ for type_ in second if type_.startswith("platform.")] == first
    assert first.count("platform.telemetrySubscription") == 2
    assert first.count("platform.report") == 1
    assert {"function", "extension"} <= set(second)
    assert len(sent(environment)) >= len(first) + len(second)


async def test_managed_instances_take_one_subscription_only(probe: Path, plan: Plan, tmp_path: Path) -> None:
    """There a second subscription is answered 500, to whatever destination; the first is served."""
    env = plan(events=["SHUTDOWN"], types=["platform"], second=["platform"], shutdown_s=0.3)
    async with Environment(layer=probe, function=EXAMPLE, env=env, init_type="lambda-managed-instances") as environment:
        await environment.invoke()
    assert [line["status"] for line in said(environment) if line["probe"] == "subscribed"] == [200, 500]
    assert "platform.report" in arrived(tmp_path)
    assert arrived(tmp_path, "received.ndjson.second") == []


async def test_json_lines_are_objects_only_under_the_json_format(
    probe: Path, plan: Plan, function: MakeFunction
) -> None:
    """With LogFormat JSON a printed JSON object is an object record, and anything else a string."""
    async with Environment(layer=probe, function=function(PRINT_JSON), env=plan(), log_format="JSON") as environment:
        await environment.invoke()
    assert records(environment, "function") == [json.loads(JSON_LINE), "plain"]


async def test_text_format_keeps_json_lines_as_strings(probe: Path, plan: Plan, function: MakeFunction) -> None:
    """With LogFormat Text every function record is a string."""
    async with Environment(layer=probe, function=function(PRINT_JSON), env=plan()) as environment:
        await environment.invoke()
    assert records(environment, "function") == [JSON_LINE, "plain"]


async def test_first_schema_knows_only_strings(probe: Path, plan: Plan, function: MakeFunction) -> None:
    """Schema 2022-07-01 gets strings under the JSON log format, too."""
    env = plan(schema="2022-07-01")
    async with Environment(layer=probe, function=function(PRINT_JSON), env=env, log_format="JSON") as environment:
        await environment.invoke()
    assert records(environment, "function") == [JSON_LINE, "plain"]


async def test_what_extensions_print_are_extension_records(probe: Path, plan: Plan) -> None:
    """The output of an extension comes back as records of its own type."""
    async with Environment(layer=probe, function=EXAMPLE, env=plan(types=["extension"])) as environment:
        await environment.invoke()
    assert json.loads(records(environment, "extension")[0])["probe"] == "registered"


async def test_broken_utf_8_and_huge_lines_become_valid_records(
    probe: Path, plan: Plan, function: MakeFunction
) -> None:
    """What is no UTF-8 gets the replacement character, a line over 1 MiB is cut."""
    code = """
import os
def handler(event, context):
    os.write(1, b"caf\\xe9\\n" + b"y" * 1_500_000 + b"\\nlast without line feed")
"""
    async with Environment(layer=probe, function=function(code), env=plan(types=["function"])) as environment:
        await environment.invoke()
    printed = records(environment, "function")
    assert printed[0] == "caf\ufffd"
    assert [len(line) for line in printed[1:3]] == [1 << 20, 1_500_000 - (1 << 20)]
    assert printed[3] == "last without line feed"

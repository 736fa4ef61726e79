"""What the key "lambda" says beside the request id: phase, tenant, trace, and what the user asks for."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from extension.intake.decoder import Decoder
from extension.lambda_api.function import more
from extension.pipeline.correlate import Correlate
from extension.pipeline.filter import Filter
from extension.pipeline.join import Join
from extension.pipeline.phase import INIT
from extension.pipeline.pipeline import Pipeline
from extension.pipeline.starts import ENDED, REMEMBERED, Starts

if TYPE_CHECKING:
    from extension.pipeline.pipeline import Step

HEADER = "Root=1-62e900b2-710d76f009d6e7785905449a;Parent=0efbd19962d95b05;Sampled=0"
TRACING = {"type": "X-Amzn-Trace-Id", "value": HEADER, "spanId": "54565fb41ac79632"}


def line(type_: str, record: object) -> bytes:
    return orjson.dumps({"time": "2026-11-21T00:00:00.000Z", "type": type_, "record": record}) + b"\n"


def start(request_id: str, **more: object) -> bytes:
    return line("platform.start", {"requestId": request_id, **more})


TEXT = line("function", "x")
RESTORE = line("platform.restoreStart", {})


class Run:
    """A pipeline as the forwarder makes it."""

    def __init__(self, *steps: Step, traces: bool = False, in_order: bool = True) -> None:
        starts = Starts(traces=traces)
        correlate = Correlate(in_order=in_order, note=starts.note, end=starts.end)
        self.pipeline = Pipeline(correlate, steps, itertools.count(), told=starts.of, phase=INIT)

    def keys(self, *lines: bytes) -> list[dict[str, Any]]:
        """What the keys of these lines say, each of which is a chunk of its own."""
        return [key for chunk in lines for key in self.chunk(chunk)]

    def chunk(self, *lines: bytes) -> list[dict[str, Any]]:
        return [orjson.loads(record.line)["lambda"] for record in self.pipeline(Decoder().feed(b"".join(lines)))]


@pytest.mark.parametrize("together", [True, False])
def test_what_comes_before_the_first_invocation_says_its_phase(*, together: bool) -> None:
    """Init, or restore behind the platform's word for it, whether lines come in one chunk or in many; then none."""
    run = Run()
    lines = (TEXT, RESTORE, TEXT, start("r1"), TEXT, b"no JSON\n", RESTORE)
    keys = run.chunk(*lines) if together else run.keys(*lines)
    assert [key.get("phase") for key in keys] == ["init", "restore", "restore", None, None, None, None]


def test_the_phase_ends_where_platform_records_are_left_out() -> None:
    """The first platform.start ends it, whether or not it is forwarded."""
    keys = Run(Filter({"platform", "extension"}), in_order=False).chunk(TEXT, start("r1"), TEXT)
    assert [key.get("phase") for key in keys] == ["init", None]


def test_a_line_that_waits_when_the_init_ends_is_of_the_init() -> None:
    """It is let go of before the first invocation begins."""
    keys = Run(Join(1.0, lambda: 0.0)).chunk(TEXT, start("r1"))
    assert [key.get("phase") for key in keys] == ["init", None]


def test_records_of_our_own_have_no_phase() -> None:
    """They are not what the init wrote."""
    run = Run()
    [record] = run.pipeline.add("forwarder.ledger", {}, "")
    assert "phase" not in orjson.loads(record.line)["lambda"]


def test_the_tenant_is_said_of_each_record_of_the_invocation() -> None:
    """As platform.start names it, and of no other invocation's records."""
    keys = Run().chunk(
        start("r1", tenantId="blue"), TEXT, start("r2"), TEXT, line("platform.report", {"requestId": "r1"})
    )
    assert [key.get("tenantId") for key in keys] == ["blue", "blue", None, None, "blue"]


@pytest.mark.parametrize("tenant", ["", "x" * 129, "\ud800", 7, None, ["blue"]])
def test_what_cannot_be_a_tenant_is_none(tenant: object) -> None:
    """It would be in every record."""
    lines = Decoder().feed(
        b'{"type":"platform.start","time":"","record":{"requestId":"r1","tenantId":%b}}\n' % dumped(tenant)
    )
    [record] = Run().pipeline(lines)
    assert "tenantId" not in json.loads(record.line)["lambda"]  # orjson reads no half of a surrogate pair


def dumped(value: object) -> bytes:
    return b'"\\ud800"' if value == "\ud800" else orjson.dumps(value)


def test_a_tenant_that_nobody_shall_read_is_left_out() -> None:
    """What is redacted in the platform's record is not told by the key of every other one."""
    starts = Starts(is_harmless=lambda text: "@" not in text)
    for request_id, tenant in (("r1", "blue"), ("r2", "me@example.com")):
        starts.note(request_id, {"tenantId": tenant})
    assert (starts.of("r1"), starts.of("r2")) == (b',"tenantId":"blue"', b"")


def test_the_trace_is_said_on_request() -> None:
    """As OpenTelemetry writes it, whether or not it is sampled; nothing where the header cannot be read."""
    lines = (start("r1", tracing=TRACING), TEXT, start("r2", tracing={"value": "Root=1-2-3"}), TEXT)
    trace_id = "62e900b2710d76f009d6e7785905449a"
    assert [key.get("traceId") for key in Run(traces=True).chunk(*lines)] == [trace_id, trace_id, None, None]
    assert not any("traceId" in key for key in Run().chunk(*lines))


def test_invocations_that_interleave_have_their_own() -> None:
    """On Managed Instances a record says the tenant and the trace of the request that it names."""
    run = Run(traces=True, in_order=False)
    other = {"value": HEADER.replace("62e900b2", "62e900b3")}
    own = [line("function", {"requestId": request_id}) for request_id in ("r1", "r2", "r3")]
    keys = run.chunk(start("r1", tracing=TRACING), start("r2", tracing=other), *own)
    assert [str(key.get("traceId"))[:8] for key in keys[2:]] == ["62e900b2", "62e900b3", "None"]


def test_so_many_invocations_are_remembered() -> None:
    """What is older is forgotten, so that memory is bounded."""
    run = Run(in_order=False)
    run.chunk(*[start(f"r{number}", tenantId="blue") for number in range(REMEMBERED + 1)])
    late = [line("function", {"requestId": request_id}) for request_id in ("r0", "r1")]
    assert [key.get("tenantId") for key in run.chunk(*late)] == [None, "blue"]


def test_one_that_runs_is_remembered_for_longer() -> None:
    """On Managed Instances many begin and end while it does; of those that ended the latest are remembered."""
    run = Run(in_order=False)
    run.chunk(start("long", tenantId="blue"))
    for number in range(REMEMBERED + 1):
        run.chunk(start(f"r{number}", tenantId="red"), line("platform.report", {"requestId": f"r{number}"}))
    late = ["long", f"r{REMEMBERED}", f"r{REMEMBERED - ENDED + 1}", f"r{REMEMBERED - ENDED}"]
    keys = run.chunk(*[line("function", {"requestId": request_id}) for request_id in late])
    assert [key.get("tenantId") for key in keys] == ["blue", "red", "red", None]


def test_what_a_request_said_before_is_forgotten_when_it_is_tried_again() -> None:
    """A retry has a platform.start of its own."""
    keys = Run().keys(start("r1", tenantId="blue"), start("r1"), TEXT)
    assert [key.get("tenantId") for key in keys] == ["blue", None, None]


@pytest.mark.parametrize(
    ("names", "variables", "found"),
    [
        ((), {"AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128"}, {}),
        (("traceId", "memorySizeMB"), {"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128"}, {"memorySizeMB": 128}),
        (
            ("initializationType",),
            {"AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start"},
            {"initializationType": "snap-start"},
        ),
        (("initializationType", "memorySizeMB"), {"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "much"}, {}),
    ],
)
def test_members_of_the_function_on_request(
    names: tuple[str, ...], variables: dict[str, str], found: dict[str, object]
) -> None:
    """What is asked for and known, as AWS names it."""
    assert more(names, variables) == found

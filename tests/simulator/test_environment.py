from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from simulator.environment import Environment
from simulator.faults import Faults
from simulator.sandbox.processes import descendants
from tests.simulator.reading import events, order, pids, records, said, sent
from tests.support.mounts import NEEDS_MOUNTS
from tests.support.probe_layer import EXAMPLE, MakeFunction, Plan, write_probe

GIVEN = {
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION"),
    *("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_VERSION"),
    *("AWS_LAMBDA_RUNTIME_API", "LANG", "LD_LIBRARY_PATH", "PATH", "TZ"),
    "TMPDIR",  # in place of a /tmp of its own
}
ECHO = "def handler(event, context):\n    print(event)\n    return event\n"


LEAVE = """
import os
import pathlib
import tempfile

def handler(event, context):
    here = pathlib.Path(tempfile.gettempdir())
    (here / event["leave"]).touch()
    if event.get("crash"):
        os._exit(1)
    return [str(here), *sorted(path.name for path in here.iterdir())]
"""


def state(pid: int) -> str:
    """The state of a process as the kernel names it: T is stopped, Z or nothing is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def alive(pid: int) -> bool:
    """Whether a process exists that is no zombie."""
    return state(pid) not in ("", "Z", "X")


async def test_cold_and_warm_invocation_send_the_records_of_lambda_in_order(probe: Path, plan: Plan) -> None:
    """A subscriber gets init's records, though older than its subscription, then those of each invocation."""
    async with Environment(layer=probe, function=EXAMPLE, env=plan(types=["platform"])) as environment:
        await environment.invoke({"n": 1})
        await environment.invoke({"n": 2})
    assert [record["type"] for record in sent(environment)] == [
        "platform.initStart",
        "platform.telemetrySubscription",
        "platform.initRuntimeDone",
        "platform.extension",
        "platform.initReport",
        "platform.start",
        "platform.runtimeDone",
        "platform.report",
        "platform.start",
        "platform.runtimeDone",
        "platform.report",
    ]


async def test_what_was_sent_is_what_arrived(probe: Path, plan: Plan, tmp_path: Path) -> None:
    """`sent` holds the bytes that the subscriber read from its socket."""
    async with Environment(layer=probe, function=EXAMPLE, env=plan(shutdown_s=0.2)) as environment:
        await environment.invoke({"n": 1})
    arrived = (tmp_path / "received.ndjson").read_bytes()
    assert b"".join(environment.sent["probe"]).startswith(arrived)
    assert b"platform.report" in arrived


async def test_printed_lines_and_log_frames_become_function_records(probe: Path, plan: Plan) -> None:
    """A handler's print and logging, run by AWS's own runtime client, arrive as function records."""
    async with Environment(layer=probe, function=EXAMPLE, env=plan()) as environment:
        done = await environment.invoke({"n": 7})
    printed = records(environment, "function")
    assert done.status == "success"
    assert done.payload["n"] == 7
    assert "invocation 7 begins" in printed
    assert "grüße aus der Wolke ☁" in printed
    assert any(line.endswith(f"{done.request_id}\tstock is low for order 7\n") for line in printed)


async def test_extension_sees_the_variables_of_lambda_and_no_others(probe: Path, plan: Plan) -> None:
    """An extension gets the platform's and the customer's variables: none of ours, none of the runtime's."""
    async with Environment(layer=probe, function=EXAMPLE, env={**plan(), "_HIDDEN": "x"}) as environment:
        await environment.init()
    seen = set(next(line["env"] for line in said(environment) if line["probe"] == "registered"))
    assert seen - {"LC_CTYPE"} == GIVEN | {"PROBE", "PROBE_OUT"}  # LC_CTYPE: set by Python itself


async def test_processes_are_stopped_between_invocations(probe: Path, plan: Plan) -> None:
    """After everyone has called next, every process is in the stopped state, also one that left its group."""
    async with Environment(layer=probe, function=EXAMPLE, env=plan(child="600")) as environment:
        await environment.invoke()
        started = list(pids(environment))
        started += descendants(started[0])
        assert len(started) == 3
        async with asyncio.timeout(5):  # a signal is sent; the kernel stops the process when it comes to it
            while [state(pid) for pid in started] != ["T", "T", "T"]:
                await asyncio.sleep(0.01)


async def test_report_comes_after_the_last_next_and_arrives_with_the_next_invocation(probe: Path, plan: Plan) -> None:
    """platform.report goes into the freeze, so its batch is sent after the thaw."""
    async with Environment(layer=probe, function=EXAMPLE, env=plan(hold_s=0.2)) as environment:
        await environment.invoke()
        assert "platform.report" not in [record["type"] for record in sent(environment)]
        await environment.invoke()
        assert "platform.report" in [record["type"] for record in sent(environment)]
    assert order(environment, "extension.next", "freeze", "platform.report")[:4] == [
        "extension.next",
        "extension.next",
        "freeze",
        "platform.report",
    ]


async def test_shutdown_ends_runtime_first_then_tells_the_extension(probe: Path, plan: Plan) -> None:
    """The runtime is gone before SHUTDOWN, which has a reason in lower case and a deadline 2 s after the start."""
    async with Environment(layer=probe, function=EXAMPLE, env=plan()) as environment:
        await environment.invoke()
        shutdown = await environment.shutdown("spindown")
    exits = [moment.details for moment in environment.timeline.named("process.exit")]
    assert [(one["name"], one["returncode"]) for one in exits] == [("runtime", -signal.SIGTERM), ("probe", 0)]
    assert events(environment)[-1]["eventType"] == "SHUTDOWN"
    assert events(environment)[-1]["shutdownReason"] == "spindown"
    assert shutdown.extensions["probe"].returncode == 0
    assert not shutdown.extensions["probe"].killed


async def test_last_words_of_the_runtime_reach_the_extension_before_shutdown(
    probe: Path, plan: Plan, function: MakeFunction
) -> None:
    """What a function prints on SIGTERM is delivered; one that does not end is killed after its share of the time."""
    code = """#!/bin/bash
trap 'echo last words' TERM
exec 3<>/dev/tcp/${AWS_LAMBDA_RUNTIME_API/://}
printf 'GET /2018-06-01/runtime/invocation/next HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n' >&3
while true; do sleep 600 & wait $!; done
"""
    async with Environment(layer=probe, function=function(code, "bootstrap"), env=plan()) as environment:
        await environment.init()
        shutdown = await environment.shutdown()
    assert "last words" in records(environment, "function")
    begun, ended = environment.timeline.named("shutdown")[0], environment.timeline.named("process.exit")[0]
    assert ended.details["returncode"] == -signal.SIGKILL
    assert ended.at - begun.at >= 0.3 * 2.0
    assert shutdown.extensions["probe"].returncode == 0


async def test_extension_that_ignores_the_deadline_is_killed(probe: Path, plan: Plan) -> None:
    """At the deadline of SHUTDOWN comes SIGKILL."""
    async with Environment(layer=probe, function=EXAMPLE, env=plan(shutdown_s=30)) as environment:
        await environment.invoke()
        shutdown = await environment.shutdown()
    assert shutdown.extensions["probe"].killed
    assert shutdown.duration_s >= 2.0


async def test_extension_without_shutdown_is_killed_at_once(probe: Path, plan: Plan) -> None:
    """Who has not registered for SHUTDOWN gets no event and no time."""
    async with Environment(layer=probe, function=EXAMPLE, env=plan(events=["INVOKE"])) as environment:
        await environment.invoke()
        shutdown = await environment.shutdown()
    assert shutdown.extensions["probe"].killed
    assert [event["eventType"] for event in events(environment)] == ["INVOKE"]


async def test_shutdown_may_be_the_first_event(probe: Path, plan: Plan) -> None:
    """An environment may be made ahead and end without an invocation."""
    async with Environment(layer=probe, function=EXAMPLE, env=plan()) as environment:
        assert await environment.init()
    assert [event["eventType"] for event in events(environment)] == ["SHUTDOWN"]


async def test_name_that_is_no_file_registers_an_internal_extension_and_init_hangs(probe: Path, plan: Plan) -> None:
    """The wrong name gets 200, and the platform waits for the right one until the init limit."""
    env = plan(name="prope", events=["INVOKE"], subscribe=False)
    async with Environment(layer=probe, function=EXAMPLE, env=env) as environment:
        assert not await environment.init()  # 10 s: by then the probe has asked, on a busy machine too
    assert said(environment)[0]["status"] == 200
    assert environment.timeline.named("init.timeout")[0].details["waiting"] == (
        "register by probe (prope registered, which is no file in extensions/)"
    )


async def test_init_that_is_too_slow_is_made_up_for_in_the_first_invocation(probe: Path, plan: Plan) -> None:
    """After the init limit everything is killed and started again, with the function's timeout as its limit."""
    env = plan(init_s=1.5)
    async with Environment(layer=probe, function=EXAMPLE, env=env, init_timeout_s=1.0, timeout_s=20) as environment:
        done = await environment.invoke({"n": 1})
    assert done.status == "success"
    starts = environment.timeline.named("platform.initStart")
    assert [moment.details["phase"] for moment in starts] == ["init", "invoke"]
    assert environment.timeline.named("platform.initReport")[0].details["status"] == "timeout"


async def test_environments_share_no_tmp(function: MakeFunction) -> None:
    """What a function finds in its temporary folder is what it left there, though another environment runs beside."""
    folder = function(LEAVE)
    async with Environment(function=folder) as one, Environment(function=folder) as other:
        found = [await environment.invoke({"leave": name}) for name, environment in (("a", one), ("b", other))]
    assert [done.payload[1:] for done in found] == [["a"], ["b"]]


async def test_tmp_outlives_a_crash(function: MakeFunction) -> None:
    """The processes of the next life find what those that crashed had left."""
    async with Environment(function=function(LEAVE)) as environment:
        await environment.invoke({"leave": "a", "crash": True})
        done = await environment.invoke({"leave": "b"})
    assert done.payload[1:] == ["a", "b"]


async def test_tmp_is_gone_after_a_spindown(function: MakeFunction) -> None:
    """What comes after a spindown is another environment, also where the processes had ended before."""
    async with Environment(function=function(LEAVE)) as environment:
        await environment.invoke({"leave": "a"})
        await environment.shutdown("spindown")
        found = [await environment.invoke({"leave": "b"})]
        await environment.invoke({"leave": "c", "crash": True})
        await environment.shutdown("spindown")
        found.append(await environment.invoke({"leave": "d"}))
    assert [done.payload[1:] for done in found] == [["b"], ["d"]]


async def test_tmp_is_gone_where_the_environment_vanishes(function: MakeFunction) -> None:
    """Nothing is left of it on this machine."""
    async with Environment(function=function(LEAVE), faults=Faults(vanish=True)) as environment:
        done = await environment.invoke({"leave": "a"})
    assert not await asyncio.to_thread(Path(done.payload[0]).exists)


async def test_a_tmp_that_is_given_is_used_and_left_alone(function: MakeFunction, tmp_path: Path) -> None:
    """TMPDIR among the function's variables is the caller's, who may look into it afterwards."""
    async with Environment(function=function(LEAVE), env={"TMPDIR": str(tmp_path)}) as environment:
        await environment.invoke({"leave": "a"})
    assert (tmp_path / "a").exists()


async def test_timeout_resets_the_environment(probe: Path, plan: Plan, function: MakeFunction) -> None:
    """A timed out invocation is reported so, extensions get SHUTDOWN timeout, and the next one has new processes."""
    code = """
import pathlib, tempfile, time
def handler(event, context):
    marker = pathlib.Path(tempfile.gettempdir(), "marker")  # it survives
    first = not marker.exists()
    marker.touch()
    time.sleep(60 if first else 0)
"""
    async with Environment(layer=probe, function=function(code), env=plan(), timeout_s=8.0) as environment:
        first = await environment.invoke()
        second = await environment.invoke()
    assert (first.status, second.status) == ("timeout", "success")
    assert first.payload["errorMessage"].endswith("Task timed out after 8.00 seconds")
    assert "timeout" in [event.get("shutdownReason") for event in events(environment)]
    assert [record["status"] for record in records(environment, "platform.runtimeDone")] == ["timeout", "success"]
    assert len(set(pids(environment))) == 4


async def test_runtime_crash_fails_the_invocation_and_resets(probe: Path, plan: Plan, function: MakeFunction) -> None:
    """A runtime that exits ends the invocation with Runtime.ExitError, and extensions get SHUTDOWN failure."""
    code = "import os\ndef handler(event, context):\n    os._exit(3)\n"
    async with Environment(layer=probe, function=function(code), env=plan()) as environment:
        done = await environment.invoke()
    assert (done.status, done.error_type) == ("error", "Runtime.ExitError")
    assert events(environment)[-1]["shutdownReason"] == "failure"
    assert records(environment, "platform.runtimeDone")[0]["errorType"] == "Runtime.ExitError"


async def test_extension_crash_fails_the_invocation(probe: Path, plan: Plan) -> None:
    """An extension that dies takes the user's invocation with it."""
    async with Environment(layer=probe, function=EXAMPLE, env=plan(crash_in=1)) as environment:
        done = await environment.invoke()
    assert (done.status, done.error_type) == ("error", "Extension.Crash")


async def test_extension_that_reports_an_init_error_fails_init(probe: Path, plan: Plan) -> None:
    """init/error and an exit are Extension.InitError, in init and again in the invocation that repeats it."""
    async with Environment(layer=probe, function=EXAMPLE, env=plan(init_error="Extension.NoConfig")) as environment:
        done = await environment.invoke()
    assert (done.status, done.error_type) == ("error", "Extension.InitError")
    reports = environment.timeline.named("platform.initReport")
    assert [moment.details["phase"] for moment in reports] == ["init", "invoke"]


async def test_extension_that_holds_the_invocation_times_it_out(probe: Path, plan: Plan) -> None:
    """The function's timeout covers the extensions."""
    async with Environment(layer=probe, function=EXAMPLE, env=plan(hold_s=30), timeout_s=5.0) as environment:
        done = await environment.invoke()
    assert done.status == "timeout"
    assert records(environment, "platform.runtimeDone")[0]["status"] == "success"


async def test_several_extensions_share_an_environment(probe: Path, plan: Plan) -> None:
    """Each extension gets its events and its own telemetry."""
    write_probe(probe, "second.py")
    async with Environment(layer=probe, function=EXAMPLE, env=plan()) as environment:
        await environment.invoke()
    for name in ("probe", "second.py"):
        assert [event["eventType"] for event in events(environment, name)] == ["INVOKE", "SHUTDOWN"]
        assert "platform.start" in [record["type"] for record in sent(environment, name)]


async def test_handler_error_is_the_callers_and_harms_nothing_else(
    probe: Path, plan: Plan, function: MakeFunction
) -> None:
    """A handler that raises gives its error to the caller; the processes live on."""
    code = "def handler(event, context):\n    raise ValueError('no tea')\n"
    async with Environment(layer=probe, function=function(code), env=plan()) as environment:
        first = await environment.invoke()
        second = await environment.invoke()
    assert first.status == second.status == "error"
    assert first.payload["errorMessage"] == "no tea"
    assert len(list(pids(environment))) == 2


async def test_nothing_is_left_running_when_the_caller_fails(probe: Path, plan: Plan) -> None:
    """An error in the middle ends every process, those in other process groups too."""
    env = plan(child="600", shutdown_s=60)
    started: list[int] = []

    async def fail() -> None:
        async with Environment(layer=probe, function=EXAMPLE, env=env) as environment:
            await environment.invoke()
            started.extend(pids(environment))
            started.extend(descendants(started[0]))
            raise RuntimeError("of the caller")

    with pytest.raises(RuntimeError, match="of the caller"):
        await fail()
    assert len(started) == 3
    assert not [pid for pid in started if alive(pid)]


async def test_nothing_is_left_running_when_the_caller_is_cancelled(probe: Path, plan: Plan) -> None:
    """A cancelled simulation stops what it started, and stays cancelled."""
    environment = Environment(layer=probe, function=EXAMPLE, env=plan(hold_s=60), timeout_s=60)
    invoked = asyncio.Event()

    async def run() -> None:
        async with environment:
            invoked.set()
            await environment.invoke()

    task = asyncio.create_task(run())
    await invoked.wait()
    while not environment.timeline.named("extension.event"):
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not [pid for pid in pids(environment) if alive(pid)]


async def test_custom_runtime_is_started_by_its_bootstrap(probe: Path, plan: Plan, function: MakeFunction) -> None:
    """A function folder with a bootstrap needs no Python."""
    code = """#!/bin/bash
exec 3<>/dev/tcp/${AWS_LAMBDA_RUNTIME_API/://}
printf 'GET /2018-06-01/runtime/invocation/next HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n' >&3
while read -r line <&3; do
  line=${line%$'\\r'}
  case $line in Lambda-Runtime-Aws-Request-Id:*) id=${line#*: } ;; esac
  case $line in Content-Length:*) length=${line#*: } ;; esac
  [ -z "$line" ] && break
done
read -r -N "$length" event <&3
echo "shell got $event"
post='POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 2\\r\\n\\r\\n{}'
printf "$post" "$id" >&3
printf 'GET /2018-06-01/runtime/invocation/next HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n' >&3
sleep 600
"""
    async with Environment(layer=probe, function=function(code, "bootstrap"), env=plan()) as environment:
        done = await environment.invoke({"n": 1})
    assert done.payload == {}
    assert 'shell got {"n": 1}' in records(environment, "function")


async def test_vanishing_environment_gives_no_shutdown(probe: Path, plan: Plan) -> None:
    """A host that fails takes everything with it, unannounced."""
    faults = Faults(vanish=True)
    async with Environment(layer=probe, function=EXAMPLE, env=plan(), faults=faults) as environment:
        await environment.invoke()
    assert [event["eventType"] for event in events(environment)] == ["INVOKE"]
    assert os.getpid() not in pids(environment)


async def test_trace_and_tenant_reach_extension_function_and_records(
    probe: Path, plan: Plan, function: MakeFunction
) -> None:
    """A traced invocation of a tenant is marked as such in the event, for the function, and in its records."""
    code = "import os\ndef handler(event, context):\n    return [os.environ['_X_AMZN_TRACE_ID'], context.tenant_id]\n"
    trace = "Root=1-5f35ae12-0c0fec141ab77a00bc047aa2;Parent=2be948a625588e32;Sampled=1"
    async with Environment(layer=probe, function=function(code), env=plan(), tracing=True) as environment:
        done = await environment.invoke(trace_id=trace, tenant_id="blue")
    assert done.payload == [trace, "blue"]
    assert events(environment)[0]["tracing"] == {"type": "X-Amzn-Trace-Id", "value": trace}
    for type_ in ("platform.start", "platform.report"):
        (record,) = records(environment, type_)
        assert record["tracing"]["value"] == trace
        assert record["tenantId"] == "blue"


@NEEDS_MOUNTS
async def test_layer_may_be_seen_as_opt(probe: Path, plan: Plan) -> None:
    """With mount_opt an extension finds its layer where it is on Lambda, and nobody else notices."""
    (probe / "word").write_text("from the layer")
    script = probe / "extensions" / "shell"
    script.write_text("#!/bin/sh\necho $0 $(cat /opt/word)\nexit 1\n")
    script.chmod(0o755)
    async with Environment(layer=probe, function=EXAMPLE, env=plan(), mount_opt=True) as environment:
        await environment.init()
    lines = [line for moment in environment.timeline.named("printed") for line in moment.details["lines"]]
    assert "/opt/extensions/shell from the layer" in lines
    assert not Path("/opt/word").exists()  # noqa: ASYNC240  nothing else runs here

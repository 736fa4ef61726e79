from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from simulator.scenario import load
from tests.simulator import running
from tests.support import ROOT
from tests.support.probe_layer import EXAMPLE, MakeFunction, Plan, write_probe

LIMIT_S = 30


def run(*arguments: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the command line; what it starts must have ended with it."""
    done = running.run(*arguments, **env)
    assert "PROBE_OUT" not in env or not left_running(env["PROBE_OUT"])
    return done


def left_running(mark: str) -> list[str]:
    """Processes that have a text in their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark.encode() in path.read_bytes():
                found.append(path.parent.name)
        except OSError:
            continue
    return [pid for pid in found if int(pid) != os.getpid()]


def scenario(folder: Path, text: str) -> Path:
    """Write a scenario file."""
    path = folder / "scenario.toml"
    path.write_text(text)
    return path


def test_well_behaved_extension_exits_with_0_and_the_story_is_told(probe: Path, plan: Plan) -> None:
    """The command prints what happened, in order, with times."""
    done = run("--layer", probe, "--function", EXAMPLE, "--invocations", "2", **plan())
    assert (done.returncode, done.stderr) == (0, "")
    told = [line.split(" s ", 1)[1].split()[0] for line in done.stdout.splitlines() if " s " in line]
    wanted = ["platform.initStart", "extension.register", "platform.start", "freeze", "thaw", "shutdown"]
    assert [word for word in dict.fromkeys(told) if word in wanted] == wanted
    assert "\n\nThe extensions behaved.\n" in done.stdout


@pytest.mark.parametrize(
    ("wish", "complaint"),
    [
        ({"crash_in": 1}, "Extension.Crash: extension probe ended with signal SIGKILL"),
        ({"shutdown_s": 30}, "probe did not exit before the deadline of SHUTDOWN and was killed"),
        ({"exit": 3}, "probe exited with 3 after SHUTDOWN (spindown)"),
        ({"hold_s": 30}, "probe held an invocation until the function's timeout"),
        ({"init_error": "Extension.Bad"}, "Extension.InitError: extension probe ended with exit code 1"),
    ],
)
def test_misbehaved_extension_exits_with_1_and_says_why(
    probe: Path, plan: Plan, wish: dict[str, object], complaint: str
) -> None:
    """Each way to misbehave is named."""
    done = run("--layer", probe, "--function", EXAMPLE, "--timeout", "2", **plan(**wish))
    assert done.returncode == 1
    assert f"  - {complaint}\n" in done.stdout


def test_a_closed_port_is_told_and_no_misbehaviour(probe: Path, plan: Plan) -> None:
    """An extension may have nowhere to put telemetry: the platform drops it and goes on, and so does the verdict."""
    done = run("--layer", probe, "--function", EXAMPLE, "--invocations", "2", **plan(hang_up=True, hold_s=0.5))
    assert (done.returncode, "The extensions behaved." in done.stdout) == (0, True)
    assert "Extensions that closed the connection for telemetry, which is dropped then:\n  - probe\n" in done.stdout


def test_json_is_one_document_for_machines(probe: Path, plan: Plan) -> None:
    """--json prints nothing but one JSON document."""
    done = run("--layer", probe, "--function", EXAMPLE, "--json", **plan())
    document = json.loads(done.stdout)
    assert document["behaved"] is True
    assert document["invocations"][0]["status"] == "success"
    assert document["shutdowns"][0]["extensions"] == {"probe": {"returncode": 0, "killed": False}}


def test_layer_may_be_a_zip(probe: Path, plan: Plan, tmp_path: Path) -> None:
    """A zip is unpacked with the modes that it carries."""
    archive = tmp_path / "layer.zip"
    with zipfile.ZipFile(archive, "w") as content:
        content.write(probe / "extensions" / "probe", "extensions/probe")
    assert run("--layer", archive, "--function", EXAMPLE, **plan()).returncode == 0


def test_layer_without_extensions_is_refused(tmp_path: Path) -> None:
    """The error names what the layer holds instead."""
    (tmp_path / "python").mkdir()
    done = run("--layer", tmp_path, "--function", EXAMPLE)
    assert done.returncode == 2
    assert done.stderr == f"simulator: no extensions/ in {tmp_path}, which holds python\n"


def test_file_that_is_not_executable_is_a_launch_error(probe: Path, plan: Plan) -> None:
    """As on Lambda: init fails with Extension.LaunchError, and the reason is PermissionDenied."""
    (probe / "extensions" / "plain").write_text("no program")
    done = run("--layer", probe, "--function", EXAMPLE, **plan())
    assert done.returncode == 1
    assert "Extension.LaunchError" in done.stdout
    assert "plain is not executable (PermissionDenied)" in done.stdout


def test_eleven_extensions_are_one_too_many(probe: Path, plan: Plan) -> None:
    """Lambda takes ten."""
    for number in range(10):
        write_probe(probe, f"probe-{number}")
    done = run("--layer", probe, "--function", EXAMPLE, **plan())
    assert done.returncode == 1
    assert "Extension.LaunchError: 11 extensions, and Lambda takes 10 (TooManyExtensions)" in done.stdout


def test_handler_that_does_not_import_exits_with_3(probe: Path, plan: Plan, function: MakeFunction) -> None:
    """The extensions behaved, the function failed, and the error is its own."""
    folder = function("import nothing_of_that_name\n")
    done = run("--layer", probe, "--function", folder, **plan())
    assert done.returncode == 3
    assert "the function does not start: Runtime.ImportModuleError" in done.stdout
    assert "No module named 'nothing_of_that_name'" in done.stdout


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("raise ValueError('no tea')", "error, ValueError: no tea"),
        ("import os; os._exit(1)", "error, Runtime.ExitError: RequestId: "),
        ("import time; time.sleep(9)", "timeout, Sandbox.Timedout: RequestId: "),
    ],
)
def test_function_that_fails_exits_with_3(probe: Path, plan: Plan, function: MakeFunction, code: str, why: str) -> None:
    """Each invocation that failed is named, with its error."""
    folder = function(f"def handler(event, context):\n    {code}\n")
    done = run("--layer", probe, "--function", folder, "--timeout", "1", **plan())
    assert done.returncode == 3
    failed = done.stdout.partition("The function failed:\n")[2].splitlines()
    assert re.match(r"  - invocation 1, [-0-9a-f]{36}: ", failed[0])
    assert why in failed[0]


def test_function_may_fail_where_that_is_said(probe: Path, plan: Plan, function: MakeFunction) -> None:
    """With --function-may-fail only extensions are judged."""
    folder = function("def handler(event, context):\n    raise ValueError\n")
    done = run("--layer", probe, "--function", folder, "--function-may-fail", **plan())
    assert done.returncode == 0
    assert "The function failed:\n" in done.stdout


def test_failure_by_an_extension_is_no_failure_of_the_function(probe: Path, plan: Plan) -> None:
    """An invocation that failed because an extension crashed exits with 1, and the function is not blamed."""
    found = json.loads(run("--layer", probe, "--function", EXAMPLE, "--json", **plan(crash_in=1)).stdout)
    assert found["invocations"][0]["status"] == "error"
    assert (found["exitCode"], found["functionFailures"]) == (1, [])


def test_help_tells_the_exit_codes() -> None:
    """Each exit code is in --help."""
    told = re.sub(r"\s+", " ", run("--help").stdout)
    assert "0 all well, 1 an extension misbehaved, 2 it cannot be run like that, 3 the function failed, 4 not" in told


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("function = 'f'\ntimeout = 3", "unknown timeout: did you mean timeout_s?"),
        ("function = 'f'\ntimeout_s = 'long'", "timeout_s = 'long' is not of type float"),
        ("function = 'f'\nqqq = 3", "unknown qqq (there are account_id, bootstrap, env,"),
        ("function = 'f'\n[[step]]\ninvoke = {}", "unknown step: did you mean steps?"),
        ("function = 'f'\nlayers = 'l'", "unknown layers: did you mean layer?"),
        ("function = 'f'\n[faults]\nnext500 = [1]", "unknown faults.next500: did you mean faults.next_500?"),
        ("function = 'f'\n[faults]\nnext_500 = 1", "faults.next_500 = 1 is not a list of whole numbers"),
        ("function = 'f'\n[faults]\nafter_shutdown_s = ['5']", "after_shutdown_s = ['5'] is not a list of numbers"),
        ("function = 'f'\n[[steps]]\ninvoke = {}\nrequest_id = 1", "step 1: request_id is a string"),
        ("function = 'f'\n[[steps]]\ninvok = {}", "step 1: unknown invok: did you mean invoke?"),
        ("function = 'f'\n[[steps]]\nqqq = {}", "step 1: it is not one of init, invoke, wait_s, shutdown"),
        ("function = 'f'\n[[steps]]\ninvoke = {}\ntime = 2", "step 1: unknown time: did you mean times?"),
        ("layer = 'l'", "function is missing"),
        ("function = ", "cannot read the scenario"),
        ("function = 'f'", "no function folder at"),
    ],
)
def test_typo_in_a_scenario_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    """A scenario with an unknown word, a wrong type or a missing part is refused before anything starts."""
    done = run("--scenario", scenario(tmp_path, text))
    assert done.returncode == 2
    assert complaint in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("max_concurrency = 2", "max_concurrency has no effect: it is for Managed Instances"),
        ("[[steps]]\ninvoke = {}\nconcurrency = 2", "step 1: concurrency has no effect: it is for Managed Instances"),
        ("init_type = 'lambda-managed-instances'\nlog_format = 'Text'", "log_format has no effect: on Managed"),
        ("init_type = 'lambda-managed-instances'\nfreeze = true", "freeze has no effect: Managed Instances are never"),
        (
            "init_type = 'lambda-managed-instances'\n[faults]\nkill_extension = [1]",
            "faults.kill_extension has no effect",
        ),
        ("freeze = false\n[faults]\nclock_jump_s = 9.0", "faults.clock_jump_s has no effect: freeze is false"),
        ("[faults]\nburst_bytes = 9", "faults.burst_bytes has no effect: there is no burst"),
        ("[faults]\nafter_shutdown = 9", "faults.after_shutdown has no effect: there is no after_shutdown_s"),
    ],
)
def test_what_has_no_effect_in_a_scenario_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    """A word that is known, and ignored beside the others, is an error."""
    done = run("--scenario", scenario(tmp_path, f"function = '{EXAMPLE}'\n{text}"))
    assert done.returncode == 2
    assert complaint in done.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--scenario", "x.toml", "--timeout", "9", "--event", "{}"), "--event, --timeout would have no effect"),
        (
            ("--function", EXAMPLE, "--init-type", "lambda-managed-instances", "--log-format", "Text"),
            "--log-format has no",
        ),
        (("--function", EXAMPLE, "--invocations", "0"), "--invocations 0: nothing would be run"),
        (("--function", EXAMPLE, "--event", "{n}"), "argument --event: no JSON"),
        (("--function", EXAMPLE, "--require"), "unrecognized arguments: --require"),
        ((), "--function is missing"),
        (("--function", EXAMPLE, "--env", "A=1", "secret"), "word 2 of --env is not of the form NAME=VALUE"),
        (
            ("--function", EXAMPLE, "--html", "/no/such/folder/x.html"),
            "--html: cannot write /no/such/folder/x.html: No such",
        ),
        (("--function", EXAMPLE, "--html", "/proc/x.html"), "--html: cannot write /proc/x.html: "),
        (("--function", EXAMPLE, "--html", "/"), "--html: cannot write /: Is a directory"),
    ],
)
def test_what_cannot_be_run_exits_with_2_before_the_run(arguments: tuple[str | Path, ...], complaint: str) -> None:
    """Options that are wrong, ignored or cannot be met are named, and nothing has begun."""
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert complaint in done.stderr


def test_html_that_can_be_written_is_not_left_behind_by_a_run_that_is_refused(tmp_path: Path) -> None:
    """To try whether a file can be written leaves nothing."""
    assert run("--html", tmp_path / "x.html").returncode == 2
    assert list(tmp_path.iterdir()) == []


def test_scenario_is_played_step_by_step(probe: Path, plan: Plan, tmp_path: Path) -> None:
    """Settings, faults and steps come from the file; paths are relative to it."""
    env = "\n".join(f"{key} = {json.dumps(value)}" for key, value in plan().items())
    text = f"""
layer = "{probe.name}"
function = "{os.path.relpath(EXAMPLE, tmp_path)}"
timeout_s = 2.5
[env]
{env}
[faults]
burst = 10
[[steps]]
init = true
[[steps]]
invoke = {{ n = 5 }}
times = 2
[[steps]]
shutdown = "spindown"
[[steps]]
invoke = {{ n = 6 }}
"""
    done = run("--scenario", scenario(tmp_path, text), "--json")
    document = json.loads(done.stdout)
    assert [one["payload"]["n"] for one in document["invocations"]] == [5, 5, 6]
    assert [one["reason"] for one in document["shutdowns"]] == ["spindown", "spindown"]


@pytest.mark.parametrize("way", ["command line", "scenario"])
def test_request_id_may_come_twice(probe: Path, plan: Plan, tmp_path: Path, way: str) -> None:
    """--request-id, and request_id of a step, make invocations that have one id, as Lambda's retries."""
    if way == "command line":
        done = run(
            *("--layer", probe, "--function", EXAMPLE, "--invocations", "2", "--request-id", "again", "--json"),
            **plan(),
        )
    else:
        text = f"layer = '{probe}'\nfunction = '{EXAMPLE}'\n[env]\nPROBE_OUT = '{plan()['PROBE_OUT']}'\n"
        text += "[[steps]]\ninvoke = {}\ntimes = 2\nrequest_id = 'again'\n"
        done = run("--scenario", scenario(tmp_path, text), "--json")
    assert [one["requestId"] for one in json.loads(done.stdout)["invocations"]] == ["again", "again"]


@pytest.mark.usefixtures("layer")  # which says so where the layer has not been built
def test_demo_tells_the_story_in_about_15_lines() -> None:
    """`make demo` shows phases, some records, the ledger in words, and where the timeline is drawn."""
    done = demo()
    lines = done.stdout.splitlines()
    assert done.returncode == 0
    assert len(lines) <= 16
    assert sum(line.startswith("  invocation  success") for line in lines) == 3
    assert re.search(
        r"^\d+ records were delivered to .work/demo.ndjson, \d+ of the function", done.stdout, re.MULTILINE
    )
    assert re.search(r"ledger: \d+ records came, \d+ were delivered, \d+ are its own log", done.stdout)
    assert "drawn in .work/demo.html" in lines[-1]
    assert (ROOT / ".work" / "demo.html").stat().st_size > 10_000


@pytest.mark.usefixtures("layer")
def test_demo_shows_every_event_and_record_on_request() -> None:
    """With -v (`make demo V=1`) there is everything, the ledger itself among it."""
    done = demo("-v")
    assert done.returncode == 0
    assert "platform.initStart" in done.stdout
    assert '"message": "ledger"' in done.stdout
    assert len(done.stdout.splitlines()) > 60
    assert "not passed on" not in done.stdout  # the forwarder's own last words are no loss


def demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    """What `make demo` runs."""
    command = [sys.executable, "-m", "simulator.demo", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=LIMIT_S, check=False)


def test_example_scenario_can_be_read() -> None:
    """The scenario that the documentation points to has no unknown word."""
    read = load(ROOT / "examples" / "scenario.toml")
    assert read.settings["function"] == ROOT / "examples" / "function"
    assert [next(iter(step)) for step in read.steps] == ["invoke", "wait_s", "invoke", "shutdown"]


@pytest.mark.parametrize("how", ["terminate", "kill"])
@pytest.mark.parametrize(("hold_s", "sign"), [(0, b"invoke.done"), (60, b'"INVOKE')], ids=["frozen", "running"])
async def test_ended_simulator_stops_what_it_started(
    probe: Path, plan: Plan, tmp_path: Path, how: str, hold_s: int, sign: bytes
) -> None:
    """SIGTERM, and SIGKILL, leave no process behind, frozen or not."""
    env = plan(hold_s=hold_s)
    text = f"layer = '{probe}'\nfunction = '{EXAMPLE}'\ntimeout_s = 60.0\n[env]\n"
    text += "".join(f"{key} = '{value}'\n" for key, value in env.items())
    text += "[[steps]]\ninvoke = {}\n[[steps]]\nwait_s = 60\n"
    command = [sys.executable, "-m", "simulator", "--scenario", str(scenario(tmp_path, text))]
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(tmp_path)},  # where one that is killed leaves its folder
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout
    async with asyncio.timeout(LIMIT_S):
        async for line in process.stdout:
            if sign in line.replace(b"\\", b""):
                break
        assert len(left_running(env["PROBE_OUT"])) == 2
        getattr(process, how)()
        await process.communicate()
        while left_running(env["PROBE_OUT"]):
            await asyncio.sleep(0.02)

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from simulator.scenario import load
from tests.support import ROOT
from tests.support.probe_layer import EXAMPLE, MakeFunction, Plan, write_probe

LIMIT_S = 30


def run(*arguments: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the command line; what it starts must have ended with it."""
    words = [word for key, value in env.items() for word in (f"{key}={value}",)]
    command = [sys.executable, "-m", "simulator", *map(str, arguments), *(["--env", *words] if words else [])]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=LIMIT_S, check=False)
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
    assert done.stdout.endswith("The extensions behaved.\n")


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


def test_handler_that_does_not_import_is_an_error(probe: Path, plan: Plan, function: MakeFunction) -> None:
    """There is nothing to judge, so the exit code is 2 and the error is the function's own."""
    folder = function("import nothing_of_that_name\n")
    done = run("--layer", probe, "--function", folder, **plan())
    assert done.returncode == 2
    assert "the function does not start: Runtime.ImportModuleError" in done.stderr
    assert "No module named 'nothing_of_that_name'" in done.stderr


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("function = 'f'\ntimeout = 3", "unknown timeout (there are account_id, freeze,"),
        ("function = 'f'\ntimeout_s = 'long'", "timeout_s = 'long' is not of type float"),
        ("function = 'f'\n[faults]\nnext500 = [1]", "unknown faults.next500"),
        ("function = 'f'\n[faults]\nnext_500 = 1", "faults.next_500 = 1 is not a list of whole numbers"),
        ("function = 'f'\n[faults]\nafter_shutdown_s = ['5']", "after_shutdown_s = ['5'] is not a list of numbers"),
        ("function = 'f'\n[[steps]]\ninvoke = {}\nrequest_id = 1", "step 1: request_id is a string"),
        ("function = 'f'\n[[steps]]\ninvok = {}", "step 1 is not one of init, invoke, wait_s, shutdown"),
        ("function = 'f'\n[[steps]]\ninvoke = {}\ntime = 2", "step 1: unknown time"),
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
def test_demo_shows_records_ledger_and_picture() -> None:
    """`make demo` ends with every record that was delivered, the ledger, and where the timeline is drawn."""
    done = run("--demo")
    assert done.returncode == 0
    assert "records were delivered to .work/demo.ndjson:" in done.stdout
    assert done.stdout.count("  invocation ") >= 3
    assert '"message": "ledger"' in done.stdout
    assert "drawn in .work/demo.html" in done.stdout
    assert (ROOT / ".work" / "demo.html").stat().st_size > 10_000


def test_example_scenario_can_be_read() -> None:
    """The scenario that the documentation points to has no unknown word."""
    read = load(ROOT / "examples" / "scenario.toml")
    assert read.settings["function"] == ROOT / "examples" / "function"
    assert [next(iter(step)) for step in read.steps] == ["invoke", "wait_s", "invoke", "shutdown"]


def test_env_file_is_read_and_words_win(probe: Path, plan: Plan, tmp_path: Path) -> None:
    """--env-file holds K=V lines and comments; --env wins."""
    file = tmp_path / "env"
    file.write_text('# comment\nPROBE={"exit": 3}\nOTHER=1\n')
    done = run("--layer", probe, "--function", EXAMPLE, "--env-file", file, "--json", **plan())
    assert done.returncode == 0
    assert '\\"OTHER\\"' in done.stdout


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

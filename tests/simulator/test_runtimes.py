from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.simulator.running import document, run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.probe_layer import MakeFunction

NODE = """
const api = `http://${process.env.AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime/invocation`;
const handler = require(`${process.env.LAMBDA_TASK_ROOT}/${process.env._HANDLER.split(".")[0]}`)[process.argv[2]];
(async () => {
  for (;;) {
    const next = await fetch(`${api}/next`);
    const answer = JSON.stringify(await handler(await next.json()));
    const id = next.headers.get("lambda-runtime-aws-request-id");
    await fetch(`${api}/${id}/response`, { method: "POST", body: answer });
  }
})();
"""
SHELL = """#!/bin/sh
api=http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation
while :; do
    head=$(mktemp)
    curl -sS -D "$head" -o /dev/null "$api/next"
    id=$(grep -i '^lambda-runtime-aws-request-id:' "$head" | cut -d' ' -f2 | tr -d '\\r')
    rm "$head"
    framed=${_LAMBDA_TELEMETRY_LOG_FD+framed}
    curl -sS -o /dev/null -d "\\"$_HANDLER ${AWS_EXECUTION_ENV-custom} ${framed:-plain}\\"" "$api/$id/response"
done
"""


@pytest.mark.parametrize(
    ("files", "handler", "language", "file", "start"),
    [
        (["index.mjs"], "index.handler", "Node.js", "index.mjs", "npx aws-lambda-ric index.handler"),
        (["src/index.js"], "src/index.handler", "Node.js", "src/index.js", "npx aws-lambda-ric src/index.handler"),
        (["index.js", "package.json"], "app.handler", "Node.js", "index.js", "npx aws-lambda-ric app.handler"),
        (["app.rb"], "app.handler", "Ruby", "app.rb", "aws_lambda_ric app.handler"),
        (["lib/orders.jar"], "shop.Orders::handle", "Java", "lib/orders.jar", "AWSLambda shop.Orders::handle"),
        (["shop/Orders.class"], "shop.Orders::handle", "Java", "shop/Orders.class", "AWSLambda shop.Orders::handle"),
        (["Shop.dll"], "Shop::Shop.Orders::Handle", ".NET", "Shop.dll", "dotnet Shop::Shop.Orders::Handle"),
    ],
)
def test_handler_of_another_language_is_told_at_once(
    tmp_path: Path, files: list[str], handler: str, language: str, file: str, start: str
) -> None:
    """Before anything runs: which runtime is needed, what says so, and how to bring one."""
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    done = run("--function", tmp_path, "--handler", handler)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"the handler {handler} needs the runtime of {language} (there is {file})" in done.stderr
    assert "then --bootstrap " in done.stderr
    assert start in done.stderr


@pytest.mark.parametrize("file", ["app.py", "app/__init__.py"])
def test_python_beside_other_languages_is_python(tmp_path: Path, file: str) -> None:
    """A folder with a handler in Python runs, whatever else lies in it."""
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text("def handler(event, context):\n    return 'here'\n")
    (tmp_path / "app.js").touch()
    assert document("--function", tmp_path)["invocations"][0]["payload"] == "here"


def test_handler_in_a_layer_is_python_where_the_function_is(tmp_path: Path) -> None:
    """Vendors wrap handlers by one of their own, which comes with the layer."""
    for folder in ("function", "layer/extensions", "layer/python"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "function" / "app.py").touch()
    (tmp_path / "function" / "page.js").touch()
    (tmp_path / "layer" / "python" / "wrapper.py").write_text("def handler(event, context):\n    return 'wrapped'\n")
    places = ("--function", tmp_path / "function", "--layer", tmp_path / "layer")
    assert document(*places, "--handler", "wrapper.handler")["invocations"][0]["payload"] == "wrapped"


@pytest.mark.skipif(not shutil.which("node"), reason="no node here")
def test_bootstrap_names_a_runtime_of_another_language(function: MakeFunction, tmp_path: Path) -> None:
    """With --bootstrap a handler in Node runs; the command is started in the function's folder, with its arguments."""
    folder = function("exports.handler = async event => ({ twice: event.n * 2 });", "index.js")
    runtime = tmp_path / "runtime.js"
    runtime.write_text(NODE)
    found = document(
        *("--function", folder, "--handler", "index.handler", "--timeout", "20"),
        *("--bootstrap", f"node {runtime} handler", "--invocations", "2"),
    )
    assert [one["payload"] for one in found["invocations"]] == [{"twice": 2}, {"twice": 4}]


@pytest.mark.skipif(not shutil.which("curl"), reason="no curl here")
@pytest.mark.parametrize("where", ["function", "layer", "elsewhere"])
def test_custom_runtime_is_a_file_called_bootstrap_or_named(tmp_path: Path, where: str) -> None:
    """In the function, in a layer, or named by a path; it sees its handler, and no AWS_EXECUTION_ENV.

    A command that is named may be a launcher such as npx, which passes no log descriptor on, and so gets none.
    """
    for folder in ("function", "layer/extensions", "elsewhere"):
        (tmp_path / folder).mkdir(parents=True)
    bootstrap = tmp_path / where / "bootstrap"
    bootstrap.write_text(SHELL)
    bootstrap.chmod(0o755)
    named = ("--bootstrap", bootstrap) if where == "elsewhere" else ()
    found = document(
        *("--function", tmp_path / "function", "--layer", tmp_path / "layer", "--handler", "tea.pot", *named)
    )
    assert found["invocations"][0]["payload"] == f"tea.pot custom {'plain' if named else 'framed'}"


def test_scenario_names_a_runtime_beside_itself(tmp_path: Path) -> None:
    """The program of `bootstrap`, if it is a path, is looked for from the scenario's folder."""
    (tmp_path / "function").mkdir()
    (tmp_path / "runtime").write_text(SHELL)
    (tmp_path / "runtime").chmod(0o755)
    scenario = tmp_path / "scenario.toml"
    scenario.write_text("function = 'function'\nbootstrap = './runtime'\nhandler = 'tea.pot'\n")
    assert document("--scenario", scenario)["invocations"][0]["payload"] == "tea.pot custom plain"


@pytest.mark.parametrize(
    ("command", "complaint"),
    [("no-such-program x", "there is no program 'no-such-program'"), ("'open", "is no command: No closing quotation")],
)
def test_bootstrap_that_cannot_be_started_is_told_before_the_run(
    function: MakeFunction, command: str, complaint: str
) -> None:
    """A program that is not there is no crash of the function."""
    done = run("--function", function("x", "index.js"), "--bootstrap", command)
    assert (done.returncode, done.stdout) == (2, "")
    assert complaint in done.stderr

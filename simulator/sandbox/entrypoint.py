"""What to start as the function's runtime. The simulator brings the one for Python; the others have to be named.

Source: Developer Guide, "Create a Lambda function using a container image", whose ENTRYPOINT and CMD are a command such
as this, and "Using the Lambda runtime API for custom runtimes" for the file called bootstrap.
"""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from simulator.errors import SimulatorError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulator.settings import Settings

BOOTSTRAP = "bootstrap"
PYTHON = (".py", ".pyc", ".so")


class Entrypoint(NamedTuple):
    """The command that is the runtime, and its AWS_EXECUTION_ENV, which custom runtimes do not have.

    `framed` is whether it gets the framed log descriptor, which does not come through launchers such as npx.
    """

    command: list[str]
    execution_env: str = ""
    framed: bool = True


class Foreign(NamedTuple):
    """A language whose runtime is not here: its name, what its files end with, and how to bring AWS's client for it."""

    language: str
    endings: tuple[str, ...]
    get: str
    start: str


FOREIGN = (
    Foreign("Node.js", (".js", ".mjs", ".cjs", ".ts"), "npm install aws-lambda-ric", "npx aws-lambda-ric {handler}"),
    Foreign("Ruby", (".rb",), "gem install aws_lambda_ric", "aws_lambda_ric {handler}"),
    Foreign(
        "Java",
        (".class", ".jar", ".java"),
        "aws-lambda-java-runtime-interface-client and -serialization of com.amazonaws from Maven",
        'java -cp "lib/*:." com.amazonaws.services.lambda.runtime.api.client.AWSLambda {handler}',
    ),
    Foreign(".NET", (".dll",), "Amazon.Lambda.RuntimeSupport from NuGet", "dotnet {handler}"),
)


def entrypoint(settings: Settings, opt: Path) -> Entrypoint:
    """The command of `settings.bootstrap`, a file called bootstrap, or AWS's runtime client for Python.

    Raises SimulatorError, with what to do, where the handler needs another language's runtime.
    """
    function = settings.function.resolve()
    if settings.bootstrap:
        return Entrypoint(_command(settings.bootstrap), framed=False)
    for bootstrap in (function / BOOTSTRAP, opt / BOOTSTRAP):
        if bootstrap.is_file():
            return Entrypoint([str(bootstrap)])
    if foreign := _foreign(function, settings.handler):
        language, file = foreign
        raise SimulatorError(_advice(language, file, settings.handler))
    version = f"AWS_Lambda_python{sys.version_info.major}.{sys.version_info.minor}"
    return Entrypoint([sys.executable, "-m", "awslambdaric", settings.handler], version)


def _command(bootstrap: str) -> list[str]:
    try:
        program, *arguments = shlex.split(bootstrap)
    except ValueError as error:
        raise SimulatorError(f"--bootstrap {bootstrap!r} is no command: {error}") from None
    found = shutil.which(program)
    if found is None:
        raise SimulatorError(f"--bootstrap: there is no program {program!r}")
    return [str(Path(found).absolute()), *arguments]


def _foreign(function: Path, handler: str) -> tuple[Foreign, str] | None:
    """The language that the handler is written in, and the file that says so; None where it may be Python."""
    name = handler.rpartition(".")[0]
    python = name.replace(".", "/")
    if any((function / file).is_file() for file in (*(python + ending for ending in PYTHON), f"{python}/__init__.py")):
        return None
    for language in FOREIGN:
        for file in (name + ending for ending in language.endings):
            if name and (function / file).is_file():
                return language, file
    files = list(_shallow(function))
    if any(file.suffix in PYTHON for file in files):
        return None
    for language in FOREIGN:
        if found := next((file for file in files if file.suffix in language.endings), None):
            return language, str(found.relative_to(function))
    return None


def _shallow(folder: Path) -> Iterator[Path]:
    """The files of a folder, and those one level below it, in order of name; packages of Node lie deeper."""
    for entry in sorted(folder.iterdir()):
        if entry.is_file():
            yield entry
        elif entry.is_dir() and entry.name != "node_modules":
            yield from sorted(file for file in entry.iterdir() if file.is_file())


def _advice(language: Foreign, file: str, handler: str) -> str:
    command = shlex.quote(language.start.format(handler=handler))
    return (
        f"the handler {handler} needs the runtime of {language.language} (there is {file}), and the simulator brings "
        f"the one for Python alone. Name one with --bootstrap, as ENTRYPOINT and CMD of a container image do: "
        f"{language.get}, then --bootstrap {command}. An executable file called bootstrap, in the function's folder "
        f"or in a layer, does as well"
    )

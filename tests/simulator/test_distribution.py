"""The simulator as a distribution of its own."""

from __future__ import annotations

import ast
import dataclasses
import json
import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from simulator.faults import Faults
from simulator.settings import Settings
from tests.simulator import running
from tests.support import ROOT
from tests.support.probe_layer import EXAMPLE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FOLDER = ROOT / "simulator"
PROJECT: dict[str, Any] = tomllib.loads((FOLDER / "pyproject.toml").read_text())
SCRIPT = "lambda-telemetry-simulator"
NOT_SHIPPED = {FOLDER / name for name in PROJECT["tool"]["hatch"]["build"]["exclude"]}
BUILD_LIMIT_S = 400


def imported() -> Iterator[str]:
    """The packages that the modules of the distribution import, for their types as well."""
    for path in set(FOLDER.rglob("*.py")) - NOT_SHIPPED:
        for one in ast.walk(ast.parse(path.read_text())):
            if isinstance(one, ast.Import):
                yield from (alias.name.partition(".")[0] for alias in one.names)
            elif isinstance(one, ast.ImportFrom) and one.module:
                yield one.module.partition(".")[0]


def test_dependencies_are_those_that_are_imported_and_the_runtime_client() -> None:
    """What is not in the standard library is declared, and nothing else is; awslambdaric is run, not imported."""
    foreign = set(imported()) - set(sys.stdlib_module_names) - {"simulator"}
    declared = {re.split(r"[<>=]", one)[0] for one in PROJECT["project"]["dependencies"]}
    assert declared == foreign | {"awslambdaric"}


def test_every_file_is_shipped() -> None:
    """Programs, templates and sources in C; only what describes the distribution itself is no part of the package."""
    patterns = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["include"]
    files = {path for path in FOLDER.rglob("*") if path.is_file() and "__pycache__" not in path.parts} - NOT_SHIPPED
    left = {path.name for path in files if not any(fnmatch(path.name, pattern) for pattern in patterns)}
    assert left == {"pyproject.toml", "README.md", "LICENSE"}


def test_command_leads_to_a_function() -> None:
    """The entry point names what is there."""
    module, _, name = PROJECT["project"]["scripts"][SCRIPT].partition(":")
    assert callable(getattr(import_module(module), name))


def test_page_tells_every_option() -> None:
    """Each option of --help stands on the distribution's own page."""
    options = set(re.findall(r"--[a-z][a-z-]+", running.run("--help").stdout)) - {"--help"}
    assert {option for option in options if f"`{option}" not in (FOLDER / "README.md").read_text()} == set()


def test_page_tells_every_key_of_a_scenario() -> None:
    """Each setting of a scenario file stands on the distribution's own page."""
    keys = {field.name for field in dataclasses.fields(Settings)} - {"layers", "env", "faults"}
    assert {key for key in keys if f"`{key}`" not in (FOLDER / "README.md").read_text()} == set()


def test_page_of_the_repository_tells_every_fault() -> None:
    """Each fault stands in docs/simulator.md."""
    page = (ROOT / "docs" / "simulator.md").read_text()
    assert {field.name for field in dataclasses.fields(Faults) if f"`{field.name}`" not in page} == set()


def test_licence_is_the_repositorys() -> None:
    """The copy that the distribution carries says the same."""
    assert (FOLDER / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_build_backend_is_pinned_as_elsewhere() -> None:
    """One version builds it, the one that is locked for the layer's toolchain."""
    (backend,) = PROJECT["build-system"]["requires"]
    assert re.search(rf"^{re.escape(backend)} ", (ROOT / "requirements" / "toolchain.txt").read_text(), re.MULTILINE)


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of a new virtual environment in which a wheel is, made from an sdist as an index would."""
    folder = tmp_path_factory.mktemp("installed")
    programs = folder / "venv" / "bin"
    make([sys.executable, "-m", "build", "--outdir", str(folder), str(FOLDER)])
    make([sys.executable, "-m", "venv", str(folder / "venv")])
    (wheel,) = folder.glob("*.whl")
    make([str(programs / "pip"), "install", "--quiet", str(wheel)])
    return programs


def make(command: list[str]) -> None:
    """Run a step of the installation; its output is shown where it fails."""
    done = subprocess.run(command, check=False, timeout=BUILD_LIMIT_S, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.integration
@pytest.mark.timeout(1200)
def test_installed_command_runs_a_layer(installed: Path, layer: Path, tmp_path: Path) -> None:
    """Away from the repository it runs a layer with a function, sees that all is delivered, and draws it."""
    drawing = tmp_path / "timeline.html"
    arguments = ["--layer", layer, "--function", EXAMPLE, "--env", "FORWARDER_SINKS=http://{receiver}/"]
    command = [str(installed / SCRIPT), *map(str, arguments), "--require-delivery", "--json", "--html", str(drawing)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["delivered"] is True
    assert drawing.stat().st_size > 10_000


@pytest.mark.integration
@pytest.mark.timeout(1200)
def test_installed_command_has_its_sources_in_c(installed: Path, tmp_path: Path) -> None:
    """Other clocks need a library that is compiled from a file of the distribution."""
    scenario = tmp_path / "scenario.toml"
    scenario.write_text(f"function = '{EXAMPLE}'\n[faults]\nclock_jump_s = 60.0\n[[steps]]\ninvoke = {{}}\ntimes = 2\n")
    command = [str(installed / SCRIPT), "--scenario", str(scenario)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.integration
@pytest.mark.timeout(1200)
def test_installed_command_calls_itself_by_its_name(installed: Path) -> None:
    """--help shows what to type."""
    done = subprocess.run([installed / SCRIPT, "--help"], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.startswith(f"usage: {SCRIPT} ")

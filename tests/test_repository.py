"""The repository keeps its own rules."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXTENSION = sorted((ROOT / "extension").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))

# docs/architecture.md draws this: who may import whom. What is not named here may be imported by all.
LEAVES = {"extension.records", "extension.log", "extension.clock", "extension"}
ALLOWED = {
    "extension": set(),
    "extension.__main__": {"extension.api", "extension.config", "extension.lifecycle"},
    "extension.api": set(),
    "extension.buffer": {"extension.sinks"},
    "extension.clock": set(),
    "extension.config": {"extension.sinks"},
    "extension.config": {"extension.headers", "extension.sink_url", "extension.sinks"},
    "extension.decoder": set(),
    "extension.delivery": {"extension.buffer", "extension.sender", "extension.sinks"},
    "extension.events": {"extension.api"},
    "extension.fanout": {
        "extension.buffer",
        "extension.delivery",
        "extension.sinks",
        "extension.spool",
        "extension.spooler",
    },
    "extension.function": set(),
    "extension.headers": set(),
    "extension.invocations": set(),
    "extension.listener": {"extension.decoder"},
    "extension.pipeline": {"extension.decoder", "extension.function"},
    "extension.policy": set(),
    "extension.records": set(),
    "extension.log": set(),
    "extension.sender": {"extension.sinks"},
    "extension.sink_url": {"extension.sinks"},
    "extension.sinks": set(),
    "extension.snapshot": {"extension.decoder"},
    "extension.spool": set(),
    "extension.spooler": {"extension.delivery", "extension.spool"},
}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imported(path: Path) -> set[str]:
    """The modules of ours that a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules = {f"{node.module}.{alias.name}" for alias in node.names}
            known = {module for module in modules if (ROOT / Path(*module.split("."))).with_suffix(".py").exists()}
            packages = {module for module in modules if (ROOT / Path(*module.split("."))).is_dir()}
            names |= known | packages or {node.module}
    return {name for name in names if name.split(".")[0] == "extension"}


@pytest.mark.parametrize("path", EXTENSION, ids=module_name)
def test_dependencies_point_one_way(path: Path) -> None:
    """Only lifecycle knows all modules; every other module knows only those that design and architecture.md name."""
    name = module_name(path)
    if name == "extension.lifecycle":
        return
    if name.startswith("extension.sinks."):
        assert {module for module in imported(path) - LEAVES if not module.startswith("extension.sinks")} == set()
        return
    assert imported(path) - LEAVES <= ALLOWED[name]


@pytest.mark.parametrize("path", TESTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_test_states_its_claim(path: Path) -> None:
    """Each test function has a docstring of a sentence."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    silent = [
        node.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, functions)
        and node.name.startswith("test_")
        and not (ast.get_docstring(node) or "").endswith(".")
    ]
    assert silent == []


def test_the_path_to_register_imports_nothing_heavy() -> None:
    """What is imported before register is built in or ours: everything else would delay the user's cold start."""
    before = {"__future__", "_socket", "os", "sys", "time", "extension.api"}
    for name in ("__main__", "api"):
        tree = ast.parse((ROOT / "extension" / f"{name}.py").read_text())
        found = {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
        found |= {
            f"{node.module}.{alias.name}" if node.module == "extension" else str(node.module)
            for node in tree.body
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        assert found <= before

"""The repository keeps its own rules."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import pytest

from tests.support import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
SHARING = sorted([*(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")])
BEFORE_REGISTER = {"__future__", "_socket", "gc", "os", "sys", "time", "extension.lambda_api.client"}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", TESTS, ids=name_of)
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


@pytest.mark.parametrize("path", SHARING, ids=name_of)
def test_nothing_imports_a_test_module(path: Path) -> None:
    """What tests share is in tests/support/; benchmarks share that and nothing else."""
    wanted = {name for name in imports(ast.walk(ast.parse(path.read_text()))) if name.startswith("tests.")}
    modules = {str(module.relative_to(ROOT)).removesuffix(".py").replace("/", ".") for module in TESTS}
    assert [name for name in wanted if any(f"{name}.".startswith(f"{module}.") for module in modules)] == []
    if path.is_relative_to(ROOT / "benchmarks"):
        assert [name for name in wanted if not name.startswith("tests.support")] == []


@pytest.mark.parametrize("name", ["__main__", "lambda_api/client", "lambda_api/__init__", "__init__", "subscription"])
def test_the_path_to_register_imports_nothing_heavy(name: str) -> None:
    """What is imported before register is built in or ours: everything else would delay the user's cold start."""
    assert imports(ast.parse((ROOT / "extension" / f"{name}.py").read_text()).body) <= BEFORE_REGISTER


def imports(nodes: Iterable[ast.AST]) -> set[str]:
    """The modules that these statements import, those of ours by their own names."""
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            ours = node.module.split(".")[0] in {"extension", "tests"}
            found |= {f"{node.module}.{alias.name}" for alias in node.names} if ours else {node.module}
    return found

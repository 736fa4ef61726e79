"""Imports made later: where a function first needs them, instead of with the module that has the function.

What a module does stays the same; what is never called is never loaded. It is done to copies for the bundle alone. A
name that a module needs as soon as it is imported cannot wait, and is an error.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

Function = ast.FunctionDef | ast.AsyncFunctionDef


def defer(source: str, wanted: Collection[str]) -> str:
    """The source of a module that imports each of the names `wanted` in the functions that use it.

    A name is as an import statement has it: `a.b` for `import a.b`. Raises ValueError where that cannot be done.
    """
    tree = ast.parse(source)
    taken = _take_out(tree, set(wanted))
    if missing := set(wanted) - taken.keys():
        raise ValueError(f"is not imported: {', '.join(sorted(missing))}")
    imports = {name.partition(".")[0]: statement for name, statement in taken.items()}
    at_once = {node.id for node in _run_at_import(tree) if isinstance(node, ast.Name)}
    if early := sorted(at_once & imports.keys()):
        raise ValueError(f"is needed at once: {', '.join(early)}")
    for function in _outermost_functions(tree):
        for name in sorted(name for name in imports if _uses(name, *function.body)):
            _put_in(function, name, imports[name])
    return ast.unparse(ast.fix_missing_locations(tree))


def _take_out(tree: ast.Module, wanted: set[str]) -> dict[str, ast.stmt]:
    """Take the names out of the module's import statements: a statement of its own for each."""
    taken: dict[str, ast.stmt] = {}
    for statement in tree.body:
        if not isinstance(statement, ast.Import | ast.ImportFrom):
            continue
        for alias in [alias for alias in statement.names if (alias.asname or alias.name) in wanted]:
            statement.names.remove(alias)
            taken[alias.asname or alias.name] = (
                ast.ImportFrom(statement.module, [alias], statement.level)
                if isinstance(statement, ast.ImportFrom)
                else ast.Import([alias])
            )
    tree.body = [one for one in tree.body if not isinstance(one, ast.Import | ast.ImportFrom) or one.names]
    return taken


def _put_in(function: Function, name: str, statement: ast.stmt) -> None:
    """Put the import before the first statement that uses the name, in the innermost block that holds all its uses."""
    if any(_is_bound(name, node) for node in ast.walk(function)):
        raise ValueError(f"is a variable of {function.name} as well: {name}")
    block = function.body
    while True:
        using = [one for one in block if _uses(name, one)]
        inner = [one for one in _blocks(using[0]) if _uses(name, *one) == _uses(name, using[0])]
        if len(using) > 1 or not inner:
            block.insert(block.index(using[0]), statement)
            return
        block = inner[0]


def _blocks(statement: ast.stmt) -> list[list[ast.stmt]]:
    """The blocks within a statement; those of a class do not count, since its functions do not see its names."""
    if isinstance(statement, ast.ClassDef):
        return []
    holders = [statement, *getattr(statement, "handlers", ())]
    return [getattr(one, part, []) for one in holders for part in ("body", "orelse", "finalbody")]


def _outermost_functions(tree: ast.Module) -> list[Function]:
    return [node for node in _run_at_import(tree) if isinstance(node, Function)]


def _run_at_import(tree: ast.Module) -> list[ast.AST]:
    """Each node that is met when the module is imported: of a function its decorators, defaults and annotations."""
    met: list[ast.AST] = []
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        met.append(node)
        body = node.body if isinstance(node, Function) else []
        waiting += [child for child in ast.iter_child_nodes(node) if child not in body]
    return met


def _uses(name: str, *nodes: ast.AST) -> int:
    """How often a name stands in these nodes and what is in them."""
    return sum(isinstance(node, ast.Name) and node.id == name for top in nodes for node in ast.walk(top))


def _is_bound(name: str, node: ast.AST) -> bool:
    """Whether a node makes the name a variable."""
    is_stored = isinstance(node, ast.Name) and node.id == name and not isinstance(node.ctx, ast.Load)
    return is_stored or (isinstance(node, ast.arg) and node.arg == name)

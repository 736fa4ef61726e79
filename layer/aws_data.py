"""botocore's data, pruned to the services and operations that the forwarder calls.

A module that calls AWS says so by two constants, SERVICE and OPERATIONS, and they are read from its source: there is no
second list to keep. Whole, the data is 22 MB, and parsing endpoints.json is nearly all of a client's creation.
"""

from __future__ import annotations

import ast
import json
from typing import TYPE_CHECKING, Any

import botocore.loaders

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SHARED = ("_retry", "partitions", "sdk-default-configuration")  # small, and no service's own


def operations_used(package: Path) -> dict[str, set[str]]:
    """The operations called by service, from the constants of every module in a folder."""
    used: dict[str, set[str]] = {}
    for path in sorted(package.rglob("*.py")):
        for service, operations in operations_of(path).items():
            used.setdefault(service, set()).update(operations)
    return used


def operations_of(module: Path) -> dict[str, set[str]]:
    """The service that one module calls, with the operations; nothing for a module that calls none."""
    constants = {name: value for node in ast.parse(module.read_bytes()).body for name, value in _constants(node)}
    return {constants["SERVICE"]: set(constants["OPERATIONS"])} if "SERVICE" in constants else {}


def write_pruned(used: dict[str, set[str]], folder: Path) -> None:
    """Write the data that botocore needs to call the operations `used`, laid out as botocore/data is."""
    loader = botocore.loaders.Loader(include_default_search_paths=True)
    for name in SHARED:
        _write(folder / f"{name}.json", loader.load_data(name))
    services = {name: loader.load_service_model(name, "service-2") for name in used}
    prefixes = {model["metadata"]["endpointPrefix"] for model in services.values()}
    _write(folder / "endpoints.json", prune_endpoints(loader.load_data("endpoints"), prefixes))
    for name, model in services.items():
        version = folder / name / loader.determine_latest_version(name, "service-2")
        _write(version / "service-2.json", prune_service(model, used[name]))
        _write(version / "endpoint-rule-set-1.json", loader.load_service_model(name, "endpoint-rule-set-1"))


def prune_endpoints(endpoints: dict[str, Any], prefixes: set[str]) -> dict[str, Any]:
    """Every partition and region, but of the services only those with these endpoint prefixes."""
    partitions = [
        {**partition, "services": {name: value for name, value in partition["services"].items() if name in prefixes}}
        for partition in endpoints["partitions"]
    ]
    return {**endpoints, "partitions": partitions}


def prune_service(model: dict[str, Any], operations: set[str]) -> dict[str, Any]:
    """A service model with some of its operations and the shapes that these reach. Raises KeyError for one it lacks."""
    kept = {name: model["operations"][name] for name in sorted(operations)}
    reached: set[str] = set()
    waiting = list(_shapes_named_in(kept))
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += _shapes_named_in(model["shapes"][name])
    shapes = {name: shape for name, shape in model["shapes"].items() if name in reached}
    return {**model, "documentation": "", "operations": _undocumented(kept), "shapes": _undocumented(shapes)}


def _constants(node: ast.stmt) -> Iterator[tuple[str, Any]]:
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        name = node.targets[0].id
        if name in {"SERVICE", "OPERATIONS"}:
            yield name, ast.literal_eval(node.value)


def _shapes_named_in(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("shape"), str):
            yield part["shape"]
        part = list(part.values())
    if isinstance(part, list):
        for inner in part:
            yield from _shapes_named_in(inner)


def _undocumented(part: Any) -> Any:
    if isinstance(part, dict):
        return {
            key: _undocumented(value)
            for key, value in part.items()
            if key != "documentation" or not isinstance(value, str)
        }
    return [_undocumented(inner) for inner in part] if isinstance(part, list) else part


def _write(path: Path, data: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, separators=(",", ":")))

"""What the modules in extension/sinks/ declare, and that the documentation says the same."""

from __future__ import annotations

import ast
import importlib
import json
import re
from typing import cast

import pytest

from extension import config, sinks
from extension.sinks import BadSetting, SinkModule
from tests.support import ROOT
from tests.support.batches import open_sink

MODULES = {name: cast(SinkModule, importlib.import_module(f"extension.sinks.{name}")) for name in sinks.known()}
README = (ROOT / "README.md").read_text()
SINKS = (ROOT / "docs" / "sinks.md").read_text()

every_module = pytest.mark.parametrize("module", MODULES.values(), ids=MODULES)


def row(module: SinkModule) -> str:
    """A sink's row in README's table."""
    others = "".join(f" (and `{scheme}`)" for scheme in module.SCHEMES[1:])
    return f"| `{module.URL}`{others} | {module.SUMMARY} |"


def section(module: SinkModule) -> str:
    """What docs/sinks.md says of one sink, as far as the next heading, found by the link in its row."""
    linked = re.search(rf"^\| \[`{re.escape(module.URL)}`\]\(#([\w-]+)\)", SINKS, re.MULTILINE)
    assert linked, f"docs/sinks.md has no row that begins with [`{module.URL}`](#section)"
    sections = [text.partition("\n") for text in SINKS.split("\n## ")]
    [found] = [text for heading, _, text in sections if heading.lower().replace(" ", "-") == linked[1]]
    return found


@every_module
def test_everything_is_declared(module: SinkModule) -> None:
    """A module has every name of SinkModule, and each is filled but for those that may be empty."""
    assert [name for name in [*SinkModule.__annotations__, "open_sink"] if not hasattr(module, name)] == []
    assert all((module.SCHEMES, module.URL, module.SUMMARY, module.PROBE))
    assert module.URL.startswith(f"{module.SCHEMES[0]}://")
    assert module.HARMLESS <= module.PARAMETERS


@every_module
def test_actions_are_those_of_the_service(module: SinkModule) -> None:
    """A module that calls AWS, as the build knows by SERVICE, needs permissions for that service.

    No other needs any, but for one that signs its own requests where it is asked to.
    """
    service = getattr(module, "SERVICE", None)
    services = {action.partition(":")[0] for action in module.IAM_ACTIONS}
    assert services == ({service} if service else set()) or "auth" in module.PARAMETERS


@pytest.mark.parametrize("name", MODULES)
def test_no_sink_imports_another(name: str) -> None:
    """What several sinks share is in a module with an underscore, so that each can change or go by itself."""
    tree = ast.parse((ROOT / "extension" / "sinks" / f"{name}.py").read_bytes())
    froms = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    imported = {f"{node.module}.{alias.name}" for node in froms for alias in node.names}
    imported |= {str(node.module) for node in froms}
    assert imported & {f"extension.sinks.{other}" for other in MODULES} == set()


@pytest.mark.parametrize("name", MODULES)
def test_a_scheme_is_of_its_module(name: str) -> None:
    """Each scheme leads to the module that declares it, and to no other."""
    assert {sinks.module_name(scheme) for scheme in MODULES[name].SCHEMES} == {name}


@every_module
def test_schemes_that_are_not_declared_are_refused(module: SinkModule) -> None:
    """A sink is spoken over http and https only where its module says so, and is then named so."""
    name = sinks.module_name(module.SCHEMES[0])
    for scheme in {name, f"{name}+http", f"{name}+https"} - {*module.SCHEMES}:
        with pytest.raises(BadSetting, match=f"begins with one of {re.escape(module.SCHEMES[0])}://"):
            open_sink(f"{scheme}://host/path")


def test_a_scheme_of_no_module_is_refused() -> None:
    """What no module can have is refused with all the schemes that there are."""
    with pytest.raises(config.ConfigError) as caught:
        config.parse({"FORWARDER_SINKS": "gopher://host/ s3+ftp://host/"})
    expected = ", ".join(sorted(f"{scheme}://" for module in MODULES.values() for scheme in module.SCHEMES))
    assert [problem.partition("one of ")[2] for problem in caught.value.problems] == [expected, expected]


def test_readme_has_the_table() -> None:
    """README's table of sinks is what the modules declare, in order of their names."""
    table = README.partition("| sink | what it is |\n|---|---|\n")[2].partition("\n\n")[0]
    assert table == "\n".join(row(module) for module in MODULES.values())


@every_module
def test_every_parameter_is_documented(module: SinkModule) -> None:
    """A sink's section in docs/sinks.md, or what all AWS sinks share, names each of its parameters."""
    shared = SINKS.partition("\n## Discard\n")[0]
    text = section(module) + shared
    assert [name for name in sorted(module.PARAMETERS) if f"`{name}=" not in text] == []


@every_module
def test_every_permission_is_documented(module: SinkModule) -> None:
    """The policy in a sink's section in docs/sinks.md allows the actions that the module declares."""
    policies = [json.loads(policy) for policy in re.findall(r"```json\n(.*?)```", section(module), re.DOTALL)]
    actions = [policy["Action"] for policy in policies]
    assert [[action] if isinstance(action, str) else action for action in actions] == (
        [[*module.IAM_ACTIONS]] if module.IAM_ACTIONS else []
    )

"""What the templates and examples say: settings of functions, and what their roles may do."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import zipfile
from typing import TYPE_CHECKING, Any, NamedTuple

from cfnlint.decode import decode_str

from tests.support import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

TEMPLATES = [ROOT / "template.yaml", *sorted((ROOT / "examples" / "sam").glob("*.yaml"))]
TERRAFORM = ROOT / "examples" / "terraform" / "main.tf"
MADE = "Stack-Thing-1A2B3C"  # stands for a name that CloudFormation makes; of a bucket it is in lower case
PSEUDO = {"AWS::Partition": "aws", "AWS::Region": "us-east-1", "AWS::AccountId": "123456789012"}


class Deployed(NamedTuple):
    """One function as it is deployed: its variables, and the actions that its role may do."""

    variables: dict[str, str]
    actions: list[str]


def template(path: Path) -> dict[str, Any]:
    """A CloudFormation template, its short forms (!Ref) written out."""
    decoded, problems = decode_str(path.read_text())
    assert problems == [], problems
    return json.loads(json.dumps(decoded))  # type: ignore[no-any-return]


def deployed(content: Mapping[str, Any], **parameters: str) -> Deployed:
    """The one function of a template, deployed with these parameters and the default of the others."""
    [properties] = made(content, "AWS::Serverless::Function", **parameters)
    documents = [one for one in properties.get("Policies", []) if isinstance(one, dict) and one]
    statements = [statement for document in documents for statement in document["Statement"]]
    variables = {name: str(value) for name, value in properties["Environment"]["Variables"].items()}
    return Deployed(variables, list(actions(statements)))


def made(content: Mapping[str, Any], kind: str, **parameters: str) -> list[dict[str, Any]]:
    """The properties of all resources of one type that a template makes with these parameters."""
    values = {name: str(one.get("Default", MADE)) for name, one in content["Parameters"].items()} | parameters
    resolve = _Resolver(content, values).resolve
    return [
        resolve(one["Properties"])
        for one in content["Resources"].values()
        if one["Type"] == kind and ("Condition" not in one or resolve({"Condition": one["Condition"]}))
    ]


def actions(statements: list[Any]) -> Iterator[str]:
    """The actions of statements, each of which allows them for something smaller than everything."""
    for statement in statements:
        assert statement["Effect"] == "Allow"
        assert statement["Resource"] != "*"
        yield from [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]


class _Resolver:
    """Does what CloudFormation does with the functions that are in our templates."""

    def __init__(self, content: Mapping[str, Any], values: Mapping[str, str]) -> None:
        self._conditions = content.get("Conditions", {})
        buckets = {name for name, one in content["Resources"].items() if one["Type"] == "AWS::S3::Bucket"}
        self._values = {**PSEUDO, **dict.fromkeys(buckets, MADE.lower()), **values}

    def resolve(self, node: Any) -> Any:
        """A value without functions; {} is AWS::NoValue."""
        if isinstance(node, list):
            return [self.resolve(one) for one in node]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            [(name, argument)] = node.items()
            if name in {"Ref", "Condition"} or name.startswith("Fn::"):
                return getattr(self, "_" + name.removeprefix("Fn::").lower())(argument)
        return {key: self.resolve(value) for key, value in node.items()}

    def _ref(self, name: str) -> Any:
        return {} if name == "AWS::NoValue" else self._values.get(name, MADE)

    def _getatt(self, argument: Any) -> str:
        return f"{MADE}.{argument[-1]}"

    def _sub(self, argument: Any) -> str:
        text, values = (argument, {}) if isinstance(argument, str) else (argument[0], self.resolve(argument[1]))
        known = {**self._values, **values}
        filled = re.sub(r"\$\{([\w:.]+)\}", lambda found: str(known.get(found[1], MADE)), text)
        return filled.replace("${!", "${")

    def _join(self, argument: Any) -> str:
        return str(argument[0]).join(map(str, self.resolve(argument[1])))

    def _split(self, argument: Any) -> list[str]:
        return str(self.resolve(argument[1])).split(argument[0])

    def _select(self, argument: Any) -> Any:
        return self.resolve(argument[1])[int(argument[0])]

    def _if(self, argument: Any) -> Any:
        return self.resolve(argument[1] if self._condition(argument[0]) else argument[2])

    def _condition(self, name: str) -> bool:
        return bool(self.resolve(self._conditions[name]))

    def _equals(self, argument: Any) -> bool:
        first, second = self.resolve(argument)
        return str(first) == str(second)

    def _not(self, argument: Any) -> bool:
        return not self.resolve(argument[0])

    def _and(self, argument: Any) -> bool:
        return all(self.resolve(argument))


def copied(folder: Path, architecture: str) -> Path:
    """What `sam build` needs of the repository, with a small layer in dist/; the folder."""
    shutil.copy(ROOT / "template.yaml", folder)
    shutil.copytree(ROOT / "layer", folder / "layer")
    shutil.copytree(ROOT / "examples", folder / "examples")
    (folder / "dist").mkdir()
    extension = folder / "telemetry-forwarder"
    extension.write_bytes(b"\x7fELF")
    extension.chmod(0o755)
    path = folder / "dist" / f"telemetry-forwarder-{architecture}.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(extension, "extensions/telemetry-forwarder")
    path.with_name(f"{path.name}.sha256").write_text(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n")
    return folder

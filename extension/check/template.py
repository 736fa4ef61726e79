"""The variables of a function in a SAM or CloudFormation template, as far as they are known before it is deployed.

What is not, such as the name of a bucket that the stack makes, gets a word that stands for it, and is told. JSON is
read by itself; YAML where PyYAML is installed, which the layer does not bring.
"""

from __future__ import annotations

import importlib
import json
import re
from typing import TYPE_CHECKING, Any

from extension.check.sources import Source, Unreadable, beside, read_text

if TYPE_CHECKING:
    from collections.abc import Mapping

FUNCTIONS = ("AWS::Serverless::Function", "AWS::Lambda::Function")
STANDS_IN = "-of-stack"  # the end of words that stand for a name, so that they are nothing else by chance
ACCOUNT = "123456789012"  # stands for one that is not known
REFERENCE = re.compile(r"\$\{([^}]*)\}")
SECRET = re.compile(r"\{\{resolve:[^}]*\}\}")  # "Dynamic references", CloudFormation User Guide


def read(path: str, function: str, region: str) -> Source:
    """The variables of the function of that logical id, the only one where none is named. Raises Unreadable."""
    template = _parse(read_text(path), path)
    resources = _mapping(template.get("Resources"))
    functions = [name for name, one in resources.items() if _mapping(one).get("Type") in FUNCTIONS]
    if not function and len(functions) == 1:
        function = functions[0]
    if function not in functions:
        there = f"{path} has {', '.join(functions)}" if functions else f"{path} has none"
        raise Unreadable(f"--function: expected the logical id of a function; {there}")
    usual = _mapping(_mapping(template.get("Globals")).get("Function"))
    properties = {**usual, **_mapping(resources[function].get("Properties"))}
    resolver = Resolver(template, region)
    variables = {"AWS_LAMBDA_FUNCTION_NAME": resolver.text(properties.get("FunctionName", function))}
    if memory := properties.get("MemorySize"):
        variables["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] = resolver.text(memory)
    for one in (usual, properties):
        for name, value in _mapping(_mapping(one.get("Environment")).get("Variables")).items():
            variables[name] = resolver.text(value, name)
    notes = list(dict.fromkeys(resolver.notes))
    if "Layers" not in properties and properties.get("PackageType") != "Image":
        notes.append(f"{function} has no Layers: without the forwarder's nothing would run")
    return Source(f"{function} in {path}", beside(variables), tuple(notes), resolver.stand_ins)


class Resolver:
    """Makes text of a property, and remembers what stands for what."""

    def __init__(self, template: Mapping[str, Any], region: str) -> None:
        self.notes: list[str] = []
        self.stand_ins: dict[str, str] = {}
        self._parameters = _mapping(template.get("Parameters"))
        self._resources = _mapping(template.get("Resources"))
        self._known = {
            "AWS::Region": region,
            "AWS::AccountId": ACCOUNT,
            "AWS::Partition": "aws",
            "AWS::URLSuffix": "amazonaws.com",
            "AWS::StackName": "stack",
        }

    def text(self, value: Any, variable: str = "") -> str:  # noqa: PLR0911 - a table of functions, in words
        """What the property is, or what stands for it in this variable."""
        if isinstance(value, bool):
            return str(value).lower()
        if not isinstance(value, dict):
            return SECRET.sub(lambda found: self._stand_in(found[0], f"secret{STANDS_IN}", variable), str(value))
        [(name, inner)] = value.items() if len(value) == 1 else [("an object", None)]
        match name, inner:
            case "Ref", str():
                return self._reference(inner, variable)
            case "Fn::Sub", str():
                return self._substituted(inner, {}, variable)
            case "Fn::Sub", [str(text), dict(own)]:
                return self._substituted(text, own, variable)
            case "Fn::GetAtt", [*parts]:
                return self._reference(".".join(map(str, parts)), variable)
            case "Fn::Join", [str(separator), [*parts]]:
                return separator.join(self.text(part, variable) for part in parts)
        word = name.removeprefix("Fn::")
        return self._stand_in(f"!{word}", f"{word.lower()}{STANDS_IN}", variable)

    def _substituted(self, text: str, own: Mapping[str, Any], variable: str) -> str:
        def replace(found: re.Match[str]) -> str:
            name = found[1].strip()
            if name.startswith("!"):
                return f"${{{name[1:]}}}"
            return self.text(own[name], variable) if name in own else self._reference(name, variable)

        return SECRET.sub(
            lambda found: self._stand_in(found[0], f"secret{STANDS_IN}", variable), REFERENCE.sub(replace, text)
        )

    def _reference(self, name: str, variable: str) -> str:
        parameter = _mapping(self._parameters.get(name))
        is_value = not str(parameter.get("Type", "")).startswith("AWS::SSM::")
        if "Default" in parameter and is_value:
            return str(parameter["Default"])
        if name in self._known:
            if name == "AWS::AccountId":
                self.stand_ins[ACCOUNT] = "${AWS::AccountId}"
            return self._known[name]
        resource, _, attribute = name.partition(".")
        word = re.sub(r"[^a-z0-9]+", "-", f"{resource}-{attribute}".lower()).strip("-") + STANDS_IN
        type_ = _mapping(self._resources.get(resource)).get("Type")
        if type_ == "AWS::SQS::Queue" and not attribute:  # whose Ref is its URL
            word = f"https://sqs.{self._known['AWS::Region']}.amazonaws.com/{ACCOUNT}/{word}"
        elif type_ == "AWS::IAM::Role" and attribute == "Arn":
            word = f"arn:aws:iam::{ACCOUNT}:role/{word}"
        return self._stand_in(f"${{{name}}}", word, variable)

    def _stand_in(self, original: str, word: str, variable: str) -> str:
        self.stand_ins[word] = original
        shown = "a dynamic reference" if original.startswith("{{") else original
        if variable:
            self.notes.append(f"{variable}: {shown} is known when the stack is deployed; {word} stands for it here")
        return word


def _parse(text: str, path: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text) if text.lstrip().startswith("{") else _parse_yaml(text)
    except Unreadable:
        raise
    except Exception as error:  # noqa: BLE001 - PyYAML has a class for each thing that may be wrong
        line = getattr(error, "lineno", None) or getattr(getattr(error, "problem_mark", None), "line", -1) + 1
        raise Unreadable(f"{path} is no template{f': look at line {line}' if line else ''}") from None
    return _mapping(found)


def _parse_yaml(text: str) -> Any:
    """YAML with CloudFormation's tags as its functions: `!Sub x` is {"Fn::Sub": "x"}. Raises Unreadable and more."""
    try:
        yaml: Any = importlib.import_module("yaml")
    except ImportError:
        raise Unreadable(
            "YAML is read where PyYAML is installed: `pip install pyyaml`, and `python -m extension check` from a"
            " checkout; the binary reads templates in JSON"
        ) from None

    class Loader(yaml.SafeLoader):  # type: ignore[misc] # Any, see above
        """Knows tags."""

    def construct(loader: Any, suffix: str, node: Any) -> dict[str, Any]:
        if isinstance(node, yaml.ScalarNode):
            value: Any = loader.construct_scalar(node)
        elif isinstance(node, yaml.SequenceNode):
            value = loader.construct_sequence(node, deep=True)
        else:
            value = loader.construct_mapping(node, deep=True)
        if suffix == "GetAtt" and isinstance(value, str):
            value = value.split(".", 1)
        return {suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}": value}

    Loader.add_multi_constructor("!", construct)
    return yaml.load(text, Loader)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}

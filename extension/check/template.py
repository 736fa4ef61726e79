"""The variables of a function in a SAM or CloudFormation template, as far as they are known before it is deployed.

What is not, such as the name of a bucket that the stack makes, gets a word that stands for it, and is told; a setting
that such a word would be all or a part of is left open instead, for nobody can say whether it is right. JSON is read by
itself; YAML where PyYAML is installed, which the layer does not bring.
"""

from __future__ import annotations

import importlib
import json
import re
from typing import TYPE_CHECKING, Any

from extension.check.sources import LEFT_OPEN, OURS, Source, Unreadable, beside, read_text
from extension.partitions import domain_of, partition_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

FUNCTIONS = ("AWS::Serverless::Function", "AWS::Lambda::Function")
STANDS_IN = "-of-stack"  # the end of words that stand for a name, so that they are nothing else by chance
ACCOUNT = "123456789012"  # stands for one that is not known
REFERENCE = re.compile(r"\$\{([^!${}][^${}]*)\}")  # also one within the `${!...}` that stands for a `${...}`
SINKS = ("FORWARDER_SINKS", "FORWARDER_FALLBACK")  # they may refer to secrets; so what is open is to them
URLS = (*SINKS, "FORWARDER_HEALTH")
MAY_HAVE_SINKS = tuple(f"{name}: left open" for name in ("FORWARDER_CONFIG", "Environment", "Variables"))  # in notes
IF_OPEN = {"FORWARDER_OTLP_UNREDACTED": "1"}  # what no other setting is wrong with
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
        environment = resolver.mapping("Environment", one.get("Environment"))
        for name, value in resolver.mapping("Variables", environment.get("Variables")).items():
            variables[name] = resolver.setting(name, value)
    if any(note.startswith(MAY_HAVE_SINKS) for note in resolver.notes):
        variables["FORWARDER_SINKS"] = variables.get("FORWARDER_SINKS") or _url("config", 0)
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
        self._conditions = _mapping(template.get("Conditions"))
        self._decided: dict[str, bool | None] = {}  # conditions by name
        self._used: dict[str, str] = {}  # words in the last setting, by what is said of them
        self._known = {
            "AWS::Region": region,
            "AWS::AccountId": ACCOUNT,
            "AWS::Partition": partition_of(region),
            "AWS::URLSuffix": domain_of(region),
            "AWS::StackName": "stack",
            "AWS::NoValue": "",
        }

    def setting(self, variable: str, value: Any) -> str:
        """A variable's text. What of it is open has a word in its place, or nothing where no word could be right."""
        self._used = {}
        text = self.text(value)
        used = self._used
        if not used:
            return text
        if variable in URLS:
            text, kept = self._parted(text.split(), " ", self._starts_open, _url if variable in SINKS else _nothing)
        elif variable == "FORWARDER_HEADERS" or not variable.startswith(OURS):  # which headers= may name
            text, kept = self._parted(text.splitlines(), "\n", self._is_open, _header)
        else:
            text, kept = IF_OPEN.get(variable, ""), ""
        for word, shown in used.items():
            stands = f"; {word} stands for it here" if word in kept else ""
            begins = "" if stands else "left open: "
            self.notes.append(f"{variable}: {begins}{shown} is known when the stack is deployed{stands}")
        return text

    def mapping(self, name: str, value: Any) -> Mapping[str, Any]:
        """A property that is an object, without what is open of it, which is told."""
        match value:
            case {"Ref": "AWS::NoValue"}:
                return {}
            case {"Fn::If": [str(condition), so, otherwise]} if (
                holds := self._holds({"Condition": condition})
            ) is not None:
                return self.mapping(name, so if holds else otherwise)
        found = _mapping(value)
        functions = [key for key in found if key == "Ref" or key.startswith("Fn::")]
        for key in functions:
            shown = f"!{key.removeprefix('Fn::')}"
            self.notes.append(f"{name}: left open: {shown} is known when the stack is deployed")
        return {key: inner for key, inner in found.items() if key not in functions}

    def _parted(
        self, parts: list[str], separator: str, is_open: Callable[[str], bool], instead: Callable[[str, int], str]
    ) -> tuple[str, str]:
        """The parts of a setting with something instead of those that are open, and without these."""
        text = [instead(part, number) if is_open(part) else part for number, part in enumerate(parts)]
        return separator.join(text), separator.join(part for part in parts if not is_open(part))

    def _starts_open(self, url: str) -> bool:
        return any(url.startswith(word) for word in self._used)

    def _is_open(self, line: str) -> bool:
        rest = line
        for word in self._used:
            rest = rest.replace(word, "")
        return bool(line.strip()) and not rest.strip()

    def text(self, value: Any) -> str:  # noqa: PLR0911 - a table of functions, in words
        """What the property is, or what stands for it."""
        if isinstance(value, bool):
            return str(value).lower()
        if not isinstance(value, dict):
            return SECRET.sub(lambda found: self._stand_in(found[0], f"secret{STANDS_IN}"), str(value))
        [(name, inner)] = value.items() if len(value) == 1 else [("an object", None)]
        match name, inner:
            case "Ref", str():
                return self._reference(inner)
            case "Fn::Sub", str():
                return self._substituted(inner, {})
            case "Fn::Sub", [str(text), dict(own)]:
                return self._substituted(text, own)
            case "Fn::GetAtt", [*parts]:
                return self._reference(".".join(map(str, parts)))
            case "Fn::Join", [str(separator), [*parts]]:
                return separator.join(map(self.text, parts))
            case "Fn::If", [str(condition), so, otherwise] if (
                holds := self._holds({"Condition": condition})
            ) is not None:
                return self.text(so if holds else otherwise)
        word = name.removeprefix("Fn::")
        return self._stand_in(f"!{word}", f"{word.lower()}{STANDS_IN}")

    def _holds(self, condition: Any) -> bool | None:
        """Whether a condition holds; None where that is open."""
        match condition:
            case {"Condition": str(name)}:
                if name not in self._decided:
                    self._decided[name] = None  # for a condition that names itself
                    self._decided[name] = self._holds(self._conditions.get(name))
                return self._decided[name]
            case {"Fn::Equals": [one, other]}:
                before, self._used = self._used, {}
                is_equal = self.text(one) == self.text(other)
                before, self._used = self._used, before
                return None if before else is_equal
            case {"Fn::Not": [inner]}:
                return None if (holds := self._holds(inner)) is None else not holds
            case {"Fn::And": [*parts]}:
                return _all(map(self._holds, parts))
            case {"Fn::Or": [*parts]}:
                neither = _all(None if (holds := self._holds(part)) is None else not holds for part in parts)
                return None if neither is None else not neither
        return None

    def _substituted(self, text: str, own: Mapping[str, Any]) -> str:
        def replace(found: re.Match[str]) -> str:
            name = found[1].strip()
            return self.text(own[name]) if name in own else self._reference(name)

        plain = REFERENCE.sub(replace, text).replace("${!", "${")
        return SECRET.sub(lambda found: self._stand_in(found[0], f"secret{STANDS_IN}"), plain)

    def _reference(self, name: str) -> str:
        parameter = _mapping(self._parameters.get(name))
        is_value = not str(parameter.get("Type", "")).startswith("AWS::SSM::")
        if "Default" in parameter and is_value:
            return self.text(parameter["Default"])
        if name in self._known:
            if name == "AWS::AccountId":
                self.stand_ins[ACCOUNT] = "${AWS::AccountId}"
            return self._known[name]
        resource, _, attribute = name.partition(".")
        word = re.sub(r"[^a-z0-9]+", "-", f"{resource}-{attribute}".lower()).strip("-") + STANDS_IN
        type_ = _mapping(self._resources.get(resource)).get("Type")
        region, partition = self._known["AWS::Region"], self._known["AWS::Partition"]
        if type_ == "AWS::SQS::Queue" and not attribute:  # whose Ref is its URL
            word = f"https://sqs.{region}.{self._known['AWS::URLSuffix']}/{ACCOUNT}/{word}"
        elif type_ == "AWS::IAM::Role" and attribute == "Arn":
            word = f"arn:{partition}:iam::{ACCOUNT}:role/{word}"
        elif type_ == "AWS::SecretsManager::Secret" and not attribute:  # whose Ref is its ARN
            word = f"arn:{partition}:secretsmanager:{region}:{ACCOUNT}:secret:{word}-000000"
        return self._stand_in(f"${{{name}}}", word)

    def _stand_in(self, original: str, word: str) -> str:
        self.stand_ins[word] = original
        self._used[word] = "a dynamic reference" if original.startswith("{{") else original
        return word


def _url(text: str, number: int) -> str:
    """Stands for a sink URL that is open: like one that is a secret, of which nothing is known."""
    return f"${{ssm:{LEFT_OPEN}/{number}/{re.sub('[^a-z0-9-]', '-', text)}}}"


def _header(line: str, number: int) -> str:
    """Stands for a line of headers that is open: some header, with what is not known in it."""
    return f"Left-Open-{number}: {line.strip()}"


def _nothing(_text: str, _number: int) -> str:
    return ""


def _all(parts: Iterable[bool | None]) -> bool | None:
    """Whether all hold, as far as that is known."""
    found = list(parts)
    return False if False in found else None if None in found else True


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

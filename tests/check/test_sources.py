"""Where `check` reads settings from: what holds in an env file and in a template, as its user sees it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from extension.check.template import read
from tests.support import ROOT
from tests.support.checking import check, frozen
from tests.support.fault_server import FaultServer

if TYPE_CHECKING:
    from pathlib import Path

ENV_FILE = """\
# a comment
export FORWARDER_SINKS="URL"   # another

FORWARDER_TAGS='team=a "b" \\n c'
FORWARDER_HEADERS="Api-Key: a#b
X-Quoted: say \\"hi\\""
FORWARDER_FLUSH=interval # a third
EMPTY=
"""
FUNCTION = {
    "Type": "AWS::Serverless::Function",
    "Properties": {
        "FunctionName": {"Fn::Sub": "orders-${Stage}"},
        "MemorySize": 1024,
        "Layers": ["arn:aws:lambda:eu-west-1:123456789012:layer:telemetry-forwarder:1"],
        "Environment": {
            "Variables": {
                "FORWARDER_SINKS": {"Fn::Sub": "s3://${Bucket}/raw kinesis://${Stream}?region=${AWS::Region}"},
                "FORWARDER_FALLBACK": {"Fn::Join": ["", ["sqs://", {"Fn::GetAtt": ["Queue", "QueueName"]}]]},
                "FORWARDER_FLUSH": {"Ref": "Flush"},
            }
        },
    },
}
TEMPLATE: dict[str, Any] = {
    "Transform": "AWS::Serverless-2016-10-31",
    "Parameters": {"Stage": {"Type": "String", "Default": "dev"}, "Flush": {"Type": "String", "Default": "interval"}},
    "Globals": {"Function": {"MemorySize": 128, "Environment": {"Variables": {"FORWARDER_TAGS": "stage=dev"}}}},
    "Resources": {
        "Orders": FUNCTION,
        "Bucket": {"Type": "AWS::S3::Bucket"},
        "Stream": {"Type": "AWS::Kinesis::Stream"},
        "Queue": {"Type": "AWS::SQS::Queue"},
    },
}


def write(folder: Path, template: dict[str, Any] | str) -> Path:
    path = folder / ("template.json" if isinstance(template, dict) else "template.yaml")
    path.write_text(json.dumps(template) if isinstance(template, dict) else template)
    return path


def test_an_env_file_takes_quotes(tmp_path: Path) -> None:
    """Comments, export, either quotes, escapes and values of several lines mean what dotenv says."""
    path = tmp_path / "settings.env"
    with FaultServer() as server:
        path.write_text(ENV_FILE.replace("URL", server.url))
        ended = check("--env-file", path, "--send", "--json")
        [request] = server.requests
    assert ended.status == 0
    assert (request.headers["api-key"], request.headers["x-quoted"]) == ("a#b", 'say "hi"')
    assert any(line.startswith("No invocation is held.") for line in ended.report["explanation"])


def test_settings_of_the_environment_are_not_those_of_a_file(tmp_path: Path) -> None:
    """With a file, FORWARDER_ variables of the shell do not count; what else is set there does."""
    path = tmp_path / "settings.env"
    path.write_text("FORWARDER_SINKS=kinesis://stream\n")
    ended = check("--env-file", path, "--json", variables={"FORWARDER_TYPO": "1", "AWS_REGION": "eu-west-3"})
    assert ended.status == 0
    assert ":eu-west-3:" in ended.report["policy"]["Statement"][0]["Resource"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("FORWARDER_SINKS: x", "line 1 of "),
        ("A=1\n\nB='Pa55w0rd\n", "line 3 of "),
        ('A="x" Pa55w0rd', "nothing behind it"),
    ],
)
def test_what_is_no_env_file_is_refused(tmp_path: Path, text: str, said: str) -> None:
    """The line is named, what stands there is not, and the status is 2."""
    path = tmp_path / "settings.env"
    path.write_text(text)
    ended = check("--env-file", path)
    assert (ended.status, ended.printed) == (2, "")
    assert said in ended.complained
    assert "Pa55w0rd" not in ended.complained


def test_a_template_is_read_as_far_as_it_is_known(tmp_path: Path) -> None:
    """Parameters count with their defaults, Globals are merged; for the rest words stand in, which are told."""
    report = check("--template", write(tmp_path, TEMPLATE), "--region", "eu-west-1", "--json").report
    assert report["source"].startswith("Orders in ")
    assert [sink["name"] for sink in report["sinks"]] == [
        "s3://bucket-of-stack",
        "kinesis://stream-of-stack",
        "sqs://queue-queuename-of-stack",
    ]
    assert any("64 MiB" in line for line in report["explanation"])
    assert any(line.startswith("No invocation is held.") for line in report["explanation"])
    assert report["notes"] == [
        "FORWARDER_SINKS: ${Bucket} is known when the stack is deployed; bucket-of-stack stands for it here",
        "FORWARDER_SINKS: ${Stream} is known when the stack is deployed; stream-of-stack stands for it here",
        (
            "FORWARDER_FALLBACK: ${Queue.QueueName} is known when the stack is deployed; queue-queuename-of-stack"
            " stands for it here"
        ),
    ]


def test_a_policy_of_a_template_has_its_names(tmp_path: Path) -> None:
    """What stands in for a name is written as Fn::Sub writes it, so that the policy can be pasted."""
    report = check("--template", write(tmp_path, TEMPLATE), "--json").report
    resources = [statement["Resource"] for statement in report["policy"]["Statement"]]
    assert resources == [
        "arn:aws:s3:::${Bucket}/*",
        "arn:aws:kinesis:${AWS::Region}:*:stream/${Stream}",
        "arn:aws:sqs:${AWS::Region}:*:${Queue.QueueName}",
    ]


@pytest.mark.parametrize(
    ("region", "partition", "suffix"),
    [
        ("cn-north-1", "aws-cn", "amazonaws.com.cn"),
        ("us-gov-west-1", "aws-us-gov", "amazonaws.com"),
        ("eu-west-1", "aws", "amazonaws.com"),
    ],
)
def test_a_template_is_of_the_partition_of_its_region(tmp_path: Path, region: str, partition: str, suffix: str) -> None:
    """AWS::Partition and AWS::URLSuffix, and ARNs and URLs of a template's resources, fit the region."""
    variables = {
        "FORWARDER_SINKS": {
            "Fn::Join": [
                " ",
                [
                    {"Fn::Sub": "kinesis://one?role=arn:${AWS::Partition}:iam::123456789012:role/r"},
                    {"Fn::Sub": "kinesis://two?role=${Role.Arn}"},
                    {"Fn::Sub": "sqs://sqs.${AWS::Region}.${AWS::URLSuffix}/123456789012/q"},
                    {"Fn::Sub": "https://h/?queue=${Queue}&secret=${Secret}"},
                ],
            ]
        }
    }
    template = environment_of(TEMPLATE, {"Variables": variables})
    template["Resources"] |= {"Role": {"Type": "AWS::IAM::Role"}, "Secret": {"Type": "AWS::SecretsManager::Secret"}}
    path = str(write(tmp_path, template))
    source = read(path, "Orders", region)
    roles, queue, rest = source.variables["FORWARDER_SINKS"].rsplit(" ", 2)
    assert roles.count(f"role=arn:{partition}:iam::") == 2
    assert queue == f"sqs://sqs.{region}.{suffix}/123456789012/q"
    assert f"queue=https://sqs.{region}.{suffix}/" in rest
    assert f"secret=arn:{partition}:secretsmanager:{region}:" in rest


def test_nothing_is_sent_to_what_is_not_known(tmp_path: Path) -> None:
    """A word that stands for a bucket may be somebody's bucket: no probe goes there."""
    with FaultServer() as server:
        path = write(tmp_path, TEMPLATE)
        variables = {"AWS_ENDPOINT_URL": server.url, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
        ended = check("--template", path, "--send", "--json", variables=variables)
        assert server.requests == []
    assert ended.status == 0
    assert [sink["probe"]["reason"] for sink in ended.report["sinks"]] == [
        f"{name} is not known yet" for name in ("${Bucket}", "${Stream}", "${Queue.QueueName}")
    ]


def test_a_queue_by_its_ref_is_a_mistake(tmp_path: Path) -> None:
    """Ref of a queue is its URL, which sqs:// does not take: that shows before it is deployed."""
    template = json.loads(json.dumps(TEMPLATE))
    settings = template["Resources"]["Orders"]["Properties"]["Environment"]["Variables"]
    settings["FORWARDER_FALLBACK"] = {"Fn::Sub": "sqs://${Queue}"}
    ended = check("--template", write(tmp_path, template), "--json")
    assert ended.status == 1
    assert "FORWARDER_FALLBACK: expected sqs://queue" in ended.report["problems"][0]["problem"]


def test_the_template_of_this_repository() -> None:
    """YAML with CloudFormation's short tags is read from source, where PyYAML is."""
    ended = check("--template", ROOT / "template.yaml", "--function", "ExampleFunction", "--json")
    assert ended.status == 0
    assert ended.report["sinks"][0]["name"].startswith("s3://")
    assert "${TelemetryBucket}" in ended.report["policy"]["Statement"][0]["Resource"]


@pytest.mark.parametrize("path", sorted([ROOT / "template.yaml", *(ROOT / "examples" / "sam").glob("*.yaml")]), ids=str)
def test_the_templates_of_this_repository_are_right(path: Path) -> None:
    """No template or example is called wrong for what it leaves open."""
    ended = check("--template", path, "--json")
    lacking = any("no credentials here" in note for note in ended.report["notes"])  # for a secret
    assert (ended.status, ended.report["problems"]) == (3 if lacking else 0, [])
    assert len(ended.report["sinks"]) == 1


OPEN_IF = {"Fn::If": ["IsProd", "a", "b"]}
OPEN_MAP = {"Fn::FindInMap": ["a", "b", "c"]}
UNKNOWN: dict[str, dict[str, Any]] = {
    "a choice": {"FORWARDER_FLUSH": OPEN_IF, "FORWARDER_LOG_LEVEL": OPEN_MAP},
    "a number": {"FORWARDER_FLUSH_INTERVAL_MS": {"Ref": "Open"}, "FORWARDER_QUEUE_BYTES": {"Fn::Sub": "${Open}000"}},
    "sinks": {"FORWARDER_SINKS": {"Ref": "Open"}},
    "several sinks": {"FORWARDER_SINKS": {"Fn::Join": [" ", ["discard://", OPEN_IF, OPEN_IF]]}},
    "a sink's scheme": {"FORWARDER_SINKS": {"Fn::Sub": "${Open}://host"}},
    "a fallback": {"FORWARDER_FALLBACK": OPEN_IF, "FORWARDER_HEALTH": "fallback"},
    "health": {"FORWARDER_HEALTH": OPEN_IF},
    "headers": {
        "FORWARDER_SINKS": "datadog+https://host",
        "FORWARDER_HEADERS": "{{resolve:secretsmanager:a:SecretString}}",
    },
    "headers of a sink": {"FORWARDER_SINKS": "https://host/?headers=MINE", "MINE": OPEN_IF},
    "a file": {"FORWARDER_SINKS": "", "FORWARDER_CONFIG": OPEN_MAP},
    "a sink for OTLP": {
        "FORWARDER_SINKS": {"Fn::Join": [" ", ["discard://", OPEN_IF]]},
        "FORWARDER_OTLP_LISTEN": "4318",
    },
    "OTLP unredacted": {
        "FORWARDER_SINKS": "otlp+https://host",
        "FORWARDER_OTLP_LISTEN": "4318",
        "FORWARDER_REDACT": "email",
        "FORWARDER_OTLP_UNREDACTED": OPEN_IF,
    },
    "a secret's name": {"FORWARDER_SINKS": {"Fn::Join": ["", ["https://h/${ssm:/x/", {"Ref": "Open"}, "}"]]}},
}


@pytest.mark.parametrize("variables", UNKNOWN.values(), ids=UNKNOWN)
def test_what_is_left_open_is_not_judged(tmp_path: Path, variables: dict[str, Any]) -> None:
    """A value that is known only when the stack is deployed is told as open, and neither wrong nor sent anywhere."""
    template = json.loads(json.dumps(TEMPLATE))
    template["Parameters"]["Open"] = {"Type": "String"}
    template["Conditions"] = {"IsProd": {"Fn::Equals": [{"Ref": "Open"}, "prod"]}}
    properties = template["Resources"]["Orders"]["Properties"]
    properties["Environment"]["Variables"] = {"FORWARDER_SINKS": "discard://", **variables}
    with FaultServer() as server:
        aws = {"AWS_ENDPOINT_URL": server.url, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
        ended = check("--template", write(tmp_path, template), "--json", variables=aws)
        assert server.requests == []
    assert (ended.status, ended.report["problems"], ended.report["warnings"]) == (0, [], [])
    assert any("is known when the stack is deployed" in note for note in ended.report["notes"])


@pytest.mark.parametrize(("stage", "flush"), [("prod", "No invocation is held."), ("dev", "Each invocation is held")])
def test_conditions_are_followed_as_far_as_parameters_say(tmp_path: Path, stage: str, flush: str) -> None:
    """Where the defaults of parameters decide a condition, Fn::If is what they say."""
    template = json.loads(json.dumps(TEMPLATE))
    template["Parameters"]["Stage"]["Default"] = stage
    template["Conditions"] = {
        "IsProd": {"Fn::Equals": [{"Ref": "Stage"}, "prod"]},
        "IsOther": {"Fn::And": [{"Fn::Not": [{"Condition": "IsProd"}]}, {"Fn::Or": [{"Condition": "IsProd"}, "?"]}]},
    }
    settings = template["Resources"]["Orders"]["Properties"]["Environment"]["Variables"]
    settings["FORWARDER_FLUSH"] = {"Fn::If": ["IsProd", "interval", "invocation"]}
    settings["FORWARDER_FALLBACK"] = {"Fn::If": ["IsProd", "file:///out", {"Ref": "AWS::NoValue"}]}
    report = check("--template", write(tmp_path, template), "--json").report
    assert any(line.startswith(flush) for line in report["explanation"])
    assert len(report["sinks"]) == (3 if stage == "prod" else 2)


def environment_of(template: dict[str, Any], environment: dict[str, Any]) -> dict[str, Any]:
    """A copy of the template whose function has that Environment."""
    copy: dict[str, Any] = json.loads(json.dumps(template))
    copy["Resources"]["Orders"]["Properties"]["Environment"] = environment
    copy["Parameters"]["Open"] = {"Type": "String"}
    copy["Conditions"] = {
        "IsDev": {"Fn::Equals": [{"Ref": "Stage"}, "dev"]},
        "IsOpen": {"Fn::Equals": [{"Ref": "Open"}, "prod"]},
    }
    return copy


NONE = {"Ref": "AWS::NoValue"}
SETTINGS = {"FORWARDER_SINKS": "discard://"}


@pytest.mark.parametrize(
    "environment",
    [
        {"Fn::If": ["IsDev", {"Variables": SETTINGS}, NONE]},
        {"Variables": {"Fn::If": ["IsDev", SETTINGS, NONE]}},
        {"Fn::If": ["IsDev", {"Variables": {"Fn::If": ["IsDev", SETTINGS, {}]}}, NONE]},
    ],
)
def test_variables_that_a_condition_decides_count(tmp_path: Path, environment: dict[str, Any]) -> None:
    """Fn::If may stand for the whole Environment, and for its Variables."""
    ended = check("--template", write(tmp_path, environment_of(TEMPLATE, environment)), "--json")
    assert (ended.status, [sink["name"] for sink in ended.report["sinks"]]) == (0, ["discard://"])


@pytest.mark.parametrize(
    "environment",
    [
        {"Fn::If": ["IsOpen", {"Variables": SETTINGS}, NONE]},
        {"Variables": {"Fn::If": ["IsOpen", SETTINGS, NONE]}},
        {"Variables": {"Fn::FindInMap": ["a", "b", "c"]}},
    ],
)
def test_variables_that_are_left_open_are_not_judged(tmp_path: Path, environment: dict[str, Any]) -> None:
    """Where nobody can say which variables there are, nobody says that they are wrong."""
    ended = check("--template", write(tmp_path, environment_of(TEMPLATE, environment)), "--json")
    assert (ended.status, ended.report["problems"]) == (0, [])
    assert ended.report["sinks"][0]["what"] == "a sink whose URL is left open"
    assert any(": left open: !" in note for note in ended.report["notes"])


@pytest.mark.parametrize(
    "environment", [NONE, {"Variables": NONE}, {"Fn::If": ["IsDev", NONE, {"Variables": SETTINGS}]}]
)
def test_no_environment_is_known_to_be_none(tmp_path: Path, environment: dict[str, Any]) -> None:
    """AWS::NoValue leaves the variables out, and so there are no sinks."""
    ended = check("--template", write(tmp_path, environment_of(TEMPLATE, environment)), "--json")
    assert ended.status == 1
    assert ended.report["problems"][0]["problem"].startswith("FORWARDER_SINKS is not set")


def test_the_binary_reads_json_and_says_so_of_yaml(layer: Path, tmp_path: Path) -> None:
    """The layer brings no YAML reader: the binary takes a template in JSON, and tells how to check one in YAML."""
    assert check("--template", write(tmp_path, TEMPLATE), command=frozen(layer)).status == 0
    ended = check("--template", ROOT / "template.yaml", command=frozen(layer))
    assert ended.status == 2
    assert "pip install pyyaml" in ended.complained


@pytest.mark.parametrize(
    ("template", "arguments", "said"),
    [
        ("Resources: {", (), "is no template: look at line"),
        ("just words", (), "has none"),
        ({"Resources": {"A": FUNCTION, "B": FUNCTION}}, (), "has A, B"),
        ({"Resources": {"A": FUNCTION}}, ("--function", "C"), "has A"),
    ],
)
def test_a_template_that_is_none_is_refused(
    tmp_path: Path, template: dict[str, Any] | str, arguments: tuple[str, ...], said: str
) -> None:
    """What is wrong with it is told, and the status is 2."""
    ended = check("--template", write(tmp_path, template), *arguments)
    assert (ended.status, ended.printed) == (2, "")
    assert said in ended.complained


def test_a_function_without_layers_is_told(tmp_path: Path) -> None:
    """Where nothing is attached nothing would run, however good the settings are."""
    bare = {**FUNCTION, "Properties": {**FUNCTION["Properties"], "Layers": None}}  # type: ignore[dict-item]
    del bare["Properties"]["Layers"]  # type: ignore[attr-defined]
    template = {**TEMPLATE, "Resources": {**TEMPLATE["Resources"], "Orders": bare}}
    notes = check("--template", write(tmp_path, template), "--json").report["notes"]
    assert "Orders has no Layers: without the forwarder's nothing would run" in notes

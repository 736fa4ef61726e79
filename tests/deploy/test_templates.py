"""The SAM templates: what they set is understood, and roles may do what the sinks call and nothing else."""

from __future__ import annotations

import importlib
from functools import cache
from typing import TYPE_CHECKING, cast

import pytest

from extension import sinks
from extension.config import Config, parse
from tests.deploy.examples import TEMPLATES, deployed, made, template
from tests.support import ROOT
from tests.support.batches import open_sink

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from extension.sinks import Sink, SinkModule

ACTIONS = {"secretsmanager": "secretsmanager:GetSecretValue", "ssm": "ssm:GetParameters"}
MAIN = ROOT / "template.yaml"
OF_AWS = ("firehose", "kinesis", "logs", "s3", "sqs")
LAYER = "AWS::Serverless::LayerVersion"
PERMISSION = "AWS::Lambda::LayerVersionPermission"
ACCOUNTS = ["111111111111", "222222222222", "333333333333", "444444444444"]
ARN = "arn:aws:lambda:us-east-1:123456789012:layer:telemetry-forwarder-arm64:3"

every_template = pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)


def actions_of(config: Config) -> set[str]:
    """What these sinks and their secrets need; OpenTelemetry's sinks only where requests are signed."""
    needed = {ACTIONS[secret.service] for sink in config.sinks for secret in sink.secrets}
    for sink in config.sinks:
        module = cast("SinkModule", importlib.import_module(f"extension.sinks.{sinks.module_name(sink.scheme)}"))
        needed |= set(module.IAM_ACTIONS) if sink.parameters.get("auth") or "auth" not in module.PARAMETERS else set()
    return needed


def understood(variables: Mapping[str, str]) -> Config:
    """The settings as the forwarder reads them, every sink opened. Raises ConfigError and BadSetting."""
    config = parse(variables)
    for text in variables["FORWARDER_SINKS"].split():
        opened(text)
    return config


@cache
def opened(text: str) -> Sink:
    """The sink of a URL; once, for reading botocore's data takes a second. Raises BadSetting."""
    return open_sink(text)


@every_template
def test_settings_are_understood(path: Path) -> None:
    """With a template's defaults, and names as CloudFormation makes them, no setting is wrong."""
    assert understood(deployed(template(path)).variables).sinks


@every_template
def test_a_role_may_do_what_its_sinks_call(path: Path) -> None:
    """The policy of the function is what the module of its sink declares, neither more nor less."""
    function = deployed(template(path))
    assert set(function.actions) == actions_of(understood(function.variables))


def test_there_is_a_template_for_each_sink_of_aws() -> None:
    """Each sink that calls AWS has a template, named after it, that sends there."""
    for name in OF_AWS:
        [sink] = understood(deployed(template(ROOT / "examples" / "sam" / f"{name}.yaml")).variables).sinks
        assert sink.scheme == name


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, ["s3://stack-thing-1a2b3c"]),
        ({"BucketName": "logs-of-mine"}, ["s3://logs-of-mine"]),
        ({"Destination": "kinesis"}, ["kinesis://Stack-Thing-1A2B3C"]),
        ({"Destination": "kinesis", "StreamName": "mine"}, ["kinesis://mine"]),
        (
            {"Destination": "none", "Sinks": "https://a.example/x https://b.example/y"},
            ["https://a.example", "https://b.example"],
        ),
        ({"Sinks": "https://a.example/x"}, ["s3://stack-thing-1a2b3c", "https://a.example"]),
    ],
)
def test_destinations(parameters: dict[str, str], expected: list[str]) -> None:
    """Records go to what is made or given, and to more sinks where they are named."""
    assert [sink.name for sink in understood(deployed(template(MAIN), **parameters).variables).sinks] == expected


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"Destination": "kinesis"}, ["kinesis:PutRecords"]),
        ({"Destination": "none", "Sinks": "https://a.example/x"}, []),
    ],
)
def test_the_policy_follows_the_destination(parameters: dict[str, str], expected: list[str]) -> None:
    """A function may do what its destination needs, and nothing where none of AWS's is asked for."""
    assert deployed(template(MAIN), **parameters).actions == expected


def test_every_setting_reaches_the_function() -> None:
    """What the parameters of the function's settings say is what the forwarder reads."""
    given = {
        "Fallback": "https://fallback.example/x",
        "Types": "function,platform",
        "Flush": "interval",
        "FlushIntervalMs": "5000",
        "LogLevel": "DEBUG",
    }
    config = understood(deployed(template(MAIN), **given).variables)
    assert config.fallback is not None
    assert (config.fallback.name, config.types) == ("https://fallback.example", ("platform", "function"))
    assert (config.flush, config.flush_interval_s, config.log_level) == ("interval", 5.0, "DEBUG")


@pytest.mark.parametrize("architecture", ["x86_64", "arm64"])
def test_one_layer_is_made_for_the_function(architecture: str) -> None:
    """The layer that is published, and the function that has it, are of the architecture that was asked for."""
    content = template(MAIN)
    [layer] = made(content, LAYER, Architecture=architecture)
    [function] = made(content, "AWS::Serverless::Function", Architecture=architecture)
    assert layer["CompatibleArchitectures"] == function["Architectures"] == [architecture]


def test_a_layer_that_is_given_is_taken() -> None:
    """With LayerArn no layer is published, nobody is permitted anything, and the function has that one."""
    content, parameters = template(MAIN), {"LayerArn": ARN, "PermittedAccounts": ACCOUNTS[0]}
    assert made(content, LAYER, **parameters) == made(content, PERMISSION, **parameters) == []
    [function] = made(content, "AWS::Serverless::Function", **parameters)
    assert function["Layers"] == [ARN]


@pytest.mark.parametrize("number", range(5))
def test_each_account_gets_its_permission(number: int) -> None:
    """Of up to four accounts each may use the layer, and nobody else."""
    permissions = made(template(MAIN), PERMISSION, PermittedAccounts=",".join(ACCOUNTS[:number]))
    assert [one["Principal"] for one in permissions] == ACCOUNTS[:number]


def test_an_organization_gets_its_permission() -> None:
    """Everyone in the organisation may use the layer, and nobody outside of it."""
    [permission] = made(template(MAIN), PERMISSION, PermittedOrganization="o-a1b2c3d4e5")
    assert (permission["Principal"], permission["OrganizationId"]) == ("*", "o-a1b2c3d4e5")


def test_old_versions_stay() -> None:
    """Layers, their permissions, and what holds telemetry outlive their replacement and the stack."""
    resources = template(MAIN)["Resources"]
    kept = {
        name
        for name, one in resources.items()
        if one["Type"] in {PERMISSION, "AWS::S3::Bucket", "AWS::Kinesis::Stream"}
    }
    assert [name for name in kept if resources[name].get("DeletionPolicy") != "Retain"] == []
    assert [name for name in kept if resources[name].get("UpdateReplacePolicy") != "Retain"] == []
    layers = [one for one in resources.values() if one["Type"] == LAYER]
    assert [one["Properties"]["RetentionPolicy"] for one in layers] == ["Retain", "Retain"]

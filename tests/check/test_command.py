"""What `check` says of settings that are good, and of the command itself."""

from __future__ import annotations

import json
import os
import subprocess
import tomllib
from typing import TYPE_CHECKING, Any

import botocore.session
import pytest

from extension import sink_url, sinks
from extension.check import permissions
from extension.partitions import domain_of, partition_of
from extension.sinks._iam import Place
from tests.support import ROOT
from tests.support import sink_contract as contract
from tests.support.checking import FROM_SOURCE, LIMIT_S, check, frozen
from tests.support.fault_server import FaultServer
from tests.support.secret_urls import LAWFUL, MISTAKEN, shown
from tests.support.strict_aws import CREDENTIALS, refusing
from tests.support.vault import Vault

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.fake_lambda import FakeLambda

NAMED = {"AWS_LAMBDA_FUNCTION_NAME": "orders", "AWS_REGION": "eu-west-1"}
ROLE = "arn:aws:iam::210987654321:role/forwarder"
KEY = "arn:aws:kms:eu-west-1:123456789012:key/0aa1bb2c-0000-4000-8000-123456789abc"


@pytest.fixture
def destinations(tmp_path: Path) -> Iterator[dict[str, contract.Destination]]:
    with contract.open_destinations(tmp_path) as opened:
        yield opened


@pytest.mark.parametrize("scheme", contract.names())
def test_a_probe_arrives_at_every_sink(scheme: str, destinations: dict[str, contract.Destination], layer: Path) -> None:
    """The binary sends one record, of type forwarder.probe, times it, and says what was left there."""
    url, environment = contract.sink_urls(destinations)[scheme]
    ended = check("--send", "--json", variables={**NAMED, **environment, "FORWARDER_SINKS": url}, command=frozen(layer))
    assert (ended.status, ended.complained) == (0, "")
    [line] = destinations[scheme].lines()
    assert json.loads(line)["type"] == "forwarder.probe"
    [sink] = ended.report["sinks"]
    assert sink["probe"]["left"] == sinks.module_of(contract_target(url)).PROBE
    assert 0 < sink["probe"]["ms"] < 60_000


def contract_target(url: str) -> sinks.SinkURL:
    return sinks.SinkURL(url, url.partition(":")[0], "", "", {})


def test_nothing_is_sent_unless_asked(tmp_path: Path) -> None:
    """Without --send no destination hears of it."""
    with FaultServer() as server:
        variables = {"FORWARDER_SINKS": f"{server.url}/ file://{tmp_path}/out", "FORWARDER_FALLBACK": f"{server.url}/f"}
        assert check(variables=variables).status == 0
        assert server.requests == []
    assert not (tmp_path / "out").exists()


def test_it_says_what_would_happen() -> None:
    """Which records go where, when, in how much memory, and which do not go, is said in words."""
    ended = check(
        variables={
            "FORWARDER_SINKS": "otlp+https://collector:4318?signals=logs,traces loki+https://loki.example?types=function",
            "FORWARDER_FALLBACK": "s3://bucket/raw",
            "FORWARDER_TYPES": "function,platform,-platform.start",
            "FORWARDER_MIN_LEVEL": "WARN",
            "FORWARDER_EXCLUDE": "Pa55w0rd",
            "FORWARDER_SAMPLE": "0.1;slow=900",
            "FORWARDER_REDACT": "email,ipv4",
            "FORWARDER_REDACT_EXPRESSIONS": "Pa55w0rd",
            "FORWARDER_JOIN": "traces",
            "FORWARDER_FLUSH": "invocation",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
            "AWS_REGION": "eu-west-1",
        }
    )
    assert ended.status == 0
    for text in (
        "otlp+https://collector:4318 (sink 1 of FORWARDER_SINKS): OpenTelemetry logs, metrics and traces, protobuf",
        "records of platform and function, and traces made of the platform's (signals=logs,traces)",
        "loki+https://loki.example (sink 2 of FORWARDER_SINKS): lines in streams of Grafana Loki",
        "records of function (types=function)",
        "s3://bucket (FORWARDER_FALLBACK): objects that Athena reads: what another sink refuses",
        "Each invocation is held until its records are delivered",
        "25 ms",
        "up to 32 MiB of the function's memory",
        "Records of extension are not sent: FORWARDER_TYPES leaves them out.",
        "platform.start are not sent: FORWARDER_TYPES leaves them out.",
        "Records of 10 % of the invocations are sent, and of those that take more than 900 ms",
        "2 presets, 1 expressions and 0 fields are replaced in it",
        "Lines of a stack trace are sent as one record.",
        "as far as FORWARDER_MIN_LEVEL and FORWARDER_EXCLUDE let it through",
        "Lines of more than 262144 bytes are not sent to loki+https://loki.example; they go to the fallback.",
        '"s3:PutObject"',
        "Nothing is wrong.",
    ):
        assert text in ended.printed
    assert "Pa55w0rd" not in ended.printed


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"FORWARDER_SINKS": "http://intake.example/"}, "records go there in the clear, over http"),
        ({"FORWARDER_SINKS": "datadog+https://http-intake.logs.datadoghq.com"}, "no token: FORWARDER_HEADERS"),
        ({"FORWARDER_SINKS": "https://h/?compresion=none"}, "parameter 1 of its query goes on to the intake; or is it"),
        ({"FORWARDER_SINKS": "file:///tmp/out"}, "/tmp is lost with the environment"),  # noqa: S108 - what is printed
        ({"FORWARDER_SINKS": "discard://", "FORWARDER_HEADERS": "A: b"}, "FORWARDER_HEADERS is for sinks over HTTP"),
        ({"FORWARDER_SINKS": "discard://", "FORWARDER_LISTEN_HOST": "127.0.0.1"}, "does not reach the loopback"),
        (
            {
                "FORWARDER_SINKS": "discard://",
                "FORWARDER_QUEUE_BYTES": "134217728",
                "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
            },
            "half of the function's 128 MB",
        ),
    ],
)
def test_what_is_odd_is_told_and_is_no_mistake(variables: dict[str, str], said: str) -> None:
    """Settings that work and are hardly meant are warned of; the status stays 0."""
    ended = check("--json", variables=variables)
    assert ended.status == 0
    assert any(said in line for line in ended.report["warnings"])


@pytest.mark.parametrize(
    "variables",
    [
        {"FORWARDER_SINKS": "splunk+https://h/", "FORWARDER_HEADERS": "${secretsmanager:x}"},
        {"FORWARDER_SINKS": "datadog+https://h/?dd-api-key=${ssm:/key}"},
        {"FORWARDER_SINKS": "discard:// ${ssm:/url}", "FORWARDER_HEADERS": "A: b"},
    ],
)
def test_what_may_be_in_a_secret_is_not_odd(variables: dict[str, str]) -> None:
    """A token, or a sink that takes headers, is not missed where it may be in a secret."""
    assert check("--json", variables={**NAMED, **variables}).report["warnings"] == []


@pytest.mark.parametrize(
    ("url", "statements"),
    [
        ("s3://bucket/raw", {"arn:aws:s3:::bucket/*": ["s3:PutObject"]}),
        (
            f"s3://bucket?acl=bucket-owner-full-control&kms_key={KEY}",
            {"arn:aws:s3:::bucket/*": ["s3:PutObject", "s3:PutObjectAcl"], KEY: ["kms:GenerateDataKey"]},
        ),
        (
            "firehose://stream",
            {"arn:aws:firehose:eu-west-1:123456789012:deliverystream/stream": ["firehose:PutRecordBatch"]},
        ),
        (
            "kinesis://stream?region=us-gov-west-1",
            {"arn:aws-us-gov:kinesis:us-gov-west-1:123456789012:stream/stream": ["kinesis:PutRecords"]},
        ),
        (
            "sqs://sqs.eu-central-1.amazonaws.com/210987654321/queue",
            {"arn:aws:sqs:eu-central-1:210987654321:queue": ["sqs:SendMessage", "sqs:GetQueueUrl"]},
        ),
        (
            "logs:///team/logs",
            {
                "arn:aws:logs:eu-west-1:123456789012:log-group:/team/logs:*": [
                    "logs:PutLogEvents",
                    "logs:CreateLogStream",
                ]
            },
        ),
        (
            "otlp+https://logs.eu-west-1.amazonaws.com?auth=sigv4&signals=logs&group=g&stream=s",
            {"arn:aws:logs:eu-west-1:123456789012:log-group:g:*": ["logs:PutLogEvents"]},
        ),
        (
            "otlp+https://xray.eu-west-1.amazonaws.com?auth=sigv4&signals=traces",
            {"*": ["xray:PutTraceSegments"]},
        ),
        ("otlp+https://collector:4318", {}),
    ],
)
def test_the_policy_names_what_is_called(url: str, statements: dict[str, list[str]]) -> None:
    """Actions are those of the sink, resources those of its URL, region and account."""
    report = check("--json", "--account", "123456789012", variables={**CREDENTIALS, "FORWARDER_SINKS": url}).report
    found = {one["Resource"]: one["Action"] for one in report["policy"].get("Statement", ())}
    assert found == statements


def test_a_role_has_a_policy_of_its_own() -> None:
    """With role=, the function may assume it, and what the destination asks for belongs to that role."""
    variables = {**CREDENTIALS, "FORWARDER_SINKS": f"kinesis://stream?role={ROLE}"}
    report = check("--json", variables=variables).report
    assert report["policy"]["Statement"] == [{"Effect": "Allow", "Action": ["sts:AssumeRole"], "Resource": ROLE}]
    [statement] = report["rolePolicies"][ROLE]["Statement"]
    assert statement["Resource"] == "arn:aws:kinesis:eu-west-1:210987654321:stream/stream"


TOKEN = "arn:aws:secretsmanager:eu-central-1:210987654321:secret:token-a1B2c3"
FETCH, FETCH_MANY, READ = "secretsmanager:GetSecretValue", "secretsmanager:BatchGetSecretValue", "ssm:GetParameters"
SECRET, PARAMETER = (
    "arn:aws:secretsmanager:eu-west-1:123456789012:secret",
    "arn:aws:ssm:eu-west-1:123456789012:parameter",
)


@pytest.mark.parametrize(
    ("url", "headers", "statements"),
    [
        ("https://h/${ssm:/prod/token}", "", {f"{PARAMETER}/prod/token": [READ]}),
        ("https://h/${ssm:token:3}", "", {f"{PARAMETER}/token": [READ]}),
        ("${secretsmanager:whole#url}", "", {f"{SECRET}:whole-??????": [FETCH]}),
        ("https://h/", "A: ${secretsmanager:a#x}\nB: ${secretsmanager:a#y}", {f"{SECRET}:a-??????": [FETCH]}),
        ("https://h/", f"A: ${{secretsmanager:{TOKEN}}}", {TOKEN: [FETCH]}),
        (
            "https://h/${secretsmanager:a}",
            "B: ${secretsmanager:b}",
            {f"{SECRET}:a-??????": [FETCH], f"{SECRET}:b-??????": [FETCH], "*": [FETCH_MANY]},
        ),
    ],
)
def test_the_policy_has_what_secrets_need(url: str, headers: str, statements: dict[str, list[str]]) -> None:
    """Each secret and parameter has the action that fetches it, several of Secrets Manager the one for many as well."""
    variables = {**NAMED, "FORWARDER_SINKS": url, "FORWARDER_HEADERS": headers}
    report = check("--json", "--account", "123456789012", variables=variables).report
    assert {one["Resource"]: one["Action"] for one in report["policy"]["Statement"]} == statements
    assert any(note.startswith("kms:Decrypt") for note in report["policyNotes"])


def test_a_policy_makes_up_no_name_for_what_is_in_a_secret() -> None:
    """A bucket or a role that a secret names is to be put in by hand, and that is said."""
    url = "s3://${ssm:/bucket}/raw kinesis://stream?role=${ssm:/role}"
    report = check("--json", variables={**NAMED, "FORWARDER_SINKS": url}).report
    resources = [one["Resource"] for one in report["policy"]["Statement"]]
    role = "REPLACE: the role that sink 2 of FORWARDER_SINKS names"
    assert resources[:2] == ["REPLACE: the resource that sink 1 of FORWARDER_SINKS names", role]
    assert list(report["rolePolicies"]) == [role]
    assert [note.partition(":")[0] for note in report["policyNotes"] if "is in a secret" in note] == [
        "sink 1 of FORWARDER_SINKS",
        "sink 2 of FORWARDER_SINKS",
    ]


def test_without_credentials_secrets_are_not_known() -> None:
    """Settings that may be right do not look wrong where there are no credentials: the status is 3, and it is said."""
    ended = check(variables={**NAMED, "FORWARDER_SINKS": "https://h/${ssm:/prod/token}"})
    assert ended.status == 3
    assert "sink 1 of FORWARDER_SINKS: no credentials here" in ended.printed
    assert "nothing is forwarded" not in ended.printed


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("AccessDeniedException", "denied"),
        ("AccessDeniedException", "role/ci is not authorized to perform: kms:Decrypt on resource: arn:aws:kms:1"),
        ("UnrecognizedClientException", "invalid"),
    ],
)
def test_a_caller_who_may_not_read_a_secret_does_not_make_settings_wrong(code: str, message: str) -> None:
    """As where there are no credentials, the status is 3, and that the secret is not known is said."""
    with FaultServer(refusing(code, 400, message=message)) as server:
        variables = {
            **CREDENTIALS,
            "AWS_ENDPOINT_URL": server.url,
            "FORWARDER_SINKS": "https://h/${ssm:/prod/token} discard://",
            "FORWARDER_HEADERS": "${secretsmanager:header}",
        }
        report = check("--json", variables=variables).report
    assert (report["status"], report["problems"]) == (3, [])
    [note] = report["notes"]
    assert note.startswith("sink 1 of FORWARDER_SINKS: the credentials here do not read a secret")


def test_a_secret_that_is_not_there_is_wrong_beside_one_that_may_not_be_read() -> None:
    """What is known to be wrong is told, with status 1, and what is not known is not."""
    with FaultServer(Vault(forbidden=["/denied"])) as server:
        sinks = "https://h/${ssm:/denied} https://i/${ssm:/none}"
        variables = {**CREDENTIALS, "AWS_ENDPOINT_URL": server.url, "FORWARDER_SINKS": sinks}
        report = check("--json", variables=variables).report
    [problem] = report["problems"]
    assert report["status"] == 1
    assert problem["problem"] == "sink 2 of FORWARDER_SINKS, reference 1: there is no such parameter"


def with_secret_url(url: str) -> dict[str, Any]:
    """What --json prints where the whole URL of a sink, the first of two, is a parameter of that value."""
    with FaultServer(Vault(parameters={"/url": url})) as server:
        variables = {**CREDENTIALS, "AWS_ENDPOINT_URL": server.url, "FORWARDER_SINKS": "${ssm:/url} discard://"}
        return check("--json", variables=variables).report


def test_rules_in_a_secret_are_read() -> None:
    """A bad rule of a URL that is a secret as a whole is told: with it nothing would be forwarded."""
    report = with_secret_url("https://h/x?min_level=Pa55w0rd&exclude=(")
    assert (report["status"], len(report["problems"])) == (1, 2)
    problem = report["problems"][0]["problem"]
    assert problem.startswith("sink 1 of FORWARDER_SINKS, min_level")
    assert "Pa55w0rd" not in json.dumps(report)


@pytest.mark.parametrize(("query", "notes"), [("?min_level=WARN", 1), ("?types=-platform.start", 1), ("", 0)])
def test_rules_in_a_secret_may_come_too_late(query: str, notes: int) -> None:
    """Whether they come in time shows in Lambda alone: it is noted, and no mistake."""
    report = with_secret_url(f"https://h/x{query}")
    assert (report["status"], report["problems"], len(report["notes"])) == (0, [], notes)
    assert all(note.startswith("sink 1 of FORWARDER_SINKS: its URL is a secret and has") for note in report["notes"])


def test_a_host_to_listen_at_is_known_in_lambda_alone() -> None:
    """Whether FORWARDER_LISTEN_HOST is right is not to be told here: that is said, and not that all is known."""
    variables = {**NAMED, "FORWARDER_SINKS": "discard://", "FORWARDER_LISTEN_HOST": "nowhere.invalid"}
    report = check("--json", variables=variables).report
    assert [note.partition(":")[0] for note in report["notes"]] == ["FORWARDER_LISTEN_HOST"]


def test_a_reader_may_have_read_enough() -> None:
    """Where the other end of the pipe is closed, as by `head`, nothing is complained of and the status is the same."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as closed:
        ended = subprocess.run(
            [*FROM_SOURCE, "check"],
            env={"PATH": os.environ["PATH"], **NAMED, "FORWARDER_SINKS": "discard://"},
            cwd=ROOT,
            stdout=closed,
            stderr=subprocess.PIPE,
            timeout=LIMIT_S,
            check=False,
        )
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_the_fields_of_json_are_documented() -> None:
    """docs/check.md has each field of the object that --json prints, and of those in it."""
    report = check("--json", "--send", variables={**NAMED, "FORWARDER_SINKS": "discard://"}).report
    [sink] = report["sinks"]
    fields = {*report, *sink, *sink["probe"]}
    rows = [line for line in (ROOT / "docs" / "check.md").read_text().splitlines() if line.startswith("| `")]
    assert {field for field in fields if not any(f"`{field}`" in row for row in rows)} == set()


def test_sinks_that_are_alike_are_numbered_everywhere(tmp_path: Path) -> None:
    """A sink has one name in all that is said of it, the one that it has in the ledger."""
    variables = {**NAMED, "FORWARDER_SINKS": "s3://bucket/a s3://bucket/b", "FORWARDER_HEALTH": f"file://{tmp_path}/h"}
    report = check("--json", variables=variables).report
    notes = " ".join(report["policyNotes"])
    assert "s3://bucket (1): " in notes
    assert "s3://bucket (2): " in notes
    assert "s3://bucket: " not in notes


@pytest.mark.parametrize("name", [name for name in sinks.known() if name != "otlp"])
def test_every_sink_says_what_it_is_permitted(name: str) -> None:
    """A sink with IAM_ACTIONS names the resource of each, for the URL that the documentation has."""
    module = sinks.module_of(contract_target(f"{name}:"))
    target = sinks.SinkURL(name, name, "name", "/group", {})
    found = module.permissions(target, Place("aws", "eu-west-1", "*")) if module.IAM_ACTIONS else {}
    assert found.keys() == set(module.IAM_ACTIONS)
    assert all(resource.startswith("arn:aws:") for resource in found.values())


@pytest.mark.parametrize(
    ("url", "region"),
    [
        ("otlp+https://logs.eu-west-1.amazonaws.com?auth=sigv4&signals=logs&group=/g&stream=s", "eu-west-1"),
        (
            "otlp+https://logs.eu-west-1.amazonaws.com?auth=sigv4&signals=logs&group=/g&stream=s&region=eu-west-3",
            "eu-west-3",
        ),
        ("otlp+https://otlp.example.com?auth=sigv4&signals=logs&group=/g&stream=s", "us-east-1"),
        ("sqs://sqs.eu-west-1.amazonaws.com/123456789012/q", "eu-west-1"),
    ],
)
def test_a_policy_is_for_the_region_of_the_host(url: str, region: str) -> None:
    """Where a host of AWS names a region, the resource is there, and not where the function is, but for region=."""
    target = sink_url.take_apart(url, "the sink")
    [statement] = permissions.needed([target], "us-east-1", "123456789012", {}).own["Statement"]
    assert statement["Resource"].split(":")[3] == region


OTLP = "?auth=sigv4&signals=logs&group=/g&stream=s"


@pytest.mark.parametrize(
    ("url", "arn"),
    [
        ("sqs://sqs.us-gov-west-1.amazonaws.com/123456789012/q", "arn:aws-us-gov:sqs:us-gov-west-1:"),
        ("sqs://sqs.cn-north-1.amazonaws.com.cn/123456789012/q", "arn:aws-cn:sqs:cn-north-1:"),
        (f"otlp+https://logs.cn-north-1.amazonaws.com.cn{OTLP}", "arn:aws-cn:logs:cn-north-1:"),
    ],
)
def test_a_policy_is_for_the_partition_of_the_host(url: str, arn: str) -> None:
    """The region that a host names brings its partition: no other fits it."""
    target = sink_url.take_apart(url, "the sink")
    [statement] = permissions.needed([target], "eu-west-1", "123456789012", {}).own["Statement"]
    assert statement["Resource"].startswith(arn)


def test_every_partition_is_known() -> None:
    """A region has the partition and the domain that botocore's data has for it."""
    data = botocore.session.Session().get_component("data_loader").load_data("partitions")
    for partition in data["partitions"]:
        for region in partition["regions"]:
            if not region.endswith("-global"):
                assert (partition_of(region), domain_of(region)) == (partition["id"], partition["outputs"]["dnsSuffix"])


def test_no_secret_is_printed() -> None:
    """Nothing of a URL that may be a secret is in what is printed, whether the URL is good or not."""
    variables = {**CREDENTIALS, "FORWARDER_HEADERS": "Api-Key: Pa55w0rd"}
    good = check(variables={**variables, "FORWARDER_SINKS": " ".join(LAWFUL)})
    assert good.status == 0
    bad = check("--json", variables={**variables, "FORWARDER_SINKS": " ".join(MISTAKEN)})
    assert bad.status == 1
    assert shown(good.printed + good.complained + bad.printed + bad.complained) == []


def test_health_is_explained(tmp_path: Path) -> None:
    """A sink that is told of our health alone is one more that is probed."""
    variables = {"FORWARDER_SINKS": "discard://", "FORWARDER_HEALTH": f"file://{tmp_path}/h"}
    report = check("--send", "--json", variables=variables).report
    assert report["sinks"][1]["what"] == (
        "a file, to try things out: records forwarder.health, which say how the forwarder is, and nothing else"
    )
    assert "forwarder.probe" in (tmp_path / "h").read_text()


def test_the_version_is_one() -> None:
    """The report says the version of pyproject.toml."""
    report = check("--json", variables={"FORWARDER_SINKS": "discard://"}).report
    assert report["version"] == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--colour",),
        ("--function", "Orders"),
        ("--timeout", "soon"),
        ("--env-file", "/nonexistent"),
        ("--env-file", "a", "--template", "b"),
    ],
)
def test_a_command_that_cannot_be_done(arguments: tuple[str, ...]) -> None:
    """What is wrong with the command is told on stderr, and the status is 2."""
    ended = check(*arguments, variables={"FORWARDER_SINKS": "discard://"})
    assert (ended.status, ended.printed) == (2, "")
    assert ended.complained.startswith("telemetry-forwarder check: ")


def test_help_says_all_there_is() -> None:
    """Options and statuses are in --help."""
    ended = check("--help")
    assert ended.status == 0
    assert all(word in ended.printed for word in ("--env-file", "--template", "--send", "--json", "Exit status"))


async def test_an_extension_may_be_called_check(lambda_: FakeLambda, tmp_path: Path, layer: Path) -> None:
    """Within Lambda `check` is a file's name like any other: it registers, and forwards."""
    (layer / "extensions" / "check").unlink(missing_ok=True)
    (layer / "extensions" / "check").symlink_to("telemetry-forwarder")
    lambda_._executable = layer / "extensions" / "check"
    try:
        await lambda_.start(FORWARDER_SINKS=f"file://{tmp_path}/out")
        await lambda_.ready()
        assert lambda_.requests[0].headers["lambda-extension-name"] == "check"
        assert await lambda_.shut_down() == 0
    finally:
        (layer / "extensions" / "check").unlink()

"""Settings that refer to secrets: what is fetched, what sinks get of it, what is said of what is not there."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from extension import sinks
from extension.config import ConfigError, parse
from extension.references import BadReference, Secret, fill_url
from extension.sinks import Refused, SinkURL
from extension.sinks._secrets import AGAIN_S, Secrets, SecretSink
from tests.support.batches import batch, line
from tests.support.fault_server import Answer, FaultServer, Hang, Reset
from tests.support.strict_aws import CREDENTIALS
from tests.support.vault import ARN, Vault

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "Pa55w0rd"
LATE_S = 20.0


@pytest.fixture(autouse=True)
def _aws(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def vault(monkeypatch: pytest.MonkeyPatch) -> Iterator[Vault]:
    """Both services, with nothing in them yet."""
    found = Vault()
    with FaultServer(found) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", server.url)
        monkeypatch.setenv("AWS_ENDPOINT_URL_SSM", server.url)
        yield found


def opened(**variables: str) -> tuple[list[SinkURL], list[str]]:
    """The sinks of these settings with their secrets, and what is wrong with these."""
    urls = parse(variables).sinks
    opening = sinks.start_opening(urls)
    problems = sinks.wait_opened(urls, opening, time.monotonic() + LATE_S)
    assert all(one.done() for one in opening)
    return [sinks.known_by_now(url, one) for url, one in zip(urls, opening, strict=True)], problems


def problems_of(**variables: str) -> list[str]:
    return opened(**variables)[1]


def test_values_come_from_both_services(moto: str) -> None:
    """A name, an ARN, a key of JSON and a parameter that is encrypted: each is what the service has."""
    secretsmanager = boto3.client("secretsmanager", endpoint_url=moto)
    secretsmanager.create_secret(Name="plain", SecretString="one\n")
    arn = secretsmanager.create_secret(Name="prod/json", SecretString=json.dumps({"key": "two", "number": 3}))["ARN"]
    boto3.client("ssm", endpoint_url=moto).put_parameter(Name="/prod/p", Value="four", Type="SecureString")
    lines = (
        "A: ${secretsmanager:plain}",
        f"B: x ${{secretsmanager:{arn}#key}} y",
        "C: ${secretsmanager:prod/json#number}",
        "D: ${ssm:/prod/p}",
    )
    [target], problems = opened(FORWARDER_SINKS="https://h/", FORWARDER_HEADERS="\n".join(lines))
    assert (list(target.headers), problems) == ([("A", "one"), ("B", "x two y"), ("C", "3"), ("D", "four")], [])


def test_calls_are_as_few_as_the_services_allow(vault: Vault) -> None:
    """20 secrets or 10 parameters go in one call, each of them once, for however many sinks."""
    vault.secrets = {f"s{number}": "x" for number in range(21)}
    vault.parameters = {f"p{number}": "y" for number in range(11)}
    lines = [f"S{n}: ${{secretsmanager:s{n}}}" for n in range(21)] + [f"P{n}: ${{ssm:p{n}}}" for n in range(11)]
    targets, problems = opened(FORWARDER_SINKS="https://a/ https://b/", FORWARDER_HEADERS="\n".join(lines))
    assert problems == []
    assert [len(target.headers) for target in targets] == [32, 32]
    found = sorted((operation, len(names)) for operation, names in vault.calls)
    assert found == [("BatchGetSecretValue", 20), ("GetParameters", 1), ("GetParameters", 10), ("GetSecretValue", 1)]


@pytest.mark.parametrize("first", [[], [Answer(400, {}, b'{"__type":"InvalidAction"}')], [Answer(501)]], ids=str)
def test_one_by_one_where_not_together(vault: Vault, first: list[Answer]) -> None:
    """A call for many that is not allowed, or not known there, is as good as one for each."""
    vault.secrets = {"a": "1", "b": "2"}
    if first:
        vault.first = list(first)
    else:
        vault.forbidden = ("BatchGetSecretValue",)
    headers = "A: ${secretsmanager:a}\nB: ${secretsmanager:b}"
    [target], problems = opened(FORWARDER_SINKS="https://h/", FORWARDER_HEADERS=headers)
    assert (list(target.headers), problems) == ([("A", "1"), ("B", "2")], [])
    assert [operation for operation, _ in vault.calls][-2:] == ["GetSecretValue", "GetSecretValue"]


def test_a_secret_of_another_region(vault: Vault) -> None:
    """An ARN says where its secret is, and there it is asked for."""
    vault.secrets = {"here": "1"}
    arn = ARN.format("there").replace("eu-west-1", "us-east-2")
    problems_of(
        FORWARDER_SINKS="https://h/", FORWARDER_HEADERS=f"A: ${{secretsmanager:here}}\nB: ${{secretsmanager:{arn}}}"
    )
    assert sorted(set(vault.regions)) == ["eu-west-1", "us-east-2"]


@pytest.mark.parametrize(
    ("reference", "problem"),
    [
        ("${secretsmanager:none}", "there is no such secret, or no value of it"),
        (
            "${secretsmanager:locked}",
            "AccessDeniedException: allow secretsmanager:GetSecretValue on the secret in the ",
        ),
        ("${secretsmanager:binary}", "the secret is binary; expected text"),
        ("${secretsmanager:text#key}", "the secret is no JSON object; expected one, which has the key"),
        ("${secretsmanager:json#other}", "the secret has no such key"),
        ("${secretsmanager:json#list}", "what the secret has under the key is neither text nor a number"),
        ("${secretsmanager:json#yes}", "what the secret has under the key is neither text nor a number"),
        ("${secretsmanager:lines}", "the secret holds a line break, which has no place there"),
        ("${secretsmanager:blank}", "the secret is empty"),
        ("${ssm:none}", "there is no such parameter"),
        ("${ssm:locked}", "AccessDeniedException: allow ssm:GetParameters on the secret in the function's role"),
    ],
)
def test_secrets_that_cannot_be_had(vault: Vault, reference: str, problem: str) -> None:
    """Each is one mistake, told once for all sinks by the place of the reference and its cause; others are not."""
    vault.forbidden = ("locked",)
    vault.parameters = {"good": "x"}
    vault.secrets = {
        "good": SECRET,
        "binary": SECRET.encode(),
        "text": SECRET,
        "json": json.dumps({"list": [SECRET], "yes": True}),
        "lines": f"{SECRET}\nX: y",
        "blank": " \n",
    }
    headers = f"A: ${{secretsmanager:good}}${{ssm:good}}\n\nB: x {reference}"
    [told] = problems_of(FORWARDER_SINKS="https://h/ https://g/", FORWARDER_HEADERS=headers)
    assert told.startswith(f"line 3 of FORWARDER_HEADERS, reference 1: {problem}")
    assert SECRET not in told


@pytest.mark.parametrize(
    "text",
    [
        "${secretsmanager:}",
        "${ssm:}",
        "${ssm:a",
        "${ssm:a#key}",
        "${secretsmanager:a#}",
        "${ssm:a b}",
        "${ssm:${ssm:a}}",
    ],
)
def test_what_is_no_reference(text: str) -> None:
    """What begins as a reference and is none is a mistake, and not quoted."""
    with pytest.raises(ConfigError) as caught:
        parse({"FORWARDER_SINKS": "https://h/", "FORWARDER_HEADERS": f"A: {text}"})
    assert caught.value.problems == [
        "FORWARDER_HEADERS: expected ${secretsmanager:NAME#key} or ${ssm:NAME}, without white space"
    ]


@pytest.mark.parametrize("name", ["FORWARDER_TAGS", "FORWARDER_LISTEN_HOST", "FORWARDER_FLUSH"])
def test_other_settings_refer_to_nothing(name: str) -> None:
    """A secret belongs into sinks and headers alone."""
    with pytest.raises(ConfigError) as caught:
        parse({name: "a=${ssm:x}"})
    assert f"{name} refers to a secret; expected plain text" in caught.value.problems


VALUES = {
    Secret("ssm", "v"): "a b/?#&=%+@ü",
    Secret("ssm", "host"): "intake.example:8443",
    Secret("ssm", "url"): "https://h/p?q=1",
}


@pytest.mark.parametrize(
    ("url", "filled"),
    [
        ("https://h/x?token=${ssm:v}&a=b", "https://h/x?token=a%20b%2F%3F%23%26%3D%25%2B%40%C3%BC&a=b"),
        ("https://h/x/${ssm:v}/y", "https://h/x/a%20b%2F%3F%23%26%3D%25%2B%40%C3%BC/y"),
        ("https://${ssm:host}/x", "https://intake.example:8443/x"),
        ("${ssm:url}", "https://h/p?q=1"),
        ("${ssm:url}&token=${ssm:v}", "https://h/p?q=1&token=a%20b%2F%3F%23%26%3D%25%2B%40%C3%BC"),
    ],
)
def test_a_value_does_not_break_its_url(url: str, filled: str) -> None:
    """At the beginning and in the host a value stands as it is, behind it percent-encoded."""
    assert fill_url(url, VALUES, "here").text == filled


@pytest.mark.parametrize(
    ("url", "cause"),
    [
        ("https://${ssm:v}/", "expected a host, as it stands in a URL"),
        ("${ssm:v}", "the secret holds white space, which has no place there"),
    ],
)
def test_a_value_that_is_no_host_or_url(url: str, cause: str) -> None:
    """A value that would make another URL than was meant is refused."""
    assert fill_url(url, VALUES, "here").problems == [f"here, reference 1: {cause}"]


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://h:1/${ssm:/a/b}?x=${ssm:c}", "https://h:1"),
        ("https://${ssm:/a/b}/x", "https://"),
        ("https://h${ssm:/a/b}", "https://"),
        ("splunk+https://h:${ssm:/a/b}/", "splunk+https://"),
        ("${ssm:/a/b}", "sink 2 of FORWARDER_SINKS"),
        ("${ssm:/a/b}/x?types=function", "sink 2 of FORWARDER_SINKS"),
    ],
)
def test_a_name_shows_nothing_of_a_secret(vault: Vault, url: str, name: str) -> None:
    """What log and ledger call a sink has no part that came from a secret, before it is there and after."""
    whole = url.startswith("${")
    vault.parameters = {"/a/b": f"https://{SECRET}/x" if whole else "443" if ":${" in url else SECRET, "c": SECRET}
    [_, before] = parse({"FORWARDER_SINKS": f"file:///a {url}"}).sinks
    [_, after], problems = opened(FORWARDER_SINKS=f"file:///a {url}")
    assert (before.name, after.name, problems) == (name, name, [])
    assert SECRET in f"{after.host}{after.path}" or ":${" in url


def test_a_url_may_be_a_secret_as_a_whole(vault: Vault) -> None:
    """Scheme, types and all else come from the secret."""
    vault.secrets = {"sink": json.dumps({"url": "otlp+https://h/p?types=function&signals=traces"})}
    [target], problems = opened(FORWARDER_SINKS="${secretsmanager:sink#url}")
    assert (target.scheme, target.host, list(target.types), problems) == ("otlp+https", "h", ["function"], [])
    assert sinks.signals_of(target) == ("traces",)


def test_lines_of_headers_may_be_a_secret_as_a_whole(vault: Vault) -> None:
    """A line that is nothing but a reference stands for lines of headers."""
    vault.secrets = {"headers": "A: 1\nB: 2\n"}
    headers = "Z: 0\n ${secretsmanager:headers} \nC: 3"
    [target], problems = opened(FORWARDER_SINKS="https://h/", FORWARDER_HEADERS=headers)
    assert (list(target.headers), problems) == ([("Z", "0"), ("A", "1"), ("B", "2"), ("C", "3")], [])


def test_a_file_and_named_variables_refer_to_secrets(vault: Vault, tmp_path: Any) -> None:
    """So do the settings of a file, and the variable that headers= names."""
    vault.parameters = {"a": "1", "b": "2"}
    path = tmp_path / "forwarder.toml"
    path.write_text('sinks = ["https://h/?headers=VENDOR", "https://g/"]\nheaders = {A = "${ssm:a}"}')
    targets, problems = opened(FORWARDER_CONFIG=str(path), VENDOR="B: ${ssm:b}")
    assert ([list(target.headers) for target in targets], problems) == ([[("B", "2")], [("A", "1")]], [])


def test_a_service_that_fails_is_asked_again(vault: Vault) -> None:
    """What says nothing of the secret, throttling and outages, is no mistake: the secret is there when it is over."""
    throttled = Answer(400, {}, b'{"__type":"ThrottlingException"}')
    vault.first = [throttled, Answer(500), Reset(), Answer(429)]
    vault.parameters = {"a": "1"}
    [target], problems = opened(FORWARDER_SINKS="https://h/", FORWARDER_HEADERS="A: ${ssm:a}")
    assert (list(target.headers), problems) == ([("A", "1")], [])


@pytest.mark.parametrize("reference", ["${secretsmanager:a}", "${ssm:a}"])
@pytest.mark.parametrize(
    "body",
    [
        b'["Pa55w0rd"]',
        b'"Pa55w0rd"',
        b"null",
        b"{not json",
        b'{"Name":"a","SecretString":"\xff\xfe","Parameters":"\xff","SecretValues":"\xff"}',
        b"[" * 200_000,
        b'{"Name":"a","SecretString":{"a":"x"},"Parameters":[{"Name":"a","Value":["x"]}],"SecretValues":"x"}',
        b'{"Name":"a","SecretString":1,"Parameters":[{"Name":"a"}],"SecretValues":["x"]}',
        b'{"Name":"a","SecretString":["x"],"Parameters":["x"],"SecretValues":[{"Name":"a","SecretString":1}]}',
        b'{"Name":"a","SecretString":true,"Parameters":{"a":"x"},"SecretValues":[{"Name":"a","SecretString":1}]}',
    ],
    ids=range(10),
)
def test_nonsense_of_a_service_is_no_answer(vault: Vault, reference: str, body: bytes) -> None:
    """What only looks like an answer, of a proxy perhaps, is asked for again, together and one by one."""
    vault.first = [Answer(200, {"Content-Type": "application/x-amz-json-1.1"}, body)] * 2
    vault.secrets, vault.parameters = {"a": "x", "b": "y"}, {"a": "x", "b": "y"}
    headers = f"A: {reference}\nB: {reference.replace(':a', ':b')}"
    [target], problems = opened(FORWARDER_SINKS="https://h/", FORWARDER_HEADERS=headers)
    assert (list(target.headers), problems) == ([("A", "x"), ("B", "y")], [])


def test_a_service_that_is_slow_delays_no_other_sink(vault: Vault) -> None:
    """A sink that waits for its secret is late; all others are open."""
    vault.first = [Hang()] * 50
    urls = parse(
        {"FORWARDER_SINKS": " ".join([*(f"https://h/{n}/${{ssm:a}}" for n in range(10)), "file:///dev/null"])}
    ).sinks
    opening = sinks.start_opening(urls)
    opening[-1].result(LATE_S)
    assert not any(one.done() for one in opening[:-1])
    vault.parameters = {"a": "x"}
    vault.first.clear()
    assert sinks.wait_opened(urls, opening, time.monotonic() + LATE_S) == []


def test_headers_are_for_sinks_over_http_alone(vault: Vault) -> None:
    """Secrets of FORWARDER_HEADERS hold up no sink that has none, and such a sink needs no value of them."""
    vault.first = [Hang()] * 50
    vault.parameters = {"path": "null"}
    found = parse(
        {
            "FORWARDER_SINKS": "file:///dev/${ssm:path} file:///dev/null s3://bucket discard:// https://h/",
            "FORWARDER_FALLBACK": "sqs://queue",
            "FORWARDER_HEADERS": "A: ${secretsmanager:a}",
        }
    )
    wanted = [[secret.name for secret in url.secrets] for url in found.urls]
    assert wanted == [["path"], [], [], [], ["a"], []]
    opening = sinks.start_opening(found.urls)
    for plain in (1, 2, 3, 5):
        opening[plain].result(LATE_S)
    vault.secrets = {"a": "x"}
    vault.first.clear()
    assert sinks.wait_opened(found.urls, opening, time.monotonic() + LATE_S) == []


def secret_sink(clock: list[float], **variables: str) -> tuple[SecretSink, Secrets]:
    """A sink made of secrets, with a clock of its own."""
    [target] = parse(variables).sinks
    secrets = Secrets(target.secrets, lambda: clock[0])
    return SecretSink(target, secrets), secrets


class Intake:
    """Takes requests with this key, and refuses all others as `status` says."""

    def __init__(self, key: str, status: int = 403) -> None:
        self.key = key
        self.seen: list[str] = []
        self._status = status

    def __call__(self, request: Any) -> Answer:
        """202, or the status."""
        self.seen.append(request.headers["key"])
        return Answer(202 if self.seen[-1] == self.key else self._status)


@pytest.mark.parametrize("status", [401, 403])
def test_a_secret_that_was_changed_is_fetched_again(vault: Vault, status: int) -> None:
    """A sink that is refused goes on with the newer secret at once: no batch is refused for it."""
    vault.secrets = {"key": "old"}
    intake = Intake("old", status)
    with FaultServer(intake) as server:
        clock = [0.0]
        sink, _ = secret_sink(clock, FORWARDER_SINKS=server.url, FORWARDER_HEADERS="Key: ${secretsmanager:key}")
        sink.send(batch(line(1)), 5.0)
        intake.key = vault.secrets["key"] = "new"
        clock[0] = AGAIN_S
        sink.send(batch(line(2)), 5.0)
        sink.close()
    assert intake.seen == ["old", "old", "new"]


def test_secrets_are_not_fetched_for_every_refusal(vault: Vault) -> None:
    """A destination that refuses for good costs one fetch in a minute, and the batch is refused."""
    vault.secrets = {"key": "old"}
    with FaultServer(otherwise=Answer(403)) as server:
        clock = [0.0]
        sink, _ = secret_sink(clock, FORWARDER_SINKS=server.url, FORWARDER_HEADERS="Key: ${secretsmanager:key}")
        for clock[0] in (1.0, AGAIN_S, AGAIN_S + 1, 2 * AGAIN_S - 1):
            with pytest.raises(Refused, match=r"^HTTP 403$"):
                sink.send(batch(line(1)), 5.0)
        sink.close()
    assert len(vault.calls) == 2


def test_after_a_restore_secrets_are_fetched_again(vault: Vault) -> None:
    """A copy of a snapshot begins with the secrets of its own time."""
    vault.secrets = {"key": "old"}
    intake = Intake("new")
    with FaultServer(intake) as server:
        sink, secrets = secret_sink([0.0], FORWARDER_SINKS=server.url, FORWARDER_HEADERS="Key: ${secretsmanager:key}")
        vault.secrets["key"] = "new"
        secrets.forget()
        sink.send(batch(line(1)), 5.0)
        sink.close()
    assert intake.seen == ["new"]


def test_a_service_that_is_down_after_a_restore_is_not_asked_for_every_batch(vault: Vault) -> None:
    """It is asked again a minute later, and then what it has is in use."""
    vault.secrets = {"key": "old"}
    intake = Intake("old")
    with FaultServer(intake) as server:
        clock = [0.0]
        sink, secrets = secret_sink(clock, FORWARDER_SINKS=server.url, FORWARDER_HEADERS="Key: ${secretsmanager:key}")
        secrets.forget()
        vault.first = [Answer(500)]
        for clock[0] in (1.0, 2.0, 59.0):
            sink.send(batch(line(1)), 5.0)
        calls = len(vault.calls)
        intake.key = vault.secrets["key"] = "new"
        clock[0] = 1.0 + AGAIN_S
        sink.send(batch(line(1)), 5.0)
        sink.close()
    assert calls == 1
    assert intake.seen == ["old"] * 3 + ["new"]


@pytest.mark.parametrize("gone", ["missing", "down", "no header"])
def test_what_there_is_goes_on_where_there_is_nothing_newer(vault: Vault, gone: str) -> None:
    """Fetched again in vain, or a value that cannot be used, the secrets at hand stay in use."""
    vault.secrets = {"key": "old"}
    intake = Intake("old")
    with FaultServer(intake) as server:
        sink, secrets = secret_sink([0.0], FORWARDER_SINKS=server.url, FORWARDER_HEADERS="Key: ${secretsmanager:key}")
        if gone == "missing":
            vault.secrets = {}
        elif gone == "down":
            vault.first = [Answer(500)]
        else:
            vault.secrets["key"] = "a\nb"
        secrets.forget()
        sink.send(batch(line(1)), 5.0)
        sink.close()
    assert intake.seen == ["old"]


def test_errors_of_a_sink_show_no_secret(vault: Vault) -> None:
    """A bucket whose name is a secret is not in what AWS's refusal becomes."""
    vault.parameters = {"bucket": "pa55w0rd-bucket"}
    with (
        FaultServer(otherwise=Answer(403, {}, b"<Error><Code>AccessDenied</Code></Error>")) as server,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("AWS_ENDPOINT_URL_S3", server.url)
        sink, _ = secret_sink([0.0], FORWARDER_SINKS="s3://${ssm:bucket}/p")
        with pytest.raises(Refused) as caught:
            sink.send(batch(line(1)), 5.0)
        sink.close()
    assert str(caught.value) == "AccessDenied: allow s3:PutObject on bucket ... in the function's role"


TEXTS = st.text(st.sampled_from([*"ab1:/?#[]@!$&()*+,;=%._~- \"'\\{}\n"]), max_size=4)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    TEXTS,
    TEXTS,
    st.sampled_from(
        [
            "https://h/${ssm:a}",
            "https://${ssm:a}/",
            "${ssm:a}",
            "s3://${ssm:a}",
            "kinesis://${ssm:a}?region=x",
            "http://h/?compression=${ssm:a}",
        ]
    ),
)
def test_no_value_is_shown(before: str, after: str, url: str) -> None:
    """Whatever a secret is, it is neither in a name nor in what is said of the sink that it does not make."""
    value = f"{before}{SECRET}{after}"
    values: dict[Secret, str | BadReference] = {Secret("ssm", "a"): value}
    variables = {"FORWARDER_SINKS": url, "FORWARDER_HEADERS": "A: ${ssm:a}"}
    [target] = parse(variables).sinks
    assert target.fill is not None
    told = ""
    try:
        filled, hidden = target.fill(values)
        told = filled.name
        sinks.load(filled).close()
    except sinks.BadSettings as error:
        told += str(error)
    except sinks.BadSetting as error:
        told += str(error)
        for one in sorted(hidden, key=len, reverse=True):
            told = told.replace(one, "...")
    assert SECRET not in told

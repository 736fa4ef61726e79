"""Mistakes that people make, each named with what to do about it. A new setting adds its own to MISTAKES."""

from __future__ import annotations

import ssl
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

import pytest
import trustme

from tests.support.checking import check, frozen
from tests.support.fault_server import Answer, FaultServer, Hang, refused_port
from tests.support.moto import moto, moto_process  # noqa: F401 - fixtures
from tests.support.strict_aws import CREDENTIALS, Sts, refusing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from tests.support.fault_server import Action, Script

SECRET = "Pa55w0rd"
GOOD = {"FORWARDER_SINKS": "https://intake.example/v1", "AWS_REGION": "eu-west-1"}


class Mistake(NamedTuple):
    """Variables with one mistake, and what must be said of it: all these texts, in one problem with its remedy."""

    variables: Mapping[str, str]
    said: tuple[str, ...]


MISTAKES = {
    "a variable's name": Mistake(
        {"FORWARDER_SINK": f"https://{SECRET}/"}, ("FORWARDER_SINK is not a setting", "is it to be FORWARDER_SINKS?")
    ),
    "no sinks": Mistake({"FORWARDER_SINKS": " "}, ("FORWARDER_SINKS is not set", "expected sink URLs")),
    "a scheme": Mistake({"FORWARDER_SINKS": "s4://bucket"}, ("sink 1 of FORWARDER_SINKS", "begins with one of")),
    "a vendor's scheme without https": Mistake(
        {"FORWARDER_SINKS": "splunk://host:8088"}, ("sink 1 of FORWARDER_SINKS", "splunk+https://")
    ),
    "a comma between sinks": Mistake(
        {"FORWARDER_SINKS": "s3://bucket/a,file:///b"}, ("sink 1 of FORWARDER_SINKS", "white space between sinks")
    ),
    "a port of a URL": Mistake(
        {"FORWARDER_SINKS": "https://host:99999/"}, ("sink 1 of FORWARDER_SINKS", "scheme://host:port/path")
    ),
    "a secret in a URL": Mistake(
        {"FORWARDER_SINKS": f"https://user:{SECRET}@host/"}, ("without user, password", "FORWARDER_HEADERS")
    ),
    "the same sink twice": Mistake(
        {"FORWARDER_SINKS": "file:///a file:///a"}, ("sink 2 of FORWARDER_SINKS is sink 1 again", "each sink once")
    ),
    "a region": Mistake(
        {"FORWARDER_SINKS": "s3://bucket?region=eu-wset-1x"}, ("sink 1 of FORWARDER_SINKS", "names no region of AWS")
    ),
    "a bucket": Mistake(
        {"FORWARDER_SINKS": "s3://My_Bucket/logs"}, ("sink 1 of FORWARDER_SINKS", "with the name of a bucket")
    ),
    "a role": Mistake(
        {"FORWARDER_SINKS": "kinesis://stream?role=forwarder"}, ("role= is no ARN", "arn:aws:iam::ACCOUNT:role/NAME")
    ),
    "a queue": Mistake({"FORWARDER_SINKS": "sqs://my queue"}, ("sink 2 of FORWARDER_SINKS", "begins with one of")),
    "a queue's URL behind sqs": Mistake(
        {"FORWARDER_SINKS": "sqs://https://sqs.eu-west-1.amazonaws.com/123456789012/q"},
        ("sink 1 of FORWARDER_SINKS", "expected sqs://queue"),
    ),
    "the function's own log group": Mistake(
        {"FORWARDER_SINKS": "logs:///aws/lambda/orders", "AWS_LAMBDA_FUNCTION_NAME": "orders"},
        ("own log group", "expected another group"),
    ),
    "a parameter": Mistake(
        {"FORWARDER_SINKS": "s3://bucket?colour=red"}, ("unknown parameter, number 1 of the query", "storage_class")
    ),
    "a parameter's value": Mistake(
        {"FORWARDER_SINKS": "https://host/?compression=rar"}, ("compression= is none of", "gzip")
    ),
    "a header": Mistake(
        {"FORWARDER_HEADERS": f"Api-Key {SECRET}"}, ("line 1 of FORWARDER_HEADERS is no header", "`Name: value`")
    ),
    "a header that is not the user's": Mistake(
        {"FORWARDER_HEADERS": "Host: elsewhere"}, ("gives host", "which the forwarder alone may set")
    ),
    "a variable of headers": Mistake(
        {"FORWARDER_SINKS": "https://host/?headers=TOKENS"}, ("headers=: expected the name of a variable that is set",)
    ),
    "a certificate's file": Mistake(
        {"FORWARDER_SINKS": "https://host/?ca=/nowhere/ca.pem"}, ("ca= names no file", "in the function another")
    ),
    "a key without its certificate": Mistake(
        {"FORWARDER_SINKS": "https://host/?key=/nowhere/key.pem"}, ("key= is there without cert=",)
    ),
    "the fallback": Mistake(
        {"FORWARDER_FALLBACK": "https://intake.example/v1"}, ("FORWARDER_FALLBACK", "expected another sink")
    ),
    "types of records": Mistake(
        {"FORWARDER_TYPES": "function,logs"}, ("FORWARDER_TYPES is", "some of platform, function, extension")
    ),
    "the flush mode": Mistake(
        {"FORWARDER_FLUSH": "always"}, ("FORWARDER_FLUSH is 'always'", "adaptive, invocation, interval")
    ),
    "a bound": Mistake(
        {"FORWARDER_BUFFER_MAX_ITEMS": "5"}, ("FORWARDER_BUFFER_MAX_ITEMS is '5'", "from 1000 to 10000")
    ),
    "a unit": Mistake({"FORWARDER_QUEUE_BYTES": "8MB"}, ("FORWARDER_QUEUE_BYTES is '8MB'", "a whole number from")),
    "Lambda's own port": Mistake(
        {"FORWARDER_LISTEN_PORT": "9001"}, ("FORWARDER_LISTEN_PORT is '9001'", "but not 9001")
    ),
    "OTLP without a sink for it": Mistake(
        {"FORWARDER_OTLP_LISTEN": "4318"}, ("FORWARDER_OTLP_LISTEN is set", "one of otlp+https://")
    ),
    "one port for two": Mistake(
        {
            "FORWARDER_SINKS": "otlp+https://intake.example",
            "FORWARDER_OTLP_LISTEN": "4318",
            "FORWARDER_LISTEN_PORT": "4318",
        },
        ("FORWARDER_LISTEN_PORT is '4318', the port of FORWARDER_OTLP_LISTEN as well", "expected two ports"),
    ),
    "what does not go together": Mistake(
        {"FORWARDER_FLUSH": "invocation", "FORWARDER_BUFFER_TIMEOUT_MS": "5000"},
        ("FORWARDER_BUFFER_TIMEOUT_MS is '5000'", "expected 100 at most"),
    ),
    "tags": Mistake({"FORWARDER_TAGS": "team"}, ("FORWARDER_TAGS is 'team'", "name=value pairs")),
    "the level of the log": Mistake(
        {"FORWARDER_LOG_LEVEL": "TRACE"}, ("FORWARDER_LOG_LEVEL is 'TRACE'", "DEBUG, INFO, WARN, ERROR")
    ),
    "a level": Mistake({"FORWARDER_MIN_LEVEL": "LOUD"}, ("FORWARDER_MIN_LEVEL", "expected a level such as WARN")),
    "an expression": Mistake(
        {"FORWARDER_EXCLUDE": f"good\n(unclosed{SECRET}"}, ("FORWARDER_EXCLUDE, line 2", "missing )")
    ),
    "a rate": Mistake({"FORWARDER_SAMPLE": "10%"}, ("FORWARDER_SAMPLE", "expected")),
    "a rate of one sink": Mistake(
        {"FORWARDER_SINKS": "https://host/?sample=2"}, ("sink 1 of FORWARDER_SINKS", "sample=")
    ),
    "what to redact": Mistake({"FORWARDER_REDACT": "email,passport"}, ("FORWARDER_REDACT: preset 2", "some of")),
    "an expression of redaction": Mistake(
        {"FORWARDER_REDACT_EXPRESSIONS": f"[unclosed{SECRET}"}, ("FORWARDER_REDACT_EXPRESSIONS: expression 1",)
    ),
    "what to join": Mistake({"FORWARDER_JOIN": "java"}, ("FORWARDER_JOIN is 'java'", "one of none, traces")),
    "what to add": Mistake({"FORWARDER_ENRICH": "colour"}, ("FORWARDER_ENRICH is 'colour'", "some of traceId")),
    "metrics for no one": Mistake({"FORWARDER_SUMMARY": "emf"}, ("FORWARDER_SUMMARY is 'emf'", "one of logs://")),
    "a rule of the fallback": Mistake(
        {"FORWARDER_FALLBACK": "s3://bucket?min_level=WARN"}, ("FORWARDER_FALLBACK: expected none of min_level=",)
    ),
    "health without a fallback": Mistake(
        {"FORWARDER_HEALTH": "fallback"}, ("FORWARDER_HEALTH is 'fallback'", "FORWARDER_FALLBACK to be set")
    ),
    "health": Mistake({"FORWARDER_HEALTH": "cloudwatch"}, ("FORWARDER_HEALTH", "expected emf, fallback or a sink URL")),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named_with_its_remedy(name: str) -> None:
    """The one problem names the variable and says what would be right; the status is 1, and no secret is shown."""
    mistake = MISTAKES[name]
    ended = check("--json", variables={**GOOD, **mistake.variables})
    assert (ended.status, ended.complained) == (1, "")
    told = [f"{one['problem']}\n{one['remedy']}" for one in ended.report["problems"]]
    assert [one for one in told if all(text in one for text in mistake.said)] != [], told
    assert SECRET not in ended.printed


@pytest.mark.parametrize("name", ["a variable's name", "a region", "a secret in a URL", "a bound"])
def test_the_binary_names_them_too(layer: Path, name: str) -> None:
    """What ships says the same, for people."""
    mistake = MISTAKES[name]
    ended = check(variables={**GOOD, **mistake.variables}, command=frozen(layer))
    assert (ended.status, ended.complained) == (1, "")
    assert all(text in ended.printed for text in mistake.said)
    assert "nothing is forwarded" in ended.printed


def test_all_mistakes_come_at_once() -> None:
    """Several mistakes are told together."""
    wrong = {"FORWARDER_SINKS": "s3://My_Bucket https://host/?compression=rar", "FORWARDER_FLUSH": "always"}
    assert len(check("--json", variables={**GOOD, **wrong}).report["problems"]) == 3


class World(NamedTuple):
    """Where a sink fails that is set as it should be."""

    variables: dict[str, str]
    said: tuple[str, ...]


def aws(url: str, script: Script, said: tuple[str, ...], stack: ExitStack) -> World:
    server = stack.enter_context(FaultServer(script))
    return World({**CREDENTIALS, "AWS_ENDPOINT_URL": server.url, "FORWARDER_SINKS": url}, said)


def http(answer: Action, said: tuple[str, ...], stack: ExitStack, scheme: str = "") -> World:
    server = stack.enter_context(FaultServer(otherwise=answer))
    return World({"FORWARDER_SINKS": f"{scheme}{server.url}/{SECRET}"}, said)


def stranger(stack: ExitStack, scheme: str, said: tuple[str, ...]) -> World:
    """A server that speaks TLS, with a certificate that nobody knows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    server = stack.enter_context(FaultServer(tls=context))
    return World({"FORWARDER_SINKS": f"{scheme}://{server.host}/"}, said)


def proxied(stack: ExitStack) -> World:
    proxy = stack.enter_context(FaultServer(otherwise=Answer(407)))
    variables = {"FORWARDER_SINKS": "https://intake.example/", "HTTPS_PROXY": f"http://user:{SECRET}@{proxy.host}"}
    return World(variables, ("the proxy makes no tunnel: HTTP 407", "HTTPS_PROXY"))


def role_refused(stack: ExitStack) -> World:
    sts = Sts()
    sts.refuse = "AccessDenied"
    return aws(
        "kinesis://stream?role=arn:aws:iam::210987654321:role/x",
        sts,
        ("AccessDenied", "allow sts:AssumeRole on role arn:aws:iam::210987654321:role/x"),
        stack,
    )


WORLDS: dict[str, Callable[[ExitStack], World]] = {
    "no permission": lambda stack: aws(
        "s3://bucket", refusing("AccessDenied", 403), ("allow s3:PutObject on bucket bucket",), stack
    ),
    "no such stream": lambda stack: aws(
        "kinesis://stream", refusing("ResourceNotFoundException"), ("there is no stream stream in eu-west-1",), stack
    ),
    "another region": lambda stack: aws(
        "s3://bucket",
        refusing("IllegalLocationConstraintException", 400),
        ("bucket bucket is not in eu-west-1", "add region="),
        stack,
    ),
    "keys that AWS does not know": lambda stack: aws(
        "sqs://queue", refusing("InvalidClientTokenId", 403), ("AWS does not know the credentials",), stack
    ),
    "a role that may not be assumed": role_refused,
    "no credentials": lambda _: World(
        {"FORWARDER_SINKS": "s3://bucket", "AWS_REGION": "eu-west-1", "AWS_CONFIG_FILE": "/nonexistent"},
        ("no credentials", "AWS_PROFILE"),
    ),
    "a token": lambda stack: http(Answer(401), ("HTTP 401", "FORWARDER_HEADERS"), stack),
    "a path": lambda stack: http(Answer(404), ("HTTP 404", "correct the URL"), stack),
    "an intake of another kind": lambda stack: http(Answer(400), ("HTTP 400", "the right scheme"), stack, "loki+"),
    "a redirect": lambda stack: http(Answer(301), ("HTTP 301", "it redirects"), stack),
    "an intake that is busy": lambda stack: http(Answer(429), ("HTTP 429", "try again later"), stack),
    "no answer": lambda stack: http(Hang(), ("no answer in 2 s", "the security group"), stack),
    "nobody there": lambda _: World(
        {"FORWARDER_SINKS": f"http://127.0.0.1:{refused_port()}/"}, ("refused", "correct host and port")
    ),
    "a host that has no address": lambda _: World(
        {"FORWARDER_SINKS": "https://nowhere.invalid/"}, ("nobody knows the host's name",)
    ),
    "a certificate": lambda stack: stranger(stack, "https", ("certificate verify failed", "by ca=")),
    "http instead of https": lambda stack: stranger(stack, "http", ("https://, or another port",)),
    "https instead of http": lambda stack: World(
        {"FORWARDER_SINKS": f"https://{stack.enter_context(FaultServer()).host}/"},
        ("no TLS is spoken there", "http:// instead of https://"),
    ),
    "a proxy that wants a password": proxied,
    "a file in no folder": lambda _: World(
        {"FORWARDER_SINKS": "file:///nonexistent/out"}, ("No such file", "correct the path")
    ),
    "a proxy": lambda _: World(
        {"FORWARDER_SINKS": "https://127.0.0.1:1/", "HTTPS_PROXY": f"socks5://user:{SECRET}@proxy:1080"},
        ("HTTPS_PROXY is no URL of a proxy", "http://host:port"),
    ),
    "certificates of all": lambda _: World(
        {"FORWARDER_SINKS": "https://127.0.0.1:1/", "SSL_CERT_FILE": f"/nonexistent/{SECRET}"},
        ("SSL_CERT_FILE names no file",),
    ),
}


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


@pytest.mark.parametrize("name", WORLDS)
def test_what_only_a_probe_finds_is_named_with_its_remedy(name: str, stack: ExitStack) -> None:
    """Settings that are right, and a destination that is not: --send finds it, and the status is 3."""
    world = WORLDS[name](stack)
    ended = check("--send", "--timeout", "2", "--json", variables=world.variables)
    assert (ended.status, ended.complained) == (3, "")
    [problem] = ended.report["problems"]
    told = f"{problem['problem']}\n{problem['remedy']}"
    assert [text for text in world.said if text not in told] == [], told
    assert SECRET not in ended.printed


@pytest.mark.parametrize("name", ["no permission", "a certificate", "nobody there"])
def test_the_binary_finds_it_too(name: str, stack: ExitStack, layer: Path) -> None:
    """What ships sends its probe as it sends its batches."""
    world = WORLDS[name](stack)
    ended = check("--send", "--timeout", "2", variables=world.variables, command=frozen(layer))
    assert (ended.status, ended.complained) == (3, "")
    assert all(text in ended.printed for text in world.said)


def test_a_bucket_that_is_not_there(moto: str) -> None:  # noqa: F811 - a fixture
    """A server that we did not write says so as well."""
    variables = {**CREDENTIALS, "AWS_ENDPOINT_URL": moto, "FORWARDER_SINKS": "s3://nowhere"}
    ended = check("--send", "--json", variables=variables)
    assert ended.status == 3
    assert "there is no bucket nowhere in eu-west-1; create it" in ended.report["problems"][0]["problem"]

from __future__ import annotations

import time
from urllib.parse import quote

import pytest

from extension import sink_url
from extension.config import ConfigError, health_alone, parse, read_rules
from extension.records import PLATFORM_TYPES
from extension.rules import A_FIELD, A_LEVEL
from extension.sampling import Sampling
from extension.sinks import start_opening, wait_opened


def problems(**environment: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(environment)
    return caught.value.problems


def test_nothing_set_is_no_error() -> None:
    """Without any variable the defaults of the documentation hold."""
    config = parse({})
    assert (config.sinks, config.fallback, config.types) == ((), None, ("platform", "function", "extension"))
    assert (config.buffer_max_items, config.buffer_max_bytes, config.buffer_timeout_ms) == (1000, 262_144, 25)
    assert (config.flush, config.flush_interval_s, config.strict) == ("adaptive", 20.0, False)


def test_every_setting_is_taken() -> None:
    """A good value of each setting is no problem, and is what the Config says."""
    values = {
        "FORWARDER_SINKS": "otlp+https://host/a",
        "FORWARDER_FALLBACK": "file:///b",
        "FORWARDER_TYPES": "function,platform,-platform.start",
        "FORWARDER_BUFFER_MAX_ITEMS": "2000",
        "FORWARDER_BUFFER_MAX_BYTES": "300000",
        "FORWARDER_BUFFER_TIMEOUT_MS": "100",
        "FORWARDER_FLUSH": "interval",
        "FORWARDER_FLUSH_INTERVAL_MS": "1000",
        "FORWARDER_QUEUE_BYTES": "2000000",
        "FORWARDER_MAX_BYTES_PER_MINUTE": "100000",
        "FORWARDER_HEADERS": "A: b",
        "FORWARDER_ON_ERROR": "strict",
        "FORWARDER_LISTEN_HOST": "127.0.0.1",
        "FORWARDER_LISTEN_PORT": "8080",
        "FORWARDER_OTLP_LISTEN": "4318",
        "FORWARDER_LOG_LEVEL": "DEBUG",
        "FORWARDER_TAGS": "team=shop, stage = a=b,empty=",
        "FORWARDER_MIN_LEVEL": "WARN",
        "FORWARDER_INCLUDE": "a+",
        "FORWARDER_EXCLUDE": "level=DEBUG\nb+",
        "FORWARDER_JOIN": "traces",
        "FORWARDER_ENRICH": "TRACEID, memorySizeMB,traceId",
        "FORWARDER_SUMMARY": "json",
        "FORWARDER_REDACT": "ipv4, Email",
        "FORWARDER_REDACT_EXPRESSIONS": "one\n\n  two, three \n",
        "FORWARDER_REDACT_FIELDS": "a.b, *.c\nd",
        "FORWARDER_OTLP_UNREDACTED": "1",
        "FORWARDER_SAMPLE": "0.1;slow=1000",
        "FORWARDER_HEALTH": "emf",
    }
    [sink], fallback, *others = parse(values)
    assert (sink.path, sink.headers, fallback and fallback.path) == ("/a", (("A", "b"),), "/b")
    expected: list[object] = [("platform", "function"), 2000, 300_000, 100, "interval", 1.0, 2_000_000, 100_000, True]
    expected += ["127.0.0.1", 8080, 4318, "DEBUG", {"team": "shop", "stage": "a=b", "empty": ""}, ("platform.start",)]
    expected += [{"min_level": "WARN", "include": "a+", "exclude": "level=DEBUG\nb+"}]
    expected += ["traces", ("traceId", "memorySizeMB"), "json"]
    expected.append((("email", "ipv4"), ((1, "one"), (3, "two, three")), (("a", "b"), ("*", "c"), ("d",))))
    assert others == [*expected, True, Sampling(0.1, 1000), None, True]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("FORWARDER_JOIN", "java", "one of none, traces"),
        ("FORWARDER_SUMMARY", "yes", "one of none, json, emf"),
        (
            "FORWARDER_ENRICH",
            "traceId,colour",
            "some of traceId, initializationType, memorySizeMB, separated by commas",
        ),
        ("FORWARDER_ENRICH", "traceId,", "some of traceId, initializationType, memorySizeMB, separated by commas"),
    ],
)
def test_what_can_be_joined_added_and_summed_up(name: str, value: str, expected: str) -> None:
    """Another value is one mistake, told with those that there are."""
    assert problems(**{name: value}) == [f"{name} is '{value}'; expected {expected}"]


@pytest.mark.parametrize(("sinks", "good"), [("logs://group", True), ("https://host s3://b", False), ("", True)])
def test_metrics_are_embedded_for_cloudwatch_logs(sinks: str, *, good: bool) -> None:
    """No other sink makes metrics of them, so without that one they are a mistake."""
    variables = {"FORWARDER_SINKS": sinks, "FORWARDER_SUMMARY": "emf"}
    if good:
        assert parse(variables).summary == "emf"
        return
    [problem] = [one for one in problems(**variables) if "emf" in one]
    assert problem == (
        "FORWARDER_SUMMARY is 'emf', which CloudWatch Logs alone makes metrics of; expected one of logs:// in"
        " FORWARDER_SINKS, or json"
    )


@pytest.mark.parametrize("value", ["team", "team=a,", "=a", "a=1,a=2", f"a={'x' * 1023}"])
def test_tags_that_are_none(value: str) -> None:
    """Tags that are no pairs, have no name or the same one twice, or are too many, are refused."""
    [problem] = problems(FORWARDER_TAGS=value)
    assert problem.startswith("FORWARDER_TAGS is ")
    assert problem.endswith("; expected name=value pairs, separated by commas, 1024 characters at most")


@pytest.mark.parametrize("value", ["2", "-0.1", "nan", "1e400", "0.1;fast=1", "0.1;slow=1s"])
def test_a_rate_that_is_none(value: str) -> None:
    """It is one problem that names the variable, or the place of the sink, and what was expected."""
    expected = "a rate from 0 to 1, as in 0.1, and behind it ;slow=MILLISECONDS"
    [problem] = problems(FORWARDER_SAMPLE=value)
    assert problem.startswith("FORWARDER_SAMPLE is ")
    assert f"; expected {expected}" in problem
    [problem] = problems(FORWARDER_SINKS=f"file:///a file:///b?sample={value.replace(';', '%3B')}")
    assert problem.startswith(f"sink 2 of FORWARDER_SINKS, sample=: expected {expected}")
    assert "s=1s" not in problem


def test_a_sink_may_have_a_rate_of_its_own() -> None:
    """Beside one for all it has none, and the fallback never has."""
    urls = "file:///a file:///b?sample=0.1%3Bslow=5 file:///c?sample=1"
    assert [url.sample for url in parse({"FORWARDER_SINKS": urls}).sinks] == [None, Sampling(0.1, 5), None]
    assert problems(FORWARDER_SINKS="file:///a?sample=0.1", FORWARDER_SAMPLE="0.2") == [
        "sink 1 of FORWARDER_SINKS has sample= beside FORWARDER_SAMPLE; expected one of them"
    ]
    assert problems(FORWARDER_SINKS="file:///a", FORWARDER_FALLBACK="file:///b?sample=0.1") == [
        "FORWARDER_FALLBACK has sample=; expected none, it gets what other sinks do not take"
    ]


def test_sinks_are_separated_by_white_space() -> None:
    """Blanks and line breaks both separate sink URLs."""
    config = parse({"FORWARDER_SINKS": " file:///a.ndjson\n\thttps://intake.example/v1  s3://bucket/prefix "})
    assert [(target.scheme, target.host, target.path) for target in config.sinks] == [
        ("file", "", "/a.ndjson"),
        ("https", "intake.example", "/v1"),
        ("s3", "bucket", "/prefix"),
    ]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("FORWARDER_TYPES", "platform,logs", "some of platform, function, extension"),
        ("FORWARDER_BUFFER_MAX_ITEMS", "999", "a whole number from 1000 to 10000"),
        ("FORWARDER_BUFFER_MAX_BYTES", "1MB", "a whole number from 262144 to 1048576"),
        ("FORWARDER_BUFFER_TIMEOUT_MS", "24", "a whole number from 25 to 30000"),
        ("FORWARDER_FLUSH", "often", "one of adaptive, invocation, interval"),
        ("FORWARDER_FLUSH_INTERVAL_MS", "-1", "a whole number from 100 to 900000"),
        ("FORWARDER_QUEUE_BYTES", "1", "a whole number from 1048576"),
        ("FORWARDER_QUEUE_BYTES", "2_000_000", "a whole number from 1048576"),
        ("FORWARDER_QUEUE_BYTES", "+2000000", "a whole number from 1048576"),
        ("FORWARDER_QUEUE_BYTES", "\u0662" * 7, "a whole number from 1048576"),
        ("FORWARDER_TYPES", ",", "some of platform, function, extension"),
        ("FORWARDER_ON_ERROR", "panic", "one of open, strict"),
        ("FORWARDER_LISTEN_PORT", "9001", "but not 9001"),
        ("FORWARDER_OTLP_LISTEN", "localhost", "a whole number from 1 to 65535, but not 9001"),
        ("FORWARDER_OTLP_LISTEN", "0", "a whole number from 1 to 65535, but not 9001"),
        ("FORWARDER_LOG_LEVEL", "LOUD", "one of DEBUG, INFO, WARN, ERROR"),
    ],
)
def test_a_bad_value_is_named_with_what_was_expected(name: str, value: str, expected: str) -> None:
    """A problem names the variable, shows the value, and says what would have been right."""
    [problem, *_] = problems(**{name: value})
    assert problem.startswith(f"{name} is {value!r}; expected ")
    assert expected in problem


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("FORWARDER_SINKS", "gopher://x", "sink 1 of FORWARDER_SINKS: expected a sink URL that begins with one of"),
        ("FORWARDER_SINKS", "file:///a b", "sink 2 of FORWARDER_SINKS: expected a sink URL that begins with one of"),
        ("FORWARDER_SINKS", "https://[::1", "sink 1 of FORWARDER_SINKS: expected a URL"),
        ("FORWARDER_SINKS", "https://h:99999/", "sink 1 of FORWARDER_SINKS: expected a URL"),
        (
            "FORWARDER_SINKS",
            "file:///a file:///a",
            "sink 2 of FORWARDER_SINKS is sink 1 again; expected each sink once",
        ),
        ("FORWARDER_SINKS", "file:///a?types=logs", "sink 1 of FORWARDER_SINKS, types=: expected some of platform"),
        ("FORWARDER_SINKS", "file:///a?types=", "sink 1 of FORWARDER_SINKS, types=: expected some of platform"),
        ("FORWARDER_SINKS", "file:///a?types=%2C", "sink 1 of FORWARDER_SINKS, types=: expected some of platform"),
        ("FORWARDER_SINKS", "https://h?headers=NOT_SET", "sink 1 of FORWARDER_SINKS, headers=: expected the name of a"),
        ("FORWARDER_FALLBACK", "gopher://x", "FORWARDER_FALLBACK: expected a sink URL that begins with one of"),
        ("FORWARDER_FALLBACK", "file:///a file:///b", "FORWARDER_FALLBACK has 2 words; expected a single sink URL"),
    ],
)
def test_a_bad_url_is_named_by_its_place(name: str, value: str, problem: str) -> None:
    """A problem with a URL says which of them it is, and what would have been right."""
    assert problems(**{name: value})[0].startswith(problem)


def test_a_name_that_is_no_setting_is_refused() -> None:
    """A typo in a name does not go unnoticed, and the right names are shown."""
    [problem] = problems(FORWARDER_SINK="file:///a")
    assert problem.startswith("FORWARDER_SINK is not a setting; the settings are ")
    assert "FORWARDER_SINKS" in problem


def test_all_problems_come_at_once() -> None:
    """Several mistakes are several problems of one error, those inside a sink among them."""
    found = problems(
        FORWARDER_SINKS="file:///a?colour=red https:///nohost", FORWARDER_FLUSH="often", FORWARDER_TYPO="1"
    )
    assert len(found) == 4
    assert any("unknown parameter, number 1 of the query; expected exclude, " in problem for problem in found)
    assert any("expected https://host/path" in problem for problem in found)


def test_long_buffering_cannot_be_held_for() -> None:
    """An invocation would be held, and billed, for as long as the platform buffers; both variables are named."""
    [problem] = problems(FORWARDER_FLUSH="invocation", FORWARDER_BUFFER_TIMEOUT_MS="101")
    assert problem.startswith("FORWARDER_BUFFER_TIMEOUT_MS is '101'; expected ")
    assert "FORWARDER_FLUSH" in problem
    assert parse({"FORWARDER_FLUSH": "invocation", "FORWARDER_BUFFER_TIMEOUT_MS": "100"}).buffer_timeout_ms == 100
    assert parse({"FORWARDER_FLUSH": "adaptive", "FORWARDER_BUFFER_TIMEOUT_MS": "101"}).buffer_timeout_ms == 101


def test_health_is_told_where_it_is_asked_for() -> None:
    """A sink of its own, one of the others, the fallback or the log; the first is one more sink to be opened."""
    base = {"FORWARDER_SINKS": "file:///a", "FORWARDER_FALLBACK": "file:///b"}
    told = {
        value: parse({**base, "FORWARDER_HEALTH": value}) for value in ("file:///c", "file:///a", "fallback", "EMF")
    }
    paths = {value: (config.health and config.health.path, len(config.urls)) for value, config in told.items()}
    assert paths == {"file:///c": ("/c", 3), "file:///a": ("/a", 2), "fallback": ("/b", 2), "EMF": (None, 2)}
    assert [value for value, config in told.items() if config.emf] == ["EMF"]


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("fallback", "FORWARDER_HEALTH is 'fallback'; expected FORWARDER_FALLBACK to be set as well"),
        ("file:///a file:///b", "FORWARDER_HEALTH has 2 words; expected a single sink URL"),
        ("cloudwatch", "FORWARDER_HEALTH: expected emf, fallback or a sink URL"),
        ("otlp+https://h?signals=traces", "FORWARDER_HEALTH: expected a sink that takes logs, for FORWARDER_HEALTH"),
    ],
)
def test_a_bad_place_for_health_is_told(value: str, problem: str) -> None:
    """What health cannot be told to is a problem, and nothing is told there then."""
    assert problems(FORWARDER_HEALTH=value)[0].startswith(problem)
    assert health_alone({"FORWARDER_HEALTH": value}) == (None, False)


@pytest.mark.parametrize("rule", ["types=function", "min_level=LOUD", "include=a", "exclude=(", "sample=0.1"])
def test_a_sink_for_health_alone_has_no_rules(rule: str) -> None:
    """They would have no effect on the one kind of records that it gets."""
    [problem] = problems(FORWARDER_SINKS="file:///a", FORWARDER_HEALTH=f"file:///b?{rule}")
    name = rule.partition("=")[0]
    assert problem == f"FORWARDER_HEALTH: expected no {name}=; it gets nothing but records forwarder.health"


def test_a_sink_that_is_told_of_health_as_well_has_its_rules() -> None:
    """Its URL may be there twice as it is."""
    url = "file:///a?types=function&min_level=WARN&sample=0.1"
    assert len(parse({"FORWARDER_SINKS": url, "FORWARDER_HEALTH": url}).urls) == 1


def test_health_is_found_among_mistakes() -> None:
    """Where other settings are wrong, a good FORWARDER_HEALTH still holds, with the fallback if that is good."""
    wrong = {"FORWARDER_SINKS": "gopher://x", "FORWARDER_FLUSH": "often"}
    assert health_alone({**wrong, "FORWARDER_HEALTH": "emf"}) == (None, True)
    target, _ = health_alone({**wrong, "FORWARDER_HEALTH": "fallback", "FORWARDER_FALLBACK": "file:///b"})
    assert target is not None
    assert target.path == "/b"
    assert health_alone({**wrong, "FORWARDER_HEALTH": "fallback", "FORWARDER_FALLBACK": "gopher://b"}) == (None, False)


def test_what_is_exported_needs_a_sink_that_takes_it() -> None:
    """To listen for OTLP without a sink that speaks it would be to drop all that comes."""
    [problem] = problems(FORWARDER_OTLP_LISTEN="4318", FORWARDER_SINKS="https://host/path file:///tmp/out")
    assert problem.startswith("FORWARDER_OTLP_LISTEN is set, but no sink takes what comes there; expected one of otlp+")
    found = parse({"FORWARDER_OTLP_LISTEN": "4318", "FORWARDER_SINKS": "https://host/path otlp+http://host"})
    assert found.otlp_listen == 4318


def test_what_is_exported_has_a_port_of_its_own() -> None:
    """On one port the platform's listener would get what programs export; off, or on two ports, both are good."""
    setting = {"FORWARDER_SINKS": "otlp+https://host", "FORWARDER_OTLP_LISTEN": "4318"}
    [problem] = problems(**setting, FORWARDER_LISTEN_PORT="4318")
    assert problem == "FORWARDER_LISTEN_PORT is '4318', the port of FORWARDER_OTLP_LISTEN as well; expected two ports"
    assert parse({**setting, "FORWARDER_LISTEN_PORT": "4319"}).listen_port == 4319
    assert parse({"FORWARDER_SINKS": "otlp+https://host", "FORWARDER_LISTEN_PORT": "0"}).otlp_listen == 0


def test_other_peoples_variables_are_not_ours() -> None:
    """Only the prefix FORWARDER_ is looked at."""
    assert parse({"FORWARDERS": "x", "FOO": "y", "MY_FORWARDER_X": "z"}).sinks == ()


@pytest.mark.parametrize(
    ("memory", "queue"), [("128", 8 << 20), ("64", 4 << 20), ("512", 32 << 20), ("10240", 64 << 20), ("", 8 << 20)]
)
def test_the_queue_follows_the_functions_memory(memory: str, queue: int) -> None:
    """A sixteenth of the function's memory, between 4 and 64 MiB."""
    assert parse({"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": memory}).queue_bytes == queue


def test_headers_are_lines_and_a_sink_may_have_its_own() -> None:
    """FORWARDER_HEADERS is for all sinks that do not name another variable."""
    config = parse(
        {
            "FORWARDER_HEADERS": "Api-Key: abc\nX-Scope: a:b",
            "OTHER": "Authorization: Bearer x",
            "FORWARDER_SINKS": "https://one.example/ https://two.example/?headers=OTHER",
        }
    )
    assert [target.headers for target in config.sinks] == [
        (("Api-Key", "abc"), ("X-Scope", "a:b")),
        (("Authorization", "Bearer x"),),
    ]


@pytest.mark.parametrize("value", ["s3cr3t", "Api Key: s3cr3t", "Api-Key:", "Api-Key: s3cr3t\u20ac"])
def test_a_bad_header_is_not_shown(value: str) -> None:
    """What stands where a header should be is most likely a secret: it is named by its line."""
    [problem] = problems(FORWARDER_HEADERS=f"X: y\n\n{value}", FORWARDER_SINKS="https://one.example/")
    assert problem == "line 3 of FORWARDER_HEADERS is no header; expected `Name: value`"


def test_the_name_of_a_variable_of_headers_is_not_shown() -> None:
    """What headers= names is in no message, in the list of all settings neither."""
    variables = {"FORWARDER_SINKS": "https://h?headers=s3cr3t", "s3cr3t": "x", "FORWARDER_TYPO": ""}
    typo, line = sorted(problems(**variables))
    assert "s3cr3t" not in typo + line
    assert line.startswith("line 1 of the variable that headers= of sink 1 of FORWARDER_SINKS names is no header")


NO_HOSTS = ["a..b", ".a.b", "a.b..", f"{'a' * 64}.com", f"com.{'a' * 64}:443", "."]
HOSTS = ["a.b.", f"{'a' * 63}.com", "a_b.c-d:443", "10.0.0.1", "[2001:db8::5]:4318"]


@pytest.mark.parametrize("url", ["http://:8080/", "https://h/\u00fc", *(f"http://{host}" for host in NO_HOSTS)])
def test_an_http_url_that_no_request_can_be_made_of(url: str) -> None:
    """It is refused at once, instead of failing with each batch for ever."""
    urls = parse({"FORWARDER_SINKS": url}).sinks
    [problem] = wait_opened(urls, start_opening(urls), time.monotonic() + 10)
    assert "expected https://host/path" in problem


@pytest.mark.parametrize("host", HOSTS)
def test_a_host_that_may_be_is_taken(host: str) -> None:
    """A label has 63 characters at most, and a dot may end the last (RFC 1035, sections 2.3.4 and 3.1)."""
    urls = parse({"FORWARDER_SINKS": f"http://{host}/"}).sinks
    assert wait_opened(urls, start_opening(urls), time.monotonic() + 10) == []


def test_a_queue_has_a_longer_name_than_any_host() -> None:
    """A name of AWS's in the place of a host is bound by AWS's rules alone."""
    urls = parse({"FORWARDER_SINKS": f"sqs://{'q' * 80}?region=eu-west-1"}).sinks
    assert wait_opened(urls, start_opening(urls), time.monotonic() + 10) == []


def test_a_password_in_a_url_is_refused() -> None:
    """Credentials belong into headers, as the message says; tests/test_secrets.py has what it must not say."""
    [problem] = problems(FORWARDER_SINKS="https://user:s3cr3t@host.example/path")
    assert problem.startswith("sink 1 of FORWARDER_SINKS: expected a URL without user, password")
    assert "FORWARDER_HEADERS" in problem


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("s3://bucket/prefix", "s3://bucket"),
        ("https://h:8443/receiver/v1/http/token?types=function", "https://h:8443"),
        ("http://[::1]:8080/x", "http://[::1]:8080"),
        ("logs://%2Fgroup", "logs://"),
        (f"kinesis://{'s' * 128}", f"kinesis://{'s' * 128}"),
        ("file:///tmp/x", "file://"),
    ],
)
def test_a_sink_is_called_by_scheme_and_host(url: str, name: str) -> None:
    """What log and ledger call a sink is nothing that could be a secret."""
    [target] = parse({"FORWARDER_SINKS": url}).sinks
    assert target.name == name


@pytest.mark.parametrize(
    "value",
    [
        "s3://b/a,firehose://s",
        "s3://b/a, firehose://s",
        "s3://b/a ,firehose://s",
        "https://h/a;https://h/b",
        "https://h/a,https://h/b",
        "s3://b/a,",
        "file:///a,FILE:///b",
    ],
)
def test_a_comma_separates_no_sinks(value: str) -> None:
    """Who separates sinks as most lists are is told what does separate them."""
    found = problems(FORWARDER_SINKS=value)
    assert [problem for problem in found if "white space" in problem] == found[:1]


def test_a_comma_may_be_in_a_path() -> None:
    """A comma that no scheme follows is one character of a path as others are."""
    [target] = parse({"FORWARDER_SINKS": "https://h/a,b"}).sinks
    assert target.path == "/a,b"


@pytest.mark.parametrize("fallback", ["s3://b/p", "s3://b/p?types=function", "S3://b/p"])
def test_a_sink_cannot_be_its_own_fallback(fallback: str) -> None:
    """A fallback that is also a sink is refused, with the number of that sink."""
    [problem, *_] = problems(FORWARDER_SINKS="file:///a s3://b/p", FORWARDER_FALLBACK=fallback)
    assert problem == "FORWARDER_FALLBACK is sink 2 of FORWARDER_SINKS again; expected another sink"


def test_a_fallback_may_differ_in_anything() -> None:
    """Another path, or another region, makes another destination."""
    for fallback in ("s3://b/q", "s3://b/p?region=eu-west-3", "s3://c/p"):
        assert parse({"FORWARDER_SINKS": "s3://b/p", "FORWARDER_FALLBACK": fallback}).fallback is not None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://h/p", "https://h/p?compression=none"),
        ("https://h/p?ca=/opt/ca.pem", "https://h/p"),
        ("https://h/p", "https://H/p"),
        ("https://h", "https://h/"),
        ("https://h/p", "https://h:443/p"),
        ("http://h:80", "http://h/"),
        ("http://[::1]:80", "http://[::1]"),
        ("otlp+https://h", "otlp+https://h:443/?encoding=json"),
        ("otlp+https://h", "otlp+https://h?temporality=cumulative&invoke_span=no&resource=complete"),
        ("loki+http://h/tenant", "loki+http://h/tenant/"),
        ("s3://b/p", "s3://b/p/?storage_class=GLACIER_IR&compression=none&acl=private"),
        ("sqs://q", "sqs://q?pack=true"),
        ("kinesis://s", "kinesis://s?partition_key=record"),
    ],
)
def test_a_url_that_is_written_otherwise_is_the_same_destination(one: str, other: str) -> None:
    """Where records go counts, and not how they go there, nor what a URL need not say."""
    assert sink_url.is_same(sink_url.take_apart(one, ""), sink_url.take_apart(other, ""))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("kinesis://orders", "kinesis://Orders"),
        ("sqs://orders", "sqs://Orders"),
        ("https://h/p", "http://h/p"),
        ("https://h/p", "https://h/p/"),
        ("https://h/p", "https://h/P"),
        ("https://h", "https://h:80"),
        ("https://h/p?pack=a", "https://h/p?pack=b"),
        ("https://h/p?encoding=a", "https://h/p?encoding=b"),
        ("splunk+https://h?acl=a", "splunk+https://h?acl=b"),
        ("https://h/p?headers=A", "https://h/p?headers=B"),
        ("otlp+https://h?signals=logs", "otlp+https://h?signals=traces"),
        ("kinesis://s", "kinesis://s?region=eu-west-3"),
        ("s3://b", "s3://b?role=arn:aws:iam::123456789012:role/r"),
        ("file:///a", "file:///A"),
    ],
)
def test_a_url_of_another_place_is_another_destination(one: str, other: str) -> None:
    """Names of AWS's and paths differ by case, and a parameter of an intake's own is the intake's."""
    assert not sink_url.is_same(sink_url.take_apart(one, ""), sink_url.take_apart(other, ""))


@pytest.mark.parametrize(
    ("text", "kinds", "unwanted"),
    [
        ("function", ("function",), ()),
        (
            "platform,Function,-platform.start, -platform.runtimeDone",
            ("platform", "function"),
            ("start", "runtimeDone"),
        ),
        ("-platform.fault", ("platform", "function", "extension"), ("fault",)),
        ("-platform.REPORT,function", ("function",), ("report",)),
    ],
)
def test_types_of_the_platform_by_name(text: str, kinds: tuple[str, ...], unwanted: tuple[str, ...]) -> None:
    """A name with a minus leaves out that type, of what the other words name or else of all."""
    config = parse({"FORWARDER_TYPES": text, "FORWARDER_SINKS": f"file:///a?types={quote(text)}"})
    names = tuple(f"platform.{name}" for name in unwanted)
    assert (config.types, config.unwanted_types) == (kinds, names)
    assert (config.sinks[0].types, config.sinks[0].unwanted_types) == (kinds, names)


def test_only_some_types_of_the_platform() -> None:
    """Named without a minus, a type of the platform is wanted, and no other that is known."""
    config = parse({"FORWARDER_TYPES": "function,platform.report"})
    assert config.types == ("platform", "function")
    assert set(PLATFORM_TYPES) - set(config.unwanted_types) == {"platform.report"}


@pytest.mark.parametrize(
    "text", ["-function", "-platform", "platform.strat", "-platform.strat", "--platform.start", "-"]
)
def test_types_that_are_none(text: str) -> None:
    """A type that is not known is refused: it would be a typo."""
    [problem] = problems(FORWARDER_TYPES=text)
    assert problem.startswith(f"FORWARDER_TYPES is '{text}'; expected some of platform, function, extension")


@pytest.mark.parametrize(
    ("variables", "problem"),
    [
        ({"MIN_LEVEL": "LOUD"}, f"FORWARDER_MIN_LEVEL: {A_LEVEL}"),
        ({"MIN_LEVEL": "platform=WARN"}, f"FORWARDER_MIN_LEVEL: {A_LEVEL}"),
        ({"MIN_LEVEL": "WARN,ERROR"}, f"FORWARDER_MIN_LEVEL: {A_LEVEL}"),
        ({"EXCLUDE": "a\n\ns3cret("}, "FORWARDER_EXCLUDE, line 3: expected an expression of RE2 (missing ))"),
        ({"EXCLUDE": "\n\ns3cret("}, "FORWARDER_EXCLUDE, line 3: expected an expression of RE2 (missing ))"),
        ({"INCLUDE": "s3cret{1000}{9}"}, "FORWARDER_INCLUDE, line 1: expected an expression of RE2 (bad repetition"),
        ({"INCLUDE": "a\n\\pL{999}"}, "FORWARDER_INCLUDE, line 2: expected a smaller one"),
        ({"EXCLUDE": "level=s3cret|b"}, f"FORWARDER_EXCLUDE, line 1: {A_FIELD}"),
        (
            {"EXCLUDE": "a\n" * 51},
            "FORWARDER_EXCLUDE: expected an expression or a field=value a line, 50 lines at most",
        ),
        ({"SINKS": "file:///a?exclude=a%0As3cret("}, "sink 1 of FORWARDER_SINKS, exclude=, line 2: expected an expr"),
        ({"SINKS": "file:///a?include="}, "sink 1 of FORWARDER_SINKS, include=: expected an expression or a field"),
        ({"SINKS": "file:///a?min_level=s3cret"}, f"sink 1 of FORWARDER_SINKS, min_level=: {A_LEVEL}"),
    ],
)
def test_rules_that_are_none(variables: dict[str, str], problem: str) -> None:
    """A rule that cannot be is one problem, which names the place and the line, and quotes nothing."""
    config = parse({f"FORWARDER_{name}": value for name, value in variables.items()})
    with pytest.raises(ConfigError) as caught:
        read_rules(config)
    [found] = caught.value.problems
    assert found.startswith(problem)
    assert "s3cret" not in found


def test_rules_are_read_where_anything_else_is_wrong() -> None:
    """All mistakes come at once, those in rules among them."""
    found = problems(FORWARDER_EXCLUDE="(", FORWARDER_MIN_LEVEL="LOUD", FORWARDER_FLUSH="often")
    assert [problem.split(" ")[0].strip(",:") for problem in found] == [
        "FORWARDER_FLUSH",
        "FORWARDER_MIN_LEVEL",
        "FORWARDER_EXCLUDE",
    ]


def test_the_fallback_has_no_rules() -> None:
    """What sinks hand off comes to the fallback, so a rule there is an error."""
    [problem] = problems(FORWARDER_FALLBACK="file:///a?include=a")
    assert problem.startswith("FORWARDER_FALLBACK: expected none of min_level=, include=, exclude=")


def test_a_sink_with_rules_is_the_same_destination() -> None:
    """A fallback that is also a sink is refused, whatever rules the sink has."""
    [problem, *_] = problems(FORWARDER_SINKS="s3://b/p?min_level=WARN", FORWARDER_FALLBACK="s3://b/p")
    assert problem.endswith("is sink 1 of FORWARDER_SINKS again; expected another sink")


def test_redaction_and_unredacted_exports() -> None:
    """Exported traces and metrics, which are not redacted, need a word of consent beside redaction."""
    together = {"FORWARDER_SINKS": "otlp+https://host", "FORWARDER_OTLP_LISTEN": "4318", "FORWARDER_REDACT": "email"}
    [problem] = problems(**together)
    assert problem.startswith("FORWARDER_OTLP_LISTEN is set, but of what comes there logs alone are redacted")
    assert parse({**together, "FORWARDER_OTLP_UNREDACTED": "1"}).otlp_unredacted


@pytest.mark.parametrize("text", ["${secretsmanger:a}", "${SSM:/p}", "${ssm.p}", "${vault:x}", "${ssm:/p} ${sm:/q}"])
def test_what_looks_like_a_reference_must_be_one(text: str) -> None:
    """A typo is told by its place, and never sent as the token that it should have become."""
    for place, variables in (
        ("sink 1 of FORWARDER_SINKS", {"FORWARDER_SINKS": f"https://host/x?token={text.replace(' ', '')}"}),
        ("FORWARDER_HEADERS", {"FORWARDER_SINKS": "https://host", "FORWARDER_HEADERS": f"A: {text}"}),
    ):
        expected = f"{place}: expected ${{secretsmanager:NAME#key}} or ${{ssm:NAME}}, without white space"
        assert problems(**variables) == [expected]


@pytest.mark.parametrize("name", ["exclude", "include", "min_level", "types", "sample"])
@pytest.mark.parametrize("value", ["${ssm:/x}", "a${secretsmanager:b}", "${ssm:/x}${ssm:/y}"])
def test_what_a_sink_gets_is_in_no_secret(name: str, value: str) -> None:
    """Rules hold from the first record on, when no secret is there; what stood in for one would be the rule."""
    found = problems(FORWARDER_SINKS=f"https://host/${{ssm:/token}}?a=${{ssm:/b}}&{name}={value}")
    assert found == [f"sink 1 of FORWARDER_SINKS, {name}=: refers to a secret; expected plain text"]

from __future__ import annotations

import itertools
import json
import math
import re
import uuid
from random import Random
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from extension import field_paths, redaction
from extension.intake.decoder import Decoder
from extension.pipeline import redact_exports
from extension.pipeline.correlate import Correlate
from extension.pipeline.pipeline import Pipeline
from extension.pipeline.redact import Redact
from extension.pipeline.redactor import MAX_S, Redactor, Unreadable
from extension.presets import PRESETS
from tests.support.exports import logs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from extension.pipeline.redact_exports import Redacted
    from extension.records import Record

TIME = "2026-11-21T03:53:22.117Z"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
SECRETS = [
    "anna@example.com",
    "4111111111111111",
    "5105-1051-0510-5100",
    JWT,
    "AKIAIOSFODNN7EXAMPLE",
    "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "hunter-31337",
]
OWN = [(1, r"hunter-\d+"), (2, r"^[pq]{40}$")]
EVERYTHING = Redactor(PRESETS, OWN, field_paths.parse("user.password"))
PRESETS_ALONE = Redactor(PRESETS, [], [])


class Run:
    """A pipeline that redacts, fed with lines."""

    def __init__(
        self, redactor: Redactor = EVERYTHING, steps: Callable[[Redact], list[Any]] = lambda step: [step]
    ) -> None:
        self.redact = Redact(redactor)
        self.pipeline = Pipeline(Correlate(in_order=True), steps(self.redact), itertools.count())
        self.pipeline.identify({"functionName": "orders"}, "e1")

    def feed(self, *lines: bytes) -> list[Record]:
        decoder = Decoder()
        return self.pipeline([decoded for line in lines for decoded in decoder.feed(line + b"\n")])

    def one(self, line: bytes) -> Any:
        """What has become of a line, which the ledger still has as one."""
        [record] = self.feed(line)
        assert b"\n" not in record.line
        return orjson.loads(record.line)

    def content(self, content: object) -> Any:
        return self.one(line(content))["record"]


def line(content: object, type_: str = "function") -> bytes:
    return orjson.dumps({"time": TIME, "type": type_, "record": content})


# Whatever is planted, wherever and however it is written


def written(draw: st.DrawFn, value: object) -> str:
    """JSON of a value, each character of its strings written in one of the ways that JSON has for it."""
    if isinstance(value, dict):
        members = [f"{written(draw, name)}:{written(draw, member)}" for name, member in value.items()]
        return "{" + ",".join(members) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(written(draw, member) for member in value) + "]"
    if not isinstance(value, str):
        return json.dumps(value)
    rate = draw(st.sampled_from([0.0, 0.1, 1.0]))
    choose = Random(draw(st.integers(0, 9)))  # noqa: S311 - how a test writes JSON
    return '"' + "".join(character(one, choose.random() < rate, choose) for one in value) + '"'


def character(one: str, escaped: bool, choose: Random) -> str:
    if one == "/" and escaped and choose.random() < 0.5:
        return "\\/"
    if escaped and ord(one) < 0x10000:
        return choose.choice(["\\u%04x", "\\u%04X"]) % ord(one)
    return json.dumps(one, ensure_ascii=False)[1:-1]


LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=6
)


@st.composite
def planted(draw: st.DrawFn) -> tuple[bytes, str]:
    """A line with a secret somewhere in it, and the secret."""
    secret = draw(st.sampled_from(SECRETS))
    before, after = draw(st.tuples(st.text(max_size=5), st.text(max_size=5)))
    gap = draw(st.sampled_from([" ", "\n", '"', "\t", " (", "; "]))
    value: Any = f"{before}{gap}{secret}{gap.strip() or ' '}{after}"
    for _ in range(draw(st.integers(0, 5))):
        beside = draw(VALUES)
        match draw(st.integers(0, 4)):
            case 0:
                value = {draw(st.text()): beside, draw(st.text()): value}
            case 1:
                value = [beside, value]
            case 2 if isinstance(value, str):
                value = {value: beside}
            case 3:
                value = written(draw, value)
            case 4:
                value = f"{draw(st.text())} {written(draw, value)}"
    return f'{{"time":"{TIME}","type":"function","record":{written(draw, value)}}}'.encode(), secret


def readings(text: str) -> Iterator[str]:
    """A text, and what it says with its escapes undone, level by level."""
    yield text
    while (plain := re.sub(r'\\(?:u([0-9A-Fa-f]{4})|(["\\/]))', said, text)) != text:
        text = plain
        yield text


def said(escape: re.Match[str]) -> str:
    return escape[2] or chr(int(escape[1], 16))


@given(planted())
def test_a_secret_is_in_nothing_that_leaves(case: tuple[bytes, str]) -> None:
    """Planted in any name or value, in JSON within JSON, escaped in any way, it is in no reading of the line."""
    line, secret = case
    run = Run()
    [record] = run.feed(line)
    orjson.loads(record.line)
    assert [text for text in readings(record.line.decode()) if secret in text] == []
    assert (run.redact.redacted, run.redact.withheld) == (1, {})


@given(planted())
def test_what_is_redacted_stays_as_it_is(case: tuple[bytes, str]) -> None:
    """A line that was redacted once is not changed by being redacted again."""
    once, count = EVERYTHING.line(case[0])
    assert count > 0
    assert EVERYTHING.line(once) == (once, 0)


@given(planted())
def test_what_is_cleared_at_a_glance_has_nothing_in_it(case: tuple[bytes, str]) -> None:
    """Of no line with a secret does the first look say that there is none, with expressions and without."""
    for redactor in (EVERYTHING, PRESETS_ALONE):
        count = redactor.line(case[0])[1]
        assert redactor.suspects(case[0]) or not count


@given(VALUES, st.sampled_from([EVERYTHING, PRESETS_ALONE]))
def test_what_has_no_secret_is_kept_byte_for_byte(content: object, redactor: Redactor) -> None:
    """A line in which nothing is found is the line that came, whatever it is."""
    text = json.dumps({"time": TIME, "type": "function", "record": content}, indent=1).encode()
    assert redactor.line(text) == (text, 0)


def test_around_a_secret_every_byte_is_kept() -> None:
    """Numbers of any size, names that come twice, white space and escapes stay as they came beside what is replaced."""
    came = (
        b'{ "time":"%b", "type":"function","record": {"n":1.0,"n":1e400,"big":123456789012345678901234567890,'
        b'"u":"\\u00e9\\/","mail":"a@example.com", "half":"\\ud800", "t":[true , null]},"new":[1e3]}' % TIME.encode()
    )
    left, count = EVERYTHING.line(came)
    assert (left, count) == (came.replace(b"a@example.com", b"[redacted:email]"), 1)


# What presets, expressions and fields find


@pytest.mark.parametrize(
    ("came", "left"),
    [
        ({"card": 4111111111111111}, {"card": "[redacted:card]"}),
        ({"card": 4.111111111111111e15}, {"card": "[redacted:card]"}),
        ("4111 1111 1111 1111", "[redacted:card]"),
        ("4111 1111 1111 1112", "4111 1111 1111 1112"),
        ("0.4111111111111111", "0.4111111111111111"),
        ("id_4111111111111111", "id_4111111111111111"),
        ("12 4111 1111 1111 1111 12/27 123", "12 [redacted:card] 12/27 123"),
        ("4111 1111 1111 1111 123", "[redacted:card] 123"),
        ("4111-1111-1111-1111-123", "[redacted:card]-123"),
        ("4111 1111 1111 1111 200 OK", "[redacted:card] 200 OK"),
        ("by 5500 0000 0000 0004 737, 12/27", "by [redacted:card] 737, 12/27"),
        ("6200 0000 0000 0000 000", "[redacted:card]"),
        ("4111 1111 1111 1112 123", "4111 1111 1111 1112 123"),
        (
            {"headers": {"Authorization": "Basic dXNlcjpwYXNz"}},
            {"headers": {"Authorization": "Basic [redacted:bearer]"}},
        ),
        ({"Authorization": ["token abcdef0123456789"]}, {"Authorization": ["token [redacted:bearer]"]}),
        ({"authorizationToken": "abcdef0123456789"}, {"authorizationToken": "[redacted:bearer]"}),
        ("GET /?X-Amz-Signature=" + "0f" * 32, "GET /?X-Amz-Signature=[redacted:bearer]"),
        ("a Bearer of news", "a Bearer of news"),
        ("with Bearer 12|laravel_sanctum_0aBcDe, sent", "with Bearer [redacted:bearer], sent"),
        ("Authorization: Api-Key abc:def:ghi12345 (ok)", "Authorization: Api-Key [redacted:bearer] (ok)"),
        ("(Authorization: Bearer abc0123456789)", "(Authorization: Bearer [redacted:bearer])"),
        ("GET /?authorization=Bearer+ab|0123456&next=1", "GET /?authorization=Bearer+[redacted:bearer]&next=1"),
        ('"HTTP_AUTHORIZATION"=>"Basic dXNlcjpwYXNz"', '"HTTP_AUTHORIZATION"=>"Basic [redacted:bearer]"'),
        ("Authorization: 12|laravel_sanctum_0aBcDe", "Authorization: [redacted:bearer]"),
        ('Authorization: Token token="s3cr3t", nonce=x 1', "Authorization: Token [redacted:bearer] 1"),
        (
            '-H \'Authorization: Digest username="bob", realm="a, b", response="0f1e"\' https://h',
            "-H 'Authorization: Digest [redacted:bearer]' https://h",
        ),
        (
            'said {"authorization":"OAuth oauth_consumer_key=\\"k\\", oauth_token=\\"t\\"","host":"h"}',
            'said {"authorization":"OAuth [redacted:bearer]","host":"h"}',
        ),
        ('Authorization: Digest username="bob", response="0f1', "Authorization: Digest [redacted:bearer]"),
        (
            "Authorization: AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host;range, Signature=0f1e\nHost: h",
            "Authorization: AWS4-HMAC-SHA256 [redacted:bearer]\nHost: h",
        ),
        (
            "-H 'Authorization: token YWJjZGU=' -H 'Accept: x'",
            "-H 'Authorization: token [redacted:bearer]' -H 'Accept: x'",
        ),
        ("[ 'Authorization', 'Basic dXNlcjpwYXNz' ]", "[ 'Authorization', 'Basic [redacted:bearer]' ]"),
        ("[(b'authorization', b'Basic dXNlcjpwYXNz')]", "[(b'authorization', b'Basic [redacted:bearer]')]"),
        ("{'Authorization': b'Basic dXNlcjpwYXNz'}", "{'Authorization': b'Basic [redacted:bearer]'}"),
        ("['authorization', 'token expired']", "['authorization', 'token [redacted:bearer]']"),
        ("authorization, token expired", "authorization, token expired"),
        ("('authorization', 'scope')", "('authorization', 'scope')"),
        ("Authorization: Bearer +abc0123", "Authorization: Bearer [redacted:bearer]"),
        ("Token expired", "Token expired"),
        ("basic auth failed", "basic auth failed"),
        ("Authorization: none", "Authorization: none"),
        ("Authorization: none\nX-Id:0123456789abcdef", "Authorization: none\nX-Id:0123456789abcdef"),
        ("Authorization: Bearer\nHost: example", "Authorization: Bearer\nHost: example"),
        (
            "Authorization: Digest " + ",".join(f'a{n}="s{n}"' for n in range(40)) + " and so on\nx",
            "Authorization: Digest [redacted:bearer]\nx",
        ),
        ("Authorization: Basic\r\n dXNlcjpwYXNz", "Authorization: Basic\r\n [redacted:bearer]"),
        ("Authorization: Basic\nwhatever", "Authorization: Basic\nwhatever"),
        ("authorization: https://login.example.com/v2/", "authorization: https://login.example.com/v2/"),
        ("WWW-Authenticate: Bearer realm=example1", "WWW-Authenticate: Bearer realm=example1"),
        (
            "&X-Amz-Security-Token=IQoJb3JpZ2lu" + "aB3%2F%2F" * 20 + "%3D&x=1",
            "&X-Amz-Security-Token=[redacted:aws-key]&x=1",
        ),
        ("mail=anna%40example.com&x=1", "mail=[redacted:email]&x=1"),
        ("token " + "IQoJb3JpZ2lu" + "aB3/" * 60 + "==", "token [redacted:aws-key]"),
        ("on 127.0.0.1:80 and 0.0.0.0", "on 127.0.0.1:80 and 0.0.0.0"),
        ("from 10.0.0.7:443, version 10.0.0.7", "from [redacted:ipv4]:443, version 10.0.0.7"),
        ("p" * 40, "[redacted:expression-2]"),
        ({"p" * 40: "q" * 41}, {"[redacted:expression-2]": "q" * 41}),
        ('{"x":"%s"}' % ("q" * 40), '{"x":"[redacted:expression-2]"}'),
    ],
    ids=str,
)
def test_what_is_found(came: object, left: object) -> None:
    """Presets and expressions replace what they are about, in text and in JSON, and not what is like it."""
    assert Run().content(came) == left


@pytest.mark.parametrize("expression", ["^hunter2$", r"\Ahunter2\z", "hunter2"])
@pytest.mark.parametrize(
    "came", ['{"x":"%s"}', '{"x": %s}', {"x": "%s"}, {"%s": 1}, "%s", {"x": '{"y":"%s"}'}, "a\n%s"]
)
def test_an_expression_meets_each_string_alone(expression: str, came: object) -> None:
    """Its anchors are the ends of a string, whatever stands around that, and at a glance no less is found."""
    secret = "31337" if came == '{"x": %s}' else "hunter2"
    text = line(came).replace(b"%s", secret.encode())
    redactor = Redactor([], [(1, expression.replace("hunter2", secret))], [])
    count = redactor.line(text)[1]
    assert redactor.suspects(text) or not count
    assert count == int(came != "a\n%s" or expression == "hunter2")


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("expression", ["cust-[0-9]{8}$", "^cust-[0-9]{8}$", r"cust-[0-9]{8}\z", r"cust-[0-9]{8}\s"])
@pytest.mark.parametrize("came", ["%s", {"m": "%s"}, '{"m":"%s"}', '{"m": "x"} %s', {"x": '{"y":"%s"}'}])
def test_a_line_break_at_its_end_is_no_part_of_a_string(came: object, expression: str, end: str) -> None:
    """What ends a printed line stands behind its end; an expression that is about the line break finds that too."""
    text = line(came).replace(b"%s", json.dumps(f"cust-12345678{end}")[1:-1].encode())
    redactor = Redactor([], [(1, expression)], [])
    count = redactor.line(text)[1]
    assert count == int(expression[0] != "^" or came != '{"m": "x"} %s')
    assert redactor.suspects(text) or not count


@pytest.mark.parametrize("came", ['{"n":12345678\r\n}', '{"n":"12345678\r\n"}'])
def test_line_breaks_of_windows_hide_nothing(came: str) -> None:
    """Behind a number in a text that is JSON, or in a string that has them as they are, its end is found."""
    redactor = Redactor([], [(1, "^[0-9]{8}$")], [])
    assert "12345678" not in Run(redactor).content(came)


@pytest.mark.parametrize(
    "name",
    [
        "authorization",
        "Proxy-Authorization",
        "authorizationToken",
        "HTTP_AUTHORIZATION",
        "http.request.header.authorization",
        "authorization_token",
        "proxyAuthorization",
        "headers.authorization",
    ],
)
@pytest.mark.parametrize(
    ("came", "left"),
    [
        ("Bearer 12|laravel_sanctum_0aBcDe", "Bearer *"),
        ('Token token="s3cr3t", nonce="x"', "Token *"),
        ('OAuth oauth_consumer_key="k", oauth_token="t"', "OAuth *"),
        ('Digest username="bob", response="0f1e"', "Digest *"),
        ("Api-Key abc:def:ghi12345", "Api-Key *"),
        ("AWS4-HMAC-SHA256 Credential=a/b, Signature=0f", "AWS4-HMAC-SHA256 *"),
        ("Basic dXNlcjpwYXNz\n", "Basic *\n"),
        ("Custom a b", "*"),
        ("pa$$", "*"),
        ("hunter2", "*"),
        ("abcdefghijklmnopqrstuvwxyz", "*"),
        ('{"token":"x"}', "*"),
        ("Bearer", "Bearer"),
        ("AWS_IAM", "AWS_IAM"),
        ("none", "none"),
        ("", ""),
    ],
)
def test_all_behind_the_scheme_goes_in_a_field_that_holds_credentials(name: str, came: str, left: str) -> None:
    """Whatever it consists of; without a scheme the whole value, unless it is a word. It is not looked at again."""
    run = Run(PRESETS_ALONE)
    expected = left.replace("*", "[redacted:bearer]")
    for content in ({name: came}, {name: [came]}, json.dumps({name: came})):
        value = run.content(content)
        assert expected in (json.loads(value)[name] if isinstance(content, str) else value[name])
    assert PRESETS_ALONE.line(line({name: expected})) == (line({name: expected}), 0)


@pytest.mark.parametrize("name", ["payment_authorization", "pre-authorization", "card.authorization"])
def test_other_authorizations_are_no_credentials(name: str) -> None:
    """Those of payments are called so too."""
    run = Run(PRESETS_ALONE)
    assert run.content({name: "approved at noon"}) == {name: "approved at noon"}


def test_only_the_preset_replaces_credentials() -> None:
    """In a field that is called like that too."""
    assert Run(Redactor(["email"], [], [])).content({"authorization": "Basic dXNlcjpwYXNz"}) == {
        "authorization": "Basic dXNlcjpwYXNz"
    }


def test_marks_are_not_looked_into() -> None:
    """An expression that is in a mark replaces nothing of it."""
    redactor = Redactor(["email"], [(1, "mail")], [])
    once, count = redactor.line(line("mail anna@example.com"))
    assert (orjson.loads(once)["record"], count) == ("[redacted:expression-1] [redacted:email]", 2)
    assert redactor.line(once) == (once, 0)


@pytest.mark.parametrize(
    ("path", "came", "left"),
    [
        ("user.password", {"user": {"password": {"a": [1]}, "n": 1}}, {"user": {"password": "*", "n": 1}}),
        ("user.password", {"user.password": 1, "password": 2}, {"user.password": "*", "password": 2}),
        ("items.*.pin", {"items": [{"pin": 1}, {"pin": None}, 3]}, {"items": [{"pin": "*"}, {"pin": "*"}, 3]}),
        ("items.1", {"items": ["a", "b"]}, {"items": ["a", "*"]}),
        ("items.4", {"items": ["a", "b", "c", "d", "e"]}, {"items": ["a", "b", "c", "d", "*"]}),
        ("4.*", [0, 0, 0, 0, {"a": "b"}], [0, 0, 0, 0, {"a": "*"}]),
        ("*", {"a": 1, "b": {"c": 2}}, {"a": "*", "b": "*"}),
        ("*.b.*", {"a": {"b": {"c": 1}}}, {"a": {"b": {"c": "*"}}}),
        ("body.pin", {"body": '{"pin": 1, "x": 1.0}'}, {"body": '{"pin": "*", "x": 1.0}'}),
        ("pin", '{"pin":1}', '{"pin":"*"}'),
        ("pin", 'said {"pin":1}', 'said {"pin":"*"}'),
        ("p\u00efn.a b", {"p\u00efn": {"a b": 1}}, {"p\u00efn": {"a b": "*"}}),
        ("record.a", {"a": 1, "record": {"a": 2}}, {"a": "*", "record": {"a": "*"}}),
        ("record.record.a", {"record": {"a": 1}}, {"record": {"a": "*"}}),
        ("record", {"record": 1}, {"record": "*"}),
        ("pin", {"level": "INFO", "message": '{"pin":1}'}, {"level": "INFO", "message": '{"pin":"*"}'}),
        ("user.pin", {"message": {"user": {"pin": 1}, "pin": 2}}, {"message": {"user": {"pin": "*"}, "pin": 2}}),
        ("pin", {"message": 'said {"pin":1}'}, {"message": 'said {"pin":"*"}'}),
        ("pin", '{"message":"{\\"pin\\":1}"}', '{"message":"{\\"pin\\":\\"*\\"}"}'),
        ("pin", {"text": '{"pin":1}'}, {"text": '{"pin":1}'}),
        ("headers.X-Api-Key", {"headers": {"x-api-KEY": "a"}}, {"headers": {"x-api-KEY": "*"}}),
        ("user.pin", {"message": "{'user': {'pin': 1}}"}, {"message": "{'user': {'pin': '*'}}"}),
        ("pin", "{ pin: 1, pins: 2 }", "{ pin: '*', pins: 2 }"),
        ("pin", "shopping: pin: 1", "shopping: pin: 1"),
        ("status", "done, status: (none)\nmore", "done, status: (none)\nmore"),
    ],
)
def test_fields(path: str, came: object, left: object) -> None:
    """The value at a path becomes a string, whatever it was, in JSON and in text that is JSON; the rest stays."""
    run = Run(Redactor([], [], field_paths.parse(path)))
    expected = json.loads(json.dumps(left).replace("*", "[redacted:field]"))
    assert run.content(came) == expected


def test_very_many_fields() -> None:
    """However many paths there are, each is replaced."""
    paths = [f"customer.field{number}" for number in range(2000)]
    run = Run(Redactor([], [], [field_paths.parse(path)[0] for path in paths]))
    assert run.content({"customer": {"field1999": 1, "field2000": 1}}) == {
        "customer": {"field1999": "[redacted:field]", "field2000": 1}
    }


def test_names_in_a_record_are_as_in_a_line() -> None:
    """A path is about the record alone: time, type and record of the line are never replaced."""
    run = Run(Redactor([], [(1, "time|type|record|20..|function")], [("time",), ("type",)]))
    assert list(run.one(line({"time": 1, "type": "2026"}))) == ["time", "type", "record", "lambda"]
    assert run.one(line("x"))["time"] == TIME


def test_request_ids_are_no_cards() -> None:
    """Ids as Lambda makes them pass untouched, in platform records and in what functions print."""
    draw = Random(7)  # noqa: S311 - ids for a test
    ids = [str(uuid.UUID(int=draw.getrandbits(128), version=4)) for _ in range(20_000)]
    run = Run(PRESETS_ALONE)
    records = run.feed(*(line({"requestId": one, "status": "success"}, "platform.runtimeDone") for one in ids))
    assert [record.request_id for record in records] == ids
    assert run.redact.redacted == 0


def test_a_request_id_that_is_a_secret_is_in_no_key() -> None:
    """What calls itself a request id, and is what a preset looks for, is stamped on no record."""
    run = Run()
    start = line({"requestId": "anna@example.com"}, "platform.start")
    records = run.feed(start, line("hello"), line("again"))
    assert [b"anna" in record.line or record.request_id for record in records] == ["", "", ""]


def test_the_type_of_a_record_is_looked_at_too() -> None:
    """A type that nobody knows may be anything, in the line and in what is learned of it."""
    [record] = Run().feed(line("x", "hunter-31337"))
    assert record.type == "[redacted:expression-1]"
    assert b"hunter" not in record.line


@pytest.mark.parametrize("redactor", [EVERYTHING, PRESETS_ALONE])
def test_broken_lines_are_redacted(redactor: Redactor) -> None:
    """The text of a line that is no record, or a part of one, is looked at with its escapes undone."""
    texts = [b"mail anna@example.com", b'{"record":"anna\\u0040example.com 411111', "anna@example.com".encode("utf-16")]
    run = Run(redactor)
    assert [record.line for record in run.feed(*texts) if b"xample" in record.line] == []
    assert run.redact.redacted == 3


def test_half_of_a_secret_at_a_cut_does_not_pass() -> None:
    """Of a line that was too long, what is next to the cut goes with it: it may be the first half of a secret."""
    text = b"ten bytes " * 9 + b"the card is 4111 1111 1111"
    run = Run()
    lines = [one._replace(text=text, cut=5000) for one in Decoder(max_line=100).feed(b"x" * 200 + b"\n")]
    [record] = run.pipeline(lines)
    assert orjson.loads(record.line)["record"] == "ten bytes " * 7 + "ten ... (5000 bytes cut)"


# What cannot be looked through


def nested(value: object, depth: int) -> str:
    text = json.dumps(value)
    for _ in range(depth):
        text = json.dumps({"a": text})
    return text


@pytest.mark.parametrize(
    ("came", "reason"),
    [
        (nested("anna@example.com", 10), "nested too deeply"),
        ("\\u005c" + "u005c" * 12 + "u0040", "nested too deeply"),
        (["anna@example.com", *[1] * 40_000], "too many values"),
        (json.dumps(["anna@example.com", *[1] * 40_000]), "too many values"),
        ("anna@example.com" + "\\\\" * 40_000, "too many escapes"),
        ('{"mail":"anna@example.com","a":' + "[" * 100_000 + "]" * 100_000 + "}", "nested too deeply"),
    ],
    ids=["quoted", "escaped", "values", "values in text", "backslashes", "brackets"],
)
def test_what_cannot_be_looked_through_does_not_pass(came: object, reason: str) -> None:
    """Its place is taken by a record that says why, with its time, type and request id; the ledger counts it."""
    run = Run()
    [record] = run.feed(line({"requestId": "a1a32258-dddc-4daa-950a-fe632b74be91"}, "platform.start"), line(came))[1:]
    left = orjson.loads(record.line)
    assert (left["time"], left["type"], left["record"]) == (TIME, "function", f"[withheld: {reason}]")
    assert (left["lambda"]["withheld"], left["lambda"]["requestId"][:8]) == (reason, "a1a32258")
    assert run.redact.withheld == {reason: 1}


@pytest.mark.parametrize(
    "text",
    [
        "bearer" + "=" * 200_000 + "'x1234",
        "bearer" + " =" * 100_000 + '"x1234',
        "bearer" + "=>" * 100_000 + "'x1234",
        "bearer" + "%20" * 100_000 + "x1234",
        "authorization=digest a=x " * 10_000,
        "authorization" + "[" * 200_000 + "x1234",
        "authorization: digest " + "a = " * 100_000,
        "authorization: digest " + "a='" * 100_000,
    ],
    ids=lambda text: f"{text[:12]}...{text[-6:]}",
)
def test_a_line_made_for_it_stops_nothing(text: str) -> None:
    """Python's own expressions know no bound on time, and hold all threads: a square of this would take minutes."""
    assert Run(Redactor(["bearer"], [], [])).content(text)


def test_a_redacted_record_remembers_little_of_a_long_type() -> None:
    """As one that is not redacted: no bound counts its type and time beside the line."""
    long = "x" * 10_000
    came = orjson.dumps({"time": long, "type": long, "record": "anna@example.com"})
    [record] = Run().feed(came)
    assert (len(record.type), len(record.time)) == (100, 100)
    assert b"anna" not in record.line


def test_a_line_of_very_many_values_passes_where_nothing_is_suspected() -> None:
    """What presets see nothing of at a glance is not withheld, however dense it is."""
    came = line([1] * 40_000)
    [record] = Run(PRESETS_ALONE).feed(came)
    assert record.line.startswith(came[:-1])


def test_too_many_matches_are_withheld_and_not_waited_for() -> None:
    """A text in which each of very many matches costs a search is given up once its time is over."""
    seconds = itertools.count(0.0, 0.8 * MAX_S)  # looked at with the first match, and then now and then
    redactor = Redactor([], [(1, "a")], [], clock=lambda: next(seconds))
    assert Run(redactor).content("ab" * 64) == "[redacted:expression-1]b" * 64
    assert Run(redactor).content("ab" * 65) == "[withheld: too many matches]"


class Faulty(Redactor):
    """Has a fault."""

    def line(self, line: bytes) -> tuple[bytes, int]:
        raise KeyError(line)

    def text(self, text: str) -> tuple[str, int]:
        raise KeyError(text)


class Blind(Faulty):
    """Has another."""

    def suspects(self, line: bytes) -> bool:
        raise MemoryError(line)


@pytest.mark.parametrize(("redactor", "left"), [(Faulty, "hello"), (Blind, "[withheld: internal error]")])
def test_a_fault_of_ours_lets_nothing_pass(
    redactor: type[Redactor], left: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """A record that cannot be redacted for a fault of ours is withheld alone, and the log tells nothing of it."""
    run = Run(redactor(PRESETS, [], []))
    records = run.feed(line("anna@example.com"), line("hello"))
    assert [orjson.loads(record.line)["record"] for record in records] == ["[withheld: internal error]", left]
    assert "anna" not in capfd.readouterr().err


class Fallen(Redact):
    """Fails as a whole."""

    def __call__(self, records: list[Record]) -> list[Record]:
        raise RuntimeError(records[0].line)


def test_a_step_that_fails_as_a_whole_lets_nothing_pass() -> None:
    """Whatever goes wrong in it, the pipeline has no other way past it."""
    redact = Fallen(EVERYTHING)
    pipeline = Pipeline(Correlate(in_order=True), [redact], itertools.count())
    records = pipeline(Decoder().feed(line("anna@example.com") + b"\n" + line("hello") + b"\n"))
    assert [orjson.loads(one.line)["record"] for one in records] == ["[withheld: internal error: RuntimeError]"] * 2
    assert redact.account == {"redacted": 0, "withheld": {"internal error: RuntimeError": 2}}


FIELDS = Redactor([], [], [*field_paths.parse("password"), *field_paths.parse("user.token")])


@pytest.mark.parametrize(
    "text",
    [
        '{"password":"hunter","score":NaN}',
        '{"password":"hunter","score":-Infinity}',
        '{"password":"hunter","a":"\t raw"}',
        '{"password":"hunter","a":"\\x41"}',
        '{"password":"hunter",}',
        '\ufeff{"password":"hunter"}',
        '{"a":1}{"password":"hunter"}',
        '{"user":{"token": "hunter',
        'said {"password":"hun\\"hunter"} and went',
        'said {\\"password\\":\\"hunter\\",\\"a\\":1}',
        '{"password":{"a":"hunter"},}',
        '{"password":hunter,"a":1}',
        '{"password":hun\'hunter,"a":1}',
        "{'user': {'password': 'hunter', 'n': 1}}",
        "{'password': \"hun't hunter\"}",
        "{'password': b'hun hunter'}",
        "{'password': Decimal('0 hunter'), 'a': 1}",
        "{'password': Card('a', 'hunter')}",
        "{\\'password\\': \\'hunter\\'}",
        "{ user: { password: 'hun\\'t hunter' } }",
        "{\n  user: 1,\n  password: `a hunter`\n}",
        "{ a: 1, password: Secret { value: 'hunter' } }",
        '{"PassWord":"hunter",}',
        "{\n  password: '-----BEGIN KEY-----\\n' +\n    'hunter\\n' +\n    'hunter',\n  b: 1\n}",
        "{'password': 'aaaa '\n             'bbbb hunter', 'x': 1}",
        "{ password: <Buffer 68 75 hunter> }",
        "{ password: Secret [Foo] { value: 'hunter' } }",
        "{ password: $Secret { value: 'hunter' } }",
        "{'password': <SecretStr 'hunter'>}",
        "{'password': Secret[str]('hunter x')}",
        "{ password: \x1b[32m'two hunter'\x1b[39m }",
        "{ \x1b[32m'password'\x1b[39m: 'hunter' }",
        repr({"body": repr({"password": "it's hunter"})}),
        'log: {\\"password\\":{\\"S\\":\\"hunter\\"},\\"b\\":1}',
        'msg="got {\\"password\\":[\\"hunter\\",\\"x\\"]}"',
        "{\\'password\\': SecretStr(\\'hunter\\')}",
        repr({"m": repr({"password": b"hunter", "n": "it's"})}),
        repr({"body": json.dumps({"password": 'a"hunter', "b": 1})}),
        '{ body: \'{"password":"a\\\\"hunter","b":1}\' }',
        "{ password: new ObjectId('hunter'), a: 1 }",
        '{password: #<Secret:0x01 @value="hunter">, user: "anna"}',
        '{User:"a", Password:&main.Secret{V:"hunter"}}',
        'msg="main.Login{User:\\"anna\\", Password:\\"hunter\\"}"',
        '"record":"{\\n  user: 1,\\n  password: \'hunter\',\\n',
        '{"password"\x1b[0m\x1b[1;39m:"hunter",',
        "{ Password: 'hunter' }",
        json.dumps(json.dumps({"password": "hunter"})),
    ],
)
def test_fields_are_found_in_what_is_hardly_json(text: str) -> None:
    """Python writes NaN, others worse, and a line may be cut: the value behind the name goes all the same."""
    left = Run(FIELDS).content(text)
    assert "hunter" not in left
    assert "[redacted:field]" in left
    assert Run(FIELDS).content(left) == left


@pytest.mark.parametrize(
    ("came", "left"),
    [
        ('[INFO] {"password":"C:\\\\dir\\\\","user":"x"}', '[INFO] {"password":"*","user":"x"}'),
        ('"password": "x"\n"token": 1\n"user": "anna"', '"password": "*"\n"token": "*"\n"user": "anna"'),
        ("{'password': 'x'\n 'token': 1 }", "{'password': '*'\n 'token': '*' }"),
        (repr({"body": '{"password":"a\\"b","b":1}'}), repr({"body": '{"password":"*","b":1}'})),
        ("{ password: new UUID('x'), a: 1 }", "{ password: '*', a: 1 }"),
        ('msg="main.Login{Password:\\"x\\", A:1}"', 'msg="main.Login{Password:\\"*\\", A:1}"'),
    ],
)
def test_what_stands_behind_a_field_stays(came: str, left: str) -> None:
    """In what is hardly JSON too, as far as the end of the value can be known."""
    assert Run(FIELDS).content(came) == left.replace("*", "[redacted:field]")


def test_entities_of_an_export_are_redacted() -> None:
    """What a resource names its entities by is text like any other."""
    request = ExportLogsServiceRequest()
    logs = request.resource_logs.add()
    logs.scope_logs.add().log_records.add().body.string_value = "x"
    mail = "anna@example.com"
    entity = logs.resource.entity_refs.add(schema_url=f"https://h/{mail}", type=mail)
    entity.id_keys.append(mail)
    entity.description_keys.append(mail)
    left = exported(EVERYTHING, request.SerializeToString())
    assert mail.encode() not in left.body
    assert left.replaced == 4


def exported(redactor: Redactor, body: bytes, *, as_json: bool = False, until: float = math.inf) -> Redacted:
    return redact_exports.redact(redactor, body, until, as_json=as_json)


def test_each_log_record_of_an_export_has_time_of_its_own() -> None:
    """As each record of the platform's: a large export takes longer, and loses nothing."""
    said = "anna@example.com " * 100
    clock = itertools.count(0.0, MAX_S / 3)  # looked at once or twice a record
    left = exported(Redactor(["email"], [], [], lambda: next(clock)), logs(*[said] * 50).SerializeToString())
    assert (left.replaced, left.withheld, b"anna" in left.body) == (5000, {}, False)


def test_a_log_record_that_cannot_be_looked_through_is_withheld_alone() -> None:
    """It keeps its time and its ids; the others go on."""
    request = logs("one", "anna@example.com " * 1000, "two")
    bad = request.resource_logs[0].scope_logs[0].log_records[1]
    bad.time_unix_nano, bad.trace_id, bad.span_id = 7, b"t" * 16, b"bad"
    bad.attributes.add(key="a").value.string_value = "anna@example.com"
    clock = itertools.count(0.0, MAX_S / 3)
    left = exported(Redactor(["email"], [], [], lambda: next(clock)), request.SerializeToString())
    first, second, third = log_records(left.body)
    assert (first.body.string_value, third.body.string_value) == ("one", "two")
    assert second == LogRecord(
        time_unix_nano=7, trace_id=b"t" * 16, body=AnyValue(string_value="[withheld: too many matches]")
    )
    assert left.withheld == {"too many matches": 1}


def test_each_scope_of_an_export_has_time_of_its_own() -> None:
    """A logger is a scope, in Java, and there are many of them."""
    request = ExportLogsServiceRequest()
    scopes = request.resource_logs.add().scope_logs
    for number in range(200):
        scoped = scopes.add(schema_url="https://opentelemetry.io/schemas/1.37.0")
        scoped.scope.name = f"logger.{number}"
        scoped.log_records.add().body.string_value = "one"
    clock = itertools.count(0.0, MAX_S / 10)
    left = exported(Redactor(["email"], [], [], lambda: next(clock)), request.SerializeToString())
    assert (left.withheld, left.body) == ({}, request.SerializeToString())


def test_a_whole_export_has_a_bound_on_time() -> None:
    """While it is looked through nothing else is done; what is left then is withheld, record by record."""
    clock = itertools.count(0.0, MAX_S / 2)
    body = logs(*"abcdefgh").SerializeToString()
    left = exported(Redactor(["email"], [], [], lambda: next(clock)), body, until=3.0)
    kept = [record.body.string_value for record in log_records(left.body)]
    withheld = left.withheld["too many matches"]
    assert 0 < withheld < 8
    assert kept == [*"abcdefgh"][: 8 - withheld] + ["[withheld: too many matches]"] * withheld


def log_records(body: bytes) -> list[LogRecord]:
    [resource] = ExportLogsServiceRequest.FromString(body).resource_logs
    return list(resource.scope_logs[0].log_records)


def test_an_id_of_an_export_may_be_null() -> None:
    """ProtoJSON has null for what is not there."""
    log = b'{"traceId":null,"body":{"stringValue":"anna@example.com"}}'
    body = b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[%b]}]}]}' % log
    left = exported(EVERYTHING, body, as_json=True)
    assert (b"anna" in left.body, left.replaced) == (False, 1)


def test_fields_are_found_in_lines_that_are_no_records() -> None:
    """As in the text of a line that is not UTF-8, or was cut off."""
    whole = b'{"time":"x","type":"function","record":{"password":"hunter","a":"\xff"}}'
    quoted = b'{"time":"x","type":"function","record":"{\\"password\\":\\"hunter\\"'
    records = Run(FIELDS).feed(whole, quoted)
    assert [record.line for record in records if b"hunter" in record.line] == []


def test_what_only_mentions_a_field_stays() -> None:
    """A name in quotes without a colon behind it has no value."""
    for text in ('the field "password" is empty', '"password" is not "token"', "password: hunter"):
        assert Run(FIELDS).content(text) == text


@pytest.mark.parametrize("secret", SECRETS[:6])
def test_colours_hide_nothing(secret: str) -> None:
    """What colours a word on a terminal is no part of it, although it ends in a letter."""
    left = Run(PRESETS_ALONE).content(f"\x1b[31m{secret}\x1b[0m and \x1b[1;33m{secret}")
    assert secret not in left


def test_a_request_id_that_cannot_be_looked_at_is_not_shown() -> None:
    """With such a fault, an id that is no UUID is in no key."""
    start = line({"requestId": "anna@example.com"}, "platform.start")
    records = Run(Faulty(PRESETS, [], [])).feed(start, line("hello"))
    assert [record.line for record in records if b"anna" in record.line] == []


def test_derived_signals_see_what_is_left() -> None:
    """What metrics and spans are made of is redacted, and counted once; what is only counted is shown as it is."""
    seen: list[Record] = []

    def watch(records: list[Record]) -> list[Record]:
        seen.extend(records)
        return []

    redact = Redact(EVERYTHING)
    pipeline = Pipeline(Correlate(in_order=True), [redact], itertools.count(), redact.before(watch))
    lines = [line({"errorType": "AKIAIOSFODNN7EXAMPLE"}, "platform.report"), line("hunter-31337")]
    pipeline([decoded for one in lines for decoded in Decoder().feed(one + b"\n")])
    assert [record.content for record in seen] == [{"errorType": "[redacted:aws-key]"}, "hunter-31337"]
    assert redact.redacted == 2


# Settings


def test_the_presets_that_can_be_named_are_those_there_are() -> None:
    """The setting knows each preset, and no other, without importing one."""
    assert set(redaction.PRESETS) == set(PRESETS)


def test_each_preset_is_found_in_whatever_it_finds() -> None:
    """What finds a secret compiles, and so does what looks for one at a glance."""
    for name in PRESETS:
        assert Redactor([name], [], []).line(line("nothing"))[1] == 0


@pytest.mark.parametrize("text", ["", ".", "a.", ".a", "a..b", "a*", "*a.b", "**"])
def test_paths_that_are_none(text: str) -> None:
    """A path has a name or a lone star in each of its steps."""
    with pytest.raises(ValueError, match="expected names separated by dots"):
        field_paths.parse(text)


def test_a_redactor_says_why_and_not_of_what() -> None:
    """The error of a line that cannot be looked through quotes nothing of it."""
    with pytest.raises(Unreadable) as caught:
        EVERYTHING.line(line(nested("anna@example.com", 10)))
    assert "anna" not in str(caught.value)

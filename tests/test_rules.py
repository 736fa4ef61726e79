from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from extension import lambda_key, reading
from extension.lambda_key import LINE, LambdaKey
from extension.pipeline.filter import Filter
from extension.records import Record
from extension.rules import Rules, Unreadable

NODE = "2026-11-21T00:00:00.123Z\t8f5e8a0a-1e5c-4a3e-9f6a-9d5b3f6a7c11\t{level}\t{message}"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def record(content: object, kind: str = "function") -> Record:
    line = orjson.dumps({"time": "2026-11-21T00:00:00.000Z", "type": kind, "record": content})
    return Record(-1, kind, line, kind, "", "", content)


def stamped(plain: Record) -> Record:
    begun = LambdaKey({"functionName": "orders", "tags": {"lambda": "x"}}, "e1").begun("r1")
    return plain._replace(line=LINE % (len(plain.line) - 1, plain.line, begun, 1), content=None)


def why_not(content: object, kind: str = "function", **texts: str) -> str:
    plain, rules = record(content, kind), Rules(texts)
    found = rules.why_not(plain.kind, plain.line, plain.content)
    assert rules.why_not_stamped(stamped(plain)) == found
    return found


@pytest.mark.parametrize(
    ("content", "left_out"),
    [
        ("a line of text", False),
        ("", False),
        ({"message": "no level"}, False),
        ({"level": "loud", "message": "m"}, False),
        ({"level": "INFO", "message": "m"}, True),
        ({"level": "warn", "message": "m"}, False),
        ({"level": 30, "msg": "pino's INFO"}, True),
        ({"level": 50, "msg": "pino's ERROR"}, False),
        ('{"level":"DEBUG"}\n', True),
        (NODE.format(level="INFO", message="m"), True),
        (NODE.format(level="ERROR", message="m"), False),
        (NODE.format(level="INFO", message='{"level":"error","message":"m"}'), False),
        ("[DEBUG]\t2026-11-21T00:00:00.123Z\t\tm", True),
        (["INFO"], False),
        (7, False),
    ],
)
def test_a_level_below_the_least_is_left_out(content: object, left_out: bool) -> None:
    """FORWARDER_MIN_LEVEL leaves out lower levels, in any of the usual words; what has none stays."""
    assert why_not(content, min_level="WARN") == ("min_level" if left_out else "")


@pytest.mark.parametrize(
    ("text", "function", "extension"),
    [
        ("WARN", "min_level", "min_level"),
        ("function=WARN", "min_level", ""),
        (" INFO , extension = ERROR ", "", "min_level"),
        ("function=trace,extension=Fatal", "", "min_level"),
    ],
)
def test_levels_by_type(text: str, function: str, extension: str) -> None:
    """Each of the two types may have a least level of its own; one without a type is for the others."""
    content = {"level": "INFO", "message": "m"}
    assert (why_not(content, "function", min_level=text), why_not(content, "extension", min_level=text)) == (
        function,
        extension,
    )


@given(st.sampled_from(sorted(reading.SEVERITIES)), st.sampled_from(sorted(reading.SEVERITIES)))
def test_levels_are_ordered_as_their_severities(least: str, level: str) -> None:
    """Whatever words name them, a level is left out where its severity is lower."""
    left_out = reading.SEVERITIES[level] < reading.SEVERITIES[least]
    assert bool(why_not({"level": level}, min_level=least)) == left_out


@pytest.mark.parametrize(
    ("include", "exclude", "rule"),
    [
        ("order", "", ""),
        ("nothing\n[0-9]{4}", "", ""),
        ("nothing", "", "include"),
        ("", "health\norder", "exclude 2"),
        ("order", "order", "exclude 1"),
        ("nothing", "\n\norder", "exclude 3"),
        (r'"type":"function"', "", ""),
        (r'say \\"hi\\"', "", ""),
        ("ORDER", "", "include"),
        ("(?i)ORDER", "", ""),
        ("\\Qno[1]\n\\Qorder\\E", "", ""),
        ("", "\\Qno[1]\n\\Qorder\\E", "exclude 2"),
        ("", '"lambda"|requestId', ""),
        ("[}]$", '^[{]"time"', "exclude 1"),
    ],
)
def test_expressions_are_searched_in_the_line(include: str, exclude: str, rule: str) -> None:
    """One that is included must match the platform's line as it came; an excluded one must not, and wins."""
    texts = {name: text for name, text in (("include", include), ("exclude", exclude)) if text}
    assert why_not('order 1234: say "hi"', **texts) == rule


@pytest.mark.parametrize(
    ("rule", "content"),
    [
        ("level=DEBUG", {"level": "DEBUG"}),
        ("record.user.id=7", {"user": {"id": 7}}),
        ("user.id=7", {"user": {"id": "7"}}),
        ("user.name=", {"user": {"name": ""}}),
        ("ok=true", {"ok": True}),
        ("gone=null", {"gone": None}),
        ("ratio=0.5", {"ratio": 0.5}),
        ("log.level=error", {"log.level": "error"}),
        ("log.level=error", {"log": {"level": "error"}}),
        ("path=/health", {"path": "/health"}),
        ("level=debug", '{"level":"debug"}\n'),
        ("level=debug", NODE.format(level="INFO", message='{"level":"debug"}')),
        ("shop=7", {"level": "INFO", "message": '{"shop":7}'}),
        ("(level=DEBUG)", "time=now level=DEBUG"),
    ],
)
def test_a_field_has_a_value(rule: str, content: object) -> None:
    """A field is found in an object, or in one that was printed as JSON; its value is compared as text."""
    assert why_not(content, exclude=rule) == "exclude 1"
    assert why_not(content, include=rule) == ""


@pytest.mark.parametrize(
    ("rule", "content"),
    [
        ("level=DEBUG", {"level": "debug"}),
        ("level=DEBUG", "level=DEBUG"),
        ("level=DEBUG", {"message": "level=DEBUG"}),
        ("user.id=7", {"user": 7}),
        ("user.id=7", {"user": [{"id": 7}]}),
        ("user.id=7", {"id": 7}),
        ("level=DEBUG", '{"level":"DEBUG"'),
        ("level=inner", {"level": "outer", "message": '{"level":"inner"}'}),
    ],
)
def test_a_field_has_it_not(rule: str, content: object) -> None:
    """Another value, another place, or text that only looks like it, is not the field."""
    assert why_not(content, exclude=rule) == ""
    assert why_not(content, include=rule) == "include"


@given(JSON.filter(lambda content: content is not None))
def test_a_stamped_record_is_judged_as_before(content: object) -> None:
    """Whatever a record holds, rules of a sink say of it what those for all sinks say; its key is not looked at."""
    why_not(content, include="a\nlambda\nlevel=1", exclude="b\nc.d=2", min_level="INFO")


@given(JSON)
def test_the_line_as_it_came_is_found_again(content: object) -> None:
    """What a record was before it got its key is found in what it is behind it."""
    plain = record({"lambda": content, "text": ',"lambda":{'})
    assert lambda_key.without(stamped(plain).line) == plain.line


def test_a_line_of_nothing_is_found_again() -> None:
    """An empty object has no comma before the key."""
    begun = LambdaKey({}, "e1").begun("")
    assert lambda_key.without(LINE % (1, b"{}", begun[1:], 1)) == b"{}"


def test_a_record_without_content_is_not_readable() -> None:
    """A line of very many values is not parsed: levels and fields cannot be looked for in it, expressions can."""
    for texts in ({"min_level": "WARN"}, {"include": "a=b"}):
        with pytest.raises(Unreadable):
            why_not(None, **texts)
    assert why_not(None, exclude='"record":null') == "exclude 1"


def filtered(*records: Record, **texts: str) -> tuple[list[object], dict[str, object]]:
    step = Filter((), ("platform.start",), Rules(texts))
    return [one.content for one in step(records)], step.account


def test_what_is_left_out_is_counted_by_rule() -> None:
    """The ledger says how many records each rule left out."""
    records = [record(text) for text in ("health", "order 1", "health 2", "cart", "order 2")]
    kept, account = filtered(
        *records, Record(-1, "platform", b"{}", "platform.start"), include="order", exclude="rder 1\n^x"
    )
    assert kept == ["order 2"]
    assert account == {"filteredBy": {"types": 1, "exclude 1": 1, "include": 3}, "unreadable": 0}


@pytest.mark.parametrize("kind", ["platform", "other", "metric", "span", "otlp-logs"])
def test_rules_are_about_what_is_printed(kind: str) -> None:
    """What the platform says, lines that are no records, and what is derived or exported, pass every rule."""
    kept, account = filtered(record({"level": "DEBUG"}, kind), min_level="WARN", include="nothing", exclude=".")
    assert (kept, account["filteredBy"]) == ([{"level": "DEBUG"}], {})


def test_a_record_that_a_rule_cannot_read_stays() -> None:
    """It passes unchanged, and is counted."""
    kept, account = filtered(record(None), record("b"), min_level="WARN", include="a=b")
    assert (kept, account) == ([None], {"filteredBy": {"include": 1}, "unreadable": 1})

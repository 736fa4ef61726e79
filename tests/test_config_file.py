"""FORWARDER_CONFIG: a file of settings, and what is said of one that is none."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from extension.config import Config, ConfigError, is_strict, parse
from extension.config_file import MAX_FILE_BYTES
from tests.support.secret_urls import MARKS, shown

if TYPE_CHECKING:
    from pathlib import Path

SECRET = MARKS[0]
EVERYTHING = """
sinks = ["https://host/a?headers=vendor", "s3://bucket/b"]
fallback = "file:///b"
types = ["function", "extension"]
buffer_max_items = 2000
buffer_max_bytes = 300_000
buffer_timeout_ms = 100
flush = "interval"
flush_interval_ms = 1000
queue_bytes = 2000000
max_bytes_per_minute = 100_000
on_error = "strict"
listen_host = "127.0.0.1"
listen_port = 8080
log_level = "DEBUG"
min_level = "WARN"
include = "a+"
exclude = ["level=DEBUG", "b+"]
join = "traces"
enrich = ["traceId", "memorySizeMB"]

[headers]
Api-Key = "x: y"

[tags]
team = "shop"
stage = "prod"

[vendor]
Authorization = "Bearer t"
"""
VARIABLES = {
    "FORWARDER_SINKS": "https://host/a?headers=vendor s3://bucket/b",
    "FORWARDER_FALLBACK": "file:///b",
    "FORWARDER_TYPES": "function,extension",
    "FORWARDER_BUFFER_MAX_ITEMS": "2000",
    "FORWARDER_BUFFER_MAX_BYTES": "300000",
    "FORWARDER_BUFFER_TIMEOUT_MS": "100",
    "FORWARDER_FLUSH": "interval",
    "FORWARDER_FLUSH_INTERVAL_MS": "1000",
    "FORWARDER_QUEUE_BYTES": "2000000",
    "FORWARDER_MAX_BYTES_PER_MINUTE": "100000",
    "FORWARDER_ON_ERROR": "strict",
    "FORWARDER_LISTEN_HOST": "127.0.0.1",
    "FORWARDER_LISTEN_PORT": "8080",
    "FORWARDER_LOG_LEVEL": "DEBUG",
    "FORWARDER_MIN_LEVEL": "WARN",
    "FORWARDER_INCLUDE": "a+",
    "FORWARDER_EXCLUDE": "level=DEBUG\nb+",
    "FORWARDER_JOIN": "traces",
    "FORWARDER_ENRICH": "traceId,memorySizeMB",
    "FORWARDER_HEADERS": "Api-Key: x: y",
    "FORWARDER_TAGS": "team=shop,stage=prod",
    "vendor": "Authorization: Bearer t",
}


def read(tmp_path: Path, text: str | bytes, **variables: str) -> Config:
    """What the settings are with this file."""
    path = tmp_path / "forwarder.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return parse({"FORWARDER_CONFIG": str(path), **variables})


def problems(tmp_path: Path, text: str | bytes, **variables: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text, **variables)
    return caught.value.problems


def plain(config: Config) -> str:
    """A Config without its places, which say where a setting stands."""
    urls = [url._replace(place="") for url in (*config.sinks, *filter(None, [config.fallback]))]
    return repr(config._replace(sinks=tuple(urls), fallback=None))


def test_a_file_says_what_variables_say(tmp_path: Path) -> None:
    """Every setting may stand in the file, and means the same there, as text or as TOML's own kinds of values."""
    assert plain(read(tmp_path, EVERYTHING)) == plain(parse(VARIABLES))


@pytest.mark.parametrize("name", sorted(VARIABLES.keys() - {"FORWARDER_HEADERS", "vendor"}))
def test_a_variable_wins(tmp_path: Path, name: str) -> None:
    """A setting that is in both is that of the variable, and what the file says of it is not even looked at."""
    key = name.removeprefix("FORWARDER_").lower()
    own = {name: VARIABLES[name], "vendor": VARIABLES["vendor"]}
    assert plain(read(tmp_path, f"{key} = 1979-05-27", **own)) == plain(parse(own))


def test_a_blank_variable_does_not_win(tmp_path: Path) -> None:
    """An empty variable is as good as none."""
    assert read(tmp_path, 'flush = "interval"', FORWARDER_FLUSH=" ").flush == "interval"


def test_lines_may_be_text_a_list_or_a_table(tmp_path: Path) -> None:
    """Headers are lines in a variable; a file may have them in any of TOML's ways."""
    forms = ('headers = """\nA: 1\nB: 2"""', 'headers = ["A: 1", "B: 2"]', 'headers = {A = 1, B = "2"}')
    found = [read(tmp_path, f'sinks = "https://h/"\n{form}').sinks[0].headers for form in forms]
    assert found == [(("A", "1"), ("B", "2"))] * 3


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("flush = 'often'", "flush in FORWARDER_CONFIG is 'often'; expected one of adaptive, invocation, interval"),
        ("listen_port = 9001", "listen_port in FORWARDER_CONFIG is '9001'; expected a whole number from 0 to 65535"),
        ("listen_port = 1.5", "listen_port in FORWARDER_CONFIG is '1.5'; expected a whole number from 0 to 65535"),
        ("listen_port = true", "listen_port in FORWARDER_CONFIG is 'true'; expected a whole number from 0 to 65535"),
        ("flush = ['adaptive']", "flush in FORWARDER_CONFIG is of the wrong type; expected text or a number"),
        ("flush = {}", "flush in FORWARDER_CONFIG is of the wrong type; expected text or a number"),
        ("flush = 07:32:00", "flush in FORWARDER_CONFIG is of the wrong type; expected text or a number"),
        ("tags = {a = []}", "tags in FORWARDER_CONFIG is of the wrong type; expected text or a number"),
        ("tags = {a = 'b,c=d'}", "tags in FORWARDER_CONFIG is of the wrong type; expected items without ',' in them"),
        ('tags = {a = "b\\u0000"}', "tags in FORWARDER_CONFIG is of the wrong type; expected text without NUL"),
        ('sinks = "https://h/"\nheaders = ["A: 1\\nB: 2"]', "headers in FORWARDER_CONFIG is of the wrong type; expect"),
        ("sinks = 'gopher://h/'", "sink 1 of sinks in FORWARDER_CONFIG: expected a sink URL that begins with one of"),
        ("sinks = 'https://h/?headers=x'", "sink 1 of sinks in FORWARDER_CONFIG, headers=: expected the name of a"),
        ("fallback = 'file:///a file:///b'", "fallback in FORWARDER_CONFIG has 2 words; expected a single sink URL"),
        ("colour = 1", "colour in FORWARDER_CONFIG is not a setting; the settings are buffer_max_bytes, "),
        ("config = '/a'", "config in FORWARDER_CONFIG is not a setting; the settings are buffer_max_bytes, "),
        ("'FORWARDER_FLUSH' = 'interval'", "key number 1 in FORWARDER_CONFIG is not a setting; the settings are b"),
        ("a = 1\nflush =\n", "FORWARDER_CONFIG names a file that is no TOML, in line 2; expected lines"),
        ("flush = '", "FORWARDER_CONFIG names a file that is no TOML, at its end; expected lines of `key = value`"),
        ("flush = [", "FORWARDER_CONFIG names a file that is no TOML, at its end; expected"),
        ("a = " + "9" * 5000, "FORWARDER_CONFIG names a file that is no TOML, in a number; expected"),
        ("a = " + "[" * 100_000, "FORWARDER_CONFIG names a file that is nested too deeply; expected keys of settings"),
        (b"\nflush = '\xff'", "FORWARDER_CONFIG names a file that is not UTF-8, from byte 10 on; expected"),
        (b"\n" * (MAX_FILE_BYTES + 1), "FORWARDER_CONFIG names a file that is too large; expected 1048576 bytes"),
    ],
)  # fmt: skip
def test_mistakes_in_a_file(tmp_path: Path, text: str | bytes, problem: str) -> None:
    """What is wrong is told by key or line, with what was expected."""
    [told] = problems(tmp_path, text)
    assert told.startswith(problem)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """A name that leads nowhere is an error, which does not show the name."""
    with pytest.raises(ConfigError) as caught:
        parse({"FORWARDER_CONFIG": str(tmp_path / SECRET)})
    [told] = caught.value.problems
    assert told == "FORWARDER_CONFIG names a file that cannot be read (No such file or directory); expected a TOML file"


def test_a_name_that_is_none() -> None:
    """A name must be absolute: where an extension is started is Lambda's business."""
    with pytest.raises(ConfigError, match=r"^FORWARDER_CONFIG is no absolute path; expected the name of a TOML file"):
        parse({"FORWARDER_CONFIG": "forwarder.toml"})


def test_what_is_no_file(tmp_path: Path) -> None:
    """A folder, a device and a pipe into which nobody writes are told at once."""
    os.mkfifo(tmp_path / "pipe")
    for path in (str(tmp_path / "pipe"), "/dev/zero", str(tmp_path)):
        with pytest.raises(
            ConfigError, match=r"^FORWARDER_CONFIG names (something else than a file|a file that cannot)"
        ):
            parse({"FORWARDER_CONFIG": path})


def test_a_file_without_permission(tmp_path: Path) -> None:
    """A file that may not be read is told as such."""
    path = tmp_path / "forwarder.toml"
    path.touch(mode=0o000)
    if os.access(path, os.R_OK):
        pytest.skip("root may read it")
    with pytest.raises(ConfigError, match="Permission denied"):
        parse({"FORWARDER_CONFIG": str(path)})


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    """Those of the file stand among those of the variables."""
    found = problems(tmp_path, "flush = 'often'\ncolour = 1", FORWARDER_TYPES="logs", FORWARDER_X="1")
    assert [problem.split()[0] for problem in found] == ["FORWARDER_TYPES", "flush", "FORWARDER_X", "colour"]


def test_strictness_may_stand_in_the_file(tmp_path: Path) -> None:
    """Whether a mistake fails the function's init is read from the file as well."""
    path = tmp_path / "forwarder.toml"
    path.write_text("on_error = 'strict'\nflush = 'often'")
    assert is_strict({"FORWARDER_CONFIG": str(path)})
    assert not is_strict({"FORWARDER_CONFIG": str(path), "FORWARDER_ON_ERROR": "open"})


PIECES = st.lists(
    st.sampled_from([*"=[]{}#'\"\n,.", SECRET, f"'{SECRET}'", "flush", "sinks", "headers", '"""', "1979-05-27"])
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PIECES.filter(lambda pieces: SECRET in "".join(pieces)))
def test_no_file_is_shown(tmp_path: Path, pieces: list[str]) -> None:
    """However a file is malformed, no value of it is in what is said of it."""
    found: list[str] = []
    try:
        read(tmp_path, "".join(pieces))
    except ConfigError as error:
        found = error.problems
    assert shown("".join(found)) == []

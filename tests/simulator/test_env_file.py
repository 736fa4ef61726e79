from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.simulator.running import document, run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.probe_layer import MakeFunction

CODE = "import os\ndef handler(event, context):\n    return {name: os.environ.get(name) for name in ('A', 'B')}\n"


def seen(function: Path, tmp_path: Path, text: str, **env: str) -> dict[str, str]:
    """The variables A and B that a function sees, given a file and words."""
    file = tmp_path / "variables.env"
    file.write_text(text)
    found = document("--function", function, "--env-file", file, **env)["invocations"][0]["payload"]
    return {name: value for name, value in found.items() if value is not None}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("A=plain", "plain"),
        ("export A=plain", "plain"),
        ("  A = spaces around  ", "spaces around"),
        ("A=", ""),
        ("A=x=y", "x=y"),
        ("A=plain # a comment", "plain"),
        ("A=no#comment", "no#comment"),
        ("# a comment\n\nA=after", "after"),
        ("A='single $B \\n # all of it'", "single $B \\n # all of it"),
        ("A='' # empty", ""),
        ('A="double # inside" # outside', "double # inside"),
        ('A="a\\nb\\tc"', "a\nb\tc"),
        ('A="say \\"tea\\", \\\\ and \\$B"', 'say "tea", \\ and $B'),
        ('A="C:\\dir"', "C:\\dir"),
        ('A="two\nlines"', "two\nlines"),
        ("A='two\nlines'", "two\nlines"),
        ('A={"json": "stays"}', '{"json": "stays"}'),
        ("A=it's", "it's"),
        ("A=crlf\r\n", "crlf"),
        ("\ufeffA=bom", "bom"),
        ("A=first\nA=second", "second"),
    ],
)
def test_value_is_read_as_docker_and_dotenv_do(function: MakeFunction, tmp_path: Path, text: str, value: str) -> None:
    """Quotes, escapes, comments and export have their usual meaning."""
    assert seen(function(CODE), tmp_path, text) == {"A": value}


def test_what_follows_a_quoted_value_is_read(function: MakeFunction, tmp_path: Path) -> None:
    """A value of several lines does not swallow the next variable."""
    assert seen(function(CODE), tmp_path, 'A="one\ntwo"\nB=three') == {"A": "one\ntwo", "B": "three"}


def test_words_win_over_the_file(function: MakeFunction, tmp_path: Path) -> None:
    """--env is stronger than --env-file."""
    assert seen(function(CODE), tmp_path, "A=file\nB=file", A="word") == {"A": "word", "B": "file"}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("A=1\nsecret", "line 2: not of the form NAME=VALUE"),
        ("1A=secret", "line 1: not of the form NAME=VALUE"),
        ("=secret", "line 1: not of the form NAME=VALUE"),
        ("\nA='secret", "line 2: a value begins with ' and does not end with it"),
        ('A="secret\\"', 'line 1: a value begins with " and does not end with it'),
        ("A='x' secret", "line 1: something follows the closing '"),
    ],
)
def test_mistake_is_told_by_its_line_and_never_quoted(
    function: MakeFunction, tmp_path: Path, text: str, complaint: str
) -> None:
    """The line may hold a secret, so the error has its number alone."""
    file = tmp_path / "variables.env"
    file.write_text(text)
    done = run("--function", function(CODE), "--env-file", file)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"simulator: {file}, {complaint}\n"


def test_env_file_that_is_missing_is_named(function: MakeFunction, tmp_path: Path) -> None:
    """The error names the file."""
    done = run("--function", function(CODE), "--env-file", tmp_path / "none")
    assert done.returncode == 2
    assert f"cannot read the env file: [Errno 2] No such file or directory: '{tmp_path}/none'" in done.stderr

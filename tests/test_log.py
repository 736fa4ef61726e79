from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING

import pytest

from extension import log
from extension.sinks import Refused, Scope

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _level() -> Iterator[None]:
    yield
    log.set_level("INFO")


def test_a_line_is_json_with_our_mark(capfd: pytest.CaptureFixture[str]) -> None:
    """Each line is one JSON object that begins with the mark by which it is kept from coming round."""
    log.log("WARN", "something", reason='a "quoted" reason', count=3)
    line = capfd.readouterr().err
    assert line.startswith(log.MARK.decode())
    assert json.loads(line) == {
        "forwarder": True,
        "level": "WARN",
        "message": "something",
        "reason": 'a "quoted" reason',
        "count": 3,
    }


def test_lines_below_the_level_are_not_printed(capfd: pytest.CaptureFixture[str]) -> None:
    """FORWARDER_LOG_LEVEL is the least that is printed; what is a promise is printed at any level."""
    log.set_level("ERROR")
    log.log("WARN", "not this")
    log.log("ERROR", "this")
    log.write(message="ledger")
    assert [json.loads(line)["message"] for line in capfd.readouterr().err.splitlines()] == ["this", "ledger"]


def test_the_same_refusal_is_said_once(capfd: pytest.CaptureFixture[str]) -> None:
    """What is true for each of many invocations is one line, another reason another."""
    for reason in ("HTTP 403", "HTTP 403", "HTTP 400", "HTTP 403"):
        log.log_seldom("WARN", "sink refuses records", sink="https://one.example/", reason=reason)
    said = [json.loads(line)["reason"] for line in capfd.readouterr().err.splitlines()]
    assert said == ["HTTP 403", "HTTP 400"]


def test_nobody_reading_stderr_stops_nothing() -> None:
    """When the pipe behind stderr is full, lines are given up instead of waited for."""
    reader, writer = os.pipe()
    kept = os.dup(2)
    os.dup2(writer, 2)
    try:
        for _ in range(20):
            log.log("INFO", "x" * 20_000)
    finally:
        os.dup2(kept, 2)
        for descriptor in (reader, writer, kept):
            os.close(descriptor)


class LibraryError(Exception):
    """As libraries make them: with the URL in its text, and the system's own error behind it."""


def test_a_librarys_text_is_not_shown() -> None:
    """Of an error that is not ours its name is told, with what the system said, or with where it was raised."""
    error = LibraryError("https://h/token")
    error.__context__ = FileNotFoundError(2, "No such file or directory", "/home/token")
    assert log.describe(error) == "LibraryError: No such file or directory"
    with pytest.raises(ValueError, match="token") as caught:
        int("token")
    assert re.fullmatch(r"ValueError in test_\w+, line \d+", log.describe(caught.value))


def test_our_own_text_is_shown() -> None:
    """What we say ourselves quotes nothing."""
    assert log.describe(Refused("HTTP 403", Scope.EVERYTHING)) == "Refused: HTTP 403"


def test_an_error_is_one_line_without_end() -> None:
    """An error's text is cut, and has no line breaks that would end a header or a log line."""
    described = log.describe(ConnectionError("a\nb" * 1000))
    assert described.startswith("ConnectionError: a b")
    assert len(described) == 500


def test_a_text_that_is_not_unicode_is_printed_all_the_same(capfd: pytest.CaptureFixture[str]) -> None:
    """A setting that is not UTF-8 reaches us with half surrogate pairs; the line about it must not be lost."""
    log.log("ERROR", "bad settings", problems=["FORWARDER_FLUSH is '\udcff'"])
    assert json.loads(capfd.readouterr().err)["problems"] == ["FORWARDER_FLUSH is '\udcff'"]

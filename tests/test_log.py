from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from extension import log

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _level() -> Iterator[None]:
    yield
    log.set_level("INFO")
    log._said.clear()


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


def test_an_error_is_one_line_without_end() -> None:
    """An error's text is cut, and has no line breaks that would end a header or a log line."""
    described = log.describe(ConnectionError("a\nb" * 1000))
    assert described.startswith("ConnectionError: a b")
    assert len(described) == 500


def test_a_text_that_is_not_unicode_is_printed_all_the_same(capfd: pytest.CaptureFixture[str]) -> None:
    """A setting that is not UTF-8 reaches us with half surrogate pairs; the line about it must not be lost."""
    log.log("ERROR", "bad settings", problems=["FORWARDER_FLUSH is '\udcff'"])
    assert json.loads(capfd.readouterr().err)["problems"] == ["FORWARDER_FLUSH is '\udcff'"]

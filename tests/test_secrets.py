"""What nobody may read is not in what is said of bad settings, nor in the name of a sink."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from extension import sinks
from extension.config import ConfigError, parse
from tests.support.secret_urls import LAWFUL, MARKS, MISTAKEN, shown
from tests.support.strict_aws import CREDENTIALS

if TYPE_CHECKING:
    from collections.abc import Mapping


SECRET = MARKS[0]


@pytest.fixture(autouse=True)
def _aws(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)


def problems(variables: Mapping[str, str]) -> list[str]:
    """What is wrong with the settings, and with the sinks that they name."""
    try:
        config = parse(variables)
    except ConfigError as error:
        return error.problems
    urls = [*config.sinks, *filter(None, [config.fallback])]
    opening = sinks.start_opening(urls)
    found = sinks.wait_opened(urls, opening, time.monotonic() + 60.0)
    for one in opening:
        assert one.done()
        if one.exception() is None:
            one.result().close()
    return found


def names(url: str) -> str:
    """What log, ledger and fallback call the sink of a URL that is taken."""
    return " ".join(target.name for target in parse({"FORWARDER_SINKS": url}).sinks)


def test_mistaken_urls_are_refused() -> None:
    """Nothing is sent to where a URL that holds credentials by mistake may lead."""
    assert [url for url in MISTAKEN if not problems({"FORWARDER_SINKS": url})] == []


@pytest.mark.parametrize("variable", ["FORWARDER_SINKS", "FORWARDER_FALLBACK"])
def test_mistaken_urls_are_not_shown(variable: str) -> None:
    """What is said of a URL that is refused holds nothing of the secret in it."""
    assert [url for url in MISTAKEN if shown("".join(problems({variable: url})))] == []


def test_mistaken_urls_are_not_shown_among_others() -> None:
    """Nor where they come twice, where a single one was expected, or where another setting is wrong as well."""
    for url in MISTAKEN:
        several = {
            "FORWARDER_SINKS": f"file:///a {url} {url}",
            "FORWARDER_FALLBACK": f"{url} {url}",
            "FORWARDER_X": url,
        }
        assert shown("".join(problems(several))) == []


def test_paths_and_values_are_no_part_of_a_name() -> None:
    """A sink that works is called by its scheme and host: its path may be a token."""
    assert [url for url in LAWFUL if problems({"FORWARDER_SINKS": url})] == []
    assert [url for url in LAWFUL if shown(names(url))] == []


PIECES = st.lists(st.sampled_from([*"ab1:/?#[]@!$&()*+,;=%._~-\\", SECRET, "host", "types=", "%40", "://"]), max_size=8)


@settings(max_examples=500, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.filter_too_much])
@given(st.sampled_from(["https", "http", "file"]), PIECES, PIECES)
def test_no_mixture_shows_a_secret(scheme: str, before: list[str], after: list[str]) -> None:
    """However a URL is malformed, its secret is not shown, unless it is what a URL has for a host."""
    url = f"{scheme}://{''.join(before)}{SECRET}{''.join(after)}"
    found = problems({"FORWARDER_SINKS": url})
    assert shown("".join(found)) == []
    assert found or not shown(names(url)) or "@" not in url

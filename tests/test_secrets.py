"""What nobody may read is in no output: not in what is said of bad settings, nor in log, ledger and fallback."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from extension import sinks
from extension.config import ConfigError, parse
from tests.support.fault_server import Answer, FaultServer, Reset, refused_port
from tests.support.forwarding import delivered
from tests.support.secret_urls import LAWFUL, MARKS, MISTAKEN, shown
from tests.support.strict_aws import CREDENTIALS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.support.fake_lambda import FakeLambda

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


async def test_the_log_shows_none_of_them(lambda_: FakeLambda) -> None:
    """The layer as it ships says of each what is wrong, and where, in one line without a secret."""
    await lambda_.start(FORWARDER_SINKS=" ".join([*MISTAKEN, *LAWFUL]))
    assert await lambda_.shut_down() == 0
    [line] = lambda_.log
    assert len(line["problems"]) >= len(MISTAKEN)
    assert shown(json.dumps(line)) == []


@pytest.mark.parametrize(
    "variables",
    [
        {"FORWARDER_SINK": SECRET},
        {"FORWARDER_TOKEN": SECRET},
        {"FORWARDER_HEADERS": SECRET},
        {"FORWARDER_HEADERS": f"Api Key: {SECRET}"},
        {"FORWARDER_HEADERS": f"Api-Key: x\n{SECRET}: \u20ac"},
        {"FORWARDER_HEADERS": f"Api-Key: ${{ssm:{SECRET}}}"},
        {"OTHER": SECRET, "FORWARDER_SINKS": "https://h/?headers=OTHER"},
        {"HTTPS_PROXY": f"http://user:{SECRET}/x@127.0.0.1:1"},
        {"HTTPS_PROXY": f"http://user:x/{SECRET}@127.0.0.1:1"},
        {"HTTPS_PROXY": f"socks5://user:{SECRET}@127.0.0.1:1"},
        {"HTTPS_PROXY": f"{SECRET}://127.0.0.1"},
        {"HTTPS_PROXY": f"//user:{SECRET}"},
        {"SSL_CERT_FILE": f"/{SECRET}"},
        {"AWS_PROFILE": SECRET, "FORWARDER_SINKS": "s3://bucket"},
        {"AWS_ENDPOINT_URL": f"user:{SECRET}", "FORWARDER_SINKS": "s3://bucket"},
        {"AWS_REGION": f"user:{SECRET}@", "FORWARDER_SINKS": "s3://bucket"},
        {"AWS_CA_BUNDLE": f"/{SECRET}", "FORWARDER_SINKS": "s3://bucket"},
    ],
    ids=" ".join,
)
async def test_other_variables_are_not_shown(variables: dict[str, str], lambda_: FakeLambda) -> None:
    """A secret in another variable, in its place or not, is not shown at start nor by what fails later."""
    await lambda_.start(**{"FORWARDER_SINKS": "https://127.0.0.1:1/", **variables})
    await lambda_.invoke("r1")
    assert await lambda_.shut_down() == 0
    assert lambda_.log
    assert shown(json.dumps(lambda_.log)) == []


async def test_neither_ledger_nor_fallback_shows_a_path(lambda_: FakeLambda, tmp_path: Path) -> None:
    """Sinks that fail in different ways are called by scheme, host and number in log, ledger and `refusedBy`."""
    path = tmp_path / SECRET
    with FaultServer(otherwise=Answer(403)) as server:
        dead = refused_port()
        await lambda_.start(
            FORWARDER_SINKS=f"{server.url}/v1/{SECRET} {server.url}/{SECRET} http://127.0.0.1:{dead}/{SECRET}"
            f" https://{server.host}/{SECRET} file:///nowhere/{SECRET}/x",
            FORWARDER_FALLBACK=f"file://{path}",
            FORWARDER_LOG_LEVEL="DEBUG",
        )
        await lambda_.subscribe()
        await lambda_.invoke("r1", "one")
        assert await lambda_.shut_down() == 0
    host = f"http://{server.host}"
    refusing = {f"{host} (1)", f"{host} (2)", f"http://127.0.0.1:{dead}", f"https://{server.host}", "file:// (1)"}
    assert set(lambda_.ledger["sinks"]) == {*refusing, "file:// (2)"}
    assert {record["lambda"]["refusedBy"] for record in delivered(path)} == refusing
    assert shown(json.dumps(lambda_.log)) == shown(path.read_text()) == []


async def test_errors_of_sends_show_no_path(lambda_: FakeLambda, tmp_path: Path) -> None:
    """What libraries say of a request that failed quotes its URL; the log and the fallback do not."""
    path = tmp_path / "fallback"
    with FaultServer(otherwise=Reset()) as server:
        await lambda_.start(
            AWS_ENDPOINT_URL=f"http://user:{SECRET}@{server.host}",
            FORWARDER_SINKS=f"s3://bucket/{SECRET} sqs://{server.host}/{SECRET}/queue logs://group/{SECRET}",
            FORWARDER_FALLBACK=f"file://{path}",
            FORWARDER_LOG_LEVEL="DEBUG",
        )
        await lambda_.subscribe()
        await lambda_.invoke("r1", "one")
        assert await lambda_.shut_down() == 0
    assert "sink fails; its records wait" in [line["message"] for line in lambda_.log]
    assert shown(json.dumps(lambda_.log)) == shown(path.read_text()) == []

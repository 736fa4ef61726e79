"""What nobody may read is in no output of the layer as it ships: neither in log and ledger, nor in the fallback."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support.fault_server import Action, Answer, FaultServer, Reset, refused_port
from tests.support.forwarding import delivered
from tests.support.secret_urls import LAWFUL, MARKS, MISTAKEN, shown
from tests.support.strict_aws import CREDENTIALS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.fake_lambda import FakeLambda

SECRET = MARKS[0]


@pytest.fixture(autouse=True)
def _aws(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)


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


@pytest.mark.parametrize("fault", [Answer(403), Answer(400, {}, SECRET.encode()), Answer(503), Reset()], ids=str)
async def test_what_goes_on_to_an_intake_is_not_shown(lambda_: FakeLambda, tmp_path: Path, fault: Action) -> None:
    """A token in the query, or the path of a file with one, is in neither log, ledger nor fallback, whatever fails."""
    path = tmp_path / "fallback"
    with FaultServer(otherwise=fault) as server:
        schemes = ("http", "splunk+http", "elasticsearch+http", "datadog+http")
        urls = [f"{scheme}://{server.host}/index?{SECRET}={SECRET}&query.types={SECRET}" for scheme in schemes]
        await lambda_.start(
            FORWARDER_SINKS=" ".join(urls), FORWARDER_FALLBACK=f"file://{path}", FORWARDER_LOG_LEVEL="DEBUG"
        )
        await lambda_.subscribe()
        await lambda_.invoke("r1", "one")
        assert await lambda_.shut_down() == 0
    assert len([request for request in server.requests if f"{SECRET}={SECRET}&types={SECRET}" in request.path]) >= 4
    assert len(lambda_.ledger["sinks"]) == 5
    assert shown(json.dumps(lambda_.log)) == shown(path.read_text()) == []

"""The layer as it ships with settings from a file and secrets by reference."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.fake_lambda import Answer as ApiAnswer
from tests.support.fault_server import Answer, FaultServer
from tests.support.forwarding import assert_balanced, delivered, received
from tests.support.vault import Vault

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.fake_lambda import FakeLambda

SECRET = "Pa55w0rd"
SLOW = Answer(500, after_s=1.0)


@pytest.fixture
def vault() -> Iterator[tuple[Vault, dict[str, str]]]:
    """Both services, with nothing in them yet, and the variables that lead there."""
    found = Vault()
    with FaultServer(found) as server:
        yield found, {"AWS_ENDPOINT_URL_SECRETS_MANAGER": server.url, "AWS_ENDPOINT_URL_SSM": server.url}


async def test_a_file_with_references(lambda_: FakeLambda, tmp_path: Path, vault: tuple[Vault, dict[str, str]]) -> None:
    """Settings of a file, a token in a header and one in a query reach the intake, and no log."""
    services, variables = vault
    services.secrets = {"key": json.dumps({"key": f"{SECRET}&1"})}
    services.parameters = {"/prod/token": f"{SECRET}&2"}
    with FaultServer() as server:
        path = tmp_path / "forwarder.toml"
        path.write_text(
            f'sinks = ["{server.url}/v1?token=${{ssm:/prod/token}}"]\nlog_level = "DEBUG"\n'
            'headers = {Api-Key = "${secretsmanager:key#key}"}\ntypes = ["function"]\n'
        )
        await lambda_.start(FORWARDER_CONFIG=str(path), **variables)
        await lambda_.subscribe()
        await lambda_.invoke("r1", "one")
        assert await lambda_.shut_down() == 0
    assert received(server) == ["one"]
    assert {request.path for request in server.requests} == {f"/v1?token={SECRET}%262"}
    assert {request.headers["api-key"] for request in server.requests} == {f"{SECRET}&1"}
    assert SECRET not in json.dumps(lambda_.log)


@pytest.mark.parametrize("strict", [False, True])
async def test_a_secret_that_is_not_there(
    lambda_: FakeLambda, vault: tuple[Vault, dict[str, str]], strict: bool
) -> None:
    """It is a mistake in the settings as any other: told in the line of all others, open or strict as set."""
    variables = {**vault[1], "FORWARDER_ON_ERROR": "strict" if strict else "open"}
    lambda_.answers["error"] = [ApiAnswer(202)]
    await lambda_.start(FORWARDER_SINKS="https://h/${ssm:/prod/token} https://h/${ssm:/prod/none}/a", **variables)
    if strict:
        assert lambda_.process is not None
        assert await lambda_.process.wait() == 1
    else:
        await lambda_.invoke("r1")
        assert await lambda_.shut_down() == 0
    assert lambda_._reading is not None
    await lambda_._reading
    [line] = lambda_.log
    assert line["problems"] == [
        f"sink {number} of FORWARDER_SINKS, reference 1: there is no such parameter" for number in (1, 2)
    ]


async def test_what_refuses_shows_no_secret(
    lambda_: FakeLambda, tmp_path: Path, vault: tuple[Vault, dict[str, str]]
) -> None:
    """Sinks whose hosts, or whole URLs, are secrets fail without showing them in log, ledger or fallback."""
    services, variables = vault
    path = tmp_path / "fallback"
    with FaultServer(otherwise=Answer(403)) as server:
        services.parameters = {
            "host": server.host,
            "url": f"{server.url}/{SECRET}",
            "dead": f"{SECRET.lower()}.invalid",
        }
        await lambda_.start(
            FORWARDER_SINKS="http://${ssm:host}/x ${ssm:url} https://${ssm:dead}/x s3://${ssm:dead}",
            AWS_ENDPOINT_URL_S3=server.url,
            FORWARDER_FALLBACK=f"file://{path}",
            FORWARDER_LOG_LEVEL="DEBUG",
            **variables,
        )
        await lambda_.subscribe()
        await lambda_.invoke("r1", "one")
        assert await lambda_.shut_down() == 0
    names = {"http://", "sink 2 of FORWARDER_SINKS", "https://", "s3://"}
    assert {record["lambda"]["refusedBy"] for record in delivered(path)} == names
    shown = json.dumps(lambda_.log) + path.read_text()
    assert SECRET.lower() not in shown.lower()
    assert server.host not in shown


async def run_late(lambda_: FakeLambda, services: Vault, server: FaultServer, second: str, **variables: str) -> None:
    """One line before the service has answered, and one after something has come to the server."""
    services.first = [SLOW] * 1000
    await lambda_.start(FORWARDER_FLUSH_INTERVAL_MS="100", **variables)
    await lambda_.subscribe()
    await lambda_.invoke("r1", "one")
    services.first.clear()
    await asyncio.to_thread(server.wait_for, 1)
    await lambda_.invoke("r2", second)
    assert await lambda_.shut_down() == 0


async def test_a_service_that_is_late(lambda_: FakeLambda, vault: tuple[Vault, dict[str, str]]) -> None:
    """The function does not wait for it; once the secret is there, the sink gets what its URL asks for, and no more."""
    services, variables = vault
    with FaultServer() as server:
        services.secrets = {"url": f"{server.url}/?types=function"}
        await run_late(lambda_, services, server, "two", FORWARDER_SINKS="${secretsmanager:url}", **variables)
    records: list[dict[str, Any]] = [
        json.loads(line) for request in server.requests for line in request.text.splitlines()
    ]
    assert [(record["type"], record["record"]) for record in records] == [("function", "one"), ("function", "two")]
    assert_balanced(lambda_.ledger)
    assert "sinks are still being opened; their records wait" in [line["message"] for line in lambda_.log]


async def test_rules_in_a_secret(lambda_: FakeLambda, vault: tuple[Vault, dict[str, str]]) -> None:
    """Rules of a URL that is a secret as a whole hold from the first record on, where the secret comes in time."""
    services, variables = vault
    with FaultServer() as server:
        services.parameters = {"/url": f"{server.url}/?types=function&exclude=noise&min_level=WARN"}
        await lambda_.start(FORWARDER_SINKS="${ssm:/url}", **variables)
        await lambda_.subscribe()
        await lambda_.invoke("r1", "noise", '{"level":"DEBUG"}', "one")
        assert await lambda_.shut_down() == 0
    assert received(server) == ["one"]
    assert_balanced(lambda_.ledger)


async def test_rules_in_a_secret_that_is_late(lambda_: FakeLambda, vault: tuple[Vault, dict[str, str]]) -> None:
    """Nothing goes to a sink whose rules came too late: its records go to the fallback, and the log says why."""
    services, variables = vault
    with FaultServer() as server:
        services.parameters = {"/url": f"{server.url}/sink?exclude=noise"}
        variables |= {"FORWARDER_SINKS": "${ssm:/url}", "FORWARDER_FALLBACK": f"{server.url}/fallback"}
        await run_late(lambda_, services, server, "noise", **variables)
    assert {request.path for request in server.requests} == {"/fallback"}
    assert received(server) == ["one", "noise"]
    [told] = [line for line in lambda_.log if line["message"] == "sink cannot be opened; it gets nothing"]
    assert "came too late for its rules" in told["reason"]


async def test_a_restore_fetches_again(lambda_: FakeLambda, vault: tuple[Vault, dict[str, str]]) -> None:
    """A copy of a snapshot sends with the secret of its own time, the first request included."""
    services, variables = vault
    services.secrets = {"key": "old"}
    with FaultServer() as server:
        await lambda_.start(
            FORWARDER_SINKS=server.url,
            FORWARDER_HEADERS="Key: ${secretsmanager:key}",
            AWS_LAMBDA_INITIALIZATION_TYPE="snap-start",
            **variables,
        )
        await lambda_.subscribe()
        await lambda_.ready()
        services.secrets = {"key": "new"}
        await lambda_.invoke("r1", "one")
        assert await lambda_.shut_down() == 0
    assert received(server) == ["one"]
    assert {request.headers["key"] for request in server.requests} == {"new"}

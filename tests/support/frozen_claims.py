"""What the frozen binary does with every sink, wherever it runs: tests/layer runs these claims here and elsewhere."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

import botocore.session
import orjson
import pytest
import trustme

from tests.support import sink_contract as contract
from tests.support.fault_server import FaultServer
from tests.support.strict_aws import CREDENTIALS, REGION

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.support.fake_lambda import FakeLambda

OVER_AWS = [name for name in contract.names() if contract.kind(name).prepare]


async def _forward(lambda_: FakeLambda, url: str, environment: Mapping[str, str]) -> None:
    """One invocation and SHUTDOWN, in whose ledger every record is delivered."""
    await lambda_.start(FORWARDER_SINKS=url, **environment)
    await lambda_.subscribe()
    await lambda_.invoke("8a3b6d9e-77a5-4f0e-9a53-3a4ab6f3d7d1", "one", "zwei ü 😀")
    assert await lambda_.shut_down() == 0
    [account] = lambda_.ledger["sinks"].values()
    sent = len(lambda_.sent) + lambda_.ledger["added"]  # where a sink takes more than logs
    assert (account["delivered"], account["dropped"], account["pending"]) == (sent, {}, 0), lambda_.log


@pytest.fixture
def destinations(tmp_path: Path) -> Iterator[dict[str, contract.Destination]]:
    """A strict server of ours for every sink."""
    with contract.open_destinations(tmp_path) as opened:
        yield opened


@pytest.mark.parametrize("scheme", contract.names())
async def test_every_sink_delivers(
    lambda_: FakeLambda, scheme: str, destinations: dict[str, contract.Destination]
) -> None:
    """What was sent to the frozen forwarder arrives at each destination, whole and in order."""
    url, environment = contract.sink_urls(destinations)[scheme]
    await _forward(lambda_, url, environment)
    arrived = [orjson.loads(line) for line in destinations[scheme].lines()]
    for line in arrived:
        del line["lambda"]
    assert arrived == [orjson.loads(line) for line in lambda_.sent]


@pytest.mark.parametrize("scheme", OVER_AWS)
async def test_every_aws_sink_delivers_to_moto(lambda_: FakeLambda, scheme: str, moto: str) -> None:
    """With the pruned data, each AWS sink gets everything past a server that we did not write."""
    session = botocore.session.Session()
    session.set_credentials("AKIDEXAMPLE", "secret")
    opened: list[Any] = []

    def client(service: str) -> Any:
        opened.append(session.create_client(service, region_name=REGION, endpoint_url=moto))
        return opened[-1]

    prepare = contract.kind(scheme).prepare
    assert prepare is not None
    prepare(client)
    environment = {**CREDENTIALS, "AWS_ENDPOINT_URL": moto}
    await _forward(lambda_, contract.kind(scheme).url(moto, Path()), environment)
    for one in opened:
        one.close()


async def test_https_is_verified(lambda_: FakeLambda, tmp_path: Path) -> None:
    """The bundle has what TLS needs: it delivers to a server whose authority is trusted."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    intake = contract.Intake()
    with FaultServer(intake, tls=context) as server:
        await _forward(lambda_, server.url, {"SSL_CERT_FILE": str(tmp_path / "ca.pem")})
    assert len(intake.lines()) == len(lambda_.sent)


async def test_client_certificate_is_shown(lambda_: FakeLambda, tmp_path: Path) -> None:
    """The bundle reaches a server that demands a certificate, with the files that a sink's URL names."""
    authority, clients = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    clients.issue_cert("function@example.org").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "cert.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    authority.issue_cert("127.0.0.1").configure_cert(context)
    clients.configure_trust(context)
    intake = contract.Intake()
    with FaultServer(intake, tls=context) as server:
        await _forward(lambda_, f"{server.url}?ca={tmp_path}/ca.pem&cert={tmp_path}/cert.pem", {})
    assert len(intake.lines()) == len(lambda_.sent)


async def test_stranger_is_refused(lambda_: FakeLambda) -> None:
    """A server whose authority is not among those in the bundle gets nothing, and the log says why."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    intake = contract.Intake()
    with FaultServer(intake, tls=context) as server:
        await lambda_.start(FORWARDER_SINKS=server.url)
        await lambda_.subscribe()
        await lambda_.invoke("8a3b6d9e-77a5-4f0e-9a53-3a4ab6f3d7d1", "one")
        assert await lambda_.shut_down() == 0
    assert intake.lines() == []
    assert "certificate verify failed" in str(lambda_.log)

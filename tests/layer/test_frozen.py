"""The frozen binary, once with every sink that there is.

A module that PyInstaller left out or data that was pruned away shows only here: from source everything works.
"""

from __future__ import annotations

import re
import socket
import ssl
import subprocess
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import botocore.session
import orjson
import pytest
import trustme

from extension import sinks
from layer import built
from tests.support import sink_contract as contract
from tests.support.fault_server import FaultServer
from tests.support.moto import moto_process as moto_process  # noqa: PLC0414 - a fixture, passed on to this module
from tests.support.strict_aws import CREDENTIALS, REGION

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.support.fake_lambda import FakeLambda

ZIPPED_MB, UNZIPPED_MB = 12, 34  # AWS counts both; the peers' layers are two to ten times as large
OVER_AWS = [name for name in sinks.known() if contract.kind(name).prepare]


async def _forward(lambda_: FakeLambda, url: str, environment: Mapping[str, str]) -> None:
    """One invocation and SHUTDOWN, in whose ledger every record is delivered."""
    await lambda_.start(FORWARDER_SINKS=url, **environment)
    await lambda_.subscribe()
    await lambda_.invoke("8a3b6d9e-77a5-4f0e-9a53-3a4ab6f3d7d1", "one", "zwei ü 😀")
    assert await lambda_.shut_down() == 0
    [account] = lambda_.ledger["sinks"].values()
    assert (account["delivered"], account["dropped"], account["pending"]) == (len(lambda_.sent), {}, 0), lambda_.log


@pytest.fixture
def destinations(tmp_path: Path) -> Iterator[dict[str, contract.Destination]]:
    """A strict server of ours for every sink."""
    with contract.open_destinations(tmp_path) as opened:
        yield opened


@pytest.mark.parametrize("scheme", sinks.known())
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
async def test_every_aws_sink_delivers_to_moto(lambda_: FakeLambda, scheme: str, moto_process: str) -> None:
    """With the pruned data, each AWS sink gets everything past a server that we did not write."""
    session = botocore.session.Session()
    session.set_credentials("AKIDEXAMPLE", "secret")
    opened: list[Any] = []

    def client(service: str) -> Any:
        opened.append(session.create_client(service, region_name=REGION, endpoint_url=moto_process))
        return opened[-1]

    prepare = contract.kind(scheme).prepare
    assert prepare is not None
    prepare(client)
    environment = {**CREDENTIALS, "AWS_ENDPOINT_URL": moto_process}
    await _forward(lambda_, contract.kind(scheme).url(moto_process, Path()), environment)
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


def test_authorities_are_bundled(layer: Path) -> None:
    """Mozilla's list is there, for OpenSSL under the names it looks for, and for botocore as the file it opens."""
    internal = layer / "telemetry-forwarder" / "_internal"
    hashed = [path.name for path in (internal / "extension" / "certificates").iterdir()]
    assert len(hashed) > 100
    assert all(re.fullmatch(r"[0-9a-f]{8}\.\d", name) for name in hashed)
    assert (internal / "botocore" / "cacert.pem").stat().st_size > 100_000


def test_nothing_is_loaded_before_register(layer: Path) -> None:
    """When the binary registers, it has loaded CPython, what PyInstaller's start needs, and `_socket`; no more."""
    with socket.create_server(("127.0.0.1", 0)) as platform_:
        process = subprocess.Popen(
            [layer / "extensions" / "telemetry-forwarder"],
            env={"AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{platform_.getsockname()[1]}"},
        )
        try:
            platform_.settimeout(10)
            connection, _ = platform_.accept()
            with connection:
                loaded = Path(f"/proc/{process.pid}/maps").read_text()
        finally:
            process.kill()
            process.wait()
    libraries = set(re.findall(r"/_internal/(?:\S+/)?(\w+?)(?:[-.]\S*)?$", loaded, re.MULTILINE))
    assert {"libpython3"} <= libraries <= {"libpython3", "libz", "zlib", "_struct", "_socket"}


def test_size() -> None:
    """The layer stays small: it is downloaded and unpacked in a cold start."""
    archive = built()
    with zipfile.ZipFile(archive) as content:
        unzipped = sum(entry.file_size for entry in content.infolist())
    assert archive.stat().st_size <= ZIPPED_MB * 1e6
    assert unzipped <= UNZIPPED_MB * 1e6

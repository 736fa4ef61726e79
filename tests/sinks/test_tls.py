"""Whom the http sink trusts."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest
import trustme

from extension.sinks import Unavailable, _tls
from layer.certificates import write_hashed
from tests.support.batches import batch, line, open_sink
from tests.support.fault_server import FaultServer
from tests.support.sink_contract import Intake

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

AUTHORITY = trustme.CA()


class Intaking:
    """An HTTPS intake whose certificate AUTHORITY signed, and the lines that it took."""

    def __init__(self) -> None:
        self.intake = Intake()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        AUTHORITY.issue_cert("127.0.0.1").configure_cert(context)
        self.server = FaultServer(self.intake, tls=context)


@pytest.fixture
def https() -> Iterator[Intaking]:
    """An HTTPS intake."""
    served = Intaking()
    with served.server:
        yield served


def test_named_authority_is_trusted(https: Intaking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server whose certificate was signed by an authority in SSL_CERT_FILE gets the records."""
    AUTHORITY.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    sink = open_sink(https.server.url)
    sink.send(batch(line(1)), 5.0)
    sink.close()
    assert https.intake.lines() == [line(1)]


def test_stranger_is_not_trusted(https: Intaking, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server whose certificate nobody known has signed gets nothing."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    sink = open_sink(https.server.url)
    with pytest.raises(Exception, match="certificate verify failed"):
        sink.send(batch(line(1)), 5.0)
    sink.close()
    assert https.intake.lines() == []


def test_certificates_of_the_layer_are_trusted(
    https: Intaking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without SSL_CERT_FILE, an authority in the folder that the build writes is found by OpenSSL, among others."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    for authority in (trustme.CA(), AUTHORITY, trustme.CA()):
        with (tmp_path / "ca.pem").open("ab") as file:
            file.write(authority.cert_pem.bytes())
    write_hashed(tmp_path / "ca.pem", tmp_path / "certificates")
    monkeypatch.setattr(_tls, "BUNDLED", tmp_path / "certificates")
    sink = open_sink(https.server.url)
    sink.send(batch(line(1)), 5.0)
    sink.close()
    assert https.intake.lines() == [line(1)]


def test_file_without_certificates(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A SSL_CERT_FILE that holds none is trouble of the sink, said in words."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    with pytest.raises(Unavailable, match="SSL_CERT_FILE names no file that holds certificates"):
        _tls.open_context()

"""Whom sinks over HTTP trust, and how they say who they are."""

from __future__ import annotations

import os
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from extension.sinks import BadSetting, Unavailable, _tls
from layer.certificates import write_hashed
from tests.support.batches import batch, line, open_sink
from tests.support.fault_server import FaultServer
from tests.support.sink_contract import Intake

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

AUTHORITY, CLIENTS = trustme.CA(), trustme.CA()


class Intaking:
    """An HTTPS intake whose certificate AUTHORITY signed, and the lines that it took.

    With a version of TLS it speaks that alone, and only with those whose certificate CLIENTS signed.
    """

    def __init__(self, version: ssl.TLSVersion | None = None) -> None:
        self.intake = Intake()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        AUTHORITY.issue_cert("127.0.0.1").configure_cert(context)
        if version is not None:
            context.minimum_version = context.maximum_version = version
            context.verify_mode = ssl.CERT_REQUIRED
            CLIENTS.configure_trust(context)
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


# --- the files that a sink's parameters name


@pytest.fixture
def pem(tmp_path: Path) -> Path:
    """A folder with ca.pem, which signed the servers' certificates, and a client's cert.pem, key.pem and both.pem."""
    AUTHORITY.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    client = CLIENTS.issue_cert("client@example.org")
    client.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    client.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    client.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "both.pem"))
    return tmp_path


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def demanding(request: pytest.FixtureRequest) -> Iterator[Intaking]:
    """An intake for each version of TLS; a client without a certificate is told at another moment by each."""
    served = Intaking(request.param)
    with served.server:
        yield served


def test_authority_of_one_sink(https: Intaking, pem: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An authority that ca= names is trusted by that sink, whatever SSL_CERT_FILE says."""
    trustme.CA().cert_pem.write_to_path(str(pem / "others.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(pem / "others.pem"))
    sink = open_sink(f"{https.server.url}?ca={pem}/ca.pem")
    sink.send(batch(line(1)), 5.0)
    sink.close()
    assert https.intake.lines() == [line(1)]


def test_authority_of_another_sink(https: Intaking, pem: Path) -> None:
    """With ca= no other authority is trusted."""
    trustme.CA().cert_pem.write_to_path(str(pem / "others.pem"))
    sink = open_sink(f"{https.server.url}?ca={pem}/others.pem")
    with pytest.raises(ssl.SSLCertVerificationError):
        sink.send(batch(line(1)), 5.0)
    sink.close()


@pytest.mark.parametrize("files", ["cert={0}/cert.pem&key={0}/key.pem", "cert={0}/both.pem"])
def test_client_certificate(demanding: Intaking, pem: Path, files: str) -> None:
    """A server that demands a certificate gets that of cert=, and takes the records."""
    sink = open_sink(f"{demanding.server.url}?ca={pem}/ca.pem&{files.format(pem)}")
    sink.send(batch(line(1)), 5.0)
    sink.close()
    assert demanding.intake.lines() == [line(1)]


@pytest.mark.parametrize("stranger", [False, True], ids=["none", "stranger"])
def test_client_without_the_certificate(demanding: Intaking, pem: Path, stranger: bool) -> None:
    """Who shows no certificate to such a server, or one of somebody else's, does not reach it, and is told so."""
    trustme.CA().issue_cert("client@example.org").private_key_and_cert_chain_pem.write_to_path(str(pem / "other.pem"))
    other = f"&cert={pem}/other.pem" if stranger else ""
    sink = open_sink(f"{demanding.server.url}?ca={pem}/ca.pem{other}")
    with pytest.raises(OSError, match=r"(?i)alert|reset|broken pipe|EOF"):
        sink.send(batch(line(1)), 5.0)
    sink.close()
    assert demanding.intake.lines() == []


@pytest.mark.parametrize(
    "scheme", ["https", "loki+https", "splunk+https", "elasticsearch+https", "datadog+https", "otlp+https"]
)
def test_every_intake_shows_its_certificate(demanding: Intaking, pem: Path, scheme: str) -> None:
    """Each sink over HTTP reaches a server that demands a certificate, with the same three parameters."""
    host = demanding.server.url.removeprefix("https://")
    sink = open_sink(f"{scheme}://{host}/x?ca={pem}/ca.pem&cert={pem}/cert.pem&key={pem}/key.pem")
    with suppress(Exception):  # it is an intake of another kind; it was reached all the same
        sink.send(batch(line(1)), 5.0)
    sink.close()
    assert len(demanding.server.requests) == 1


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("ca={0}/none.pem", r"^ca= names no file that holds certificates \(No such file or directory\)$"),
        ("ca={0}/key.pem", r"^ca= names no file that holds certificates \(NO_CERTIFICATE_OR_CRL_FOUND\)$"),
        ("ca={0}", "^ca= names no regular file$"),
        ("ca={0}/fifo", "^ca= names no regular file$"),
        ("cert={0}/fifo", "^cert= names no regular file$"),
        ("cert={0}/cert.pem&key={0}/fifo", "^key= names no regular file$"),
        ("ca=", "^ca=, cert= or key= is empty; expected the path of a PEM file$"),
        ("cert={0}/none.pem", r"^cert= names no file that can be used \(No such file or directory\); expected "),
        (
            "cert={0}/cert.pem",
            r"^cert= names no file that can be used \(\w+\); expected a certificate and, there or ",
        ),
        ("cert={0}/cert.pem&key={0}/none.pem", "^cert= names no file that can be used .* the private key that belongs"),
        (
            "cert={0}/cert.pem&key={0}/other.pem",
            "^cert= names no file that can be used .KEY_VALUES_MISMATCH.; expected",
        ),
        (
            "cert={0}/cert.pem&key={0}/locked.pem",
            "^key= names a key that needs a password; expected one that needs none$",
        ),
        ("key={0}/key.pem", "^key= is there without cert=; expected both, or cert= alone"),
    ],
)
def test_files_that_cannot_be_used(pem: Path, query: str, expected: str) -> None:
    """What is wrong with a file is said at start, by the parameter that names it, and its path is not shown."""
    other = trustme.CA().issue_cert("client@example.org").private_key_pem
    other.write_to_path(str(pem / "other.pem"))
    key = load_pem_private_key(other.bytes(), None)
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    (pem / "locked.pem").write_bytes(locked)
    os.mkfifo(pem / "fifo")
    with pytest.raises(BadSetting, match=expected) as caught:
        open_sink(f"https://127.0.0.1/?{query.format(pem)}")
    assert str(pem) not in str(caught.value)


@pytest.mark.parametrize("scheme", ["http", "loki+http"])
@pytest.mark.parametrize("parameter", ["ca", "cert"])
def test_files_are_for_https(pem: Path, scheme: str, parameter: str) -> None:
    """Certificates with http:// are a mistake: somebody believes that it is encrypted."""
    with pytest.raises(BadSetting, match=r"^ca=, cert= and key= are for https$"):
        open_sink(f"{scheme}://127.0.0.1/?{parameter}={pem}/both.pem")

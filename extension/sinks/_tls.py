"""Whom to trust over TLS, and who we are.

The OpenSSL in the layer looks for certificates where the system that it was built on keeps them. The system it runs on,
Amazon Linux or whatever a container image is made of, may keep them elsewhere, or have none: so the layer brings them.
"""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from extension.sinks import BadSetting, Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

# Mozilla's list, written by layer/certificates.py. OpenSSL reads of it what it meets; a whole file would cost 14 ms.
BUNDLED = os.path.join(os.path.dirname(os.path.dirname(__file__)), "certificates")
PARAMETERS = frozenset({"ca", "cert", "key"})


class Files(NamedTuple):
    """Paths of PEM files: authorities to trust instead of all others; our own certificate, with its chain; its key."""

    ca: str = ""
    cert: str = ""
    key: str = ""


def files_of(parameters: Mapping[str, str]) -> Files:
    """The files that the parameters of a sink name. Raises BadSetting."""
    files = Files(*(parameters.get(name, "") for name in Files._fields))
    if any(name in parameters and not getattr(files, name) for name in Files._fields):
        raise BadSetting("ca=, cert= or key= is empty; expected the path of a PEM file")
    for name, path in zip(Files._fields, files, strict=True):
        if os.path.exists(path) and not os.path.isfile(path):  # to open a FIFO would hang
            raise BadSetting(f"{name}= names no regular file")
    if files.key and not files.cert:
        raise BadSetting("key= is there without cert=; expected both, or cert= alone where its file holds the key too")
    return files


def open_context(files: Files = Files()) -> ssl.SSLContext:  # noqa: B008 - it never changes
    """What verifies servers, and shows them our certificate where there is one.

    Authorities are those of `files`; else of SSL_CERT_FILE where it is set; else the layer's, and from source the
    system's. Raises BadSetting for `files` that cannot be used, Unavailable for a SSL_CERT_FILE.
    """
    context = _trusting(files.ca)
    if files.cert:
        try:
            context.load_cert_chain(files.cert, files.key or None, _no_password)
        except OSError as error:
            expected = "a certificate and, there or by key=, the private key that belongs to it"
            raise BadSetting(f"cert= names no file that can be used ({_why(error)}); expected {expected}") from None
    return context


def _trusting(ca: str) -> ssl.SSLContext:
    file = ca or os.environ.get("SSL_CERT_FILE")
    try:
        return ssl.create_default_context(cafile=file, capath=BUNDLED if not file and os.path.isdir(BUNDLED) else None)
    except OSError as error:
        if ca:
            raise BadSetting(f"ca= names no file that holds certificates ({_why(error)})") from None
        raise Unavailable(f"SSL_CERT_FILE names no file that holds certificates ({_why(error)})") from None


def _no_password() -> NoReturn:
    """Raise, where OpenSSL would ask the terminal."""
    raise BadSetting("key= names a key that needs a password; expected one that needs none")


def _why(error: OSError) -> str:
    """OpenSSL's or the system's own words, without the file's name."""
    return (error.reason if isinstance(error, ssl.SSLError) else error.strerror) or type(error).__name__

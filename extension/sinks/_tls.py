"""Whom to trust over TLS.

The OpenSSL in the layer looks for certificates where the system that it was built on keeps them. The system it runs on,
Amazon Linux or whatever a container image is made of, may keep them elsewhere, or have none at all.
"""

from __future__ import annotations

import importlib.util
import os
import ssl

# Amazon Linux and Fedora; Debian, Ubuntu and Alpine
SYSTEM = ("/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/certs/ca-certificates.crt")


def open_context() -> ssl.SSLContext:
    """What verifies servers: by SSL_CERT_FILE where it is set, else the system's certificates, else botocore's.

    Raises ValueError for a file that holds no certificates.
    """
    path = os.environ.get("SSL_CERT_FILE") or next(filter(os.path.exists, SYSTEM), None) or _botocores()
    try:
        return ssl.create_default_context(cafile=path)
    except OSError as error:
        message = f"no certificates to trust in {path} (SSL_CERT_FILE names another file): {error}"
        raise ValueError(message) from None


def _botocores() -> str:
    """Mozilla's list, in the layer for the AWS sinks anyway; botocore itself isn't imported for it."""
    found = importlib.util.find_spec("botocore")
    return os.path.join(os.path.dirname(found.origin or ""), "cacert.pem") if found else ""

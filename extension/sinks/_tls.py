"""Whom to trust over TLS.

The OpenSSL in the layer looks for certificates where the system that it was built on keeps them. The system it runs on,
Amazon Linux or whatever a container image is made of, may keep them elsewhere, or have none: so the layer brings them.
"""

from __future__ import annotations

import os
import ssl

from extension.sinks import Unavailable

# Mozilla's list, written by layer/certificates.py. OpenSSL reads of it what it meets; a whole file would cost 14 ms.
BUNDLED = os.path.join(os.path.dirname(os.path.dirname(__file__)), "certificates")


def open_context() -> ssl.SSLContext:
    """What verifies servers: SSL_CERT_FILE where it is set, else the layer's certificates; from source, the system's.

    Raises Unavailable for a file that holds no certificates.
    """
    path = os.environ.get("SSL_CERT_FILE")
    try:
        return ssl.create_default_context(cafile=path, capath=BUNDLED if not path and os.path.isdir(BUNDLED) else None)
    except OSError as error:
        raise Unavailable(f"SSL_CERT_FILE names no file that holds certificates ({error.strerror})") from None

"""The authorities to trust over TLS, as a folder that OpenSSL looks into one certificate at a time.

Mozilla's list comes with botocore as one file; reading it whole costs each start 14 ms and 2 MiB.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from OpenSSL.crypto import FILETYPE_PEM, load_certificate

if TYPE_CHECKING:
    from pathlib import Path


def write_hashed(bundle: Path, folder: Path) -> None:
    """Write each certificate of a PEM file under its subject's hash and a number, as `openssl rehash` names links."""
    folder.mkdir(parents=True, exist_ok=True)
    seen: Counter[str] = Counter()
    for certificate in re.findall(
        r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", bundle.read_text(), re.DOTALL
    ):
        digest = f"{load_certificate(FILETYPE_PEM, certificate.encode()).subject_name_hash():08x}"
        (folder / f"{digest}.{seen[digest]}").write_text(certificate)
        seen[digest] += 1

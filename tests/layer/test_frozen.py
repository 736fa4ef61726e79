"""The frozen binary, once with every sink that there is.

A module that PyInstaller left out or data that was pruned away shows only here: from source everything works.
"""

from __future__ import annotations

import re
import socket
import subprocess
import zipfile
from pathlib import Path

from layer import built
from tests.support.frozen_claims import (  # noqa: F401 - claims and fixtures that run in this module
    destinations,
    test_client_certificate_is_shown,
    test_every_aws_sink_delivers_to_moto,
    test_every_sink_delivers,
    test_https_is_verified,
    test_stranger_is_refused,
)
from tests.support.moto import moto, moto_process  # noqa: F401 - as above

ZIPPED_MB, UNZIPPED_MB = 12, 34  # AWS counts both; the peers' layers are two to ten times as large


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

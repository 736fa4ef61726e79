"""The zip: the same bytes for the same files, whatever the clock, the umask and the order of folders."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can say


def entries(bootstrap: Path, bundle: Path, licences: str) -> dict[str, tuple[bytes, bool]]:
    """What the layer holds, by path in the zip: content, and whether it is executable."""
    found = {
        "extensions/telemetry-forwarder": (bootstrap.read_bytes(), True),
        "telemetry-forwarder/LICENCES.txt": (licences.encode(), False),
    }
    for path in bundle.rglob("*"):
        if path.is_file():
            executable = path.parent == bundle or ".so" in path.suffixes
            found[f"telemetry-forwarder/{path.relative_to(bundle)}"] = (path.read_bytes(), executable)
    return found


def write(path: Path, content: Mapping[str, tuple[bytes, bool]]) -> None:
    """Write the zip."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, (data, executable) in sorted(content.items()):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3  # Unix, so that the mode below counts
            entry.external_attr = (0o100755 if executable else 0o100644) << 16
            archive.writestr(entry, data)


def sizes(path: Path) -> str:
    """The layer's sizes in words; Lambda counts in both ways."""
    with zipfile.ZipFile(path) as archive:
        unzipped = sum(entry.file_size for entry in archive.infolist())
    return f"layer: {path.stat().st_size / 1e6:.1f} MB zipped, {unzipped / 1e6:.1f} MB unzipped"

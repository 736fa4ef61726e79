"""The zip: the same bytes for the same files, whatever the clock, the umask and the order of folders."""

from __future__ import annotations

import stat
import zipfile
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MSDOS_FOLDER = 0x10  # without which some programs take it for an empty file
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
    """Write the zip. It has its folders as well: else whoever unzips it decides by a umask who may read them."""
    folders = {f"{folder}/" for name in content for folder in PurePosixPath(name).parents if folder.name}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted({*folders, *content}):
            data, executable = content.get(name, (b"", False))
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.create_system = 3  # Unix, so that the modes below count
            if name in folders:
                entry.external_attr = (stat.S_IFDIR | 0o755) << 16 | MSDOS_FOLDER
            else:
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.external_attr = (stat.S_IFREG | (0o755 if executable else 0o644)) << 16
            archive.writestr(entry, data)


def sizes(path: Path) -> str:
    """The layer's sizes in words; Lambda counts in both ways."""
    with zipfile.ZipFile(path) as archive:
        unzipped = sum(entry.file_size for entry in archive.infolist())
    return f"layer: {path.stat().st_size / 1e6:.1f} MB zipped, {unzipped / 1e6:.1f} MB unzipped"

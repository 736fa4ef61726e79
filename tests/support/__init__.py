"""What tests and benchmarks share: servers, fakes at the seams, and the frozen layer. Nothing imports a test module."""

import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def unzip(archive: Path, folder: Path) -> Path:
    """Unpack a layer with its modes; the folder."""
    with zipfile.ZipFile(archive) as content:
        for member in content.infolist():
            path = Path(content.extract(member, folder))
            path.chmod((member.external_attr >> 16) & 0o777 or 0o644)
    return folder

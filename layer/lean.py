"""Copies of packages without the imports that only serve what the forwarder never calls.

boto3's resources and its transfers to S3 are not called, and importlib.metadata is there for HTTP/2 alone. It is done
to the bundle and nowhere else: from source, the packages are as they were published.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

S3_TRANSFERS = """\
        self._session.register(
            'creating-client-class.s3',
            boto3.utils.lazy_call(
                'boto3.s3.inject.inject_s3_transfer_methods'
            ),
        )
"""
RESOURCES = """\
        self.resource_factory = ResourceFactory(
            self._session.get_component('event_emitter')
        )
"""
HTTP2 = """\
def inject_into_urllib3() -> None:
"""
# By file: what is taken out of it, and what comes in its place.
EDITS: dict[str, list[tuple[str, str]]] = {
    "boto3/compat.py": [
        ("from s3transfer.manager import TransferConfig\n", ""),
        ("hasattr(TransferConfig, 'UNSET_DEFAULT')", "False"),
    ],
    "boto3/session.py": [
        ("from .resources.factory import ResourceFactory\n", ""),
        (RESOURCES, ""),
        (S3_TRANSFERS, ""),
    ],
    "urllib3/http2/__init__.py": [
        ("from importlib.metadata import version\n", ""),
        (HTTP2, f"{HTTP2}    from importlib.metadata import version\n"),
    ],
}


def write(site: Path, folder: Path) -> None:
    """Copy the packages from `site` to `folder`, edited. Raises ValueError where a package has changed."""
    shutil.rmtree(folder, ignore_errors=True)
    for package in sorted({name.partition("/")[0] for name in EDITS}):
        shutil.copytree(site / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name, edits in EDITS.items():
        path = folder / name
        path.write_text(edited(name, path.read_text(), edits))


def edited(name: str, text: str, edits: list[tuple[str, str]]) -> str:
    """The text of a file with its edits."""
    for old, new in edits:
        if text.count(old) != 1:
            raise ValueError(f"{name} of the version that is pinned has changed: layer/lean.py does not fit it")
        text = text.replace(old, new)
    return text

"""The layer's zip."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

import pytest

from layer import archive

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle as PyInstaller makes them, in small."""
    folder = tmp_path / "bundle"
    (folder / "_internal" / "orjson").mkdir(parents=True)
    (folder / "telemetry-forwarder").write_bytes(b"\x7fELF")
    (folder / "_internal" / "orjson" / "orjson.cpython-311-x86_64-linux-gnu.so").write_bytes(b"\x7fELF")
    (folder / "_internal" / "orjson" / "__init__.pyc").write_bytes(b"code")
    (tmp_path / "bootstrap").write_text("#!/bin/sh\n")
    return folder


def test_same_files_same_bytes(bundle: Path, tmp_path: Path) -> None:
    """Neither the times of the files nor their order in the folder show in the zip."""
    content = archive.entries(tmp_path / "bootstrap", bundle, "licences")
    archive.write(tmp_path / "a.zip", content)
    for path in bundle.rglob("*"):
        path.touch()
    archive.write(
        tmp_path / "b.zip", dict(reversed(archive.entries(tmp_path / "bootstrap", bundle, "licences").items()))
    )
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_folders_are_open_to_all(bundle: Path, tmp_path: Path) -> None:
    """Each folder is in the zip with its mode, so that no umask closes it to the user that Lambda runs images as."""
    archive.write(tmp_path / "a.zip", archive.entries(tmp_path / "bootstrap", bundle, "licences"))
    with zipfile.ZipFile(tmp_path / "a.zip") as written:
        modes = {entry.filename: entry.external_attr >> 16 for entry in written.infolist() if entry.is_dir()}
    assert modes == dict.fromkeys(
        (
            "extensions/",
            "telemetry-forwarder/",
            "telemetry-forwarder/_internal/",
            "telemetry-forwarder/_internal/orjson/",
        ),
        0o40755,
    )


def test_what_must_be_executable_is(bundle: Path, tmp_path: Path) -> None:
    """The extension, the binary and shared libraries are executable in the zip, the rest is not."""
    archive.write(tmp_path / "a.zip", archive.entries(tmp_path / "bootstrap", bundle, "licences"))
    with zipfile.ZipFile(tmp_path / "a.zip") as written:
        executable = {
            entry.filename for entry in written.infolist() if not entry.is_dir() and (entry.external_attr >> 16) & 0o111
        }
    assert executable == {
        "extensions/telemetry-forwarder",
        "telemetry-forwarder/telemetry-forwarder",
        "telemetry-forwarder/_internal/orjson/orjson.cpython-311-x86_64-linux-gnu.so",
    }

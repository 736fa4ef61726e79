"""The SBOM and the licences beside the layer."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from layer import built
from tests.support import ROOT

NAME = built().stem


@pytest.fixture
def sbom() -> dict[str, Any]:
    """The SBOM of the layer that was built."""
    found: dict[str, Any] = json.loads((ROOT / "dist" / f"{NAME}.cdx.json").read_text())
    return found


def test_sbom_is_cyclonedx() -> None:
    """The SBOM is valid by CycloneDX's own schema."""
    text = (ROOT / "dist" / f"{NAME}.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None


def test_sbom_names_what_is_bundled(sbom: dict[str, Any]) -> None:
    """What the layer is locked to is in the SBOM in the same version, and so are CPython and OpenSSL."""
    found = {(part["name"].lower(), part["version"]) for part in sbom["components"]}
    locked = set(re.findall(r"^([a-z0-9.-]+)==(\S+)", (ROOT / "requirements" / "layer.txt").read_text(), re.MULTILINE))
    assert {name for name, _ in locked - found} == {"s3transfer"}  # boto3 wants it, and the layer does without it
    names = {name for name, _ in found}
    assert {"cpython", "pyinstaller"} <= names
    assert any(name.startswith(("libssl", "openssl")) for name in names)


def test_sbom_belongs_to_the_zip(sbom: dict[str, Any]) -> None:
    """The SBOM says which zip it is of."""
    [digest] = sbom["metadata"]["component"]["hashes"]
    assert (ROOT / "dist" / f"{NAME}.zip.sha256").read_text() == f"{digest['content']}  {NAME}.zip\n"


def test_licences_are_all_there(sbom: dict[str, Any]) -> None:
    """The licences hold a part for every component of the SBOM, and our own."""
    text = (ROOT / "dist" / f"{NAME}.licences.txt").read_text()
    heads = {part.splitlines()[0] for part in text.split("=" * 80 + "\n")}
    expected = {
        f"{part['name']} {part['version']} ({part['licenses'][0]['license']['name']})" for part in sbom["components"]
    }
    assert heads == expected | {"telemetry-forwarder"}

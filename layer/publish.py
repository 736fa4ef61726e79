"""Publishes the layers in dist/ to a list of regions, permits others to use them, and writes the release notes.

It may be run again: what a region has already, byte for byte and of this release, is not published a second time.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import re
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ROOT = Path(__file__).parent.parent
ARCHITECTURES = ("x86_64", "arm64")
MAX_DIRECT_BYTES = 50_000_000  # "Lambda quotas": a zip that is uploaded through the API
REGION = re.compile(r"[a-z]{2,4}(-[a-z]+)+-\d")
PERMITTED = re.compile(r"public|o-[a-z0-9]{10,32}|\d{12}(,\d{12})*")
# An upload of 11 MB, and Lambda unzips it before it answers.
CONFIG = Config(connect_timeout=10, read_timeout=120, retries={"mode": "standard", "max_attempts": 5})


class Layer(NamedTuple):
    """What is published for one architecture: the zip, and its SHA-256."""

    architecture: str
    content: bytes
    digest: bytes

    @property
    def name(self) -> str:
        """The layer's name in each region."""
        return f"telemetry-forwarder-{self.architecture}"


class Published(NamedTuple):
    """One version of a layer in one region."""

    region: str
    architecture: str
    arn: str


def main(arguments: Sequence[str], root: Path = ROOT) -> int:
    """Run the command; 0 where every region has both layers."""
    options = parse(arguments)
    try:
        version = release(root, options.tag)
        layers = [read(root / "dist", architecture) for architecture in ARCHITECTURES]
        changes = changes_of(root, version)
    except (OSError, ValueError) as error:
        print(f"publish: {error}", file=sys.stderr)
        return 1
    published, failed = [], 0
    for region in options.regions:
        for layer in layers:
            if options.dry_run:
                print(f"would publish {layer.name} {version} in {region}, for {options.permit or 'this account'}")
                continue
            try:
                published.append(publish(region, layer, version, options.permit))
                print(published[-1].arn)
            except (BotoCoreError, ClientError, ValueError) as error:
                failed += 1
                print(f"publish: {layer.name} in {region}: {error}", file=sys.stderr)
    if options.notes:
        options.notes.write_text(notes(changes, layers, published))
    return 1 if failed else 0


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options; what is wrong with them ends the process, as argparse does."""
    parser = argparse.ArgumentParser(prog="python -m layer.publish", description=__doc__)
    parser.add_argument("--regions", required=True, type=regions, help="separated by commas")
    parser.add_argument(
        "--permit", type=permitted, default="", help="public, an organisation's id, or accounts separated by commas"
    )
    parser.add_argument("--tag", help="the tag that is released: v and the version in pyproject.toml")
    parser.add_argument("--notes", type=Path, help="where to write the release notes")
    parser.add_argument("--dry-run", action="store_true", help="check everything that can be without AWS")
    return parser.parse_args(arguments)


def regions(text: str) -> list[str]:
    """Names of regions. Raises ArgumentTypeError."""
    names = [name.strip() for name in text.split(",")]
    if wrong := [name for name in names if not REGION.fullmatch(name)]:
        raise argparse.ArgumentTypeError(f"{wrong[0]!r} is no region; expected a list such as us-east-1,eu-west-1")
    return list(dict.fromkeys(names))


def permitted(text: str) -> str:
    """Who may use the layers; "" is nobody else. Raises ArgumentTypeError."""
    if text and not PERMITTED.fullmatch(text):
        raise argparse.ArgumentTypeError("expected public, an organisation as o-a1b2c3d4e5, or accounts of 12 digits")
    return text


def release(root: Path, tag: str | None) -> str:
    """The version in pyproject.toml. Raises ValueError where the tag's, or the binary's, is another."""
    version = tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"]
    if tag is not None and tag != f"v{version}":
        raise ValueError(f"the tag is {tag}, and pyproject.toml says {version}; expected the tag v{version}")
    frozen = root / "extension" / "version.py"
    if frozen.exists() and f'VERSION = "{version}"' not in frozen.read_text().splitlines():
        raise ValueError(f"extension/version.py does not say {version}, as pyproject.toml does")
    return str(version)


def read(dist: Path, architecture: str) -> Layer:
    """The layer for Lambda that was built for an architecture. Raises ValueError where it is not what was built."""
    path = dist / f"telemetry-forwarder-{architecture}.zip"
    if not path.exists():
        raise ValueError(f"{path.name} is not in {dist.name}/; ./build.sh --lambda --arch {architecture} builds it")
    content = path.read_bytes()
    digest = hashlib.sha256(content)
    if digest.hexdigest() != path.with_name(f"{path.name}.sha256").read_text().partition(" ")[0]:
        raise ValueError(f"{path.name} is not what {path.name}.sha256 says")
    if len(content) > MAX_DIRECT_BYTES:
        raise ValueError(f"{path.name} has {len(content)} bytes; Lambda takes {MAX_DIRECT_BYTES}")
    return Layer(architecture, content, digest.digest())


def changes_of(root: Path, version: str) -> str:
    """What CHANGELOG.md says of a version. Raises ValueError where it says nothing."""
    sections = re.split(r"^## ", (root / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    for section in sections[1:]:
        heading, _, text = section.partition("\n")
        if re.split(r"[\s\]]", heading.lstrip("["))[0] == version:
            return text.strip()
    raise ValueError(f"CHANGELOG.md has no section '## {version}'; expected what is under Unreleased in it")


def publish(region: str, layer: Layer, version: str, permit: str) -> Published:
    """See to it that a region has the layer and others their permission. Raises botocore's errors and ValueError."""
    client: Any = botocore.session.Session().create_client("lambda", region_name=region, config=CONFIG)
    description = f"telemetry-forwarder {version}: forwards a function's telemetry to where FORWARDER_SINKS says"
    there = find(client, layer, description) or client.publish_layer_version(
        LayerName=layer.name,
        Description=description,
        Content={"ZipFile": layer.content},
        CompatibleArchitectures=[layer.architecture],  # no CompatibleRuntimes: it loads on every one (docs/layer.md)
        LicenseInfo="Apache-2.0",
    )
    if there["Content"]["CodeSha256"] != base64.b64encode(layer.digest).decode():
        raise ValueError(f"{there['LayerVersionArn']} is not what was sent")
    for statement in statements(permit):
        try:
            client.add_layer_version_permission(
                LayerName=layer.name,
                VersionNumber=there["Version"],
                Action="lambda:GetLayerVersion",
                **statement,
            )
        except client.exceptions.ResourceConflictException:  # of an earlier run
            continue
    return Published(region, layer.architecture, there["LayerVersionArn"])


def find(client: Any, layer: Layer, description: str) -> dict[str, Any] | None:
    """The version of the layer that is this very one, if there is any; others may have come after it."""
    digest = base64.b64encode(layer.digest).decode()
    for page in client.get_paginator("list_layer_versions").paginate(LayerName=layer.name):
        for version in page["LayerVersions"]:
            if version.get("Description") != description:
                continue
            found: dict[str, Any] = client.get_layer_version(LayerName=layer.name, VersionNumber=version["Version"])
            if found["Content"]["CodeSha256"] == digest:
                return found
    return None


def statements(permit: str) -> list[dict[str, str]]:
    """A layer's policy for those who may use it ("AddLayerVersionPermission", Lambda API Reference)."""
    if not permit:
        return []
    if permit == "public":
        return [{"StatementId": "public", "Principal": "*"}]
    if permit.startswith("o-"):
        return [{"StatementId": permit, "Principal": "*", "OrganizationId": permit}]
    return [{"StatementId": f"account-{account}", "Principal": account} for account in permit.split(",")]


def notes(changes: str, layers: Iterable[Layer], published: Iterable[Published]) -> str:
    """What a release says: the changes, the ARNs by region and architecture, the checksums."""
    arns: dict[str, dict[str, str]] = {}
    for one in published:
        arns.setdefault(one.region, {})[one.architecture] = one.arn
    rows = [
        f"| {region} | " + " | ".join(f"`{found[one]}`" if one in found else "" for one in ARCHITECTURES) + " |"
        for region, found in arns.items()
    ]
    table = [f"| region | {' | '.join(ARCHITECTURES)} |", "|---" * (1 + len(ARCHITECTURES)) + "|", *rows]
    sums = [f"    {layer.digest.hex()}  {layer.name}.zip" for layer in layers]
    return "\n".join([changes, "", "## Layers", "", *table, "", "## SHA-256", "", *sums, ""])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

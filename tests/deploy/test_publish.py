"""Publishing the layers, against moto's Lambda."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import botocore.session
import pytest

from layer.publish import main

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REGIONS = ("eu-west-1", "us-east-1")
ARCHITECTURES = ("x86_64", "arm64")
CHANGELOG = """# Changelog

## Unreleased

## [1.2.3] - 2026-11-21

### Added

- Everything.

## 1.2.2

- Nothing.
"""


class Lambdas(BaseHTTPRequestHandler):
    """A Lambda that has no layers and takes every one; of its answers only what is read here."""

    refused: str
    garbled: bool

    def do_GET(self) -> None:
        self._answer({"LayerVersions": []})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert "ZipFile" in body.get("Content", {}), "no permission for what arrived changed"
        digest = hashlib.sha256(base64.b64decode(body["Content"]["ZipFile"]) + b"x" * self.garbled).digest()
        arn = f"arn:aws:lambda:{self._region()}:123456789012:layer:{self.path.split('/')[-2]}:1"
        content = {"CodeSha256": base64.b64encode(digest).decode()}
        self._answer({"LayerVersionArn": arn, "Version": 1, "Content": content})

    def _region(self) -> str:
        return str(self.headers["Authorization"]).split("/")[2]

    def _answer(self, answer: dict[str, Any]) -> None:
        refused = self._region() == self.refused
        body = json.dumps({"Message": "no"} if refused else answer).encode()
        self.send_response(403 if refused else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """It would go to stderr, where what is under test says what failed."""


def write_zip(dist: Path, architecture: str, text: str = "") -> Path:
    """A small layer with its checksum, as build.sh writes them."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("extensions/telemetry-forwarder", architecture + text)
    path = dist / f"telemetry-forwarder-{architecture}.zip"
    path.write_bytes(content.getvalue())
    path.with_name(f"{path.name}.sha256").write_text(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n")
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository of release 1.2.3, both layers built."""
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.3"\n')
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    (tmp_path / "extension").mkdir()
    (tmp_path / "extension" / "version.py").write_text('VERSION = "1.2.3"\n')
    (tmp_path / "dist").mkdir()
    for architecture in ARCHITECTURES:
        write_zip(tmp_path / "dist", architecture)
    return tmp_path


def run(root: Path, *more: str) -> int:
    return main(["--regions", ",".join(REGIONS), *more], root)


def versions(region: str, architecture: str) -> list[dict[str, Any]]:
    """What a region has of one layer, the newest first."""
    client: Any = botocore.session.Session().create_client("lambda", region_name=region)
    try:
        found: list[dict[str, Any]] = client.list_layer_versions(LayerName=f"telemetry-forwarder-{architecture}")[
            "LayerVersions"
        ]
    finally:
        client.close()
    return found


def policy(region: str, architecture: str) -> list[dict[str, Any]]:
    """The statements of who may use the first version of a layer."""
    client: Any = botocore.session.Session().create_client("lambda", region_name=region)
    try:
        answer = client.get_layer_version_policy(LayerName=f"telemetry-forwarder-{architecture}", VersionNumber=1)
    finally:
        client.close()
    statements: list[dict[str, Any]] = json.loads(answer["Policy"])["Statement"]
    return statements


@pytest.mark.usefixtures("moto")
def test_every_region_gets_both_layers(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each region has a layer for each architecture, said by name and described by version; the ARNs are printed."""
    assert run(root) == 0
    printed = capsys.readouterr().out.split()
    for region in REGIONS:
        for architecture in ARCHITECTURES:
            [version] = versions(region, architecture)
            assert version["LayerVersionArn"] in printed
            assert "1.2.3" in version["Description"]
            assert version["CompatibleArchitectures"] == [architecture]


@pytest.mark.usefixtures("moto")
def test_a_second_run_publishes_nothing(root: Path) -> None:
    """What a region has already is not published again, and the run succeeds."""
    assert run(root, "--permit", "public") == 0
    assert run(root, "--permit", "public") == 0
    assert [len(versions(region, one)) for region in REGIONS for one in ARCHITECTURES] == [1, 1, 1, 1]


@pytest.mark.usefixtures("moto")
def test_other_bytes_are_a_new_version(root: Path) -> None:
    """A layer that differs from the one that is there is published beside it."""
    assert run(root) == 0
    write_zip(root / "dist", "arm64", "changed")
    assert run(root) == 0
    assert [len(versions("us-east-1", architecture)) for architecture in ARCHITECTURES] == [1, 2]


@pytest.mark.usefixtures("moto")
def test_what_is_older_does_not_become_the_newest(root: Path) -> None:
    """A layer that is there below another one is not published a second time."""
    before = {path: path.read_bytes() for path in (root / "dist").iterdir()}
    assert run(root) == 0
    write_zip(root / "dist", "arm64", "changed")
    assert run(root) == 0
    for path, content in before.items():
        path.write_bytes(content)
    assert run(root) == 0
    assert [len(versions("us-east-1", architecture)) for architecture in ARCHITECTURES] == [1, 2]


@pytest.mark.usefixtures("moto")
@pytest.mark.parametrize(
    ("permit", "expected"),
    [
        ("public", [("*", None)]),
        ("o-a1b2c3d4e5", [("*", "o-a1b2c3d4e5")]),
        ("111122223333,444455556666", [("111122223333", None), ("444455556666", None)]),
    ],
)
def test_others_get_permission(root: Path, permit: str, expected: list[tuple[str, str | None]]) -> None:
    """Everyone, an organisation or accounts may use what is published, and nobody else."""
    assert run(root, "--permit", permit) == 0
    for region in REGIONS:
        for architecture in ARCHITECTURES:
            found = policy(region, architecture)
            assert [(one["Principal"], one.get("OrganizationId")) for one in found] == expected


@pytest.mark.usefixtures("moto")
def test_the_notes_have_everything(root: Path, tmp_path: Path) -> None:
    """The release notes are the version's changes, an ARN for each region and architecture, and the checksums."""
    assert run(root, "--notes", str(tmp_path / "notes.md")) == 0
    text = (tmp_path / "notes.md").read_text()
    assert text.startswith("### Added\n\n- Everything.\n")
    for region in REGIONS:
        arns = [version["LayerVersionArn"] for one in ARCHITECTURES for version in versions(region, one)]
        assert f"| {region} | `{arns[0]}` | `{arns[1]}` |" in text
    for path in (root / "dist").glob("*.zip"):
        assert f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}" in text


@pytest.mark.usefixtures("moto")
def test_a_dry_run_publishes_nothing(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --dry-run everything is checked and named, and nothing is sent."""
    assert run(root, "--dry-run", "--tag", "v1.2.3") == 0
    assert len(capsys.readouterr().out.splitlines()) == 4
    assert versions("us-east-1", "x86_64") == []


@pytest.fixture
def lambdas(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Lambdas]]:
    """The Lambda of every region, at one address, which refuses a region or garbles what it gets."""
    handler = type("_Lambdas", (Lambdas,), {"refused": "", "garbled": False})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        yield handler
        server.shutdown()
        thread.join(10)


def test_a_region_that_fails_stops_no_other(
    root: Path, lambdas: type[Lambdas], capsys: pytest.CaptureFixture[str]
) -> None:
    """Where one region refuses, the others are published to, and the run names it and fails."""
    lambdas.refused = "eu-west-1"
    assert run(root) == 1
    printed = capsys.readouterr()
    assert [line.split(":")[3] for line in printed.out.splitlines()] == ["us-east-1", "us-east-1"]
    assert printed.err.count("eu-west-1") == 2


def test_what_arrives_changed_is_told(root: Path, lambdas: type[Lambdas], capsys: pytest.CaptureFixture[str]) -> None:
    """A version whose checksum is not that of the zip fails the run and is permitted to nobody."""
    lambdas.garbled = True
    assert run(root, "--permit", "public") == 1
    assert capsys.readouterr().err.count("is not what was sent") == 4


@pytest.mark.parametrize(
    ("break_it", "expected"),
    [
        (lambda root: (root / "dist" / "telemetry-forwarder-arm64.zip").unlink(), "./build.sh --lambda --arch arm64"),
        (lambda root: (root / "dist" / "telemetry-forwarder-arm64.zip").write_bytes(b"x"), "sha256"),
        (lambda root: (root / "CHANGELOG.md").write_text("## Unreleased\n"), "no section '## 1.2.3'"),
        (lambda root: (root / "extension" / "version.py").write_text('VERSION = "1.2"\n'), "extension/version.py"),
        (lambda root: (root / "pyproject.toml").write_text('[project]\nversion = "2.0"\n'), "expected the tag v2.0"),
    ],
)
def test_what_is_not_ready_is_refused(
    root: Path, break_it: Any, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A layer that is missing or changed, a version without changes, a tag and a binary of another stop everything."""
    break_it(root)
    assert run(root, "--dry-run", "--tag", "v1.2.3") == 1
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--regions", "everywhere"], ["--regions", "us-east-1", "--permit", "me"]])
def test_odd_options_are_refused(option: list[str]) -> None:
    """What is neither a region nor somebody who can be permitted is told before anything is sent."""
    with pytest.raises(SystemExit):
        main(option)

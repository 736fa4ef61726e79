"""Packages in the bundle without what is never called."""

from __future__ import annotations

from pathlib import Path

import boto3
import pytest

from layer import lean

SITE = Path(boto3.__file__).parent.parent


@pytest.mark.parametrize("name", sorted({*lean.EDITS, *lean.LATER}))
def test_edits_fit(name: str) -> None:
    """What is taken out is there once in the version that is pinned, and what is left is Python."""
    text = lean.edited(name, (SITE / name).read_text(), lean.EDITS.get(name, ()), lean.LATER.get(name, ()))
    compile(text, name, "exec")


def test_a_package_that_has_changed_is_told() -> None:
    """A new version that does not fit stops the build, with the name of the file."""
    with pytest.raises(ValueError, match=r"boto3/compat\.py .* has changed"):
        lean.edited("boto3/compat.py", "import s3transfer\n", lean.EDITS["boto3/compat.py"])


def test_what_has_to_be_there_at_once_is_told() -> None:
    """A new version that needs at import what was to wait stops the build, with the name of the file."""
    with pytest.raises(ValueError, match=r"inspect\.py .* has changed: is needed at once: ast"):
        lean.edited("inspect.py", "import ast\nclass A(ast.NodeVisitor): pass\n", (), ("ast",))


def test_the_bundle_has_no_more(layer: Path) -> None:
    """Neither transfers to S3 nor boto3's resources are in the layer."""
    internal = layer / "telemetry-forwarder" / "_internal"
    assert (internal / "boto3").is_dir()
    assert [name for name in ("s3transfer", "boto3/resources", "multiprocessing") if (internal / name).exists()] == []

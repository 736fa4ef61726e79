"""What benchmarks compile, where there is a compiler."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from benchmarks.native import compile_c, fast_function

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def fast(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The function whose runtime is bootstrap.c."""
    _need_compiler()
    return fast_function(tmp_path_factory.mktemp("fast"))


@pytest.fixture(scope="session")
def floor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A layer with floor.c as its only extension."""
    _need_compiler()
    folder = tmp_path_factory.mktemp("floor")
    compile_c("floor", folder / "extensions" / "floor")
    return folder


def _need_compiler() -> None:
    if not shutil.which("cc"):
        pytest.skip("there is no C compiler")

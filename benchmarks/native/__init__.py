"""Small programs that benchmarks compile and run: a runtime as fast as can be, an extension as small as can be."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).parent


def compile_c(name: str, into: Path) -> Path:
    """Compile `name`.c of this folder to the file `into`, whose folder is made; that file."""
    into.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cc", "-O2", "-Wall", "-Werror", "-o", into, HERE / f"{name}.c"], check=True)
    return into


def fast_function(folder: Path) -> Path:
    """A function with the runtime of bootstrap.c."""
    compile_c("bootstrap", folder / "bootstrap")
    return folder


def python_function(folder: Path) -> Path:
    """The same for AWS's runtime client: the handler is handler.handler."""
    folder.mkdir()
    shutil.copy(HERE / "handler.py", folder)
    return folder

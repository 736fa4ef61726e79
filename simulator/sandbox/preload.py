"""Small C libraries that are preloaded into the processes of a simulation, between them and the C library."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from simulator.errors import SimulatorError

if TYPE_CHECKING:
    from collections.abc import Mapping

COMPILE_LIMIT_S = 60


def build(name: str, folder: Path) -> Path:
    """Compile the library of that name into `folder`; SimulatorError without a C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise SimulatorError("other clocks and snapshots need a C compiler: cc is not there")
    library = folder / f"{name}.so"
    source = Path(__file__).with_name(f"{name}.c")
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl", "-pthread"]
    subprocess.run(command, check=True, timeout=COMPILE_LIMIT_S)
    return library


def together(*given: Mapping[str, str]) -> dict[str, str]:
    """The environment variables of several libraries as one set."""
    libraries = [variables["LD_PRELOAD"] for variables in given if variables]
    merged = {name: value for variables in given for name, value in variables.items()}
    return merged | {"LD_PRELOAD": ":".join(libraries)} if libraries else merged

"""What is compiled in the bundle, exchanged for the target's own.

The bundle is put together by a CPython for this machine, which imports and analyses; for what goes to Lambda each of
its compiled files is exchanged for the one of the same name in the target's CPython or wheels. So nothing has to be
emulated for another architecture, and nothing of this machine gets in.
"""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path
from typing import NamedTuple

Entry = tuple[str, str, str]  # as in PyInstaller's tables: name in the bundle, where it is, kind


class Target(NamedTuple):
    """Where the target's CPython and packages are, and what compilers call its architecture, such as aarch64.

    Of `sites`, the first that has a file counts: what is compiled here comes before the wheels.
    """

    python: Path
    sites: tuple[Path, ...]
    cpu: str


def exchanged(entries: list[Entry], target: Target) -> list[Entry]:
    """The same table with the target's files. Raises LookupError for a file that the target has no counterpart of."""
    ours, theirs = f"{sysconfig.get_config_var('MULTIARCH')}.", f"{target.cpu}-linux-gnu."
    return [
        (name.replace(ours, theirs), str(_counterpart(Path(path), target, ours, theirs)), kind)
        for name, path, kind in entries
    ]


def _counterpart(path: Path, target: Target, ours: str, theirs: str) -> Path:
    # the wheels first: their folder is one of the environment, whose base is CPython's
    for ours_in, theirs_in in ((sysconfig.get_path("platlib"), target.sites), (sys.base_prefix, (target.python,))):
        if path.is_relative_to(ours_in):
            name = str(path.relative_to(ours_in)).replace(ours, theirs)
            for folder in theirs_in:
                if (folder / name).exists():
                    return folder / name
            raise LookupError(f"{path} has no counterpart {name}")
    raise LookupError(f"{path} is this machine's own, and nothing but CPython and wheels may be in a layer for Lambda")

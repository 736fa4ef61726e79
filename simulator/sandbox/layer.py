"""Brings layers into the form they have under /opt: unpacked and merged, with the file modes that the zip carries."""

from __future__ import annotations

import os
import shutil
import stat
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from simulator.errors import SimulatorError

if TYPE_CHECKING:
    from collections.abc import Sequence


def unpack(layers: Sequence[Path], into: Path) -> Path:
    """The folder that stands for /opt. A single folder is used where it is; all else is merged into `into`.

    Raises SimulatorError where a layer is neither a folder nor a zip file, or holds no extensions/.
    """
    if len(layers) == 1 and layers[0].is_dir():
        opt = layers[0].resolve()
    else:
        opt = into
        for layer in layers:
            if layer.is_dir():
                shutil.copytree(layer, opt, symlinks=True, dirs_exist_ok=True)
            elif zipfile.is_zipfile(layer):
                _unzip(layer, opt)
            else:
                raise SimulatorError(f"{layer} is neither a folder nor a zip file")
    if layers and not (opt / "extensions").is_dir():
        names = ", ".join(sorted(entry.name for entry in opt.iterdir())[:8]) or "nothing"
        raise SimulatorError(f"no extensions/ in {', '.join(map(str, layers))}, which holds {names}")
    return opt


def extensions(opt: Path) -> list[Path]:
    """The files that Lambda would start: every entry of extensions/ that is no folder, in order of name."""
    folder = opt / "extensions"
    return sorted(entry for entry in folder.iterdir() if not entry.is_dir()) if folder.is_dir() else []


def _unzip(archive: Path, into: Path) -> None:
    with zipfile.ZipFile(archive) as zipped:
        for entry in zipped.infolist():
            mode = entry.external_attr >> 16
            if stat.S_ISLNK(mode):
                target = into / entry.filename
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(os.fsdecode(zipped.read(entry)))
                continue
            path = Path(zipped.extract(entry, into))
            if mode and path.is_file():
                path.chmod(stat.S_IMODE(mode))

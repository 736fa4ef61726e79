"""Libraries that nobody uses."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from layer import glibc, needless

if TYPE_CHECKING:
    from pathlib import Path

CXX = frozenset({"libz.so.1"})  # in place of libstdc++: it is C, and each of its symbols may have a version, too


def compiled(folder: Path, name: str, source: str) -> None:
    (folder / "source.c").write_text(source)
    command = ["cc", "-shared", "-fPIC", "-Wl,--no-as-needed", "-o", name, "source.c", "-lz", "-lm"]
    subprocess.run(command, check=True, cwd=folder)


def test_what_is_not_used_is_taken_off(tmp_path: Path) -> None:
    """A library of which no symbol is used is asked for no longer; all others are, and the file loads."""
    compiled(tmp_path, "user.so", "#include <math.h>\ndouble root(double x) { return sqrt(x) + cbrt(x); }\n")
    assert glibc.strangers(tmp_path) == {"user.so": ["libz.so.1"]}
    assert needless.drop(tmp_path, CXX) == {"user.so": ["libz.so.1"]}
    assert glibc.strangers(tmp_path) == {}
    script = "import ctypes, sys; root = ctypes.CDLL(sys.argv[1]).root; root.restype = ctypes.c_double"
    load = ["python3", "-c", f"{script}; assert root(ctypes.c_double(64.0)) == 12", str(tmp_path / "user.so")]
    subprocess.run(load, check=True)


def test_what_is_used_stays(tmp_path: Path) -> None:
    """A library whose symbols are used is still asked for, so that the audit sees it."""
    compiled(tmp_path, "user.so", "int gzbuffer(void *, unsigned);\nint call(void *at) { return gzbuffer(at, 1); }\n")
    assert needless.drop(tmp_path, CXX) == {}
    assert glibc.strangers(tmp_path) == {"user.so": ["libz.so.1"]}


def test_the_bundle_needs_no_cxx(layer: Path) -> None:
    """Nothing in the layer asks for libstdc++, which not every image has."""
    bundle = layer / "telemetry-forwarder"
    assert (bundle / "_internal" / "google" / "_upb").is_dir()
    assert glibc.strangers(bundle) == {}

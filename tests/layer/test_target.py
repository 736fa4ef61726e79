"""The exchange of this machine's compiled files for the target's."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

import pytest

from layer.target import Target, exchanged

MULTIARCH = sysconfig.get_config_var("MULTIARCH")


@pytest.fixture
def target(tmp_path: Path) -> Target:
    """A CPython and a wheel of an architecture that this machine is not."""
    ours = ("python/lib/mod.cpython-313-s390x-linux-gnu.so", "python/lib/libpython3.so.1.0", "compiled/re2/b.so")
    for path in (*ours, "site/orjson/a.so", "site/re2/b.so"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    return Target(tmp_path / "python", (tmp_path / "compiled", tmp_path / "site"), "s390x")


def test_cpython_and_wheels(target: Target) -> None:
    """Files of CPython and of wheels become the target's, what is compiled here before what is in a wheel."""
    ours = f"mod.cpython-313-{MULTIARCH}.so"
    assert exchanged(
        [
            (f"lib-dynload/{ours}", f"{sys.base_prefix}/lib/{ours}", "EXTENSION"),
            ("libpython3.so.1.0", f"{sys.base_prefix}/lib/libpython3.so.1.0", "BINARY"),
            ("orjson/a.so", f"{sysconfig.get_path('platlib')}/orjson/a.so", "EXTENSION"),
            ("re2/b.so", f"{sysconfig.get_path('platlib')}/re2/b.so", "EXTENSION"),
        ],
        target,
    ) == [
        (
            "lib-dynload/mod.cpython-313-s390x-linux-gnu.so",
            f"{target.python}/lib/mod.cpython-313-s390x-linux-gnu.so",
            "EXTENSION",
        ),
        ("libpython3.so.1.0", f"{target.python}/lib/libpython3.so.1.0", "BINARY"),
        ("orjson/a.so", f"{target.sites[1]}/orjson/a.so", "EXTENSION"),
        ("re2/b.so", f"{target.sites[0]}/re2/b.so", "EXTENSION"),
    ]


def test_machines_own_library(target: Target) -> None:
    """A library of this machine's system is refused."""
    with pytest.raises(LookupError, match=r"/usr/lib/libz\.so\.1 is this machine's own"):
        exchanged([("libz.so.1", "/usr/lib/libz.so.1", "BINARY")], target)


def test_no_counterpart(target: Target) -> None:
    """A file that the target lacks is named."""
    missing = str(Path(sysconfig.get_path("platlib"), "lost.so"))
    with pytest.raises(LookupError, match=r"lost\.so has no counterpart"):
        exchanged([("lost.so", missing, "EXTENSION")], target)

"""Imports that wait for the first call."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from layer import later

if TYPE_CHECKING:
    from pathlib import Path

MODULE = '''
"""A module."""
import os
from decimal import Decimal as D, ROUND_UP
import xml.dom


def cost(text):
    """What it costs."""
    if text:
        return D(text).quantize(D(1), ROUND_UP)
    return 0


class Reader:
    def read(self, text):
        def inner():
            return xml.dom.Node.TEXT_NODE
        return inner() if text else os.sep
'''


def run(source: str, folder: Path) -> str:
    """What a program prints that imports `source` as the module m."""
    (folder / "m.py").write_text(source)
    program = (
        "import sys, m\n"
        "print('decimal' in sys.modules, 'xml' in sys.modules)\n"
        "print(m.cost(''), m.Reader().read(''), 'decimal' in sys.modules, 'xml' in sys.modules)\n"
        "print(m.cost('1.2'), m.Reader().read('x'), 'decimal' in sys.modules, 'xml' in sys.modules)\n"
    )
    command = [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(folder)!r})\n{program}"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_imports_wait(tmp_path: Path) -> None:
    """What a module imports is loaded when it is used, and not before, and the module does what it did."""
    deferred = later.defer(MODULE, {"D", "ROUND_UP", "xml.dom"})
    assert run(MODULE, tmp_path).splitlines() == ["True True", "0 / True True", "2 3 True True"]
    assert run(deferred, tmp_path).splitlines() == ["False False", "0 / False False", "2 3 True True"]


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("import os\nHERE = os.getcwd()\n", "needed at once: os"),
        ("import os\n@os.register_at_fork\ndef f(): pass\n", "needed at once: os"),
        ("import os\ndef f(a=os.sep): pass\n", "needed at once: os"),
        ("import os\ndef f(a: os.PathLike): pass\n", "needed at once: os"),
        ("import os\nclass C:\n    a = os.sep\n    def f(self): pass\n", "needed at once: os"),
        ("import os\ndef f():\n    os = 1\n    return os\n", "variable of f as well: os"),
        ("import os\ndef f(os):\n    return os\n", "variable of f as well: os"),
        ("import sys\n", "not imported: os"),
        ("try:\n    import os\nexcept ImportError:\n    pass\n", "not imported: os"),
    ],
)
def test_what_cannot_wait_is_told(source: str, problem: str) -> None:
    """A name that a module needs at once, or gives another meaning, is an error, and so is one that is not there."""
    with pytest.raises(ValueError, match=problem):
        later.defer(source, {"os"})

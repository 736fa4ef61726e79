from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import sys
from extension import config, lifecycle
found = config.read_rules(config.parse(dict(argument.split("=", 1) for argument in sys.argv[1:])))
print(any(found), "extension.rules" in sys.modules, "re2" in sys.modules)
"""


@pytest.mark.parametrize(
    ("setting", "loaded"),
    [
        ("FORWARDER_TYPES=function,platform,-platform.start", False),
        ("FORWARDER_SINKS=file:///a?types=-platform.fault https://host", False),
        ("FORWARDER_MIN_LEVEL=WARN", True),
        ("FORWARDER_EXCLUDE=a", True),
        ("FORWARDER_SINKS=file:///a?include=a", True),
    ],
)
def test_nothing_is_loaded_without_a_rule(setting: str, loaded: bool) -> None:
    """Neither what reads rules nor RE2 is imported where no setting has a rule."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, setting], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(loaded)] * 3

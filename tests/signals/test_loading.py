from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import sys
from extension import composition, config
settings = config.parse({"FORWARDER_SINKS": sys.argv[1]})
found = composition.make_steps(settings, None, "orders", "e1", "", in_order=True)
print(found.signals is not None, any(name.startswith("extension.signals") for name in sys.modules))
"""


@pytest.mark.parametrize(
    ("sinks", "loaded"),
    [
        ("https://host/path file:///tmp/out", False),
        ("otlp+https://host:4318?signals=logs", False),
        ("otlp+https://host:4318", True),
        ("https://host/path otlp+https://host:4318?signals=metrics", True),
        ("otlp+https://host:4318?signals=logs,traces", True),
    ],
)
def test_nothing_is_loaded_that_no_sink_wants(sinks: str, loaded: bool) -> None:
    """Without a sink that takes metrics or traces not even a module is imported."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, sinks], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(loaded)] * 2

"""The ready template of alarms and a dashboard is valid, and watches metrics that there are."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from extension.own_health import METRICS, NAMESPACE
from tests.support import ROOT

TEMPLATE = ROOT / "examples" / "monitoring" / "template.yaml"


def test_it_is_a_template() -> None:
    """cfn-lint finds nothing wrong with it."""
    command = [Path(sys.executable).parent / "cfn-lint", TEMPLATE]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert (ended.returncode, ended.stdout) == (0, "")


def test_it_watches_what_is_written() -> None:
    """Every metric that is asked for is one that FORWARDER_HEALTH=emf writes, and each of those is shown."""
    asked = re.findall(r'SELECT \w+\((\w+)\) FROM SCHEMA\(\\?"(\w+)\\?"', TEMPLATE.read_text())
    assert {namespace for _, namespace in asked} == {NAMESPACE}
    assert {metric for metric, _ in asked} == set(METRICS)

"""A function that prints as many lines as it is told to, and ends as it is told to."""

from __future__ import annotations

import os
import sys
import time
from typing import Any


def handler(event: dict[str, Any], context: object) -> int:
    """Print `lines` lines; then return, or sleep into the timeout, or crash."""
    number: int = event["number"]
    sys.stdout.write("".join(f"line {number}-{index}\n" for index in range(event["lines"])))
    sys.stdout.flush()
    if event["end"] == "timeout":
        time.sleep(3600)
    if event["end"] == "failure":
        os._exit(1)
    return number

"""A moto server, one child process for a whole run: the fixtures of the folders whose tests need it."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import urllib3

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def running_moto() -> Iterator[str]:
    """The URL of a moto server, which runs meanwhile."""
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    lines: list[str] = []
    for line in process.stderr:
        lines.append(line)
        if found := re.search(r"Running on (http://[\d.:]+)", line):
            break
    else:
        raise RuntimeError("moto did not start: " + "".join(lines))
    # Its log must be read on, or it stops when the pipe is full.
    reader = threading.Thread(target=process.stderr.read)
    reader.start()
    try:
        yield found[1]
    finally:
        process.terminate()
        process.wait(10)
        reader.join(10)
        process.stderr.close()


@pytest.fixture(scope="session")
def moto_process() -> Iterator[str]:
    """The URL of a moto server."""
    with running_moto() as url:
        yield url


@pytest.fixture
def moto(moto_process: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a moto server that holds nothing, to which botocore sends everything."""
    assert urllib3.request("POST", f"{moto_process}/moto-api/reset", timeout=10).status == 200
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_process)
    return moto_process

"""Real servers for the sinks, each one child process for a whole run."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import botocore.session
import pytest
import urllib3

from tests.sinks.contract import CREDENTIALS, REGION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(autouse=True)
def _aws_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What Lambda sets, and no file of the developer's own."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")


@pytest.fixture(scope="session")
def moto_process() -> Iterator[str]:
    """The URL of a moto server."""
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    lines: list[str] = []
    for line in process.stderr:
        lines.append(line)
        if found := re.search(r"Running on (http://[\d.:]+)", line):
            break
    else:
        pytest.fail("moto did not start: " + "".join(lines))
    # Its log must be read on, or it stops when the pipe is full.
    reader = threading.Thread(target=process.stderr.read)
    reader.start()
    yield found[1]
    process.terminate()
    process.wait(10)
    reader.join(10)
    process.stderr.close()


@pytest.fixture
def moto(moto_process: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a moto server that holds nothing, to which botocore sends everything."""
    assert urllib3.request("POST", f"{moto_process}/moto-api/reset", timeout=10).status == 200
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_process)
    return moto_process


@pytest.fixture
def aws(moto: str) -> Iterator[Callable[[str], Any]]:
    """Makes clients with which a test prepares and looks at what is in the server."""
    session = botocore.session.Session()
    clients: list[Any] = []

    def open_client(service: str) -> Any:
        clients.append(session.create_client(service, region_name=REGION, endpoint_url=moto))
        return clients[-1]

    yield open_client
    for client in clients:
        client.close()

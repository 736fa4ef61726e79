"""Real servers for the sinks, each one child process for a whole run."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import botocore.session
import pytest
import urllib3
from botocore.loaders import create_loader

from tests.faults.aws import Service
from tests.faults.server import FaultServer
from tests.sinks.contract import CREDENTIALS, REGION
from tests.sinks.helpers import open_sink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from extension.sinks import Sink


@pytest.fixture(autouse=True, scope="session")
def _aws_data() -> Iterator[None]:
    """Read botocore's data once for all tests: unpruned, it is two thirds of the time of opening a sink."""
    loader = create_loader()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("botocore.session.create_loader", lambda _path: loader)
        yield


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


@pytest.fixture
def open_for_test() -> Iterator[Callable[[str], Sink]]:
    """Open sinks that are closed when the test ends."""
    opened: list[Sink] = []

    def open_one(url: str) -> Sink:
        opened.append(open_sink(url))
        return opened[-1]

    yield open_one
    for sink in opened:
        sink.close()


class Strict:
    """A sink and the strict service that it sends to."""

    def __init__(self, server: FaultServer, service: Service, sink: Sink) -> None:
        self.server, self.service, self.sink = server, service, sink


@pytest.fixture
def strict(monkeypatch: pytest.MonkeyPatch, open_for_test: Callable[[str], Sink]) -> Iterator[Callable[..., Strict]]:
    """Open a sink whose service is as strict as the documentation, and fails as it is told to."""
    with ExitStack() as stack:

        def open_one(url: str, service: Service | None = None) -> Strict:
            service = service or Service()
            server = stack.enter_context(FaultServer(service))
            monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
            return Strict(server, service, open_for_test(url))

        yield open_one

"""Real servers for the sinks, each one child process for a whole run."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import botocore.session
import pytest
from botocore.loaders import create_loader

from tests.support.batches import open_sink
from tests.support.fault_server import FaultServer
from tests.support.moto import moto as moto  # noqa: PLC0414 - a fixture, passed on to this folder
from tests.support.moto import moto_process as moto_process  # noqa: PLC0414 - as above
from tests.support.strict_aws import CREDENTIALS, REGION, Service, Strict

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

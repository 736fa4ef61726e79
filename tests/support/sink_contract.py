"""What every sink must do, and where each one sends to in a test.

A new sink adds one module to tests/support/sink_cases/, under its own name, with a KIND: the claims of test_contract.py
and the tests of the frozen binary then cover it. They fail for a sink that has none.

    with open_destinations(folder) as destinations:
        for scheme, (url, env) in sink_urls(destinations).items():
            ...                                             # have a forwarder send to url, with env in its environment
            assert destinations[scheme].lines() == expected
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from extension import sinks
from tests.support import strict_aws
from tests.support.fault_server import Action, Answer, FaultServer, Request

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

Client = Callable[[str], Any]  # makes the botocore client of a service


class Receiver(Protocol):
    """A strict server's inside: answers requests, and knows the lines that it took."""

    def __call__(self, request: Request) -> Action:
        """The answer to one request."""
        ...

    def lines(self) -> list[bytes]:
        """Every line taken, without newlines."""
        ...


class Kind(NamedTuple):
    """How a sink is tried: its URL and environment, given the server's URL and a folder, and who receives.

    `permanent` and `throttled` are answers of its server that mean Refused and Throttled; none where there is no
    server. `transient` are statuses with which it is Unavailable. `prepare` makes what it sends to in an empty moto;
    none where it calls no AWS. A sink that does not keep what it takes has tests of its own instead.
    """

    url: Callable[[str, Path], str]
    receiver: Callable[[Path], Receiver]
    environment: Callable[[str], Mapping[str, str]] = lambda _base: {}
    permanent: Callable[[Request], Action] | None = None
    throttled: Callable[[Request], Action] | None = None
    prepare: Callable[[Client], object] | None = None
    transient: Sequence[int] = (500, 502, 503)
    keeps: bool = True


class Destination(NamedTuple):
    """A sink's server, running."""

    url: str
    env: Mapping[str, str]
    lines: Callable[[], list[bytes]]
    server: FaultServer


class Intake:
    """An HTTP intake that takes NDJSON."""

    def __init__(self) -> None:
        self._taken: list[bytes] = []

    def __call__(self, request: Request) -> Action:
        """Take it if it is NDJSON."""
        if request.headers.get("content-type") != "application/x-ndjson" or not request.text.endswith(b"\n"):
            return Answer(400)
        self._taken += request.text.splitlines()
        return Answer(202)

    def lines(self) -> list[bytes]:
        """Every line taken."""
        return self._taken


def aws_kind(url: str, prepare: Callable[[Client], object], throttled: str = "ThrottlingException") -> Kind:
    """The kind of a sink that calls AWS: the strict service of ours, or moto, which has to be prepared."""
    return Kind(
        url=lambda _base, _folder: url,
        receiver=lambda _folder: strict_aws.Service(),
        environment=lambda base: {**strict_aws.CREDENTIALS, "AWS_ENDPOINT_URL": base},
        permanent=strict_aws.refusing("AccessDeniedException"),
        throttled=strict_aws.refusing(throttled, headers={"Retry-After": "7"}),
        prepare=prepare,
    )


def kind(scheme: str) -> Kind:
    """The KIND of a sink module's case."""
    found: Kind = importlib.import_module(f"tests.support.sink_cases.{scheme}").KIND
    return found


def names() -> list[str]:
    """The sinks in extension/sinks/ whose records can be read where they went."""
    return [name for name in sinks.known() if kind(name).keeps]


@contextmanager
def open_destinations(folder: Path) -> Iterator[dict[str, Destination]]:
    """A server for every sink that keeps what it takes, each with its own port."""
    with ExitStack() as stack:
        destinations = {}
        for scheme in names():
            receiver = kind(scheme).receiver(folder)
            server = stack.enter_context(FaultServer(receiver))
            destinations[scheme] = destination(scheme, server, folder, receiver)
        yield destinations


def destination(scheme: str, server: FaultServer, folder: Path, receiver: Receiver) -> Destination:
    """One sink's destination on a server that runs."""
    found = kind(scheme)
    return Destination(found.url(server.url, folder), found.environment(server.url), receiver.lines, server)


def sink_urls(destinations: Mapping[str, Destination]) -> dict[str, tuple[str, Mapping[str, str]]]:
    """The sink URL of each destination, and the environment variables it needs."""
    return {scheme: (found.url, found.env) for scheme, found in destinations.items()}

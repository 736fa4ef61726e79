"""What every sink must do, and where each one sends to in a test.

A new sink adds one entry to DESTINATIONS and nothing else: the claims of test_contract.py and the test of the frozen
binary then cover it. They fail for a sink that has no entry.

    with open_destinations(folder) as destinations:
        for scheme, (url, env) in sink_urls(destinations).items():
            ...                                             # have a forwarder send to url, with env in its environment
            assert destinations[scheme].lines() == expected
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, NamedTuple, Protocol

from extension import sinks
from tests.support import strict_aws
from tests.support.fault_server import Action, Answer, FaultServer, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path


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

    `permanent` and `throttled` are answers of its server that mean Refused and Throttled; none where there is no server.
    """

    url: Callable[[str, Path], str]
    receiver: Callable[[Path], Receiver]
    environment: Callable[[str], Mapping[str, str]] = lambda _base: {}
    permanent: Callable[[Request], Action] | None = None
    throttled: Callable[[Request], Action] | None = None


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


class File:
    """A file instead of a server."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "out.ndjson"

    def __call__(self, request: Request) -> Action:
        """Nobody should come."""
        raise NotImplementedError

    def lines(self) -> list[bytes]:
        """Every line in the file."""
        return self._path.read_bytes().splitlines() if self._path.exists() else []


def _aws_kind(url: str, throttled: str = "ThrottlingException") -> Kind:
    return Kind(
        url=lambda _base, _folder: url,
        receiver=lambda _folder: strict_aws.Service(),
        environment=lambda base: {**strict_aws.CREDENTIALS, "AWS_ENDPOINT_URL": base},
        permanent=strict_aws.refusing("AccessDeniedException"),
        throttled=strict_aws.refusing(throttled, headers={"Retry-After": "7"}),
    )


DESTINATIONS: dict[str, Kind] = {
    "file": Kind(url=lambda _base, folder: f"file://{folder}/out.ndjson", receiver=File),
    "http": Kind(
        url=lambda base, _folder: f"{base}/intake",
        receiver=lambda _folder: Intake(),
        permanent=lambda _request: Answer(403),
        throttled=lambda _request: Answer(429, {"Retry-After": "7"}),
    ),
    "s3": _aws_kind("s3://telemetry/raw", "SlowDown"),
    "firehose": _aws_kind("firehose://telemetry", "ServiceUnavailableException"),
    "kinesis": _aws_kind("kinesis://telemetry", "ProvisionedThroughputExceededException"),
    "sqs": _aws_kind("sqs://telemetry", "RequestThrottled"),
    "logs": _aws_kind("logs://telemetry"),
}


def kind(scheme: str) -> Kind:
    """The entry of a sink module. Raises LookupError for one that has none."""
    if scheme not in DESTINATIONS:
        message = f"extension/sinks/{scheme}.py has no entry in DESTINATIONS of tests/support/sink_contract.py; add one"
        raise LookupError(message)
    return DESTINATIONS[scheme]


@contextmanager
def open_destinations(folder: Path) -> Iterator[dict[str, Destination]]:
    """A server for every sink in extension/sinks/, each with its own port."""
    with ExitStack() as stack:
        destinations = {}
        for scheme in sinks.known():
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

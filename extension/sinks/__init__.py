"""Where records go: the seam between delivery and one destination.

A sink is one module in this folder, found by the scheme of its URL, with three names: PARAMETERS, the query parameters
it takes; `open_sink`, which makes a Sink of a Target and raises ValueError for what the URL must not say; and the class.
A sink blocks; delivery calls it from a thread, one call at a time, so a sink needs no locks and never sees the event loop.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from extension.records import Batch

COMMON_PARAMETERS = frozenset({"types"})


class Limits(NamedTuple):
    """How much a sink takes in one call: records, bytes of NDJSON, and bytes of one line."""

    records: int = 10_000
    bytes: int = 4 << 20
    record_bytes: int = 1 << 30


class Failure(NamedTuple):
    """A record of a batch, by its index, that was not taken; a permanent one must not be sent again."""

    index: int
    reason: str
    permanent: bool


class Rejected(Exception):
    """The destination refused the whole batch for good: sending it again would be refused again."""


class Busy(Exception):
    """The destination asks to be left alone for `after_s` seconds (Retry-After, RFC 9110 section 10.2.3)."""

    def __init__(self, message: str, after_s: float) -> None:
        super().__init__(message)
        self.after_s = after_s


class Sink(Protocol):
    """One destination."""

    limits: Limits

    def send(self, batch: Batch, timeout_s: float) -> Sequence[Failure]:
        """Block until the destination has taken the batch, `timeout_s` at most; the records that it did not take.

        Raises Rejected, or Busy; any other exception means that the batch may be sent again as it is.
        """
        ...

    def close(self) -> None:
        """Give up connections, so that the next send makes fresh ones."""
        ...


class Target(NamedTuple):
    """A sink URL taken apart, and what of the settings a sink may need. `url` is safe to print: it has no user part."""

    url: str
    scheme: str
    host: str
    path: str
    parameters: Mapping[str, str]
    headers: Sequence[tuple[str, str]] = ()
    function_name: str = "unknown"


def known() -> list[str]:
    """Module names of the sinks there are."""
    return sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py*"))


def module_name(scheme: str) -> str:
    """The module of a scheme: https is spoken by http, and otlp+https by otlp."""
    name = scheme.partition("+")[0]
    return "http" if name == "https" else name


def load(target: Target) -> Sink:
    """Import the one module that the target needs and open its sink. Raises ValueError, with what was expected."""
    module = importlib.import_module(f"{__name__}.{module_name(target.scheme)}")
    allowed = COMMON_PARAMETERS | module.PARAMETERS
    if unknown := sorted(set(target.parameters) - allowed):
        message = f"unknown parameter {', '.join(unknown)}; expected one of {', '.join(sorted(allowed))}"
        raise ValueError(message)
    sink: Sink = module.open_sink(target)
    return sink

"""Where records go: the seam between delivery and one destination.

A sink is one module in this folder, found by the scheme of its URL, with two names: PARAMETERS, the query parameters it
takes; and `open_sink`, which makes a Sink of a Target and raises BadSetting for what the URL must not say. A sink
blocks: delivery calls it from a thread, one call at a time but for calls that a freeze left hanging on a dead
connection, so `send` keeps nothing between calls but connections.
"""

from __future__ import annotations

import importlib
import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, Protocol

from extension.log import describe
from extension.records import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from concurrent.futures import Future
    from types import ModuleType

    from extension.records import Batch

COMMON_PARAMETERS = frozenset({"types"})
# A host and nothing else: a name or an address, and a port. It leaves out the rarer forms of RFC 3986, section 3.2.
HOST = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?")


class BadSetting(ValueError):
    """What a setting asks for cannot be done. The text says what was expected, and quotes nothing that was given."""


class Limits(NamedTuple):
    """How much a sink takes in one call: records, bytes in all, and bytes of one line.

    Each record counts `overhead` bytes beside its line: a newline, or what else the destination adds.
    """

    records: int = 10_000
    bytes: int = 4 << 20
    record_bytes: int = 1 << 30
    overhead: int = 1


class Failure(NamedTuple):
    """A record of a batch, by its position in it, that was not taken; a permanent one must not be sent again."""

    position: int
    reason: str
    permanent: bool


class Rejected(Exception):
    """The destination refused the whole batch for good: sending it again would be refused again.

    `divisible` where one record may be the cause (400, 413), so that halves of the batch may be taken; not where the
    cause is the same for every record (no permission, no such bucket).
    """

    def __init__(self, message: str, *, divisible: bool = False) -> None:
        super().__init__(message)
        self.divisible = divisible


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


class Unopened:
    """Stands for a sink that is not open yet, or could not be opened: it refuses everything."""

    limits = Limits()

    def send(self, batch: Batch, timeout_s: float) -> Sequence[Failure]:  # noqa: ARG002 - the signature of a sink
        """Raise Rejected."""
        raise Rejected("the sink could not be opened")

    def close(self) -> None:
        """There is nothing to close."""


class Target(NamedTuple):
    """A sink URL taken apart, and what of the settings a sink may need.

    `name` is what log and ledger call it, its scheme and host, for its path may be a token. `place` is where it stands,
    as in "sink 2 of FORWARDER_SINKS".
    """

    name: str
    scheme: str
    host: str
    path: str
    parameters: Mapping[str, str]
    types: Sequence[str] = KINDS
    headers: Sequence[tuple[str, str]] = ()
    function_name: str = "unknown"
    place: str = "the sink"


def known() -> list[str]:
    """Module names of the sinks there are."""
    names = {name.partition(".")[0] for name in os.listdir(os.path.dirname(__file__))}
    return sorted(name for name in names if not name.startswith("_"))


def module_name(scheme: str) -> str:
    """The module of a scheme: https is spoken by http, and otlp+https by otlp."""
    name = scheme.partition("+")[0]
    return "http" if name == "https" else name


def load(target: Target) -> Sink:
    """Import the one module that the target needs and open its sink. Raises BadSetting."""
    module = _import(target)
    allowed = COMMON_PARAMETERS | module.PARAMETERS
    for number, name in enumerate(target.parameters, 1):
        if name not in allowed:
            raise BadSetting(f"unknown parameter, number {number} of the query; expected {', '.join(sorted(allowed))}")
    sink: Sink = module.open_sink(target)
    return sink


def open_all(targets: Iterable[Target], timeout_s: float) -> tuple[list[Sink | Future[Sink]], list[str]]:
    """The sinks of the targets, and what is wrong with those that could not be opened.

    They are opened in this order. After `timeout_s` those that are not open go on being opened, each in a thread of its
    own, and are futures.
    """
    from concurrent.futures import ThreadPoolExecutor, wait  # noqa: PLC0415 - asyncio's import, when its turn comes

    targets = list(targets)
    for target in targets:
        with suppress(Exception):  # which load raises again
            _import(target)  # here, so that no thread waits for another's imports
    in_order, at_once = ThreadPoolExecutor(1, "open"), ThreadPoolExecutor(len(targets) or 1, "open")
    opening = [in_order.submit(load, target) for target in targets]
    wait(opening, timeout_s)
    opening = [
        at_once.submit(load, target) if future.cancel() else future
        for target, future in zip(targets, opening, strict=True)
    ]
    for threads in (in_order, at_once):
        threads.shutdown(wait=False)  # when they are done
    opened, problems = [], []
    for target, future in zip(targets, opening, strict=True):
        try:
            opened.append(future.result() if future.done() else future)
        except BadSetting as error:
            problems.append(f"{target.place}: {error}")
        except Exception as error:  # noqa: BLE001 - a library may raise anything for a setting it does not like
            problems.append(f"{target.place}: cannot be opened ({describe(error)})")
    return opened, problems


def _import(target: Target) -> ModuleType:
    return importlib.import_module(f"{__name__}.{module_name(target.scheme)}")

"""Where records go: the seam between delivery and one destination.

A sink is one module in this folder, found by the scheme of its URL, with the names of SinkModule. What several sinks
share is in modules whose names begin with an underscore. A sink blocks: delivery calls it from a thread, one call at a
time but for calls that a freeze left hanging on a dead connection, so `send` keeps nothing between calls but
connections.
"""

from __future__ import annotations

import importlib
import os
import re
import time
from contextlib import suppress
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast
from urllib.parse import unquote_plus

from extension.records import BODY_KINDS, KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from concurrent.futures import Future

    from extension.records import Batch
    from extension.references import Secret, Values
    from extension.sampling import Sampling
    from extension.sinks._secrets import Secrets

RULES = ("min_level", "include", "exclude")  # what leaves out records by what they say, as parameters of every sink
COMMON_PARAMETERS = frozenset({"types", "sample", *RULES})
SIGNALS = ("logs", "traces", "metrics")  # OpenTelemetry's, as sinks that take several of them choose by signals=
OF_KIND = {"span": "traces", "metric": "metrics", "total": "metrics", **BODY_KINDS}  # any other kind of record is a log
# How signals are derived for a sink, as parameters that each sink has which has signals=; the first is the usual one.
DERIVED = {"temporality": ("delta", "cumulative"), "invoke_span": ("yes", "no")}
PASSED_ON = "query."  # what a parameter's name begins with that is meant for the intake, whatever it is called
MAX_OPENING = 8  # threads; more sinks wait for one of them
# A host and nothing else: a name or an address, and a port. It leaves out the rarer forms of RFC 3986, section 3.2; the
# labels of a name are as long as RFC 1035, section 2.3.4, lets them be.
LABEL = r"[A-Za-z0-9_-]{1,63}"
HOST = re.compile(rf"(?:{LABEL}(?:\.{LABEL})*\.?|\[[0-9A-Fa-f:.]+\])(?::\d{{1,5}})?")
# What stands there and may be shown: the name of a stream or a queue may be longer than a label.
SHOWN = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?")


class BadSetting(ValueError):
    """What a setting asks for cannot be done. The text says what was expected, and quotes nothing that was given."""


class BadSettings(BadSetting):
    """As BadSetting, but `problems` are several, and each says its place itself."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class Limits(NamedTuple):
    """How much a sink takes in one call: records, bytes in all, and bytes of one line.

    Each record counts `overhead` bytes beside its line: a newline, or what else the destination adds.
    """

    records: int = 10_000
    bytes: int = 4 << 20
    record_bytes: int = 1 << 30
    overhead: int = 1


class Outcome(Enum):
    """What became of a batch, or of one record of it, at the destination: the same words for every sink."""

    TAKEN = "taken"  # the batch, but for the records in its reply's failures
    RETRY = "retry"  # the destination answered that it cannot take it now
    THROTTLED = "throttled"  # it asks for time
    RECORD_REFUSED = "record refused"  # this record, whenever it is sent
    REQUEST_REFUSED = "request refused"  # the batch; the reply's scope says what is to blame
    DOWN = "down"  # no answer


class Scope(Enum):
    """What a refused request is refused for."""

    RECORD = "record"  # one of its records, perhaps: parts of the batch may be taken
    SIZE = "size"  # it is too large
    BATCH = "batch"  # this batch, as it is, for good
    EVERYTHING = "everything"  # every request: no permission, no such bucket; it may pass, since IAM takes minutes


class Failure(NamedTuple):
    """A record, by its position in the batch, that was not taken: RETRY or RECORD_REFUSED.

    `retry_after_s` goes with RETRY: so long the destination asks for time.
    """

    position: int
    reason: str
    outcome: Outcome = Outcome.RETRY
    retry_after_s: float = 0.0


class Reply(NamedTuple):
    """What the destination said to a batch. `failures` go with TAKEN, `scope` with REQUEST_REFUSED.

    `retry_after_s` goes with THROTTLED, and with TAKEN where it is asked for by failures.
    """

    outcome: Outcome
    reason: str = ""
    failures: Sequence[Failure] = ()
    scope: Scope = Scope.EVERYTHING
    retry_after_s: float = 0.0


class Refused(Exception):
    """The destination refuses the request; sent again as it is, it would be refused again."""

    def __init__(self, reason: str, scope: Scope) -> None:
        super().__init__(reason)
        self.scope = scope


class Throttled(Exception):
    """The destination asks for time: `retry_after_s` seconds (RFC 9110 section 10.2.3), 0 where it names none."""

    def __init__(self, reason: str, retry_after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class Unavailable(Exception):
    """The destination answered that it cannot take the request now, a 500 for one; it may be sent again."""


class Sink(Protocol):
    """One destination."""

    limits: Limits

    def send(self, batch: Batch, timeout_s: float) -> Sequence[Failure]:
        """Block until the destination has taken the batch, `timeout_s` at most; the records that it did not take.

        Raises Refused, Throttled, Unavailable; OSError where nobody answers. Anything else is a fault of ours.
        """
        ...

    def close(self) -> None:
        """Give up connections, so that the next send makes fresh ones."""
        ...


class SinkModule(Protocol):
    """What a module in this folder declares. One that calls AWS has SERVICE and OPERATIONS as well, for the build.

    One with IAM_ACTIONS has `permissions`, which says of which resource each is needed for a URL.

    One whose PASSES_ON is true sends on, in the URL that it asks for, what of the query is not a parameter of ours.

    SCHEMES are those of its URLs. URL is how README writes one, with the first scheme, and SUMMARY what it is, in one
    line. Of the query PARAMETERS, COMMON_PARAMETERS aside, the HARMLESS ones may be printed with their values, once
    `open_sink` has taken them. IAM_ACTIONS are what the function's role needs. PROBE is what is left at the destination
    by a probe, which is one record of type `forwarder.probe`, sent as any batch is.
    """

    SCHEMES: tuple[str, ...]
    URL: str
    SUMMARY: str
    PARAMETERS: frozenset[str]
    HARMLESS: frozenset[str]
    IAM_ACTIONS: tuple[str, ...]
    PROBE: str

    @staticmethod
    def open_sink(target: SinkURL, /) -> Sink:
        """Make the sink of a URL, without a request where it can. Raises BadSetting for what the URL must not say."""
        ...


class SinkURL(NamedTuple):
    """A sink URL taken apart, and what of the settings a sink may need.

    `name` is what log and ledger call it, its scheme and host, for its path may be a token. `place` is where it stands,
    as in "sink 2 of FORWARDER_SINKS". `types` are kinds of records, `unwanted_types` those of the platform that are
    left out nevertheless. `query` is as it stands in the URL; `load` leaves what an intake gets of it.

    Where URL or headers refer to `secrets`, numbers stand in for them, and a URL that begins with one has no scheme;
    `fill` gives what it is with their values, and what of it must not be shown, or raises BadSettings; `as_set` is the
    URL as it is set, where the references stand in it. Without secrets both are empty.
    """

    name: str
    scheme: str
    host: str
    path: str
    parameters: Mapping[str, str]
    types: Sequence[str] = KINDS
    unwanted_types: Sequence[str] = ()
    headers: Sequence[tuple[str, str]] = ()
    function_name: str = "unknown"
    place: str = "the sink"
    query: str = ""
    sample: Sampling | None = None
    secrets: Sequence[Secret] = ()
    fill: Callable[[Values], tuple[SinkURL, set[str]]] | None = None
    as_set: str = ""


def choice(target: SinkURL, parameter: str, choices: Sequence[str]) -> str:
    """A parameter that is one of `choices`, the first if it is not given. Raises BadSetting."""
    value = target.parameters.get(parameter, choices[0])
    if value not in choices:
        raise BadSetting(f"{parameter}= is none of {', '.join(choices)}")
    return value


def signal_of(kind: str) -> str:
    """The signal, one of SIGNALS, that a kind of records is."""
    return OF_KIND.get(kind, "logs")


def parse_signals(text: str) -> tuple[str, ...]:
    """The signals that a list names, one at least. Raises BadSetting."""
    chosen = {part.strip().lower() for part in text.split(",")} - {""}
    if not chosen or not chosen <= set(SIGNALS):
        raise BadSetting(f"signals= is none of {', '.join(SIGNALS)}; expected some, separated by commas")
    return tuple(signal for signal in SIGNALS if signal in chosen)


def signal_parameter(target: SinkURL, name: str) -> str | None:
    """A parameter that is about signals, of a sink that speaks OTLP; one of that name elsewhere is the intake's own."""
    return target.parameters.get(name) if target.scheme.startswith("otlp+") else None


def signals_of(target: SinkURL) -> tuple[str, ...]:
    """The signals that a sink takes: logs, and where it speaks OTLP all, or those that `signals=` names."""
    with suppress(BadSetting):  # which open_sink raises again
        if (named := signal_parameter(target, "signals")) is not None:
            return parse_signals(named)
    return SIGNALS if speaks_otlp(target) else ("logs",)


def speaks_otlp(target: SinkURL) -> bool:
    """Whether a sink takes what programs export by OTLP, as they exported it."""
    return target.scheme.startswith("otlp+")


def may_speak_otlp(target: SinkURL) -> bool:
    """Whether a sink takes what programs export, or may do so: a URL that is a secret is not known yet."""
    return speaks_otlp(target) or not target.scheme


def may_have_headers(target: SinkURL) -> bool:
    """Whether a sink sends headers of the user's, as those over HTTP do, or may do so: as above."""
    return not target.scheme or target.scheme.endswith(("http", "https"))


def temporality_of(target: SinkURL) -> str:
    """Whether the metrics of a sink are delta, or cumulative."""
    return "cumulative" if signal_parameter(target, "temporality") == "cumulative" else "delta"


def excluded_kinds(target: SinkURL, *, is_fallback: bool = False) -> set[str]:
    """The kinds of records that a sink does not get: what it does not take, or its parameters leave out.

    A fallback gets what the others did not take, in whatever form it can.
    """
    chooses = signal_parameter(target, "signals") is not None
    taken = SIGNALS if is_fallback and not chooses else signals_of(target)
    excluded = {kind for kind in (*KINDS, "other", *OF_KIND) if signal_of(kind) not in taken}
    if not is_fallback:
        excluded.add("metric" if temporality_of(target) == "cumulative" else "total")
        excluded |= set() if speaks_otlp(target) else set(BODY_KINDS)
    return excluded | (set(KINDS) - set(target.types))


def rules_of(target: SinkURL) -> dict[str, str]:
    """The texts of the rules that a sink has of its own, by name."""
    return {name: target.parameters[name] for name in RULES if name in target.parameters}


def chooses(target: SinkURL) -> bool:
    """Whether a sink leaves out records by rules of its own, by types of the platform or by sampling."""
    return bool(rules_of(target) or target.unwanted_types or target.sample is not None)


def numbered(names: Sequence[str]) -> list[str]:
    """The names of sinks, numbered where several are alike: ledger and disk tell sinks by them."""
    return [
        name if names.count(name) == 1 else f"{name} ({names[: at + 1].count(name)})" for at, name in enumerate(names)
    ]


def known() -> list[str]:
    """Module names of the sinks there are."""
    names = {name.partition(".")[0] for name in os.listdir(os.path.dirname(__file__))}
    return sorted(name for name in names if not name.startswith("_"))


def schemes() -> list[str]:
    """The schemes of all sinks. It imports every one of them: too slow where all is well."""
    return sorted(scheme for name in known() for scheme in _import(name).SCHEMES)


def module_name(scheme: str) -> str:
    """The module that may have a scheme, or the name of none: https is spoken by http, and loki+https by loki."""
    name, plus, over = scheme.partition("+")
    if plus and over not in {"http", "https"}:
        return ""
    return "http" if name == "https" else name


def module_of(target: SinkURL) -> Any:
    """The SinkModule of a URL that is taken, imported, with what it declares beyond those names."""
    return _import(module_name(target.scheme))


def secrets_of(urls: Iterable[SinkURL]) -> Secrets | None:
    """The secrets that sinks refer to, not yet fetched; None, and nothing imported, where there are none."""
    wanted = [secret for url in urls for secret in url.secrets]
    if not wanted:
        return None
    from extension.sinks._secrets import Secrets  # noqa: PLC0415 - see above

    return Secrets(wanted)


def load(target: SinkURL, secrets: Secrets | None = None) -> Sink:
    """Import the one module that the target needs and open its sink.

    Raises BadSetting, and Unavailable for what is no setting of ours, such as a variable that names a proxy.
    """
    if target.fill is not None and secrets is not None:
        from extension.sinks._secrets import SecretSink  # noqa: PLC0415 - as above

        return SecretSink(target, secrets)
    module = _import(module_name(target.scheme))
    if target.scheme not in module.SCHEMES:
        raise unknown_scheme(module.SCHEMES)
    derived = DERIVED if "signals" in module.PARAMETERS else {}
    ours = COMMON_PARAMETERS | module.PARAMETERS | derived.keys()
    passes_on = getattr(module, "PASSES_ON", False)
    names = [unquote_plus(part.partition("=")[0]) for part in target.query.split("&") if part]
    for number, name in enumerate(names, 1):
        if name not in ours and not passes_on:
            raise BadSetting(f"unknown parameter, number {number} of the query; expected {', '.join(sorted(ours))}")
        if name in ours and name in names[: number - 1]:
            raise BadSetting(f"a parameter that is there already, number {number} of the query; expected each once")
    for parameter, choices in derived.items():
        choice(target, parameter, choices)
    return module.open_sink(target._replace(query=passed_on(target.query, ours) if passes_on else ""))


def passed_on(query: str, ours: Collection[str]) -> str:
    """What of a query is for the intake, in its order and encoded as it stands. Raises BadSetting.

    That is every parameter that is not one of `ours`, and each that is marked by PASSED_ON, without the mark.
    """
    if not query.isascii() or not query.isprintable() or "@" in query:  # which would be the end of a password
        raise BadSetting("expected a query in which @ is written as %40, and what is not ASCII as %XX")
    parts = [part for part in query.split("&") if part and unquote_plus(part.partition("=")[0]) not in ours]
    return "&".join(part.removeprefix(PASSED_ON) for part in parts)


def unknown_scheme(expected: Iterable[str]) -> BadSetting:
    """That a URL begins with none of these schemes."""
    return BadSetting(f"expected a sink URL that begins with one of {', '.join(f'{scheme}://' for scheme in expected)}")


def start_opening(urls: Sequence[SinkURL], secrets: Secrets | None = None) -> list[Future[Sink]]:
    """Open all sinks, each in a thread of its own: what takes long in one, such as credentials, delays no other."""
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - 10 ms that the subscription need not wait for

    threads = ThreadPoolExecutor(MAX_OPENING, "open")
    secrets = secrets or secrets_of(urls)
    opening: dict[int, Future[Sink]] = {}
    for at in sorted(range(len(urls)), key=lambda at: bool(urls[at].secrets)):  # what waits for secrets may wait long
        with suppress(Exception):  # which load raises again
            _import(module_name(urls[at].scheme))  # here, so that no thread waits for another's imports
        opening[at] = threads.submit(load, urls[at], secrets)
    return [opening[at] for at in range(len(urls))]


def wait_opened(urls: Iterable[SinkURL], opening: Sequence[Future[Sink]], until: float) -> list[str]:
    """Wait for the sinks, until a monotonic time at most; what is wrong with the settings of those that are done."""
    from concurrent.futures import wait  # noqa: PLC0415 - as above

    wait(opening, max(0.0, until - time.monotonic()))
    problems: list[str] = []
    for url, one in zip(urls, opening, strict=True):
        error = one.exception() if one.done() else None
        if isinstance(error, BadSettings):
            problems += error.problems
        elif isinstance(error, BadSetting):
            problems.append(f"{url.place}: {error}")
    return list(dict.fromkeys(problems))


def known_by_now(url: SinkURL, opening: Future[Sink]) -> SinkURL:
    """What is known of a sink: with its secrets where they are there."""
    if url.fill is None or not opening.done() or opening.exception() is not None:
        return url
    filled: SinkURL = getattr(opening.result(), "target", url)
    return filled


def _import(name: str) -> SinkModule:
    return cast(SinkModule, importlib.import_module(f"{__name__}.{name}"))

"""Environment variables become one frozen Config; every problem is collected and reported at once.

It reads variables and parses them; it opens nothing. docs/configuration.md describes each setting.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from extension import headers, redaction, sink_url, sinks
from extension.log import LEVELS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from extension.rules import Rules
    from extension.sampling import Sampling
    from extension.sinks import SinkURL

T = TypeVar("T")

PREFIX = "FORWARDER_"
RESERVED_PORT = 9001  # the Runtime API's own; AWS forbids it to telemetry listeners
MIB = 1 << 20
TRY_OPENING_S = 2.0  # to open the sinks where a setting is wrong, so that all mistakes are told at once
MAX_TAGS = 1024  # characters: they are in every record
MAX_HELD_BUFFER_MS = 100  # an invocation that is held is billed for it
# Words and numbers; a URL, a header or the like in the wrong place is not shown.
HARMLESS = re.compile(r"[\w.,+ -]{1,40}")
MEMBERS = ("traceId", "initializationType", "memorySizeMB")  # of the key "lambda", on request
DIGITS = re.compile(r"[0-9]+")


class ConfigError(Exception):
    """All that is wrong with the settings: `problems` are sentences that name the variable and what was expected."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class Config(NamedTuple):
    """What the user asked for. Times are in seconds, sizes in bytes.

    `types` are kinds of records, `unwanted_types` those of the platform that are left out nevertheless. `rules` are
    texts by name; they are read when there is time, for to read them is to import what they ask for.
    """

    sinks: tuple[SinkURL, ...]
    fallback: SinkURL | None
    types: tuple[str, ...]
    buffer_max_items: int
    buffer_max_bytes: int
    buffer_timeout_ms: int
    flush: str
    flush_interval_s: float
    queue_bytes: int
    strict: bool
    listen_host: str
    listen_port: int
    otlp_listen: int
    log_level: str
    tags: Mapping[str, str]
    unwanted_types: tuple[str, ...]
    rules: Mapping[str, str]
    join: str
    enrich: tuple[str, ...]
    summary: str
    redaction: redaction.Redaction
    otlp_unredacted: bool
    sample: Sampling | None
    health: SinkURL | None
    emf: bool

    @property
    def urls(self) -> list[SinkURL]:
        """Every sink there is: those of records, one that is told of our health alone, the fallback."""
        beside = [*self.sinks, *filter(None, [self.fallback])]
        alone = self.health is not None and not any(sink_url.is_same(self.health, url) for url in beside)
        return [*self.sinks, *filter(None, [self.health if alone else None, self.fallback])]


def parse(variables: Mapping[str, str], timeout_s: float = TRY_OPENING_S) -> Config:
    """Read the settings. Raises ConfigError; to find all that is wrong, sinks are opened then, for so long at most."""
    reader = _Reader(variables)
    types = reader.types("FORWARDER_TYPES")
    health, emf = reader.health("FORWARDER_HEALTH")
    config = Config(
        sinks=reader.sink_urls("FORWARDER_SINKS"),
        fallback=next(iter(reader.sink_urls("FORWARDER_FALLBACK", most=1)), None),
        types=types.kinds,
        buffer_max_items=reader.number("FORWARDER_BUFFER_MAX_ITEMS", 1000, 1000, 10_000),
        buffer_max_bytes=reader.number("FORWARDER_BUFFER_MAX_BYTES", 262_144, 262_144, MIB),
        buffer_timeout_ms=reader.number("FORWARDER_BUFFER_TIMEOUT_MS", 25, 25, 30_000),
        flush=reader.choice("FORWARDER_FLUSH", "adaptive", ("adaptive", "invocation", "interval")),
        flush_interval_s=reader.number("FORWARDER_FLUSH_INTERVAL_MS", 20_000, 100, 900_000) / 1000,
        queue_bytes=reader.number("FORWARDER_QUEUE_BYTES", _default_queue_bytes(variables), MIB, 1024 * MIB),
        strict=reader.choice("FORWARDER_ON_ERROR", "open", ("open", "strict")) == "strict",
        listen_host=reader.text("FORWARDER_LISTEN_HOST", "0.0.0.0"),  # noqa: S104 - sandbox.localdomain is not the loopback address
        listen_port=reader.number("FORWARDER_LISTEN_PORT", 0, 0, 65_535, never=RESERVED_PORT),
        otlp_listen=reader.number("FORWARDER_OTLP_LISTEN", 0, 1, 65_535, never=RESERVED_PORT),
        log_level=reader.choice("FORWARDER_LOG_LEVEL", "INFO", LEVELS),
        tags=reader.tags("FORWARDER_TAGS"),
        unwanted_types=types.unwanted,
        rules=reader.rules("FORWARDER_"),
        join=reader.choice("FORWARDER_JOIN", "none", ("none", "traces")),
        enrich=reader.some("FORWARDER_ENRICH", MEMBERS),
        summary=reader.choice("FORWARDER_SUMMARY", "none", ("none", "json", "emf")),
        redaction=reader.redaction(),
        otlp_unredacted=reader.number("FORWARDER_OTLP_UNREDACTED", 0, 0, 1) == 1,
        sample=reader.sample("FORWARDER_SAMPLE"),
        health=health,
        emf=emf,
    )
    reader.check_names()
    reader.check_together(config)
    reader.check_fallback(config.sinks, config.fallback)
    if reader.problems:
        reader.try_rules(config)
        reader.problems += redaction.compile_problems(config.redaction)
        reader.try_opening(config.urls, timeout_s)
        raise ConfigError(list(dict.fromkeys(reader.problems)))
    return config


def read_rules(config: Config) -> list[Rules | None]:
    """The rules that leave out records by what they say: those for all sinks, then each sink's own. Raises ConfigError.

    Nothing is imported for them where there are none.
    """
    places = [(config.rules, ""), *((sinks.rules_of(url), url.place) for url in config.sinks)]
    if not any(texts for texts, _ in places):
        return [None] * len(places)
    from extension.rules import BadRules, Rules  # noqa: PLC0415 - see above

    found: list[Rules | None] = []
    problems: list[str] = []
    for texts, place in places:
        try:
            found.append(Rules(texts, place) if texts else None)
        except BadRules as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    return found


def health_alone(variables: Mapping[str, str]) -> tuple[SinkURL | None, bool]:
    """FORWARDER_HEALTH, as Config has it, whatever is wrong with other settings; nothing where it is wrong itself."""
    reader = _Reader(variables)
    found = reader.health("FORWARDER_HEALTH")
    return (None, False) if reader.problems else found


def is_strict(variables: Mapping[str, str]) -> bool:
    """Whether a bad setting shall fail init; asked when there is no Config because of one."""
    return variables.get("FORWARDER_ON_ERROR", "").strip().lower() == "strict"


def _default_queue_bytes(variables: Mapping[str, str]) -> int:
    """1/16 of the function's memory, 4 to 64 MiB."""
    megabytes = variables.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "")
    memory = int(megabytes) * MIB if megabytes.isdecimal() else 128 * MIB
    return max(4 * MIB, min(memory // 16, 64 * MIB))


class _Reader:
    """Reads one variable after the other, and notes instead of raising what is wrong with each."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self.problems: list[str] = []
        self._variables = variables
        self._asked = {"FORWARDER_HEADERS"}
        self._named: set[str] = set()  # by headers=; not among the settings that are listed

    def check_names(self) -> None:
        """Every variable of ours must be one that was asked for: a typo must not go unnoticed."""
        for name in sorted(self._variables):
            if name.startswith(PREFIX) and name not in self._asked | self._named:
                known = ", ".join(sorted(self._asked))
                self.problems.append(f"{name} is not a setting; the settings are {known}")
            elif name in self._asked | self._named and re.search(r"\$\{(secretsmanager|ssm):", self._variables[name]):
                self.problems.append(f"{name} refers to a secret; expected plain text, references are not there yet")

    def check_together(self, config: Config) -> None:
        """What does not go together, though each of it is good alone."""
        if config.flush == "invocation" and config.buffer_timeout_ms > MAX_HELD_BUFFER_MS:
            self.problems.append(
                f"FORWARDER_BUFFER_TIMEOUT_MS is '{config.buffer_timeout_ms}'; expected {MAX_HELD_BUFFER_MS} at most"
                " with FORWARDER_FLUSH=invocation, which holds invocations for so long"
            )

        if config.summary == "emf" and config.sinks and all(url.scheme != "logs" for url in config.sinks):
            self.problems.append(
                "FORWARDER_SUMMARY is 'emf', which CloudWatch Logs alone makes metrics of; expected one of logs:// in"
                " FORWARDER_SINKS, or json"
            )
        for url in config.sinks if config.sample is not None else ():
            if "sample" in url.parameters:
                self.problems.append(f"{url.place} has sample= beside FORWARDER_SAMPLE; expected one of them")
        if config.fallback is not None and "sample" in config.fallback.parameters:
            self.problems.append("FORWARDER_FALLBACK has sample=; expected none, it gets what other sinks do not take")

        if config.otlp_listen and config.sinks and not any(map(sinks.speaks_otlp, config.sinks)):
            self.problems.append(
                "FORWARDER_OTLP_LISTEN is set, but no sink takes what comes there; expected one of otlp+https:// in"
                " FORWARDER_SINKS"
            )
        if config.otlp_listen and config.redaction and not config.otlp_unredacted:
            self.problems.append(
                "FORWARDER_OTLP_LISTEN is set, but of what comes there logs alone are redacted; expected"
                " FORWARDER_OTLP_UNREDACTED=1, which says that traces and metrics may go on as they are"
            )

    def try_rules(self, config: Config) -> None:
        """What else is wrong, in rules. It imports what reads them: too slow where all is well."""
        try:
            read_rules(config)
        except ConfigError as error:
            self.problems += error.problems

    def try_opening(self, urls: Sequence[SinkURL], timeout_s: float) -> None:
        """What else is wrong, in the sinks themselves. It imports them: too slow where all is well."""
        self.problems += sinks.wait_opened(urls, sinks.start_opening(urls), time.monotonic() + timeout_s)

    def text(self, name: str, default: str) -> str:
        return self._text(name) or default

    def number(self, name: str, default: int, least: int, most: int, never: int | None = None) -> int:
        expected = f"a whole number from {least} to {most}" + (f", but not {never}" if never is not None else "")

        def convert(text: str) -> int:
            if not DIGITS.fullmatch(text):  # int takes 2_000, +2 and the digits of any script
                raise ValueError(expected)
            value = int(text)
            if not least <= value <= most or value == never:
                raise ValueError(expected)
            return value

        return self._read(name, default, expected, convert)

    def choice(self, name: str, default: str, choices: tuple[str, ...]) -> str:
        names = {choice.lower(): choice for choice in choices}
        return self._read(name, default, f"one of {', '.join(choices)}", lambda text: names[text.lower()])

    def types(self, name: str) -> sink_url.Types:
        try:
            text = self._text(name)
            return sink_url.parse_types(text) if text else sink_url.Types()
        except sinks.BadSetting as error:
            shown = f"is {text!r}" if HARMLESS.fullmatch(text) else "is something else"
            self.problems.append(f"{name} {shown}; {error}")
            return sink_url.Types()

    def rules(self, prefix: str) -> Mapping[str, str]:
        return {name: text for name in sinks.RULES if (text := self._text(prefix + name.upper()))}

    def some(self, name: str, choices: tuple[str, ...]) -> tuple[str, ...]:
        names = {choice.lower(): choice for choice in choices}

        def convert(text: str) -> tuple[str, ...]:
            return tuple(dict.fromkeys(names[part.strip().lower()] for part in text.split(",")))

        return self._read(name, (), f"some of {', '.join(choices)}, separated by commas", convert)

    def tags(self, name: str) -> Mapping[str, str]:
        expected = f"name=value pairs, separated by commas, {MAX_TAGS} characters at most"

        def convert(text: str) -> dict[str, str]:
            pairs = [part.partition("=") for part in text.split(",")]
            found = {key.strip(): value.strip() for key, _, value in pairs}
            if len(text) > MAX_TAGS or "" in found or len(found) < len(pairs) or not all(sign for _, sign, _ in pairs):
                raise ValueError(expected)
            return found

        return self._read(name, {}, expected, convert)

    def redaction(self) -> redaction.Redaction:
        texts = [self._text(name) for name in (redaction.REDACT, redaction.EXPRESSIONS, redaction.FIELDS)]
        found, problems = redaction.read(*texts)
        self.problems += problems
        return found

    def sample(self, name: str) -> Sampling | None:
        if not self._text(name):
            return None
        from extension import sampling  # noqa: PLC0415 - where it is asked for

        return self._read(name, None, sampling.EXPECTED, sampling.parse)

    def sink_urls(self, name: str, most: int | None = None) -> tuple[SinkURL, ...]:
        urls = self._text(name).split()
        if most is not None and len(urls) > most:
            self.problems.append(f"{name} has {len(urls)} words; expected a single sink URL")
            return ()
        for number, url in enumerate(urls, 1):
            if (first := urls.index(url) + 1) < number:
                self.problems.append(f"sink {number} of {name} is sink {first} again; expected each sink once")
        places = [name if most == 1 else f"sink {number} of {name}" for number in range(1, len(urls) + 1)]
        return tuple(target for url, place in zip(urls, places, strict=True) if (target := self._sink_url(url, place)))

    def health(self, name: str) -> tuple[SinkURL | None, bool]:
        """Where our own health is told: a sink, or the log as metrics."""
        chosen = self._text(name).lower()
        if chosen == "emf":
            return None, True
        if chosen and chosen != "fallback" and ":" not in chosen:
            self.problems.append(f"{name}: expected emf, fallback or a sink URL")
            return None, False
        named = "FORWARDER_FALLBACK" if chosen == "fallback" else name
        target = next(iter(self.sink_urls(named, most=1)), None)
        if chosen == "fallback" and not self._text(named):
            self.problems.append(f"{name} is 'fallback'; expected FORWARDER_FALLBACK to be set as well")
        if target is not None and "logs" not in sinks.signals_of(target):
            self.problems.append(f"{target.place}: expected a sink that takes logs, for {name}")
        return target, False

    def check_fallback(self, urls: Iterable[SinkURL], fallback: SinkURL | None) -> None:
        """What a sink cannot take must not go there again."""
        for url in urls:
            if fallback is not None and sink_url.is_same(url, fallback):
                self.problems.append(f"{fallback.place} is {url.place} again; expected another sink")
        if fallback is not None and sinks.rules_of(fallback):
            self.problems.append(
                f"{fallback.place}: expected none of {'=, '.join(sinks.RULES)}=; what sinks hand off comes there whole"
            )

    def _sink_url(self, url: str, place: str) -> SinkURL | None:
        """A sink URL with what other settings say of it."""
        try:
            target = sink_url.take_apart(url, place)
        except sinks.BadSetting as error:
            self.problems.append(f"{place}: {error}")
            return None
        types = sink_url.Types()
        try:
            if (named := target.parameters.get("types")) is not None:
                types = sink_url.parse_types(named)
        except sinks.BadSetting as error:
            self.problems.append(f"{place}, types=: {error}")
        return target._replace(
            types=types.kinds,
            unwanted_types=types.unwanted,
            sample=self._sink_sample(target.parameters.get("sample"), place),
            headers=self._headers(target.parameters.get("headers"), place),
            function_name=self._variables.get("AWS_LAMBDA_FUNCTION_NAME", "unknown"),
        )

    def _sink_sample(self, text: str | None, place: str) -> Sampling | None:
        if text is None:
            return None
        from extension import sampling  # noqa: PLC0415 - where it is asked for

        try:
            return sampling.parse(text)
        except ValueError as error:
            self.problems.append(f"{place}, sample=: expected {error}, with ; written as %3B")
            return None

    def _headers(self, named: str | None, place: str) -> Sequence[tuple[str, str]]:
        """FORWARDER_HEADERS, or the variable that headers= names, which is not shown: it may be a secret by mistake."""
        if named is None:
            named, where = "FORWARDER_HEADERS", "FORWARDER_HEADERS"
        elif named in self._variables:
            self._named.add(named)
            where = f"the variable that headers= of {place} names"
        else:
            self.problems.append(f"{place}, headers=: expected the name of a variable that is set")
            return ()
        parsed, problems = headers.parse(self._variables.get(named, ""), where)
        self.problems += problems
        return parsed

    def _text(self, name: str) -> str:
        self._asked.add(name)
        return self._variables.get(name, "").strip()

    def _read(self, name: str, default: T, expected: str, convert: Callable[[str], T]) -> T:
        text = self._text(name)
        if not text:
            return default
        try:
            return convert(text)
        except (ValueError, KeyError):
            shown = f"is {text!r}" if HARMLESS.fullmatch(text) else "is something else"
            self.problems.append(f"{name} {shown}; expected {expected}")
            return default

"""Environment variables, and the file that one of them names, become one frozen Config; all problems are told at once.

It reads settings and parses them; it opens nothing but that file. docs/configuration.md describes each setting.
"""

from __future__ import annotations

import re
import time
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from extension import config_file, headers, redaction, references, sink_url, sinks, subscription
from extension.log import LEVELS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from extension.references import Secret, Values
    from extension.rules import Rules
    from extension.sampling import Sampling
    from extension.sinks import SinkURL

T = TypeVar("T")

PREFIX = "FORWARDER_"
MAY_REFER = frozenset({"FORWARDER_SINKS", "FORWARDER_FALLBACK", "FORWARDER_HEADERS"})  # to secrets
MIB = 1 << 20
TRY_OPENING_S = 3.0  # to open the sinks where a setting is wrong, so that all mistakes are told at once
LEAST_CAP = 1 << 16
MAX_TAGS = 1024  # characters: they are in every record
MAX_HELD_BUFFER_MS = 100  # an invocation that is held is billed for it
# Words and numbers; a URL, a header or the like in the wrong place is not shown.
HARMLESS = re.compile(r"[\w.,+ -]{1,40}")
KEY = re.compile(r"[a-z_0-9]{1,40}")
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
    max_bytes_per_minute: int
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

    @property
    def subscription(self) -> subscription.Subscription:
        """What to ask the Telemetry API for."""
        buffering = self.buffer_max_items, self.buffer_max_bytes, self.buffer_timeout_ms
        return subscription.Subscription(self.types, buffering, self.listen_host, self.listen_port)


def parse(variables: Mapping[str, str], timeout_s: float = TRY_OPENING_S) -> Config:
    """Read the settings, the file among them.

    Raises ConfigError; to find all that is wrong, sinks are opened then, for so long at most.
    """
    reader = _Reader(variables)
    types = reader.types("FORWARDER_TYPES")
    health, emf = reader.health("FORWARDER_HEALTH")
    config = Config(
        sinks=reader.sink_urls("FORWARDER_SINKS"),
        fallback=next(iter(reader.sink_urls("FORWARDER_FALLBACK", most=1)), None),
        types=types.kinds,
        buffer_max_items=reader.number("FORWARDER_BUFFER_MAX_ITEMS", *subscription.MAX_ITEMS),
        buffer_max_bytes=reader.number("FORWARDER_BUFFER_MAX_BYTES", *subscription.MAX_BYTES),
        buffer_timeout_ms=reader.number("FORWARDER_BUFFER_TIMEOUT_MS", *subscription.TIMEOUT_MS),
        flush=reader.choice("FORWARDER_FLUSH", "adaptive", ("adaptive", "invocation", "interval")),
        flush_interval_s=reader.number("FORWARDER_FLUSH_INTERVAL_MS", 20_000, 100, 900_000) / 1000,
        queue_bytes=reader.number("FORWARDER_QUEUE_BYTES", _default_queue_bytes(variables), MIB, 1024 * MIB),
        max_bytes_per_minute=reader.number("FORWARDER_MAX_BYTES_PER_MINUTE", 0, LEAST_CAP, 1 << 40),
        strict=reader.strict(),
        listen_host=reader.text("FORWARDER_LISTEN_HOST", subscription.HOST),
        listen_port=reader.number("FORWARDER_LISTEN_PORT", *subscription.PORT, never=subscription.RESERVED_PORT),
        otlp_listen=reader.number("FORWARDER_OTLP_LISTEN", 0, 1, 65_535, never=subscription.RESERVED_PORT),
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


def filled(config: Config, urls: Sequence[SinkURL]) -> Config:
    """The settings with what the URLs of all sinks are by now. Raises ConfigError for two that turn out to be one."""
    health = [
        url
        for url, was in zip(urls, config.urls, strict=True)
        if config.health and sink_url.is_same(was, config.health)
    ]
    found = config._replace(
        sinks=tuple(urls[: len(config.sinks)]),
        fallback=urls[-1] if config.fallback is not None else None,
        health=health[0] if health else None,
    )
    if len(found.urls) < len(urls):
        raise ConfigError(["FORWARDER_HEALTH is a sink again whose secrets are known by now; expected another one"])
    return found


def health_alone(variables: Mapping[str, str]) -> tuple[SinkURL | None, bool]:
    """FORWARDER_HEALTH, as Config has it, whatever is wrong with other settings; nothing where it is wrong itself."""
    reader = _Reader(variables)
    found = reader.health("FORWARDER_HEALTH")
    return (None, False) if reader.problems else found


def is_strict(variables: Mapping[str, str]) -> bool:
    """Whether a bad setting shall fail init; asked when there is no Config because of one."""
    return _Reader(variables).strict()


def _default_queue_bytes(variables: Mapping[str, str]) -> int:
    """1/16 of the function's memory, 4 to 64 MiB."""
    megabytes = variables.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "")
    memory = int(megabytes) * MIB if megabytes.isdecimal() else 128 * MIB
    return max(4 * MIB, min(memory // 16, 64 * MIB))


class _Noted(Exception):
    """What is wrong is among the problems already."""


class _Reader:
    """Reads one setting after the other, and notes instead of raising what is wrong with each.

    A variable wins over the key of the file, unless it is blank.
    """

    def __init__(self, variables: Mapping[str, str], values: Values | None = None) -> None:
        """Where there are no `values` of secrets, numbers stand in for what refers to them."""
        self.problems: list[str] = []
        self._variables = variables
        self._values = values
        self._hidden: set[str] = set()  # of these values
        self._numbers: dict[str, int] = {}
        self._asked = {"FORWARDER_HEADERS", "FORWARDER_CONFIG"}
        self._named: set[str] = set()  # by headers=; not among the settings that are listed
        self._file: Mapping[str, object] = {}
        try:
            if path := variables.get("FORWARDER_CONFIG", "").strip():
                self._file = config_file.read(path)
        except config_file.BadFile as error:
            self.problems.append(f"FORWARDER_CONFIG {error}")

    def strict(self) -> bool:
        return self.choice("FORWARDER_ON_ERROR", "open", ("open", "strict")) == "strict"

    def check_names(self) -> None:
        """Every variable of ours, and every key, must be one that was asked for: a typo must not go unnoticed."""
        for name in sorted(self._variables):
            if name.startswith(PREFIX) and name not in self._asked | self._named:
                known = ", ".join(sorted(self._asked))
                self.problems.append(f"{name} is not a setting; the settings are {known}")
        for name in sorted(self._asked - MAY_REFER):
            if references.are_in(self._variables.get(name, "") or str(self._file.get(_key(name), ""))):
                self.problems.append(f"{self._place(name)} refers to a secret; expected plain text")
        keys = {_key(name) for name in self._asked - {"FORWARDER_CONFIG"}}
        for number, key in enumerate(self._file, 1):
            if key not in keys | self._named:
                shown = key if KEY.fullmatch(key) else f"key number {number}"
                known = ", ".join(sorted(keys))
                self.problems.append(f"{shown} in FORWARDER_CONFIG is not a setting; the settings are {known}")

    def check_together(self, config: Config) -> None:
        """What does not go together, though each of it is good alone."""
        if config.flush == "invocation" and config.buffer_timeout_ms > MAX_HELD_BUFFER_MS:
            place = self._place("FORWARDER_BUFFER_TIMEOUT_MS")
            self.problems.append(
                f"{place} is '{config.buffer_timeout_ms}'; expected {MAX_HELD_BUFFER_MS} at most"
                " with FORWARDER_FLUSH=invocation, which holds invocations for so long"
            )

        if config.summary == "emf" and config.sinks and all(url.scheme not in {"logs", ""} for url in config.sinks):
            place = self._place("FORWARDER_SUMMARY")
            self.problems.append(
                f"{place} is 'emf', which CloudWatch Logs alone makes metrics of; expected one of logs:// in"
                " FORWARDER_SINKS, or json"
            )
        for url in config.sinks if config.sample is not None else ():
            if "sample" in url.parameters:
                self.problems.append(f"{url.place} has sample= beside FORWARDER_SAMPLE; expected one of them")
        if config.fallback is not None and "sample" in config.fallback.parameters:
            self.problems.append("FORWARDER_FALLBACK has sample=; expected none, it gets what other sinks do not take")
        aside = config.health if any(url is config.health for url in config.urls) else None
        if aside is not None and (rules := sinks.COMMON_PARAMETERS & aside.parameters.keys()):
            named = ", ".join(f"{rule}=" for rule in sorted(rules))
            self.problems.append(f"{aside.place}: expected no {named}; it gets nothing but records forwarder.health")
        if config.otlp_listen and config.sinks and not any(map(sinks.may_speak_otlp, config.sinks)):
            place = self._place("FORWARDER_OTLP_LISTEN")
            self.problems.append(
                f"{place} is set, but no sink takes what comes there; expected one of otlp+https:// in FORWARDER_SINKS"
            )
        if config.otlp_listen and config.otlp_listen == config.listen_port:
            place, other = map(self._place, ("FORWARDER_LISTEN_PORT", "FORWARDER_OTLP_LISTEN"))
            self.problems.append(f"{place} is '{config.listen_port}', the port of {other} as well; expected two ports")
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
        return self._text(name, None) or default

    def number(self, name: str, default: int, least: int, most: int, never: int | None = None) -> int:
        expected = f"a whole number from {least} to {most}" + (f", but not {never}" if never is not None else "")

        def convert(text: str) -> int:
            if not DIGITS.fullmatch(text):  # int takes 2_000, +2 and the digits of any script
                raise ValueError(expected)
            value = int(text)
            if not least <= value <= most or value == never:
                raise ValueError(expected)
            return value

        return self._read(name, default, expected, convert, None)

    def choice(self, name: str, default: str, choices: tuple[str, ...]) -> str:
        names = {choice.lower(): choice for choice in choices}
        return self._read(name, default, f"one of {', '.join(choices)}", lambda text: names[text.lower()], None)

    def types(self, name: str) -> sink_url.Types:
        try:
            text = self._text(name, ",")
            return sink_url.parse_types(text) if text else sink_url.Types()
        except sinks.BadSetting as error:
            shown = f"is {text!r}" if HARMLESS.fullmatch(text) else "is something else"
            self.problems.append(f"{self._place(name)} {shown}; {error}")
            return sink_url.Types()

    def rules(self, prefix: str) -> Mapping[str, str]:
        return {name: text for name in sinks.RULES if (text := self._whole(prefix + name.upper())).strip()}

    def some(self, name: str, choices: tuple[str, ...]) -> tuple[str, ...]:
        names = {choice.lower(): choice for choice in choices}

        def convert(text: str) -> tuple[str, ...]:
            return tuple(dict.fromkeys(names[part.strip().lower()] for part in text.split(",")))

        return self._read(name, (), f"some of {', '.join(choices)}, separated by commas", convert, ",")

    def tags(self, name: str) -> Mapping[str, str]:
        expected = f"name=value pairs, separated by commas, {MAX_TAGS} characters at most"

        def convert(text: str) -> dict[str, str]:
            pairs = [part.partition("=") for part in text.split(",")]
            found = {key.strip(): value.strip() for key, _, value in pairs}
            if len(text) > MAX_TAGS or "" in found or len(found) < len(pairs) or not all(sign for _, sign, _ in pairs):
                raise ValueError(expected)
            return found

        return self._read(name, {}, expected, convert, ",", "=")

    def redaction(self) -> redaction.Redaction:
        texts = [self._text(redaction.REDACT, ","), self._whole(redaction.EXPRESSIONS), self._text(redaction.FIELDS)]
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
        where = self._place(name)
        if most is not None and len(urls) > most:
            self.problems.append(f"{where} has {len(urls)} words; expected a single sink URL")
            return ()
        for number, url in enumerate(urls, 1):
            if (first := urls.index(url) + 1) < number:
                self.problems.append(f"sink {number} of {where} is sink {first} again; expected each sink once")
        places = [where if most == 1 else f"sink {number} of {where}" for number in range(1, len(urls) + 1)]
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
            target = self._take_apart(url, place)
        except sinks.BadSetting as error:
            self.problems.append(f"{place}: {error}")
            return None
        except _Noted:
            return None
        types = sink_url.Types()
        try:
            if (named := target.parameters.get("types")) is not None:
                types = sink_url.parse_types(named)
        except sinks.BadSetting as error:
            self.problems.append(f"{place}, types=: {error}")
        has_headers = sinks.may_have_headers(target)
        parsed: Sequence[tuple[str, str]] = ()
        secrets = references.secrets_in(url)
        if has_headers or self._values is None:  # what is wrong with them is told in any case
            parsed, in_headers = self._headers(target.parameters.get("headers"), place)
            secrets += in_headers if has_headers else ()
        return target._replace(
            types=types.kinds,
            unwanted_types=types.unwanted,
            sample=self._sink_sample(target.parameters.get("sample"), place),
            headers=parsed,
            function_name=self._variables.get("AWS_LAMBDA_FUNCTION_NAME", "unknown"),
            secrets=secrets,
            fill=partial(self._fill, url, place, target.name) if secrets else None,
            as_set=url if secrets else "",
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

    def _fill(self, url: str, place: str, name: str, values: Values) -> tuple[SinkURL, set[str]]:
        """The sink of a URL with its secrets, under the name that it has without them, and what must not be shown."""
        reader = _Reader(self._variables, values)
        target = reader._sink_url(url, place)
        if target is None or reader.problems:
            raise sinks.BadSettings(reader.problems)
        hidden = reader._hidden | sink_url.hidden_parts(target, url)
        return target._replace(name=name, secrets=(), fill=None, as_set=""), hidden - {""}

    def _take_apart(self, url: str, place: str) -> SinkURL:
        """What a URL says, with its secrets or what stands in for them. Raises BadSetting and _Noted."""
        if names := references.parameters(url) & sinks.COMMON_PARAMETERS:
            self.problems += [f"{place}, {name}=: refers to a secret; expected plain text" for name in sorted(names)]
            raise _Noted
        text = self._filled(references.fill_url, url, place)
        if text is url or self._values is not None:
            return sink_url.take_apart(text, place)
        return sink_url.take_apart_unfilled(url, text, place)

    def _filled(self, fill: Callable[[str, Values, str], references.Filled], text: str, place: str) -> str:
        """A text with the values of its secrets, or with what stands in for them. Raises _Noted."""
        if "${" not in text:
            return text
        if not references.are_whole(text):
            self.problems.append(f"{place}: {references.EXPECTED}")
            raise _Noted
        if self._values is None:
            return references.stand_in(text, lambda found: self._numbers.setdefault(found, len(self._numbers) + 1))
        filled = fill(text, self._values, place)
        self.problems += filled.problems
        self._hidden |= filled.hidden
        if filled.problems:
            raise _Noted
        return filled.text

    def _headers(self, named: str | None, place: str) -> tuple[Sequence[tuple[str, str]], Sequence[Secret]]:
        """FORWARDER_HEADERS, or the variable that headers= names, which is not shown: it may be a secret by mistake."""
        if named is None:
            text, where = self._whole("FORWARDER_HEADERS"), self._place("FORWARDER_HEADERS")
        elif named in self._variables:
            text, where = self._variables[named], f"the variable that headers= of {place} names"
            self._named.add(named)
        elif named in self._file:
            where = f"the table of FORWARDER_CONFIG that headers= of {place} names"
            text = self._file_text(named, where)
            self._named.add(named)
        else:
            self.problems.append(f"{place}, headers=: expected the name of a variable that is set")
            return (), ()
        try:
            lines = references.without_whole_lines(text) if self._values is None else text
            parsed, problems = headers.parse(self._filled(references.fill_lines, lines, where), where)
        except _Noted:
            return (), ()
        self.problems += problems
        return parsed, references.secrets_in(text)

    def _place(self, name: str) -> str:
        """What a setting is called where something is said of it."""
        is_in_file = _key(name) in self._file and not self._variables.get(name, "").strip()
        return f"{_key(name)} in FORWARDER_CONFIG" if is_in_file else name

    def _text(self, name: str, separator: str | None = "\n", between: str = ": ") -> str:
        return self._whole(name, separator, between).strip()

    def _whole(self, name: str, separator: str | None = "\n", between: str = ": ") -> str:
        """A setting as it stands in its variable, or as it would, were it not in the file.

        A list of the file becomes text with the `separator`, a table names and values with `between`; without a
        separator the setting takes neither.
        """
        self._asked.add(name)
        if (text := self._variables.get(name, "")).strip():
            return text
        return self._file_text(_key(name), self._place(name), separator, between) if _key(name) in self._file else ""

    def _file_text(self, key: str, place: str, separator: str | None = "\n", between: str = ": ") -> str:
        try:
            return config_file.as_text(self._file[key], separator, between)
        except config_file.BadFile as error:
            self.problems.append(f"{place} is of the wrong type; {error}")
            return ""

    def _read(
        self,
        name: str,
        default: T,
        expected: str,
        convert: Callable[[str], T],
        separator: str | None = "\n",
        between: str = ": ",
    ) -> T:
        text = self._text(name, separator, between)
        if not text:
            return default
        try:
            return convert(text)
        except (ValueError, KeyError):
            shown = f"is {text!r}" if HARMLESS.fullmatch(text) else "is something else"
            self.problems.append(f"{self._place(name)} {shown}; expected {expected}")
            return default


def _key(name: str) -> str:
    """The key of a setting in the file."""
    return name.removeprefix(PREFIX).lower()

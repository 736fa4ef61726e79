"""The environment becomes one frozen Config; every problem is collected and reported at once.

It reads variables and parses them; it opens nothing. docs/configuration.md describes each setting.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

from extension import sinks
from extension.log import LEVELS
from extension.records import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

T = TypeVar("T")

PREFIX = "FORWARDER_"
RESERVED_PORT = 9001  # the Runtime API's own; AWS forbids it to telemetry listeners
MIB = 1 << 20
MAX_HELD_BUFFER_MS = 100  # an invocation that is held is billed for it


class ConfigError(Exception):
    """All that is wrong with the settings: `problems` are sentences that name variable, value and what was expected."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class Config(NamedTuple):
    """What the user asked for. Times are in seconds, sizes in bytes."""

    targets: tuple[sinks.Target, ...]
    fallback: sinks.Target | None
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
    log_level: str


def parse(environment: Mapping[str, str], timeout_s: float = 3.0) -> Config:
    """Read the settings. Raises ConfigError; to find all that is wrong, sinks are opened then, for so long at most."""
    reader = _Reader(environment)
    config = Config(
        targets=reader.targets("FORWARDER_SINKS"),
        fallback=next(iter(reader.targets("FORWARDER_FALLBACK", most=1)), None),
        types=reader.types("FORWARDER_TYPES"),
        buffer_max_items=reader.number("FORWARDER_BUFFER_MAX_ITEMS", 1000, 1000, 10_000),
        buffer_max_bytes=reader.number("FORWARDER_BUFFER_MAX_BYTES", 262_144, 262_144, MIB),
        buffer_timeout_ms=reader.number("FORWARDER_BUFFER_TIMEOUT_MS", 25, 25, 30_000),
        flush=reader.choice("FORWARDER_FLUSH", "adaptive", ("adaptive", "invocation", "interval")),
        flush_interval_s=reader.number("FORWARDER_FLUSH_INTERVAL_MS", 20_000, 100, 900_000) / 1000,
        queue_bytes=reader.number("FORWARDER_QUEUE_BYTES", _default_queue_bytes(environment), MIB, 1024 * MIB),
        strict=reader.choice("FORWARDER_ON_ERROR", "open", ("open", "strict")) == "strict",
        listen_host=reader.text("FORWARDER_LISTEN_HOST", "0.0.0.0"),  # noqa: S104 - sandbox.localdomain is not the loopback address
        listen_port=reader.number("FORWARDER_LISTEN_PORT", 0, 0, 65_535, never=RESERVED_PORT),
        log_level=reader.choice("FORWARDER_LOG_LEVEL", "INFO", LEVELS),
    )
    reader.check_names()
    reader.check_together(config)
    if reader.problems:
        reader.try_opening((*config.targets, *filter(None, [config.fallback])), timeout_s)
        raise ConfigError(list(dict.fromkeys(reader.problems)))
    return config


def is_strict(environment: Mapping[str, str]) -> bool:
    """Whether a bad setting shall fail init; asked when there is no Config because of one."""
    return environment.get("FORWARDER_ON_ERROR", "").strip().lower() == "strict"


def printable(url: str) -> str:
    """The URL as it may be logged: without user and password, and without what looks like a token.

    That is a long path segment with digits, and the value of any query parameter that is not ours.
    """
    scheme, rest = url.split("://", 1) if "://" in url else ("", url)
    rest = re.sub(r"^[^/?#]*@", "", rest)
    if scheme.endswith(("http", "https")) or scheme not in sinks.known():
        rest = re.sub(r"([?&](?!(?:types|compression|headers)=))([^=&#]*=)?[^&#]+", r"\1\2...", rest.partition("#")[0])
        rest = re.sub(r"(?<=/)[\w=+.-]{4}(?=[\w=+.-]*\d)[\w=+.-]{20,}", "...", rest)
    return f"{scheme}://{rest}" if scheme else rest


def _default_queue_bytes(environment: Mapping[str, str]) -> int:
    """1/16 of the function's memory, 4 to 64 MiB."""
    megabytes = environment.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "")
    memory = int(megabytes) * MIB if megabytes.isdecimal() else 128 * MIB
    return max(4 * MIB, min(memory // 16, 64 * MIB))


class _Reader:
    """Reads one variable after the other, and notes instead of raising what is wrong with each."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.problems: list[str] = []
        self._environment = environment
        self._asked = {"FORWARDER_HEADERS"}

    def check_names(self) -> None:
        """Every variable of ours must be one that was asked for: a typo must not go unnoticed."""
        for name in sorted(self._environment):
            if name.startswith(PREFIX) and name not in self._asked:
                known = ", ".join(sorted(self._asked))
                self.problems.append(f"{name} is not a setting; the settings are {known}")
            elif name in self._asked and re.search(r"\$\{(secretsmanager|ssm):", self._environment[name]):
                self.problems.append(f"{name} refers to a secret; expected plain text, references are not there yet")

    def check_together(self, config: Config) -> None:
        """What does not go together, though each of it is good alone."""
        if config.flush == "invocation" and config.buffer_timeout_ms > MAX_HELD_BUFFER_MS:
            expected = (
                f"{MAX_HELD_BUFFER_MS} at most with FORWARDER_FLUSH=invocation, which holds invocations for so long"
            )
            self._refuse("FORWARDER_BUFFER_TIMEOUT_MS", str(config.buffer_timeout_ms), expected)

    def try_opening(self, targets: Iterable[sinks.Target], timeout_s: float) -> None:
        """What else is wrong, in the sinks themselves. It imports them: too slow where all is well."""
        self.problems += sinks.open_all(targets, timeout_s)[1]

    def text(self, name: str, default: str) -> str:
        return self._text(name) or default

    def number(self, name: str, default: int, least: int, most: int, never: int | None = None) -> int:
        expected = f"a whole number from {least} to {most}" + (f", but not {never}" if never is not None else "")

        def convert(text: str) -> int:
            value = int(text)
            if not least <= value <= most or value == never:
                raise ValueError(expected)
            return value

        return self._read(name, default, expected, convert)

    def choice(self, name: str, default: str, choices: tuple[str, ...]) -> str:
        names = {choice.lower(): choice for choice in choices}
        return self._read(name, default, f"one of {', '.join(choices)}", lambda text: names[text.lower()])

    def types(self, name: str, parameter: str | None = None) -> tuple[str, ...]:
        text = self._text(name) if parameter is None else parameter
        chosen = [part for part in (part.strip().lower() for part in text.split(",")) if part]
        if unknown := [part for part in chosen if part not in KINDS]:
            where = name if parameter is None else f"types= in {name}"
            self._refuse(where, ",".join(unknown), f"some of {', '.join(KINDS)}, separated by commas")
        return tuple(kind for kind in KINDS if kind in chosen or not chosen)

    def targets(self, name: str, most: int | None = None) -> tuple[sinks.Target, ...]:
        urls = self._text(name).split()
        if len(set(urls)) < len(urls):
            self._refuse(name, " ".join(map(printable, urls)), "each sink once")
        if most is not None and len(urls) > most:
            self._refuse(name, " ".join(map(printable, urls)), "a single sink URL")
        return tuple(target for url in urls if (target := self._target(name, url)))

    def _target(self, name: str, url: str) -> sinks.Target | None:
        known = sinks.known()
        try:
            parts = urlsplit(url)
            port_is_bad = parts.port == 0
        except ValueError as error:
            self._refuse(name, printable(url), f"a URL ({error})")
            return None
        if sinks.module_name(parts.scheme) not in known or port_is_bad:
            shown = ", ".join(f"{scheme}://" for scheme in known)
            self._refuse(name, printable(url), f"a sink URL that begins with one of {shown} (https counts as http)")
            return None
        if parts.username is not None or parts.fragment:
            expected = "a URL without user, password and fragment; put credentials into FORWARDER_HEADERS"
            self._refuse(name, printable(url), expected)
            return None
        parameters = dict(parse_qsl(parts.query, keep_blank_values=True))
        return sinks.Target(
            url=printable(url),
            scheme=parts.scheme,
            host=parts.netloc,
            path=unquote(parts.path) if parts.scheme == "file" else parts.path,
            parameters=parameters,
            types=self.types(name, parameters.get("types", "")),
            headers=self._headers(parameters.get("headers", "FORWARDER_HEADERS")),
            function_name=self._environment.get("AWS_LAMBDA_FUNCTION_NAME", "unknown"),
        )

    def _headers(self, name: str) -> tuple[tuple[str, str], ...]:
        headers = []
        if name != "FORWARDER_HEADERS" and name not in self._environment:
            self.problems.append(f"{name}, named by headers=, is not set; expected lines of `Name: value`")
        for line in filter(str.strip, self._text(name).splitlines()):
            header, _, value = line.partition(":")
            name_is_good = re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", header.strip())
            # RFC 9110, section 5.5; http.client would refuse each request with other characters
            if not name_is_good or not re.fullmatch(r"[\t\x20-\x7e\xa0-\xff]+", value.strip()):
                # The line is not shown: it most likely holds a secret.
                self.problems.append(f"{name} has a line that is no header; expected lines of `Name: value`")
                continue
            headers.append((header.strip(), value.strip()))
        return tuple(headers)

    def _text(self, name: str) -> str:
        self._asked.add(name)
        return self._environment.get(name, "").strip()

    def _read(self, name: str, default: T, expected: str, convert: Callable[[str], T]) -> T:
        text = self._text(name)
        if not text:
            return default
        try:
            return convert(text)
        except (ValueError, KeyError):
            self._refuse(name, text, expected)
            return default

    def _refuse(self, name: str, value: str, expected: str) -> None:
        self.problems.append(f"{name} is {value!r}; expected {expected}")

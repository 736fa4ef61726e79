"""One sink URL taken apart, strictly: a URL that is not as it should be may hold a secret in any part of it.

So what is said of one that is refused quotes nothing, and a sink is called by its scheme and its host alone.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from extension import references, sinks
from extension.records import KINDS, PLATFORM_TYPES

SEPARATOR = re.compile(r"[,;](?:[a-z][a-z0-9+.-]*://|$)", re.IGNORECASE)  # what separates most lists, but not this one

PORTS = {"https": ":443", "http": ":80"}  # which a URL need not say
# Parameters that say how records go, and not where to; as for others over HTTP, the rest may be the intake's own.
HOW = {
    **dict.fromkeys(PORTS, frozenset({"compression", "ca"})),
    "otlp": frozenset({"compression", "ca", "encoding", "resource", "temporality", "invoke_span"}),
    "s3": frozenset({"compression", "acl", "storage_class"}),
    "kinesis": frozenset({"partition_key"}),
    **dict.fromkeys(("firehose", "sqs"), frozenset({"pack"})),
}


def take_apart(url: str, place: str) -> sinks.SinkURL:
    """What a URL itself says; `place` is where it stands. Raises BadSetting."""
    if SEPARATOR.search(url):
        raise sinks.BadSetting("expected white space between sinks, and no comma; within a URL write it as %2C")
    try:
        parts = urlsplit(url)
        port_is_good = parts.port != 0
    except ValueError:  # its text quotes the URL
        port_is_good = False
    if not port_is_good:
        raise sinks.BadSetting("expected a URL, scheme://host:port/path")
    if sinks.module_name(parts.scheme) not in sinks.known():
        raise sinks.unknown_scheme(sinks.schemes())
    is_file = parts.scheme == "file"
    if "@" in parts.netloc or parts.fragment or ("@" in parts.path and not is_file):
        raise sinks.BadSetting(
            "expected a URL without user, password and fragment; put credentials into FORWARDER_HEADERS,"
            " and write @ as %40, # as %23"
        )
    return sinks.SinkURL(
        name=f"{parts.scheme}://{parts.netloc if sinks.SHOWN.fullmatch(parts.netloc) else ''}",
        scheme=parts.scheme,
        host=parts.netloc,
        path=unquote(parts.path) if is_file else parts.path,
        parameters=dict(parse_qsl(parts.query, keep_blank_values=True)),
        place=place,
        query=parts.query,
    )


def take_apart_unfilled(url: str, text: str, place: str) -> sinks.SinkURL:
    """What a URL with references says, given its `text` with numbers for them. Raises BadSetting.

    One that begins with a reference says nothing, and is called by its place; a host with a reference is not shown.
    """
    if url.startswith("${"):
        return sinks.SinkURL(place, scheme="", host="", path=text, parameters={}, place=place)
    target = take_apart(text, place)
    return target._replace(name=f"{target.scheme}://") if references.are_in(_authority(url)) else target


def hidden_parts(target: sinks.SinkURL, url: str) -> set[str]:
    """What came from the references of a URL, now filled, in the forms in which a message may have it."""
    host = {target.host, target.host.rpartition(":")[0]}
    if url.startswith("${"):
        return {*host, target.path, *target.path.split("/"), *target.parameters.values()} - {"/"}
    return host if references.are_in(_authority(url)) else set()


def _authority(url: str) -> str:
    """Where the host of a URL with references stands, as far as it can be told."""
    return re.split("[/?#](?![^{]*})", url.partition("://")[2], maxsplit=1)[0]


def is_same(one: sinks.SinkURL, other: sinks.SinkURL) -> bool:
    """Whether both are one destination, whichever records each asks for."""
    return _destination(one) == _destination(other)


class Types(NamedTuple):
    """Which records are wanted: their kinds, and of the platform's the types that are not."""

    kinds: tuple[str, ...] = KINDS
    unwanted: tuple[str, ...] = ()


def parse_types(text: str) -> Types:
    """The types of records that a list names: kinds, types of the platform, or such with a minus. Raises BadSetting."""
    chosen = {part.strip().lower() for part in text.split(",")} - {""}
    without = {word[1:] for word in chosen if word.startswith("-")}
    wanted = {word for word in chosen if not word.startswith("-")}
    names = {name.lower() for name in PLATFORM_TYPES}
    if not chosen or not without <= names or not wanted <= names | set(KINDS):
        raise sinks.BadSetting(
            f"expected some of {', '.join(KINDS)}, separated by commas; of platform also single types, and with a minus"
            f" all but these: {', '.join(PLATFORM_TYPES)}"
        )
    if wanted & names and "platform" not in wanted:
        without |= names - wanted
    kinds = {word.partition(".")[0] for word in wanted} or set(KINDS)
    return Types(
        tuple(kind for kind in KINDS if kind in kinds),
        tuple(name for name in PLATFORM_TYPES if name.lower() in without),
    )


def _destination(target: sinks.SinkURL) -> tuple[object, ...]:
    name, _, over = target.scheme.rpartition("+")
    host, path = target.host, target.path if over == "file" else target.path.rstrip("/")
    if over in PORTS:
        host = host.lower().removesuffix(PORTS[over])
        path = path if name else target.path or "/"
    unsaid = sinks.COMMON_PARAMETERS | HOW.get(name if name == "otlp" else over, frozenset())
    parameters = {key: value for key, value in target.parameters.items() if key not in unsaid}
    return target.scheme, host, path, parameters

"""What settings would do, in plain words, and what about them is odd though it is no mistake."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

from extension import policy, sinks
from extension.config import MIB, PREFIX
from extension.records import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from extension.config import Config
    from extension.sinks import Limits, SinkURL

LOCAL = re.compile(r"(?:localhost|127\.[\d.]+|\[::1\])(?::\d+)?")
SECRETIVE = ("datadog", "splunk", "elasticsearch")  # intakes that hardly ever take anything without a token
FLUSH = {
    "invocation": (
        "Each invocation is held until its records are delivered, after its caller has the answer; that time is billed:"
        " {buffer} ms in which the platform gathers them, and what the slowest sink needs."
    ),
    "interval": (
        "No invocation is held. Records leave every {interval:g} s while the function runs, when a batch is full, and"
        " at SHUTDOWN; what waits in a frozen environment waits until its next invocation."
    ),
    "adaptive": (
        "While traffic is sparse each invocation is held until its records are delivered, after its caller has the"
        " answer; that time is billed: {buffer} ms in which the platform gathers them, and what the slowest sink needs."
        " Once {invocations} invocations came within {dense:g} s nothing is held, and records leave every"
        " {interval:g} s."
    ),
}


def of_sink(url: SinkURL, config: Config) -> str:
    """What goes to a sink, and how it is told to."""
    kinds, module = taken(url, config), sinks.module_of(url)
    if config.health is not None and url not in (*config.sinks, config.fallback):
        what = "records forwarder.health, which say how the forwarder is, and nothing else"
    elif url is config.fallback:
        what = "what another sink refuses or does not take in time"
    else:
        what = f"records of {_listed(kinds)}" if kinds else "no records"
        if derived := [signal for signal in sinks.signals_of(url) if signal != "logs"]:
            what += f", and {_listed(derived)} made of the platform's"
    harmless = module.HARMLESS | {"types", "min_level"}
    ours = sinks.COMMON_PARAMETERS | module.PARAMETERS | harmless | sinks.DERIVED.keys()
    known = {name: value for name, value in url.parameters.items() if name in ours}
    shown = [f"{name}={value}" if name in harmless else f"{name}=..." for name, value in known.items()]
    return f"{module.SUMMARY}: {what}" + (f" ({', '.join(shown)})" if shown else "")


def taken(url: SinkURL, config: Config) -> list[str]:
    """The kinds of the platform's records that a sink gets."""
    excluded = sinks.excluded_kinds(url, is_fallback=url is config.fallback)
    return [kind for kind in KINDS if kind in config.types and kind not in excluded]


def of_all(config: Config, limits: Mapping[str, Limits]) -> Iterator[str]:
    """Sentences: when records leave, what waits where, what is not sent. `limits` are by the names of sinks."""
    mode = config.flush
    if mode == "adaptive" and config.buffer_timeout_ms > policy.MAX_BUFFERING_S * 1000:
        mode = "interval"
        yield "FORWARDER_BUFFER_TIMEOUT_MS is so long that no invocation is held for it."
    interval_s = config.flush_interval_s
    yield FLUSH[mode].format(
        buffer=config.buffer_timeout_ms,
        interval=interval_s,
        invocations=policy.GAPS + 1,
        dense=interval_s * policy.DENSE_SHARE * policy.GAPS,
    )
    share = f", divided among {len(config.urls)} sinks," if len(config.urls) > 1 else ","
    lost = "goes to the fallback" if config.fallback is not None else "is dropped, and counted in the ledger"
    yield (
        f"What is not delivered takes up to {_size(config.queue_bytes)} of the function's memory{share} and as much of"
        f" /tmp; beyond that the oldest of what matters least {lost}."
    )
    if config.max_bytes_per_minute:
        rest = "goes to the fallback" if config.fallback is not None else "is lost, and counted in the ledger"
        yield f"Of what programs print, {_size(config.max_bytes_per_minute)} a minute are sent; the rest {rest}."
    if config.fallback is None:
        yield (
            "There is no FORWARDER_FALLBACK: a record that a sink refuses is dropped, and counted in the ledger; where"
            " it refuses every request, as with 401, 403 and 404, records wait and are tried again."
        )
    if config.otlp_listen:
        form = "as it is" if not config.redaction else "logs redacted, traces and metrics as they are"
        yield f"What the function exports to localhost:{config.otlp_listen} goes to the OTLP sinks, {form}."
    yield from _not_sent(config, limits)
    yield from _changed(config)
    if config.emf:
        yield "How the forwarder is goes to its log as metrics of CloudWatch, namespace TelemetryForwarder."
    elif config.health is not None:
        yield f"How the forwarder is goes to {config.health.name}, as records forwarder.health."
    yield "CloudWatch Logs gets the function's log as before, unless its role is denied logs:PutLogEvents."


def _not_sent(config: Config, limits: Mapping[str, Limits]) -> Iterator[str]:
    if left_out := [kind for kind in KINDS if kind not in config.types]:
        yield f"Records of {_listed(left_out)} are not sent: FORWARDER_TYPES leaves them out."
    if config.unwanted_types:
        yield f"{_listed(config.unwanted_types)} are not sent: FORWARDER_TYPES leaves them out."
    if config.rules:
        names = [PREFIX + name.upper() for name in config.rules]
        yield f"What the function and extensions print is sent as far as {_listed(names)} let it through."
    if config.sample is not None:
        slow = f", and of those that take more than {config.sample.slow_ms} ms" if config.sample.slow_ms else ""
        share = f"{config.sample.rate * 100:g} %"
        yield f"Records of {share} of the invocations are sent{slow}; FORWARDER_SAMPLE leaves out the others."
    yield "Lines of the forwarder's own log are not sent."
    for name, limit in limits.items():
        if limit.record_bytes < limit.bytes:
            where = "go to the fallback" if config.fallback is not None else "are dropped, and counted"
            yield f"Lines of more than {limit.record_bytes} bytes are not sent to {name}; they {where}."


def _changed(config: Config) -> Iterator[str]:
    """What is sent in another form than it was printed in."""
    if config.redaction:
        presets, expressions, fields = config.redaction
        counted = f"{len(presets)} presets, {len(expressions)} expressions and {len(fields)} fields"
        yield f"Before a record is queued, {counted} are replaced in it."
    if config.join == "traces":
        yield "Lines of a stack trace are sent as one record."
    if config.enrich:
        yield f"The key lambda of each record says {_listed(config.enrich)} as well."
    if config.summary != "none":
        yield "Each invocation is summed up in a record forwarder.invocation."


def odd(config: Config, variables: Mapping[str, str]) -> Iterator[str]:
    """What is no mistake, and hardly meant."""
    for url in config.urls:
        if not url.scheme:  # which is in a secret
            continue
        if url.scheme.endswith("http") and not LOCAL.fullmatch(url.host):
            yield f"{url.name}: records go there in the clear, over http"
        has_token = url.headers or url.secrets  # which may be one, or headers
        if url.scheme.split("+", 1)[0] in SECRETIVE and not has_token and not LOCAL.fullmatch(url.host):
            yield f"{url.name}: it gets no header, and so no token: FORWARDER_HEADERS is not set"
        if url.scheme == "file" and url.path.startswith("/tmp/"):  # noqa: S108 - Lambda's own word
            yield f"{url.name}: /tmp is lost with the environment"
        yield from _strays(url)
    over_http = any(map(sinks.may_have_headers, config.urls))
    if variables.get("FORWARDER_HEADERS", "").strip() and config.sinks and not over_http:
        yield "FORWARDER_HEADERS is for sinks over HTTP, and there is none"
    if LOCAL.fullmatch(config.listen_host):
        yield "FORWARDER_LISTEN_HOST: the platform does not reach the loopback address"
    memory = variables.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "")
    if memory.isdecimal() and config.queue_bytes >= int(memory) * MIB // 2:
        yield f"FORWARDER_QUEUE_BYTES: {_size(config.queue_bytes)} is half of the function's {memory} MB, or more"


def _strays(url: SinkURL) -> Iterator[str]:
    """Parameters that go on to the intake, and are much like one of ours; what they are called may be a secret."""
    module = sinks.module_of(url)
    if not getattr(module, "PASSES_ON", False):
        return
    ours = sorted(sinks.COMMON_PARAMETERS | module.PARAMETERS)
    names = [unquote_plus(part.partition("=")[0]) for part in url.query.split("&") if part]
    for number, name in enumerate(names, 1):
        if name not in ours and (near := difflib.get_close_matches(name.lower(), ours, 1, 0.75)):
            yield f"{url.name}: parameter {number} of its query goes on to the intake; or is it to be {near[0]}=?"


def hint(problem: str, settings: Sequence[str]) -> str:
    """What else may help with a problem; empty where it says all there is to say."""
    found = re.match(rf"({PREFIX}\w+) is not a setting", problem)
    if found and (near := difflib.get_close_matches(found[1], settings, 1, 0.7)):
        return f"is it to be {near[0]}?"
    if "names no file" in problem or "names no regular file" in problem:
        return "files are looked for on this machine; in the function another may be there"
    return ""


def settings_named(problems: Sequence[str]) -> list[str]:
    """The names of all settings, where a problem lists them."""
    listed = next((one.partition("the settings are ")[2] for one in problems if "the settings are" in one), "")
    return listed.split(", ")


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _size(size: int) -> str:
    return f"{size / MIB:g} MiB" if size % (MIB // 4) == 0 else f"{size} bytes"

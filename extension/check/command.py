"""The command: `telemetry-forwarder check [--env-file FILE | --template FILE [--function ID]] [--send] [--json]`.

Exit status: 0 where all is well; 1 for settings that are wrong, with which nothing would be forwarded; 2 where the
command itself cannot be done; 3 for a sink that cannot be opened, or does not take the probe, or whose secrets cannot
be fetched with the credentials that are here, if any.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from extension import alone, config, log, redaction, sink_url, sinks, subscription
from extension.check import explain, permissions, probe, sources, template
from extension.lambda_api.function import Function, identify
from extension.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from concurrent.futures import Future

    from extension.config import Config
    from extension.sinks import Limits, Sink, SinkURL

GOOD, BAD_SETTINGS, USAGE, SINK_FAILS = 0, 1, 2, 3
OPEN_S = 10.0  # for credentials that come over the network
PROBE_TYPE = "forwarder.probe"
NO_CREDENTIALS = (
    "no credentials here, so the secrets that it refers to are not fetched: set AWS_PROFILE, or log in; a function has"
    " those of its role"
)
NOT_ALLOWED = (
    "the credentials here do not read a secret that it refers to; a function has those of its role, which is to be"
    " allowed what the policy says"
)
# What is not known of a secret here, by what is then said of it (sinks/_aws.py, _aws_errors.py): settings may be right.
NOT_KNOWN = {
    "no credentials;": NO_CREDENTIALS,
    "on the secret in the function's role": NOT_ALLOWED,
    "of the secret in the function's role": NOT_ALLOWED,  # on its key
    "AWS does not know the credentials in use;": NOT_ALLOWED,
}
HOST = (
    "FORWARDER_LISTEN_HOST: whether it is an address of the function's machine, or a name of one, shows in Lambda"
    " alone; where it is not, nothing is forwarded"
)
RULES = (
    "its URL is a secret and has rules, as min_level=; whether the secret is there within 3 s of init shows in Lambda"
    " alone, and where it is not, the sink gets nothing; rules beside a secret in a part of the URL are there always"
)
NOT_SET = "FORWARDER_SINKS is not set: nothing is forwarded; expected sink URLs separated by spaces"


class Report(NamedTuple):
    """What is printed, as text or as JSON. `sinks` are objects: name, place, what, and what became of a probe."""

    status: int
    source: str
    problems: Sequence[tuple[str, str]]  # what is wrong, and what else may help
    warnings: Sequence[str]
    notes: Sequence[str]
    sinks: Sequence[dict[str, Any]] = ()
    explanation: Sequence[str] = ()
    policies: permissions.Policies = permissions.Policies({}, {}, ())


class Usage(argparse.ArgumentParser):
    """Raises what it would exit with."""

    def error(self, message: str) -> Any:
        """Raise Unreadable."""
        raise sources.Unreadable(f"{message}\n{self.format_usage().strip()}")


def main(arguments: Sequence[str]) -> int:
    """Check, and print; the exit status."""
    logging.lastResort = None  # libraries quote what they send
    log.set_level("ERROR")
    try:
        options = _parser().parse_args(arguments)
        report = examine(_source(options), account=options.account, sends=options.send, timeout_s=options.timeout)
    except sources.Unreadable as error:
        print(f"telemetry-forwarder check: {error}", file=sys.stderr, flush=True)
        return USAGE
    except SystemExit:  # --help
        sys.stdout.flush()  # which os._exit does not
        return GOOD
    with suppress(BrokenPipeError):  # `check | head` has read enough
        print(as_json(report) if options.json else as_text(report), flush=True)
    return report.status


def _parser() -> Usage:
    parser = Usage(
        "telemetry-forwarder check",
        description="Says what settings would do, what is wrong with them, and which permissions the role needs.",
        epilog="Exit status: 0 all is well, 1 settings are wrong, 2 the command cannot be done, 3 a sink fails.",
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--env-file", metavar="FILE", help="read NAME=value lines instead of the environment")
    source.add_argument("--template", metavar="FILE", help="read a function of a SAM or CloudFormation template")
    parser.add_argument("--function", metavar="ID", default="", help="its logical id, where there are several")
    parser.add_argument("--region", default="", help="the function's region, where nothing says it")
    parser.add_argument("--account", default="", help="the function's account, for the policy")
    parser.add_argument("--send", action="store_true", help="send one record to each sink, and wait for its answer")
    parser.add_argument("--timeout", type=_seconds, default=5.0, help="seconds for each of them, 5 if not given")
    parser.add_argument("--json", action="store_true", help="print an object for programs")
    return parser


def _seconds(text: str) -> float:
    if not 0 < (seconds := float(text)) <= 60:
        raise ValueError
    return seconds


def _source(options: argparse.Namespace) -> sources.Source:
    """The variables that were asked for. Raises Unreadable."""
    region = options.region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION", "")
    if options.function and not options.template:
        raise sources.Unreadable("--function is of a template; expected --template as well")
    if options.template:
        found = template.read(options.template, options.function, region or sources.USUAL_REGION)
    elif options.env_file:
        variables = sources.beside(sources.read_env_file(options.env_file))
        found = sources.Source(options.env_file, variables)
    else:
        found = sources.Source("the environment", dict(os.environ))
    return sources.with_region(found, options.region)


def examine(source: sources.Source, *, account: str, sends: bool, timeout_s: float) -> Report:
    """Look at the settings; with `sends`, try each sink. The process's own environment becomes that of the source."""
    os.environ.clear()
    os.environ.update(source.variables)  # which sinks read as well, for proxies, regions and the like
    variables = source.variables
    try:
        settings = config.parse(variables, OPEN_S)
        known_urls = [url for url in settings.urls if not source.waits_for(_secrets_of(url))]
        opening = sinks.start_opening(known_urls)
        problems = _bad_rules(settings) + sinks.wait_opened(known_urls, opening, time.monotonic() + OPEN_S)
        futures = dict(zip([url.place for url in known_urls], opening, strict=True))
        filled = [sinks.known_by_now(url, futures[url.place]) if url.place in futures else url for url in settings.urls]
        problems += _bad_in_secrets(settings, filled)
        problems += [] if settings.sinks else [NOT_SET]
    except config.ConfigError as error:
        problems = error.problems
    if problems := [problem for problem in dict.fromkeys(problems) if not _not_known(problem)]:
        known = explain.settings_named(problems)
        hinted = [(problem, explain.hint(problem, known)) for problem in problems]
        return Report(BAD_SETTINGS, source.what, hinted, (), source.notes)
    settings = _numbered(settings)
    names = [url.name for url in settings.urls]
    opened, failed, unknown = _opened(settings.urls, futures)
    notes = [*source.notes, *([HOST] if settings.listen_host != subscription.HOST else [])]
    late = [url for url, now in zip(settings.urls, filled, strict=True) if not url.scheme and sinks.chooses(now)]
    notes += [f"{url.place}: {RULES}" for url in late]
    shown = [_describe(name, url, settings) for name, url in zip(names, settings.urls, strict=True)]
    if sends:
        failed += _send(shown, settings.urls, opened, source, timeout_s)
    limits: dict[str, Limits] = {name: sink.limits for name, sink in opened.items()}
    return Report(
        SINK_FAILS if failed or unknown else GOOD,
        source.what,
        failed,
        list(explain.odd(settings, variables)),
        [*notes, *unknown],
        shown,
        list(explain.of_all(settings, limits)),
        permissions.needed(
            [url for url in settings.urls if not _is_open(url)], _region(source), account, source.stand_ins
        ),
    )


def _opened(
    urls: Sequence[SinkURL], opening: Mapping[str, Future[Sink]]
) -> tuple[dict[str, Sink], list[tuple[str, str]], list[str]]:
    """The sinks that are open, by name; why others cannot be opened, with a remedy; and of which it is not known."""
    opened: dict[str, Sink] = {}
    failed: list[tuple[str, str]] = []
    unknown: list[str] = []
    for url in urls:
        if (one := opening.get(url.place)) is None:
            continue
        if one.done() and one.exception() is None:
            opened[url.name] = one.result()
            continue
        met = one.exception() if one.done() else None
        reason = log.describe(met) if met is not None else f"it is not open after {OPEN_S:g} s"
        if url.secrets and (said := _not_known(reason)):
            unknown.append(f"{url.place}: {said}")
        else:
            failed.append((f"{url.place} cannot be opened: {reason}", probe.remedy_of(reason)))
    return opened, failed, unknown


def _numbered(settings: Config) -> Config:
    """The settings with the names by which ledger and disk tell sinks: numbered where several are alike."""
    urls = settings.urls
    renamed = [
        url._replace(name=name) for url, name in zip(urls, sinks.numbered([url.name for url in urls]), strict=True)
    ]
    health = settings.health
    return settings._replace(
        sinks=tuple(renamed[: len(settings.sinks)]),
        fallback=renamed[-1] if settings.fallback is not None else None,
        health=next((url for url in renamed if health is not None and sink_url.is_same(url, health)), None),
    )


def _bad_rules(settings: Config) -> list[str]:
    """What is wrong with rules and expressions, which are read only once there is time for it."""
    problems = redaction.compile_problems(settings.redaction)
    try:
        config.read_rules(settings)
    except config.ConfigError as error:
        problems += error.problems
    return problems


def _bad_in_secrets(settings: Config, filled: Sequence[SinkURL]) -> list[str]:
    """What is wrong with the settings once sinks are what secrets say, as far as these are known."""
    try:
        config.read_rules(config.filled(settings, filled))
    except config.ConfigError as error:
        return error.problems
    return []


def _not_known(problem: str) -> str:
    """What to say of a problem that is one of the credentials here; empty for any other."""
    return next((said for words, said in NOT_KNOWN.items() if words in problem), "")


def _region(source: sources.Source) -> str:
    return source.variables.get("AWS_REGION") or source.variables.get("AWS_DEFAULT_REGION", "")


def _secrets_of(url: SinkURL) -> str:
    return " ".join(secret.name for secret in url.secrets)


def _is_open(url: SinkURL) -> bool:
    """Whether all of the URL is known only when a stack is deployed."""
    return any(secret.name.startswith(sources.LEFT_OPEN) for secret in url.secrets)


def _describe(name: str, url: SinkURL, settings: Config) -> dict[str, Any]:
    late = "a sink whose URL is left open" if _is_open(url) else "a sink whose URL is a secret"
    what = explain.of_sink(url, settings) if url.scheme else late
    return {"name": name, "place": url.place, "what": what}


def _send(
    shown: Sequence[dict[str, Any]],
    urls: Sequence[SinkURL],
    opened: Mapping[str, Sink],
    source: sources.Source,
    timeout_s: float,
) -> list[tuple[str, str]]:
    """Send a probe to each sink, and note what became of it; what is wrong."""
    failed = []
    function: Function = identify(b"{}", source.variables)
    for entry, url in zip(shown, urls, strict=True):
        headers = " ".join(value for _, value in url.headers)
        if waits := source.waits_for(f"{url.host}{url.path}{url.query} {headers} {_secrets_of(url)}"):
            entry["probe"] = {"sent": False, "reason": f"{waits} is not known yet"}
        elif entry["name"] not in opened:
            continue
        elif "logs" not in sinks.signals_of(url):
            entry["probe"] = {"sent": False, "reason": "it takes no logs, and a probe is one"}
        else:
            batch = alone.batch_of_one(PROBE_TYPE, {"version": VERSION}, function)
            answer = probe.send(opened[entry["name"]], batch, timeout_s)
            left = sinks.module_of(url).PROBE if url.scheme else "one record"
            entry["probe"] = {"sent": True, "left": left if answer.taken else "", **answer._asdict()}
            if not answer.taken:
                failed.append((f"{url.place} does not take the probe: {answer.reason}", answer.remedy))
    return failed


def as_json(report: Report) -> str:
    """The report for programs."""
    return json.dumps(
        {
            "version": VERSION,
            "status": report.status,
            "source": report.source,
            "problems": [{"problem": problem, "remedy": remedy} for problem, remedy in report.problems],
            "warnings": list(report.warnings),
            "notes": list(report.notes),
            "sinks": list(report.sinks),
            "explanation": list(report.explanation),
            "policy": report.policies.own,
            "rolePolicies": report.policies.others,
            "policyNotes": list(report.policies.notes),
        },
        indent=2,
    )


def as_text(report: Report) -> str:
    """The report for people."""
    parts = [f"telemetry-forwarder {VERSION}, settings of {report.source}"]
    parts += _section("What is wrong", [_with_remedy(*one) for one in report.problems])
    if report.status == BAD_SETTINGS:
        parts.append("\nWith these settings nothing is forwarded; the function runs as if the layer was not there.")
    parts += _section("What is odd", report.warnings)
    parts += _section("What is not known yet", report.notes)
    parts += _section("Where records go", [_told(sink) for sink in report.sinks])
    parts += _section("What happens", report.explanation)
    if report.policies.own:
        parts += ["\nWhat the function's role needs", json.dumps(report.policies.own, indent=2)]
    for role, policy in report.policies.others.items():
        parts += [f"\nWhat {role} needs, which must trust the function's role", json.dumps(policy, indent=2)]
    parts += _section("Look at", report.policies.notes)
    if report.status == GOOD:
        parts.append("\nNothing is wrong.")
    return "\n".join(parts)


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return [f"\n{title}", *(f"  - {line}" for line in lines)] if lines else []


def _with_remedy(problem: str, remedy: str) -> str:
    return f"{problem}\n    {remedy}" if remedy else problem


def _told(sink: Mapping[str, Any]) -> str:
    line = f"{sink['name']} ({sink['place']}): {sink['what']}"
    if "probe" not in sink:
        return line
    answer = sink["probe"]
    if not answer["sent"]:
        return f"{line}\n    probe: not sent, {answer['reason']}"
    became = f"taken, {answer['left']}" if answer["taken"] else f"not taken: {answer['reason']}"
    return f"{line}\n    probe: {became}, {answer['ms']:g} ms"

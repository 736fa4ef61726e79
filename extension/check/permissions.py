"""The IAM policies that sinks need, of their own `permissions`, and those of the secrets that they refer to.

Nothing of a path or a query that may be a secret is in them; the names of secrets are.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from extension import references, sink_url, sinks
from extension.partitions import partition_of
from extension.sinks._iam import Place

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from extension.references import Secret
    from extension.sinks import SinkURL

UNKNOWN = "*"
REFERRED = "name-in-a-secret"  # what comes from a reference, as permissions see it
SUFFIX = re.compile(r"-[A-Za-z0-9]{6}")  # what Secrets Manager adds to a name ("Amazon Resource Name", its User Guide)
# What may be needed beside, depending on what the destination is encrypted with, which a URL does not say.
ENCRYPTED = {
    "s3": "kms:GenerateDataKey, where the bucket's default encryption is by a KMS key",
    "kinesis": "kms:GenerateDataKey, where the stream is encrypted by a KMS key",
    "sqs": "kms:GenerateDataKey and kms:Decrypt, where the queue is encrypted by a KMS key of your own",
}

DECRYPT = "kms:Decrypt, where a key of your own encrypts a secret or a parameter; AWS's own keys need nothing"


class Policies(NamedTuple):
    """A policy for the function's own role, by ARN those for other roles, and what to look at beside; JSON objects."""

    own: Mapping[str, Any]
    others: Mapping[str, Mapping[str, Any]]
    notes: tuple[str, ...]


def needed(urls: Sequence[SinkURL], region: str, account: str, stand_ins: Mapping[str, str]) -> Policies:
    """What these sinks need. For words that stand for what is not known yet, that is written as in Fn::Sub."""
    wanted: dict[str, dict[str, list[str]]] = {"": {}}  # by role, and by resource, the actions
    notes: dict[str, None] = {}
    for url in urls:
        if not url.scheme:
            notes[f"{url.place}: what it needs itself depends on its URL, which is a secret"] = None
            continue
        role, found = _of_sink(url, region, account)
        if role:
            _add(wanted[""], "sts:AssumeRole", role)
        for action, resource in found.items():
            _add(wanted.setdefault(role, {}), action, resource)
        notes |= dict.fromkeys(_look_at(url, role, found))
    secrets = sorted({secret for url in urls for secret in url.secrets})
    for action, resource in _of_secrets(secrets, region, account):
        _add(wanted[""], action, resource)
    if secrets:
        notes[DECRYPT] = None
    own, *others = (_policy(statements, stand_ins) for statements in wanted.values())
    if any("*:*" in json.dumps(policy) for policy in (own, *others)) or f":{UNKNOWN}:" in json.dumps([own, others]):
        notes["where a region or an account is *, it is not known here: --region and --account name them"] = None
    return Policies(own, dict(zip([*wanted][1:], others, strict=True)), tuple(notes))


def _of_sink(url: SinkURL, region: str, account: str) -> tuple[str, dict[str, str]]:
    """The role that a sink takes on, if any, and the resource of each action; one that is in a secret is described."""
    module = sinks.module_of(url)
    if not module.IAM_ACTIONS:
        return "", {}
    url = _marked(url)

    def shown(text: str, what: str) -> str:
        return f"REPLACE: the {what} that {url.place} names" if REFERRED in text else text

    role = shown(url.parameters.get("role", ""), "role")
    if role.startswith("arn:"):
        account = role.split(":")[4]
    place = _place(url.parameters.get("region") or region, account)
    found = module.permissions(url, place)
    return role, {action: shown(resource, "resource") for action, resource in found.items()}


def _look_at(url: SinkURL, role: str, found: Mapping[str, str]) -> Iterator[str]:
    """What a person has to look at in what a sink needs."""
    if found and (note := ENCRYPTED.get(url.scheme)):
        yield f"{url.name}: {note}"
    if any(name.startswith("REPLACE") for name in (role, *found.values())):
        yield f"{url.place}: replace what says so in the policy, for the name is in a secret"
    elif "s3:PutObject" in found:
        yield f"{url.name}: narrow the resource to your prefix, which is not printed here"


def _marked(url: SinkURL) -> SinkURL:
    """The sink with a word for each reference of its URL, in place of numbers, which may be names as well."""
    if not url.as_set:
        return url
    text = references.REFERENCE.sub(REFERRED, url.as_set)
    try:
        marked = sink_url.take_apart(text, url.place)
    except sinks.BadSetting:  # in the place of a port, of which no resource is made
        return url
    return marked._replace(name=url.name)


def _of_secrets(secrets: Iterable[Secret], region: str, account: str) -> Iterator[tuple[str, str]]:
    """The actions that fetch these, and the resource of each."""
    together: Counter[str] = Counter()  # of Secrets Manager, by region, as they are fetched
    place = _place(region, account)
    for service, name in secrets:
        is_arn = name.startswith("arn:")
        if service == "ssm":
            path = name if is_arn else place.arn("ssm", "parameter/" + name.removeprefix("/"))
            yield "ssm:GetParameters", ":".join(path.split(":")[:6])  # without version and label
            continue
        together[name.split(":")[3] if name.count(":") > 4 else ""] += 1
        full = name if is_arn else place.arn("secretsmanager", f"secret:{name}")
        if is_arn and SUFFIX.fullmatch(name[-7:]):
            yield "secretsmanager:GetSecretValue", full
        else:
            yield "secretsmanager:GetSecretValue", f"{full}-??????"
    if any(count > 1 for count in together.values()):
        yield "secretsmanager:BatchGetSecretValue", "*"


def _add(statements: dict[str, list[str]], action: str, resource: str) -> None:
    actions = statements.setdefault(resource, [])
    if action not in actions:
        actions.append(action)


def _policy(statements: Mapping[str, list[str]], stand_ins: Mapping[str, str]) -> dict[str, Any]:
    if not statements:
        return {}
    found = []
    for resource, actions in statements.items():
        shown = resource
        for word, original in sorted(stand_ins.items(), key=lambda one: -len(one[0])):
            shown = shown.replace(word, original)
        found.append({"Effect": "Allow", "Action": actions, "Resource": shown})
    return {"Version": "2012-10-17", "Statement": found}


def _place(region: str, account: str) -> Place:
    return Place(partition_of(region), region or UNKNOWN, account or UNKNOWN)

"""The IAM policies that sinks need, of their own `permissions`; nothing of a path or a query that may be a secret."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from extension import sinks
from extension.lambda_api.function import PARTITIONS
from extension.sinks._iam import Place

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from extension.sinks import SinkURL

UNKNOWN = "*"
# What may be needed beside, depending on what the destination is encrypted with, which a URL does not say.
ENCRYPTED = {
    "s3": "kms:GenerateDataKey, where the bucket's default encryption is by a KMS key",
    "kinesis": "kms:GenerateDataKey, where the stream is encrypted by a KMS key",
    "sqs": "kms:GenerateDataKey and kms:Decrypt, where the queue is encrypted by a KMS key of your own",
}


SECRETS = (
    "secretsmanager:GetSecretValue or ssm:GetParameter on the secrets that it refers to, and kms:Decrypt where a key of"
    " your own encrypts them"
)


class Policies(NamedTuple):
    """A policy for the function's own role, by ARN those for other roles, and what to look at beside; JSON objects."""

    own: Mapping[str, Any]
    others: Mapping[str, Mapping[str, Any]]
    notes: tuple[str, ...]


def needed(urls: Iterable[SinkURL], region: str, account: str, stand_ins: Mapping[str, str]) -> Policies:
    """What these sinks need. For words that stand for what is not known yet, that is written as in Fn::Sub."""
    wanted: dict[str, dict[str, list[str]]] = {"": {}}  # by role, and by resource, the actions
    notes: dict[str, None] = {}
    for url in urls:
        module = sinks.module_of(url)
        role = url.parameters.get("role", "") if module.IAM_ACTIONS else ""
        place = _place(url.parameters.get("region") or region, account if not role else role.split(":")[4])
        found = module.permissions(url, place) if module.IAM_ACTIONS else {}
        if role:
            _add(wanted[""], "sts:AssumeRole", role)
        for action, resource in found.items():
            _add(wanted.setdefault(role, {}), action, resource)
        if found and (note := ENCRYPTED.get(url.scheme)):
            notes[f"{url.name}: {note}"] = None
        if url.secrets:
            notes[f"{url.name}: {SECRETS}"] = None
        if "s3:PutObject" in found:
            notes[f"{url.name}: narrow the resource to your prefix, which is not printed here"] = None
    own, *others = (_policy(statements, stand_ins) for statements in wanted.values())
    if any("*:*" in json.dumps(policy) for policy in (own, *others)) or f":{UNKNOWN}:" in json.dumps([own, others]):
        notes["where a region or an account is *, it is not known here: --region and --account name them"] = None
    return Policies(own, dict(zip([*wanted][1:], others, strict=True)), tuple(notes))


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
    partition = next((value for prefix, value in PARTITIONS.items() if region.startswith(prefix)), "aws")
    return Place(partition, region or UNKNOWN, account or UNKNOWN)

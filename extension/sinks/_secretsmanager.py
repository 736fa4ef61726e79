"""Secrets of AWS Secrets Manager, up to 20 in a call ("BatchGetSecretValue", its API reference)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from extension.references import BadReference

if TYPE_CHECKING:
    from collections.abc import Sequence

    from extension.references import Secret
    from extension.sinks._aws import Client

# The build reads these two to leave out of botocore's data what is never called.
SERVICE = "secretsmanager"
OPERATIONS = ("BatchGetSecretValue", "GetSecretValue")
MOST = 20
MISSING = "ResourceNotFoundException"


def fetch_many(client: Client, secrets: Sequence[Secret], timeout_s: float) -> dict[Secret, str | BadReference]:
    """The secrets that one call brings; whatever is wrong with another, to ask for it alone tells.

    Raises as Client does, and for an answer of another form anything.
    """
    answer = client.call(
        "BatchGetSecretValue", timeout_s, expect=("SecretValues",), SecretIdList=[secret.name for secret in secrets]
    )
    return {secret: _text(found) for secret in secrets for found in answer["SecretValues"] if _is(found, secret.name)}


def fetch_one(client: Client, secret: Secret, timeout_s: float) -> str | BadReference:
    """One secret. Raises as above."""
    try:
        return _text(
            client.call("GetSecretValue", timeout_s, leave=MISSING, expect=("ARN", "Name"), SecretId=secret.name)
        )
    except ClientError:
        return BadReference("there is no such secret, or no value of it")


def _is(found: dict[str, Any], name: str) -> bool:
    """Whether this is what a name, an ARN, or an ARN without the six characters that AWS adds, stands for."""
    arn = found.get("ARN", "")
    return name in {arn, found.get("Name")} or (name.startswith("arn:") and arn[:-7] == name)


def _text(found: dict[str, Any]) -> str | BadReference:
    text: object = found.get("SecretString")
    if text is None:
        return BadReference("the secret is binary; expected text")
    if not isinstance(text, str):
        raise TypeError
    return text

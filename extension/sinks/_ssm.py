"""Parameters of AWS Systems Manager's Parameter Store, up to 10 in a call ("GetParameters", its API reference)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from extension.references import BadReference

if TYPE_CHECKING:
    from collections.abc import Sequence

    from extension.references import Secret
    from extension.sinks._aws import Client

# The build reads these two to leave out of botocore's data what is never called.
SERVICE = "ssm"
OPERATIONS = ("GetParameters",)
MOST = 10


def fetch_many(client: Client, secrets: Sequence[Secret], timeout_s: float) -> dict[Secret, str | BadReference]:
    """The parameters that one call brings; another one is to be asked for alone.

    Raises as Client does, and for an answer of another form anything.
    """
    found = _get(client, [secret.name for secret in secrets], timeout_s)
    return {secret: _text(one) for secret in secrets for one in found if _is(one, secret.name)}


def fetch_one(client: Client, secret: Secret, timeout_s: float) -> str | BadReference:
    """One parameter. Raises as above."""
    found = _get(client, [secret.name], timeout_s)
    return _text(found[0]) if found else BadReference("there is no such parameter")


def _get(client: Client, names: list[str], timeout_s: float) -> list[dict[str, Any]]:
    answer = client.call(
        "GetParameters", timeout_s, expect=("Parameters", "InvalidParameters"), Names=names, WithDecryption=True
    )
    found: list[dict[str, Any]] = answer.get("Parameters", [])
    return found


def _text(found: dict[str, Any]) -> str:
    text: object = found["Value"]
    if not isinstance(text, str):
        raise TypeError
    return text


def _is(found: dict[str, Any], name: str) -> bool:
    """Whether this is what a name or an ARN, with a version or a label behind a colon perhaps, stands for."""
    return name in {f"{called}{found.get('Selector', '')}" for called in (found.get("Name"), found.get("ARN"))}

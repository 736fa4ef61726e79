"""Which function is observed, as far as it is known. A leaf: values in, values out."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import orjson

from extension.partitions import partition_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


class Function(NamedTuple):
    """The function and version that run here; an empty field is not known, or not to be said.

    `tags` are the user's own, `more` are members that the user asked for.
    """

    name: str = ""
    version: str = ""
    arn: str = ""
    region: str = ""
    account_id: str = ""
    tags: Mapping[str, str] = {}
    more: Mapping[str, object] = {}

    def learn(self, invoked_arn: str) -> Function:
        """The same with what an INVOKE event tells, where register did not: the ARN (without qualifier) and account."""
        parts = invoked_arn.split(":")
        if self.arn or len(parts) < 7:
            return self
        return self._replace(arn=":".join(parts[:7]), account_id=parts[4])

    def members(self) -> dict[str, object]:
        """The members of the key "lambda" that are the same for every record; what is not known is left out."""
        members: dict[str, object] = {
            "functionName": self.name,
            "functionVersion": self.version,
            "functionArn": self.arn,
            "region": self.region,
            "accountId": self.account_id,
            "tags": self.tags,
            **self.more,
        }
        return {name: value for name, value in members.items() if value}


def more(names: Collection[str], variables: Mapping[str, str]) -> dict[str, object]:
    """The members of the key "lambda" that are said on request alone, as far as the environment's variables have them.

    They are `initializationType`, and `memorySizeMB` as in platform.report; any other name is another's.
    """
    megabytes = variables.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "")
    known: dict[str, object] = {
        "initializationType": variables.get("AWS_LAMBDA_INITIALIZATION_TYPE"),
        "memorySizeMB": int(megabytes) if megabytes.isdecimal() else None,
    }
    return {name: known[name] for name in names if known.get(name)}


def identify(registered: bytes, variables: Mapping[str, str]) -> Function:
    """The function as register's answer, a JSON object as a rule, describes it; else as the variables do."""
    try:
        said = {key: value for key, value in dict(orjson.loads(registered)).items() if isinstance(value, str)}
    except (ValueError, TypeError):
        said = {}
    name = said.get("functionName") or variables.get("AWS_LAMBDA_FUNCTION_NAME", "")
    region = variables.get("AWS_REGION") or variables.get("AWS_DEFAULT_REGION", "")
    account_id = said.get("accountId", "")
    return Function(
        name=name,
        version=said.get("functionVersion") or variables.get("AWS_LAMBDA_FUNCTION_VERSION", ""),
        arn=f"arn:{partition_of(region)}:lambda:{region}:{account_id}:function:{name}" if account_id and region else "",
        region=region,
        account_id=account_id,
    )

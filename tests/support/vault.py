"""AWS Secrets Manager and Parameter Store as strict as their API references, for what moto lets pass or cannot do.

Sources: "BatchGetSecretValue" and "GetSecretValue" (AWS Secrets Manager API Reference), "GetParameters" (AWS Systems
Manager API Reference), and the errors of each. A Vault is a script of FaultServer.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from tests.support.strict_aws import AUTHORIZATION, ErrorAnswer, check, refuse, reply

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.support.fault_server import Action, Answer, Request

ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:{}-a1B2c3"


class Vault:
    """Has `secrets` (text, or bytes for a binary one) and `parameters` by name.

    `first` are actions for the first requests; `forbidden` operations and names are not allowed. `calls` are operations
    with the names that they asked for, `regions` where each was signed for.
    """

    def __init__(
        self,
        secrets: dict[str, str | bytes] | None = None,
        parameters: dict[str, str] | None = None,
        first: Sequence[Action] = (),
        forbidden: Sequence[str] = (),
    ) -> None:
        self.secrets = secrets or {}
        self.parameters = parameters or {}
        self.calls: list[tuple[str, list[str]]] = []
        self.regions: list[str] = []
        self.first = list(first)
        self.forbidden = forbidden

    def __call__(self, request: Request) -> Action:
        """The answer to a call."""
        authorization = request.headers.get("authorization", "")
        if not AUTHORIZATION.fullmatch(authorization):
            return refuse(request, ErrorAnswer("MissingAuthenticationToken", 403))
        if self.first:
            return self.first.pop(0)
        self.regions.append(authorization.split("/")[2])
        target, _, operation = request.headers["x-amz-target"].partition(".")
        try:
            check(target in {"secretsmanager", "AmazonSSM"}, "UnknownOperationException")
            check(operation not in self.forbidden, "AccessDeniedException")
            answer: Action = getattr(self, f"_{operation}")(json.loads(request.body))
        except ErrorAnswer as refused:
            return refuse(request, refused)
        return answer

    def _BatchGetSecretValue(self, body: dict[str, Any]) -> Answer:  # noqa: N802 - AWS's name
        names: list[str] = body["SecretIdList"]
        self.calls.append(("BatchGetSecretValue", names))
        check(1 <= len(names) <= 20 and body.keys() == {"SecretIdList"}, "InvalidParameterException")
        values, errors = [], []
        for name in names:
            try:
                values.append(self._value(name))
            except ErrorAnswer as refused:
                errors.append({"SecretId": name, "ErrorCode": refused.code, "Message": f"no {name}"})
        return reply({"SecretValues": values, "Errors": errors})

    def _GetSecretValue(self, body: dict[str, Any]) -> Answer:  # noqa: N802 - AWS's name
        self.calls.append(("GetSecretValue", [body["SecretId"]]))
        return reply(self._value(body["SecretId"]))

    def _GetParameters(self, body: dict[str, Any]) -> Answer:  # noqa: N802 - AWS's name
        names: list[str] = body["Names"]
        self.calls.append(("GetParameters", names))
        check(1 <= len(names) <= 10 and len(set(names)) == len(names) and body["WithDecryption"], "ValidationException")
        check(not set(names) & set(self.forbidden), "AccessDeniedException")
        found = [
            {"Name": name, "Type": "SecureString", "Value": self.parameters[name], "Version": 1}
            for name in names
            if name in self.parameters
        ]
        return reply(
            {"Parameters": found, "InvalidParameters": [name for name in names if name not in self.parameters]}
        )

    def _value(self, wanted: str) -> dict[str, Any]:
        check(wanted not in self.forbidden, "AccessDeniedException")
        for name, value in self.secrets.items():
            if wanted in {name, ARN.format(name), ARN.format(name)[:-7]}:
                if isinstance(value, str):
                    held = {"SecretString": value}
                else:
                    held = {"SecretBinary": base64.b64encode(value).decode()}
                return {"ARN": ARN.format(name), "Name": name, "VersionId": "v" * 32, **held}
        raise ErrorAnswer("ResourceNotFoundException")

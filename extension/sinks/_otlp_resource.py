"""The OpenTelemetry Resource of an execution environment, from the key "lambda" of its records and from variables.

Names and types are those of "Semantic Conventions for Cloud Resource", "... FaaS Resource" and "... AWS Logs".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from extension.log import log
from extension.sinks._otlp_values import put_all

if TYPE_CHECKING:
    from collections.abc import Mapping

MIB = 1 << 20
BAD_PERCENT = re.compile("%(?![0-9A-Fa-f]{2})")


def build(lambda_key: Mapping[str, object], variables: Mapping[str, str]) -> Resource:
    """The Resource of what records with such a key "lambda" come from; what is not known is left out.

    What the user says wins over what was found: tags over OTEL_RESOURCE_ATTRIBUTES, and OTEL_SERVICE_NAME over both.
    """
    resource = Resource()
    put_all(resource.attributes, attributes(lambda_key, variables))
    return resource


def attributes(lambda_key: Mapping[str, object], variables: Mapping[str, str]) -> dict[str, object]:
    """The attributes of `build` as plain values."""
    name, environment = lambda_key.get("functionName"), lambda_key.get("environment")
    version, arn = lambda_key.get("functionVersion"), lambda_key.get("functionArn")
    group = variables.get("AWS_LAMBDA_LOG_GROUP_NAME") or (f"/aws/lambda/{name}" if name else "")
    megabytes = variables.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "")
    found: dict[str, object] = {
        "service.name": name,
        "service.instance.id": environment,
        "cloud.provider": "aws",
        "cloud.platform": "aws_lambda",
        "cloud.region": lambda_key.get("region"),
        "cloud.account.id": lambda_key.get("accountId"),
        # The convention asks for the version that an alias stands for.
        "cloud.resource_id": f"{arn}:{version}" if arn and version else arn,
        "faas.name": name,
        "faas.version": version,
        "faas.instance": environment,
        "faas.max_memory": int(megabytes) * MIB if megabytes.isdecimal() else None,
        "aws.log.group.names": [group] if group else None,
    }
    found |= parse_attributes(variables.get("OTEL_RESOURCE_ATTRIBUTES", ""))
    tags = lambda_key.get("tags")
    found |= tags if isinstance(tags, dict) else {}
    found["service.name"] = variables.get("OTEL_SERVICE_NAME") or found["service.name"] or "unknown_service"
    return {key: value for key, value in found.items() if value is not None}


def parse_attributes(text: str) -> dict[str, str]:
    """What OTEL_RESOURCE_ATTRIBUTES says, `key=value` pairs that are percent-encoded; nothing where it is malformed.

    So says "Resource SDK", Specifying resource information via an environment variable: an error discards the whole.
    """
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    try:
        if all(equals and key.strip() for key, equals, _ in pairs) and not BAD_PERCENT.search(text):
            return {
                unquote(key.strip(), errors="strict"): unquote(value.strip(), errors="strict")
                for key, _, value in pairs
            }
    except UnicodeDecodeError:
        pass
    log("WARN", "OTEL_RESOURCE_ATTRIBUTES is left out; expected key=value pairs, percent-encoded, separated by commas")
    return {}

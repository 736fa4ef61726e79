"""OTLP's JSON back into messages, strictly: the second source to what the sink writes."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, TypeVar

import orjson
from google.protobuf import json_format

if TYPE_CHECKING:
    from google.protobuf.message import Message

M = TypeVar("M", bound="Message")


def parse_json(body: bytes, message: M) -> M:
    """The message of a body as in "OTLP Specification", JSON Protobuf Encoding. Raises ValueError."""
    found = orjson.loads(body)
    _check(found)
    try:
        json_format.ParseDict(found, message)
    except json_format.ParseError as error:
        raise ValueError(str(error)) from None
    return message


def _check(found: Any) -> None:
    """Make ids base64, as protobuf's own JSON has them, and refuse enums that are names."""
    if isinstance(found, list):
        for value in found:
            _check(value)
    elif isinstance(found, dict):
        for name, value in found.items():
            if name in {"traceId", "spanId", "parentSpanId"}:
                found[name] = base64.b64encode(bytes.fromhex(value)).decode()
            elif name in {"severityNumber", "kind", "aggregationTemporality"} and not isinstance(value, int):
                raise ValueError(f"{name} is no number")
            else:
                _check(value)

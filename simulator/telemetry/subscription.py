"""What an extension may ask of the Telemetry API, and how a wrong request is refused.

Sources: Developer Guide, "Lambda Telemetry API reference", and the JSON schema in AWS's emulator.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from simulator.errors import Refused, go_json_error
from simulator.telemetry.destinations import Http, Tcp

if TYPE_CHECKING:
    from simulator.faults import Faults
    from simulator.telemetry.destinations import Destination

SCHEMAS = ("2022-07-01", "2022-12-13", "2025-01-29")
TYPES = ("platform", "function", "extension")
RUNTIME_API_PORT = 9001  # on Lambda; an extension may not listen there
# name: default, least, most
LIMITS = {
    "maxItems": (10_000, 1_000, 10_000),
    "maxBytes": (262_144, 262_144, 1_048_576),
    "timeoutMs": (1_000, 25, 30_000),
}


@dataclass(frozen=True, slots=True)
class Subscription:
    """A valid request: `types`, buffering (items, bytes, milliseconds), and whether log records are strings only."""

    types: tuple[str, ...]
    max_items: int
    max_bytes: int
    timeout_ms: int
    strings_only: bool


def parse(body: bytes, faults: Faults, *, managed: bool) -> tuple[Subscription, Destination]:
    """Read a subscription request; Refused with every problem, as the service lists them."""
    try:
        asked: Any = json.loads(body)
    except ValueError as error:
        raise _invalid(f"failed to parse JSON: {go_json_error(body, error)}") from None
    if not isinstance(asked, dict):
        raise _invalid("request body must be an object")
    problems: list[str] = []
    schema = asked.get("schemaVersion")
    if schema not in SCHEMAS or (managed and schema != SCHEMAS[-1]):
        problems.append(f"schemaVersion {schema!r} is not supported")
    types = asked.get("types")
    if not isinstance(types, list) or not types:
        problems.append("types should not be empty")
    elif any(type_ not in TYPES for type_ in types):
        problems.append(f"types should be among {', '.join(TYPES)}")
    destination = _destination(asked.get("destination"), faults, problems)
    buffering = asked.get("buffering") or {}
    values = {}
    for name, (default, least, most) in LIMITS.items():
        value = values[name] = buffering.get(name, default) if isinstance(buffering, dict) else default
        if not isinstance(value, int) or not least <= value <= most:
            problems.append(f"{name} should be between {least} and {most}")
    if problems or destination is None or not isinstance(types, list):
        raise _invalid("; ".join(problems))
    strings_only = schema == SCHEMAS[0]
    wanted = Subscription(tuple(types), values["maxItems"], values["maxBytes"], values["timeoutMs"], strings_only)
    return wanted, destination


def _destination(asked: Any, faults: Faults, problems: list[str]) -> Destination | None:
    if not isinstance(asked, dict):
        problems.append("destination is required")
        return None
    protocol = asked.get("protocol")
    if protocol == "TCP":
        port = asked.get("port")
        if isinstance(port, int) and _usable(port, problems):
            return Tcp(port, faults)
        problems.append("destination port is not provided")
    elif protocol == "HTTP":
        try:
            uri = urlsplit(str(asked.get("URI") or ""))
            port, host = uri.port, uri.hostname
        except ValueError:
            problems.append("URI is not valid")
            return None
        if host not in ("sandbox", "sandbox.localdomain"):
            problems.append("Invalid destination: destination.URI host must be sandbox.localdomain")
        elif port is None:
            problems.append("URI port is not provided")
        elif _usable(port, problems):
            return Http(port, uri.path)
    else:
        problems.append("destination protocol should be HTTP or TCP")
    return None


def _usable(port: int, problems: list[str]) -> bool:
    if port == RUNTIME_API_PORT or not 1 <= port <= 65_535:
        problems.append(f"port {port} cannot be used")
        return False
    return True


def _invalid(message: str) -> Refused:
    return Refused(400, "ValidationError", message)

"""What our simulator and AWS's emulator are both asked; the probe fills in {id}, {uuid} and {port}."""

from __future__ import annotations

import json
from typing import Any

Question = dict[str, Any]

REGISTER = "/2020-01-01/extension/register"
NEXT = "/2020-01-01/extension/event/next"
TELEMETRY = "/2022-07-01/telemetry"
IDENTITY = {"Lambda-Extension-Identifier": "{id}"}


def question(case: str, method: str, path: str, headers: dict[str, str] | None = None, body: Any = "") -> Question:
    """One question; a body that is no string is sent as JSON."""
    text = body if isinstance(body, str) else json.dumps(body)
    return {"case": case, "method": method, "path": path, "headers": headers or {}, "body": text}


def register(case: str, name: str | None, body: Any) -> Question:
    """A registration."""
    return question(case, "POST", REGISTER, {} if name is None else {"Lambda-Extension-Name": name}, body)


def subscribe(case: str, headers: dict[str, str] | None = None, **changes: Any) -> Question:
    """A subscription that is right but for the changes; None takes a field away."""
    body = {
        "schemaVersion": "2025-01-29",
        "types": ["platform"],
        "buffering": {"maxItems": 1000, "maxBytes": 262144, "timeoutMs": 100},
        "destination": {"protocol": "TCP", "port": 1},
    } | changes
    kept = {key: value for key, value in body.items() if value is not None}
    return question(f"subscribe, {case}", "PUT", TELEMETRY, IDENTITY if headers is None else headers, kept)


def fault(case: str, where: str, identifier: str | None, error_type: str | None) -> Question:
    """A report to init/error or exit/error."""
    headers = {} if identifier is None else {"Lambda-Extension-Identifier": identifier}
    if error_type is not None:
        headers["Lambda-Extension-Function-Error-Type"] = error_type
    return question(case, "POST", f"/2020-01-01/extension/{where}/error", headers, "{}")


START = [
    register("no name", None, {"events": []}),
    register("empty name", "", {"events": []}),
    register("empty body", "probe", ""),
    register("not JSON", "probe", "{"),
    register("not an object", "probe", "[]"),
    register("events not a list", "probe", {"events": "SHUTDOWN"}),
    register("configurationKeys", "probe", {"events": [], "configurationKeys": ["a"]}),
    register("unknown event", "probe", {"events": ["FOO"]}),
    register("internal with SHUTDOWN", "stranger", {"events": ["SHUTDOWN"]}),
    question("register with GET", "GET", REGISTER),
    question("unknown path", "GET", "/2020-01-01/extension/nothing"),
    question("next without identifier", "GET", NEXT),
    question("next with no uuid", "GET", NEXT, {"Lambda-Extension-Identifier": "x"}),
    question("next of a stranger", "GET", NEXT, {"Lambda-Extension-Identifier": "{uuid}"}),
    fault("init/error without identifier", "init", None, "Extension.A"),
    fault("init/error of a stranger", "init", "{uuid}", "Extension.A"),
    fault("exit/error of a stranger", "exit", "{uuid}", "Extension.A"),
    subscribe("without identifier", {}),
    subscribe("with no uuid", {"Lambda-Extension-Identifier": "x"}),
    subscribe("of a stranger", {"Lambda-Extension-Identifier": "{uuid}"}),
    question("Logs API", "PUT", "/2020-08-15/logs", IDENTITY, "{}"),
]
START_MANAGED = [
    register("INVOKE on Managed Instances", "probe", {"events": ["INVOKE", "SHUTDOWN"]}),
    register("internal with INVOKE", "stranger", {"events": ["INVOKE"]}),
]
# These register an internal extension, which init then waits for in vain: they are asked in a run of their own.
TRAP_CLASSIC = [
    register("internal with INVOKE", "stranger", {"events": ["INVOKE"]}),
    register("internal again", "stranger", {"events": ["INVOKE"]}),
]
TRAP_MANAGED = [
    register("internal with nothing", "stranger", {"events": []}),
    register("internal again", "stranger", {"events": []}),
]
REGISTERED = [
    register("again", "probe", {"events": []}),
    fault("init/error without type", "init", "{id}", None),
    fault("exit/error without type", "exit", "{id}", None),
    subscribe("nobody listens"),
    subscribe("no types", types=[]),
    subscribe("types missing", types=None),
    subscribe("unknown type", types=["platform", "metrics"]),
    subscribe("schema missing", schemaVersion=None),
    subscribe("unknown schema", schemaVersion="2030-01-01"),
    subscribe("older schema", schemaVersion="2022-12-13"),
    subscribe("destination missing", destination=None),
    subscribe("HTTP to another host", destination={"protocol": "HTTP", "URI": "http://localhost:8080"}),
    subscribe("TCP without port", destination={"protocol": "TCP"}),
    subscribe("protocol missing", destination={"port": 1}),
    subscribe("unknown protocol", destination={"protocol": "UDP", "port": 1}),
    subscribe("too few items", buffering={"maxItems": 999, "maxBytes": 262144, "timeoutMs": 100}),
    subscribe("too many items", buffering={"maxItems": 10001, "maxBytes": 262144, "timeoutMs": 100}),
    subscribe("too few bytes", buffering={"maxItems": 1000, "maxBytes": 262143, "timeoutMs": 100}),
    subscribe("too many bytes", buffering={"maxItems": 1000, "maxBytes": 1048577, "timeoutMs": 100}),
    subscribe("too short", buffering={"maxItems": 1000, "maxBytes": 262144, "timeoutMs": 24}),
    subscribe("too long", buffering={"maxItems": 1000, "maxBytes": 262144, "timeoutMs": 30001}),
    subscribe("unknown field", color="blue"),
    question("subscribe, not JSON", "PUT", TELEMETRY, IDENTITY, "{"),
    question("subscribe, empty", "PUT", TELEMETRY, IDENTITY, ""),
]
LISTENING = {"protocol": "TCP", "port": "{port}"}
SUBSCRIBED = [subscribe("again, to nobody"), subscribe("again", destination=LISTENING)]
LATE = [
    register("a new one", "latecomer", {"events": []}),
    register("the same", "probe", {"events": []}),
    question("next while waiting", "GET", NEXT, IDENTITY),
    subscribe("late, to nobody"),
    subscribe("late", destination=LISTENING),
    fault("init/error", "init", "{id}", "Extension.A"),
]


def asked(*, managed: bool) -> dict[str, list[Question]]:
    """All questions, by stage."""
    start = START + (START_MANAGED if managed else [])
    return {"start": start, "registered": REGISTERED, "subscribed": SUBSCRIBED, "late": LATE}


def trap(end: str, *, managed: bool) -> dict[str, list[Question]]:
    """What cannot be asked without spoiling the run: the last question is how an extension reports its `end`.

    AWS's emulator takes a subscription without a port, too.
    """
    no_port = subscribe("HTTP without port", destination={"protocol": "HTTP", "URI": "http://sandbox.localdomain"})
    other = "exit" if end == "init" else "init"
    ending = [
        fault(f"{end}/error", end, "{id}", "Extension.Probing"),
        fault(f"{end}/error again", end, "{id}", "Extension.Probing"),
        fault(f"{other}/error after {end}/error", other, "{id}", "Extension.Probing"),
        question(f"next after {end}/error", "GET", NEXT, IDENTITY),
        register(f"register after {end}/error", "probe", {"events": []}),
    ]
    return {"start": TRAP_MANAGED if managed else TRAP_CLASSIC, "registered": [no_port, *ending]}

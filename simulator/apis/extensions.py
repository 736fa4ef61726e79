"""The Extensions API 2020-01-01: register, event/next, init/error, exit/error.

Sources: Developer Guide, "Using the Lambda Extensions API to create extensions"; bodies and error types as AWS's
runtime interface emulator gives them (rapi/handler). Its every client mistake is a 403.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import TYPE_CHECKING, Any

from aiohttp import web

from simulator.apis.answers import ACCEPTED, reply
from simulator.errors import Refused, go_json_error, internal_error
from simulator.sandbox.agents import MAX_EXTENSIONS, Agent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from simulator.sandbox.sandbox import Sandbox

ERROR_TYPE_HEADER = "Lambda-Extension-Function-Error-Type"
# Go's words, which AWS's emulator passes on.
GO_KINDS: dict[type, str] = {list: "array", str: "string", int: "number", float: "number", bool: "bool"}
GO_EVENTS = "Go struct field .RegisterRequest.events of type []core.Event"
GO_REQUEST = (
    'Go value of type struct { handler.RegisterRequest; ConfigurationKeys []string "json:\\"configurationKeys\\"" }'
)
_BASE = "/2020-01-01/extension"


class ExtensionsApi:
    """The routes of the API; `current` is the sandbox that runs now, and changes with every reset."""

    def __init__(self, current: Callable[[], Sandbox]) -> None:
        self._current = current

    def routes(self) -> list[web.RouteDef]:
        """What the server adds."""
        return [
            web.post(f"{_BASE}/register", self._register),
            web.get(f"{_BASE}/event/next", self._next),
            web.post(f"{_BASE}/init/error", self._init_error),
            web.post(f"{_BASE}/exit/error", self._exit_error),
        ]

    async def _register(self, request: web.Request) -> web.Response:
        sandbox = self._current()
        name = request.headers.get("Lambda-Extension-Name", "")
        status = sandbox.settings.faults.register_status
        sandbox.timeline.note("extension.register", name=name)
        if status:
            raise (
                internal_error() if status == 500 else Refused(status, "Fault.Requested", "register refused on request")
            )
        if not name:
            raise Refused(403, "Extension.InvalidExtensionName", "Empty extension name")
        events = _events_asked(await request.read())
        agent = _register(sandbox, name, events)
        sandbox.changed()
        answer = {
            "functionName": sandbox.settings.name,
            "functionVersion": sandbox.settings.version,
            "handler": sandbox.settings.handler,
        }
        features = request.headers.get("Lambda-Extension-Accept-Feature", "")
        if "accountId" in (feature.strip() for feature in features.split(",")):
            answer["accountId"] = sandbox.settings.account_id
        return reply(answer, headers={"Lambda-Extension-Identifier": agent.identifier})

    async def _next(self, request: web.Request) -> web.Response:
        sandbox = self._current()
        agent = identify(sandbox, request)
        sandbox.timeline.note("extension.next", name=agent.name)
        failing = sandbox.settings.faults.next_500
        if failing and len(sandbox.timeline.named("extension.next")) in failing:
            sandbox.timeline.note("fault", what="event/next answered 500", name=agent.name)
            raise internal_error()
        parked = agent.park()
        sandbox.changed()
        try:
            event = await parked
        except asyncio.CancelledError:
            if parked.cancelled():  # its process has gone, and this answer with it
                raise Refused(
                    403, "Extension.UnknownExtensionIdentifier", f"Unknown extension {agent.identifier}"
                ) from None
            raise
        sandbox.timeline.note("extension.event", name=agent.name, event=event["eventType"])
        return reply(event, headers={"Lambda-Extension-Identifier": agent.identifier})

    async def _init_error(self, request: web.Request) -> web.Response:
        return await self._error(request, "InitError")

    async def _exit_error(self, request: web.Request) -> web.Response:
        return await self._error(request, "ExitError")

    async def _error(self, request: web.Request, state: str) -> web.Response:
        sandbox = self._current()
        agent = identify(sandbox, request, unknown="Unknown Lambda-Extension-Identifier")
        error_type = request.headers.get(ERROR_TYPE_HEADER, "")
        if not error_type:
            raise Refused(403, "Extension.MissingHeader", f"{ERROR_TYPE_HEADER} not found")
        agent.move(state)
        agent.error_type = error_type
        sandbox.timeline.note(f"extension.{state}", name=agent.name, errorType=error_type)
        return reply(ACCEPTED, 202)


def identify(sandbox: Sandbox, request: web.Request, unknown: str = "") -> Agent:
    """The extension that sent `request`, or the refusal that AWS gives."""
    identifier = request.headers.get("Lambda-Extension-Identifier", "")
    if not identifier:
        raise Refused(403, "Extension.MissingExtensionIdentifier", "Missing Lambda-Extension-Identifier header")
    try:
        wanted = str(uuid.UUID(identifier))
    except ValueError:
        raise Refused(403, "Extension.InvalidExtensionIdentifier", "Invalid Lambda-Extension-Identifier") from None
    for agent in sandbox.agents.values():
        if agent.identifier == wanted:
            return agent
    raise Refused(403, "Extension.UnknownExtensionIdentifier", unknown or f"Unknown extension {wanted}")


def _events_asked(body: bytes) -> list[str]:
    try:
        asked: Any = json.loads(body)
    except ValueError as error:
        raise Refused(403, "InvalidRequestFormat", go_json_error(body, error)) from None
    events = asked.get("events") or [] if isinstance(asked, dict) else asked
    if not isinstance(asked, dict) or not isinstance(events, list):
        kind = GO_KINDS.get(type(events), "object")
        target = GO_EVENTS if isinstance(asked, dict) else GO_REQUEST
        raise Refused(403, "InvalidRequestFormat", f"json: cannot unmarshal {kind} into {target}")
    if asked.get("configurationKeys"):
        message = "configurationKeys are deprecated; use environment variables instead"
        raise Refused(403, "InvalidRequestFormat", message)
    return events


def _register(sandbox: Sandbox, name: str, events: Sequence[str]) -> Agent:
    """Find or make the extension called `name`.

    A name that is no file of extensions/ is taken for an INTERNAL extension and gets 200, while the platform goes on
    waiting for the file: the mistake that costs people an init timeout.
    """
    agent = sandbox.agents.get(name)
    external = agent is not None and agent.external
    managed = sandbox.settings.managed
    if managed and events and not external:
        raise Refused(403, "Extension.InvalidEventType", "No events allowed for internal extensions")
    for event in events:
        if event not in ("INVOKE", "SHUTDOWN") or (managed and event == "INVOKE"):
            raise Refused(403, "Extension.InvalidEventType", f"{event}: ErrorInvalidEventType")
        if event == "SHUTDOWN" and not external:
            message = "SHUTDOWN: ShutdownEventNotSupportedForInternalExtension"
            raise Refused(403, "Extension.InvalidEventType", message)
    if agent is not None and not external:
        raise Refused(403, "Extension.InvalidExtensionState", "Extension with this name already registered")
    if agent is not None and agent.registered:
        agent.register(events)  # refused: the state comes before the window
    if not sandbox.registration_open:
        raise Refused(403, "Extension.RegistrationClosed", "Extension registration closed already")
    if agent is None:
        if len(sandbox.agents) >= MAX_EXTENSIONS:
            raise Refused(403, "Extension.TooManyExtensions", f"Extension limit ({MAX_EXTENSIONS}) reached")
        agent = sandbox.agents[name] = Agent(name, external=False, managed=managed)
        sandbox.timeline.note("extension.internal", name=name)
    agent.register(events)
    return agent

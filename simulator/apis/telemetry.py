"""The Telemetry API 2022-07-01, and the Logs API as far as AWS's emulator has it.

Source: Developer Guide, "Lambda Telemetry API reference".
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from aiohttp import web

from simulator.apis.answers import reply
from simulator.apis.extensions import identify
from simulator.errors import Refused, internal_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.sandbox.sandbox import Sandbox


class TelemetryApi:
    """The routes of the API for the sandbox that is current."""

    def __init__(self, current: Callable[[], Sandbox]) -> None:
        self._current = current

    def routes(self) -> list[web.RouteDef]:
        """What the server adds."""
        return [web.put("/2022-07-01/telemetry", self._subscribe), web.put("/2020-08-15/logs", self._logs)]

    async def _subscribe(self, request: web.Request) -> web.Response:
        sandbox = self._current()
        agent = identify(sandbox, request)
        sandbox.timeline.note("telemetry.subscribe", name=agent.name)
        _fault(sandbox)
        try:
            await sandbox.telemetry.subscribe(agent.name, await request.read())
        except Refused as refused:
            if refused.status != 400:
                raise
            body = {"errorType": refused.error_type, "errorMessage": str(refused)}
            return web.Response(status=400, text=json.dumps(body))  # as text/plain: so AWS's emulator
        return web.Response(text='"OK"')

    async def _logs(self, _: web.Request) -> web.Response:
        if self._current().settings.managed:
            raise web.HTTPNotFound
        return reply({"errorMessage": "Logs API is not supported", "errorType": "Logs.NotSupported"}, 202)


def _fault(sandbox: Sandbox) -> None:
    faults = sandbox.settings.faults
    call = len(sandbox.timeline.named("telemetry.subscribe"))
    first = faults.subscribe_statuses[call - 1 : call]
    status = first[0] if first else faults.subscribe_status
    if status in (0, 200):
        return
    sandbox.timeline.note("fault", what=f"subscription answered {status}")
    if status == 202:
        raise Refused(202, "Telemetry.NotSupported", "Telemetry API is not supported")
    if status == 500:
        raise internal_error()
    raise Refused(status, "ValidationError", "refused on request")

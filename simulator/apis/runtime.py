"""The Runtime API 2018-06-01, which AWS's runtime clients speak, and the credentials endpoint that SnapStart needs.

Sources: Developer Guide, "Using the Lambda runtime API for custom runtimes"; bodies as AWS's emulator.
"""

from __future__ import annotations

import asyncio
import re
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from aiohttp import web

from simulator.apis.answers import ACCEPTED, reply
from simulator.errors import Refused
from simulator.sandbox.variables import CREDENTIALS

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.sandbox.runtime import Work
    from simulator.sandbox.sandbox import Sandbox

_BASE = "/2018-06-01/runtime"
MAX_RESPONSE_BYTES = 6 * 1024 * 1024 + 100  # Developer Guide, "Lambda quotas"; the emulator allows a hundred bytes more
ERROR_TYPE_HEADER = "Lambda-Runtime-Function-Error-Type"


class RuntimeApi:
    """The routes of the API for the sandbox that is current."""

    def __init__(self, current: Callable[[], Sandbox]) -> None:
        self._current = current

    def routes(self) -> list[web.RouteDef]:
        """What the server adds."""
        return [
            web.get(f"{_BASE}/invocation/next", self._next),
            web.post(f"{_BASE}/invocation/{{request_id}}/response", self._response),
            web.post(f"{_BASE}/invocation/{{request_id}}/error", self._error),
            web.post(f"{_BASE}/init/error", self._init_error),
            web.get(f"{_BASE}/restore/next", self._restore_next),
            web.post(f"{_BASE}/restore/error", self._init_error),
            web.get("/2021-04-23/credentials", self._credentials),
        ]

    async def _next(self, _: web.Request) -> web.Response:
        sandbox = self._current()
        runtime = sandbox.runtime
        sandbox.timeline.note("runtime.next")
        for work in runtime.work.values():  # on demand there is one; on Managed Instances a response ends it
            work.over = work.over or work.responded is not None
        runtime.ready = True
        parked = runtime.park()
        sandbox.changed()
        try:
            work = await parked
        except asyncio.CancelledError:
            if parked.cancelled():
                raise Refused(403, "InvalidStateTransition", "the runtime has ended") from None
            raise
        return web.Response(body=work.payload, headers=work.headers, content_type="application/json")

    async def _response(self, request: web.Request) -> web.Response:
        sandbox, work = self._work(request)
        work.responding = time.monotonic()
        body = bytearray()
        async for chunk in request.content.iter_any():
            body += chunk
            if len(body) > MAX_RESPONSE_BYTES:
                break
        if len(body) > MAX_RESPONSE_BYTES:
            work.failed, work.error_type = True, "Function.ResponseSizeTooLarge"
            message = f"Response payload size exceeded maximum allowed payload size ({MAX_RESPONSE_BYTES} bytes)."
            work.response = f'{{"errorMessage":"{message}","errorType":"{work.error_type}"}}'.encode()
            self._done(sandbox, work)
            raise Refused(
                413, "RequestEntityTooLarge", f"Exceeded maximum allowed payload size ({MAX_RESPONSE_BYTES} bytes)."
            )
        work.response = bytes(body)
        self._done(sandbox, work)
        return reply(ACCEPTED, 202)

    async def _error(self, request: web.Request) -> web.Response:
        sandbox, work = self._work(request)
        work.responding = time.monotonic()
        work.response = await request.read()
        work.failed = True
        work.error_type = known_error_type(request.headers.get(ERROR_TYPE_HEADER, ""), "Function.Unknown")
        self._done(sandbox, work)
        return reply(ACCEPTED, 202)

    async def _init_error(self, request: web.Request) -> web.Response:
        sandbox = self._current()
        if sandbox.runtime.ready and not sandbox.settings.managed:
            raise _not_allowed("InitError")
        sandbox.runtime.init_error_type = known_error_type(
            request.headers.get(ERROR_TYPE_HEADER, ""), "Runtime.Unknown"
        )
        message = (await request.read()).decode("utf-8", "replace")
        sandbox.timeline.note("runtime.init_error", errorType=sandbox.runtime.init_error_type, message=message)
        return reply(ACCEPTED, 202)

    async def _restore_next(self, _: web.Request) -> web.Response:
        sandbox = self._current()
        restored = sandbox.runtime.restoring = asyncio.Event()
        sandbox.timeline.note("runtime.restore_next")
        sandbox.changed()
        await restored.wait()
        return web.Response(text="", content_type="application/json")

    async def _credentials(self, request: web.Request) -> web.Response:
        sandbox = self._current()
        if request.headers.get("Authorization") != sandbox.credentials_token:
            return web.Response(status=404, text="404 page not found\n")
        expiration = datetime.fromtimestamp(sandbox.clock.now_ms() / 1000, UTC) + timedelta(hours=1)
        end = "RESTORED" if sandbox.restored else ""  # a restore brings new ones
        return reply(
            {
                "AccessKeyId": CREDENTIALS["AWS_ACCESS_KEY_ID"] + end,
                "SecretAccessKey": CREDENTIALS["AWS_SECRET_ACCESS_KEY"] + end,
                "Token": CREDENTIALS["AWS_SESSION_TOKEN"] + end,
                "Expiration": f"{expiration:%Y-%m-%dT%H:%M:%SZ}",
            }
        )

    def _work(self, request: web.Request) -> tuple[Sandbox, Work]:
        sandbox = self._current()
        work = sandbox.runtime.work.get(request.match_info["request_id"])
        if work is None:
            raise Refused(400, "InvalidRequestID", "Invalid request ID")
        if work.responded is not None:
            if sandbox.settings.managed:  # there, a request is forgotten once it is answered
                raise Refused(400, "InvalidRequestID", "Invalid request ID")
            raise _not_allowed("InvocationErrorResponse" if request.path.endswith("/error") else "InvocationResponse")
        return sandbox, work

    def _done(self, sandbox: Sandbox, work: Work) -> None:
        work.responded = time.monotonic()
        sandbox.timeline.note("runtime.error" if work.failed else "runtime.response", requestId=work.request_id)
        sandbox.changed()


def _not_allowed(to: str) -> Refused:
    message = f"State transition from RuntimeResponseSentState to {to} failed for runtime."
    return Refused(403, "InvalidStateTransition", f"{message} Error: State transition is not allowed")


def known_error_type(value: str, otherwise: str) -> str:
    """The error types that the platform passes on (AWS's runtime interface emulator, fatalerror)."""
    return value if re.fullmatch(r"(Runtime|Function)\.[A-Z][a-zA-Z]+", value) else otherwise

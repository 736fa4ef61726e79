"""Serves the APIs of Lambda on one loopback port, which AWS_LAMBDA_RUNTIME_API names."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web

from simulator.apis.answers import refusal
from simulator.apis.extensions import ExtensionsApi
from simulator.apis.runtime import RuntimeApi
from simulator.apis.telemetry import TelemetryApi
from simulator.errors import Refused

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from aiohttp.typedefs import Handler

    from simulator.sandbox.sandbox import Sandbox

MAX_BODY_BYTES = 1 << 20  # of the extension and telemetry routes


@asynccontextmanager
async def serve(current: Callable[[], Sandbox]) -> AsyncIterator[str]:
    """Serve the sandbox that `current` names; yields host:port."""
    app = web.Application(middlewares=[_refusals], client_max_size=MAX_BODY_BYTES)
    for api in (ExtensionsApi(current), TelemetryApi(current), RuntimeApi(current)):
        app.add_routes(api.routes())
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handle_signals=False)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        yield f"{host}:{port}"
    finally:
        await runner.cleanup()


@web.middleware
async def _refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Refused as refused:
        return refusal(refused)
    except web.HTTPNotFound:
        return web.Response(status=404, text="404 page not found\n")
    except web.HTTPMethodNotAllowed:
        return web.Response(status=405)

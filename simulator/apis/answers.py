"""How the APIs answer: JSON as Go's encoder writes it, and refusals as AWS's emulator renders them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from simulator.errors import Refused

ACCEPTED = {"status": "OK"}


def reply(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """JSON and a line feed."""
    text = json.dumps(body, separators=(",", ":"), ensure_ascii=False) + "\n"
    return web.Response(status=status, text=text, content_type="application/json", headers=headers)


def refusal(refused: Refused) -> web.Response:
    """A refusal on the wire."""
    return reply({"errorMessage": str(refused), "errorType": refused.error_type}, refused.status)

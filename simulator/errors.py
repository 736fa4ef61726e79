"""How the APIs of Lambda refuse: JSON with errorMessage and errorType, as AWS's emulator renders it."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web


class SimulatorError(Exception):
    """The simulation cannot run as asked; the message says why in words that a user understands."""


ACCEPTED = {"status": "OK"}


class Refused(Exception):
    """An answer of the platform other than success."""

    def __init__(self, status: int, error_type: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.error_type = error_type

    def response(self) -> web.Response:
        """The answer on the wire."""
        return reply({"errorMessage": str(self), "errorType": self.error_type}, self.status)


def reply(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """JSON and a line feed, as Go's encoder writes it."""
    text = json.dumps(body, separators=(",", ":"), ensure_ascii=False) + "\n"
    return web.Response(status=status, text=text, content_type="application/json", headers=headers)


def go_json_error(body: bytes, error: ValueError) -> str:
    """What Go says of a body that is no JSON: most often that it ended too early."""
    at = error.pos if isinstance(error, json.JSONDecodeError) else 0
    if at >= len(body.strip()) - 1:
        return "unexpected end of JSON input"
    return f"invalid character {chr(body[at])!r} looking for beginning of value"


def internal_error() -> Refused:
    """What every route answers to a failure of the platform."""
    return Refused(500, "InternalServerError", "Internal Server Error")

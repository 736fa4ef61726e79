"""What can go wrong: in the simulation, in a phase, or because a call was wrong and the platform refuses it."""

from __future__ import annotations

import json


class SimulatorError(Exception):
    """The simulation cannot run as asked; the message says why in words that a user understands."""


class Failed(Exception):
    """The phase that runs has failed; `error_type` is AWS's (Extension.Crash ...), the message for people."""

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(message)
        self.error_type = error_type


class Refused(Exception):
    """An answer of the platform other than success: HTTP `status`, AWS's `error_type`, and its message."""

    def __init__(self, status: int, error_type: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.error_type = error_type


def internal_error() -> Refused:
    """What every route answers to a failure of the platform."""
    return Refused(500, "InternalServerError", "Internal Server Error")


def go_json_error(body: bytes, error: ValueError) -> str:
    """What Go says of a body that is no JSON: most often that it ended too early."""
    at = error.pos if isinstance(error, json.JSONDecodeError) else 0
    if at >= len(body.strip()) - 1:
        return "unexpected end of JSON input"
    return f"invalid character {chr(body[at])!r} looking for beginning of value"

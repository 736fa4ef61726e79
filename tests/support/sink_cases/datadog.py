"""Datadog's intake of logs, as strict as its documentation; what would be cut is refused here, so that it is seen."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson

from tests.support.fault_server import Action, Answer, Request
from tests.support.sink_contract import Kind

MAX_BODY_BYTES, MAX_LOG_BYTES, MAX_LOGS = 5_000_000, 1_000_000, 1_000
TEXTS = {"message", "ddsource", "ddtags", "hostname", "service", "status"}


class Intake:
    """Takes arrays of logs with 202. One that holds `poison` is answered 400, and nothing of it is taken."""

    def __init__(self, poison: str = "") -> None:
        self.logs: list[dict[str, Any]] = []
        self._poison = poison

    def __call__(self, request: Request) -> Action:
        """202, or what is wrong with the request."""
        if request.path.partition("?")[0] != "/api/v2/logs" or request.method != "POST":
            return Answer(404)
        if request.headers.get("content-type") != "application/json":
            return Answer(415)
        if len(request.text) > MAX_BODY_BYTES:
            return Answer(413)
        try:
            logs = orjson.loads(request.text)
        except orjson.JSONDecodeError:
            return Answer(400)
        if not isinstance(logs, list) or not 0 < len(logs) <= MAX_LOGS or not all(map(self._is_log, logs)):
            return Answer(400, {}, b'{"errors":[{"status":"400","title":"Bad Request"}]}')
        self.logs += logs
        return Answer(202, {}, b"{}")

    def _is_log(self, log: object) -> bool:
        return (
            isinstance(log, dict)
            and "message" in log
            and all(isinstance(log[name], str) for name in TEXTS & log.keys())
            and isinstance(log.get("timestamp", 0), int)
            and len(orjson.dumps(log)) <= MAX_LOG_BYTES
            and not (self._poison and self._poison in log["message"])
        )

    def lines(self) -> list[bytes]:
        """The lines that the logs were made of."""
        return [_line(log) for log in self.logs]


def _line(log: dict[str, Any]) -> bytes:
    """A record that is an object came as its JSON; a text is one here that does not begin as an object does."""
    time = datetime.fromtimestamp(log["timestamp"] / 1000, UTC).isoformat(timespec="milliseconds")
    text = log["message"]
    record = orjson.Fragment(text.encode()) if text.startswith("{") else text
    line = {"time": time.replace("+00:00", "Z"), "type": log["type"], "record": record, "lambda": log["lambda"]}
    return orjson.dumps(line)


KIND = Kind(
    url=lambda base, _folder: f"datadog+{base}",
    receiver=lambda _folder: Intake(),
    permanent=lambda _request: Answer(403, {}, b'{"errors":[{"status":"403","title":"Forbidden"}]}'),
    throttled=lambda _request: Answer(429, {"Retry-After": "7"}),
)

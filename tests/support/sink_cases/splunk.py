"""An HTTP Event Collector as strict as Splunk's documentation, with the token TOKEN; it knows no duplicates."""

from __future__ import annotations

import json
from typing import Any

import orjson

from tests.support.fault_server import Action, Answer, Request
from tests.support.sink_contract import Kind

MAX_CONTENT_BYTES = 838_860_800
MAX_EVENT_BYTES = 5 << 20
METADATA = {"time", "host", "source", "sourcetype", "index", "event", "fields"}


class Hec:
    """Takes requests whole, or refuses them by the number of the first event that it does not take.

    Refused is what holds `poison`; with `keeps_begun` the events before it have been taken all the same.
    """

    def __init__(self, poison: bytes = b"", *, keeps_begun: bool = False) -> None:
        self.events: list[dict[str, Any]] = []
        self.texts: list[bytes] = []
        self._poison = poison
        self._keeps_begun = keeps_begun

    def __call__(self, request: Request) -> Action:
        """An answer with a code, as HEC gives it."""
        path, _, _query = request.path.partition("?")
        if path != "/services/collector/event" or request.method != "POST":
            return Answer(404, {}, b'{"text":"The requested URL was not found on this server.","code":404}')
        if len(request.text) > MAX_CONTENT_BYTES:
            return Answer(413, {}, b"<html>Content-Length too large</html>")
        if not request.text.strip():
            return answer(400, 5, "No data")
        begun: list[tuple[dict[str, Any], bytes]] = []
        text, start = request.text.decode(), 0
        while start < len(text):
            try:
                event, end = json.JSONDecoder().raw_decode(text, start)
            except ValueError:
                return self._refuse(begun, 6, "Invalid data format")
            raw = text[start:end].encode()
            if (code := self._judge(event, raw)) is not None:
                return self._refuse(begun, *code)
            begun.append((event, raw))
            start = end + len(text[end:]) - len(text[end:].lstrip())
        self._take(begun)
        return answer(200, 0, "Success")

    def _judge(self, event: object, raw: bytes) -> tuple[int, str] | None:
        if not isinstance(event, dict) or event.keys() - METADATA or len(raw) > MAX_EVENT_BYTES:
            return 6, "Invalid data format"
        if "event" not in event:
            return 12, "Event field is required"
        if event["event"] in ("", None, {}, []):
            return 13, "Event field cannot be blank"
        flat = all(isinstance(value, str) for value in event.get("fields", {}).values())
        plain = b'"time":' in raw and b"e" not in raw.partition(b'"time":')[2].partition(b",")[0].lower()
        if not flat or not plain or (self._poison and self._poison in raw):
            return 15, "Error in handling indexed fields"
        return None

    def _refuse(self, begun: list[tuple[dict[str, Any], bytes]], code: int, text: str) -> Answer:
        if self._keeps_begun:
            self._take(begun)
        return answer(400, code, text, len(begun))

    def _take(self, begun: list[tuple[dict[str, Any], bytes]]) -> None:
        self.events += [event for event, _ in begun]
        self.texts += [raw.partition(b'"event":')[2][:-1] for _, raw in begun]

    def lines(self) -> list[bytes]:
        """Every event taken, as it came."""
        return self.texts


def answer(status: int, code: int, text: str, number: int | None = None) -> Answer:
    """One of HEC's own, and the number of an event that is wrong."""
    where = {} if number is None else {"invalid-event-number": number}
    return Answer(status, {"Content-Type": "application/json"}, orjson.dumps({"text": text, "code": code, **where}))


KIND = Kind(
    url=lambda base, _folder: f"splunk+{base}",
    receiver=lambda _folder: Hec(),
    permanent=lambda _request: answer(403, 4, "Invalid token"),
    throttled=lambda _request: Answer(429, {"Retry-After": "7"}, b'{"text":"HEC queue at capacity","code":26}'),
)

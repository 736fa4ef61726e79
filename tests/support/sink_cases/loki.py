"""A Loki as strict as its documentation, with its default limits."""

from __future__ import annotations

import re
from typing import Any

import orjson

from tests.support.fault_server import Action, Answer, Request
from tests.support.sink_contract import Kind

MAX_PUSH_BYTES = 4 << 20
MAX_LINE_BYTES = 256 << 10
NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


class Loki:
    """Takes pushes. Of one with lines that are too long, or hold `poison`, it takes the others and answers 400."""

    def __init__(self, poison: bytes = b"") -> None:
        self.pushes: list[Any] = []
        self.streams: dict[tuple[tuple[str, str], ...], dict[tuple[int, bytes], None]] = {}
        self._poison = poison

    def __call__(self, request: Request) -> Action:
        """204, or what is wrong with the request."""
        if not request.path.endswith("/loki/api/v1/push") or request.method != "POST":
            return Answer(404)
        if request.headers.get("content-type") != "application/json":
            return Answer(400, {}, b"no JSON")
        body = orjson.loads(request.text)
        if set(body) != {"streams"} or not all(_is_stream(stream) for stream in body["streams"]):
            return Answer(400, {}, b"no push")
        entries = [value for stream in body["streams"] for value in stream["values"]]
        if sum(len(line.encode()) + 22 for _, line in entries) > MAX_PUSH_BYTES:
            return Answer(500, {}, b"received message larger than max")
        self.pushes.append(body)
        refused = [self._take(stream) for stream in body["streams"]]
        return Answer(400, {}, b"max entry size exceeded") if any(refused) else Answer(204)

    def _take(self, stream: Any) -> int:
        """How many lines of the stream are refused; an exact duplicate is ignored."""
        taken = self.streams.setdefault(tuple(sorted(stream["stream"].items())), {})
        refused = 0
        for time, text in stream["values"]:
            value = int(time), text.encode()
            if len(value[1]) > MAX_LINE_BYTES or (self._poison and self._poison in value[1]):
                refused += 1
            else:
                taken[value] = None
        return refused

    def lines(self) -> list[bytes]:
        """Every line of every stream, in the order in which the function's records got their ids."""
        found = [line for stream in self.streams.values() for _, line in stream]
        return sorted(found, key=lambda line: int(orjson.loads(line)["lambda"]["id"].rpartition("-")[2]))


def _is_stream(stream: Any) -> bool:
    """Whether labels have names and are not empty, and entries are pairs of nanoseconds as text and a line."""
    return (
        set(stream) == {"stream", "values"}
        and all(NAME.fullmatch(name) and isinstance(value, str) and value for name, value in stream["stream"].items())
        and all(
            isinstance(time, str) and re.fullmatch(r"\d{1,19}", time) and isinstance(line, str)
            for time, line in stream["values"]
        )
    )


KIND = Kind(
    url=lambda base, _folder: f"loki+{base}/tenant",
    receiver=lambda _folder: Loki(),
    permanent=lambda _request: Answer(403),
    throttled=lambda _request: Answer(429, {"Retry-After": "7"}),
)

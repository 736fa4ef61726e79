"""A data stream as strict as Elasticsearch's documentation, whose mapping is made of what comes first."""

from __future__ import annotations

import re
from typing import Any

import orjson

from tests.support.fault_server import Action, Answer, Request
from tests.support.sink_contract import Kind

MAX_CONTENT_BYTES = 100 << 20  # http.max_content_length
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
Result = dict[str, dict[str, object]]


class DataStream:
    """Answers _bulk item by item. Documents that hold `poison` are refused; `full` answers an item's try with 429."""

    def __init__(self, poison: bytes = b"", full: frozenset[int] = frozenset()) -> None:
        self.documents: dict[str, dict[str, Any]] = {}
        self._raw: list[bytes] = []
        self._mapping: dict[str, type] = {}
        self._poison = poison
        self._full = full
        self._tries = 0

    def __call__(self, request: Request) -> Action:
        """An answer for all items, filtered as it was asked for; or 400, where the request as a whole is none."""
        path, _, query = request.path.partition("?")
        if not re.fullmatch(r"/[a-z0-9-]+/_bulk", path) or request.method != "POST":
            return Answer(400, {}, b'{"error":{"type":"illegal_argument_exception"},"status":400}')
        if request.headers.get("content-type") != "application/x-ndjson":
            return Answer(406, {}, b'{"error":"Content-Type header is not supported","status":406}')
        if len(request.text) > MAX_CONTENT_BYTES:
            return Answer(413)
        lines = request.text.split(b"\n")
        if lines.pop() != b"" or len(lines) % 2:
            return Answer(400, {}, b'{"error":{"type":"illegal_argument_exception"},"status":400}')
        items = [self._create(*pair) for pair in zip(lines[::2], lines[1::2], strict=True)]
        answer = {"errors": any("error" in item["create"] for item in items), "items": items}
        return Answer(200, {}, orjson.dumps(answer if "filter_path=" in query else {"took": 1, **answer}))

    def _create(self, action: bytes, source: bytes) -> Result:
        self._tries += 1
        metadata = orjson.loads(action)
        if set(metadata) != {"create"}:
            return _failed(400, "illegal_argument_exception")
        if self._tries in self._full:
            return _failed(429, "es_rejected_execution_exception")
        document = orjson.loads(source)
        if not TIMESTAMP.fullmatch(document.get("@timestamp", "")) or (self._poison and self._poison in source):
            return _failed(400, "document_parsing_exception")
        kinds = {name: dict if isinstance(value, dict) else str for name, value in document.items()}
        if any(self._mapping.setdefault(name, kind) is not kind for name, kind in kinds.items()):
            return _failed(400, "document_parsing_exception")
        if metadata["create"].get("_id") in self.documents:
            return _failed(409, "version_conflict_engine_exception")
        self.documents[metadata["create"]["_id"]] = document
        self._raw.append(source)
        return {"create": {"status": 201}}

    def lines(self) -> list[bytes]:
        """The lines that the documents were made of."""
        return [_line(source) for source in self._raw]


def _failed(status: int, type_: str) -> Result:
    return {"create": {"status": status, "error": {"type": type_}}}


def _line(source: bytes) -> bytes:
    timed = source.replace(b'{"@timestamp":', b'{"time":', 1)
    return re.sub(rb'^(\{"time":"[^"]*","type":"[^"]*",)"message":', rb'\1"record":', timed)


KIND = Kind(
    url=lambda base, _folder: f"elasticsearch+{base}/logs-lambda-default",
    receiver=lambda _folder: DataStream(),
    permanent=lambda _request: Answer(403, {}, b'{"error":{"type":"security_exception"},"status":403}'),
    throttled=lambda _request: Answer(429, {"Retry-After": "7"}),
)

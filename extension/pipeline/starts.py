"""What platform.start tells of an invocation that each of its records is to say, beside the request id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from extension import lambda_key
from extension.records import is_request_id

if TYPE_CHECKING:
    from collections.abc import Callable

REMEMBERED = 1024  # invocations that have not ended; on Managed Instances many run at a time
ENDED = 256  # invocations of which lines may come late


class Starts:
    """Members of the key "lambda", by request id: `tenantId`, and with `traces` the `traceId` of X-Ray's header.

    A tenant's id that is not harmless is left out.

    The latter is as W3C and OpenTelemetry write it, 32 hexadecimal digits, so that it is the same in logs and spans.
    """

    def __init__(self, *, traces: bool = False, is_harmless: Callable[[str], bool] = lambda _: True) -> None:
        self._traces = traces
        self._is_harmless = is_harmless
        self._told: dict[str, bytes] = {}  # the latest are last
        self._ended: dict[str, bytes] = {}  # the same

    def note(self, request_id: str, content: dict[str, Any]) -> None:
        """A platform.start has come."""
        told: dict[str, object] = {}
        if is_request_id(tenant := content.get("tenantId")) and self._is_harmless(
            tenant
        ):  # as an id of a request it is short and plain
            told["tenantId"] = tenant
        tracing = content.get("tracing")
        if self._traces and isinstance(tracing, dict):
            from extension.reading import parse_x_ray  # noqa: PLC0415 - only where it is asked for

            if found := parse_x_ray(tracing.get("value")):
                told["traceId"] = found[0]
        self._told.pop(request_id, None)
        self._ended.pop(request_id, None)
        if told:
            _keep(self._told, request_id, lambda_key.members(told), REMEMBERED)

    def end(self, request_id: str) -> None:
        """A platform.report has come: those that run are remembered for longer, however many begin meanwhile."""
        if told := self._told.pop(request_id, b""):
            _keep(self._ended, request_id, told, ENDED)

    def of(self, request_id: str) -> bytes:
        """What the key says of the records of an invocation; empty where that is nothing."""
        return self._told.get(request_id) or self._ended.get(request_id, b"")


def _keep(of: dict[str, bytes], request_id: str, told: bytes, most: int) -> None:
    of[request_id] = told
    if len(of) > most:
        del of[next(iter(of))]

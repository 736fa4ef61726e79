"""What platform.start tells of an invocation that each of its records is to say, beside the request id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from extension import lambda_key
from extension.records import is_request_id

if TYPE_CHECKING:
    from collections.abc import Callable

REMEMBERED = 256  # invocations; on Managed Instances many run at a time


class Starts:
    """Members of the key "lambda", by request id: `tenantId`, and with `traces` the `traceId` of X-Ray's header.

    A tenant's id that is not harmless is left out.

    The latter is as W3C and OpenTelemetry write it, 32 hexadecimal digits, so that it is the same in logs and spans.
    """

    def __init__(self, *, traces: bool = False, is_harmless: Callable[[str], bool] = lambda _: True) -> None:
        self._traces = traces
        self._is_harmless = is_harmless
        self._told: dict[str, bytes] = {}  # the latest are last

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
        if told:
            self._told[request_id] = lambda_key.members(told)
            if len(self._told) > REMEMBERED:
                del self._told[next(iter(self._told))]

    def of(self, request_id: str) -> bytes:
        """What the key says of the records of an invocation; empty where that is nothing."""
        return self._told.get(request_id, b"")

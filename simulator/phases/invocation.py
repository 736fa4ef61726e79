"""What goes into an invocation and comes out of it: headers for the runtime, start record, the caller's answer."""

from __future__ import annotations

import json
import secrets
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simulator.sandbox.runtime import Work
    from simulator.settings import Settings


@dataclass(frozen=True, slots=True)
class Invocation:
    """What the caller gets. `status` is success, error (of the function or the environment) or timeout.

    `payload` is the JSON value of the response or error; `duration_s` lasts until the extensions were done as well.
    """

    request_id: str
    status: str
    payload: Any
    duration_s: float
    error_type: str = ""


def headers(
    settings: Settings, request_id: str, deadline_ms: int, trace_id: str | None, tenant_id: str | None
) -> dict[str, str]:
    """The response headers of invocation/next (Developer Guide, "Using the Lambda runtime API for custom runtimes")."""
    given = {
        "Lambda-Runtime-Aws-Request-Id": request_id,
        "Lambda-Runtime-Deadline-Ms": str(deadline_ms),
        "Lambda-Runtime-Invoked-Function-Arn": settings.arn,
        "Lambda-Runtime-Trace-Id": trace_id or _trace_id(sampled=settings.tracing),
    }
    if settings.managed:
        given["Lambda-Runtime-Invocation-Id"] = str(uuid.uuid4())
    if tenant_id:
        given["Lambda-Runtime-Aws-Tenant-Id"] = tenant_id
    return given


def start_record(settings: Settings, work: Work, tenant_id: str | None, *, traced: bool) -> dict[str, Any]:
    """The record of platform.start; `tracing` only where X-Ray is on, or the caller sent a trace (`traced`)."""
    record: dict[str, Any] = {
        "requestId": work.request_id,
        "functionArn": settings.arn,
        "version": settings.version,
    }
    if settings.tracing or traced:
        span = {"spanId": secrets.token_hex(8)} if settings.tracing else {}
        record["tracing"] = span | {"type": "X-Amzn-Trace-Id", "value": work.headers["Lambda-Runtime-Trace-Id"]}
    if tenant_id:
        record["tenantId"] = tenant_id
    return record


def result(settings: Settings, work: Work, outcome: dict[str, Any], message: str) -> Invocation:
    """The caller's answer to an invocation that ended as `outcome` (status and errorType of platform.report)."""
    duration_s = time.monotonic() - work.began
    status, error_type = outcome["status"], outcome.get("errorType", "")
    if status == "timeout":
        error_type = "Sandbox.Timedout"
        message = f"RequestId: {work.request_id} Error: Task timed out after {settings.timeout_s:.2f} seconds"
    if status == "timeout" or (status == "error" and not work.failed):
        return Invocation(
            work.request_id, status, {"errorType": error_type, "errorMessage": message}, duration_s, error_type
        )
    try:
        payload = json.loads(work.response)
    except ValueError:
        payload = work.response.decode("utf-8", "replace")
    return Invocation(work.request_id, status, payload, duration_s, error_type)


def _trace_id(*, sampled: bool) -> str:
    root = f"1-{int(time.time()):08x}-{secrets.token_hex(12)}"
    return f"Root={root};Parent={secrets.token_hex(8)};Sampled={int(sampled)}"

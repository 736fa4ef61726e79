"""The trace an invocation belongs to, as X-Ray's header names it."""

from __future__ import annotations

import re
from typing import NamedTuple

ROOT = re.compile(r"1-([0-9a-f]{8})-([0-9a-f]{24})")
SPAN_ID = re.compile(r"[0-9a-f]{16}")
MAX_HEADER = 1024  # characters; a header with Lineage has about 150


class Tracing(NamedTuple):
    """A trace id of 32 hexadecimal digits and span ids of 16, each empty where it is not known.

    `parent_id` is the span that caused the invocation, `span_id` the one that Lambda made for it.
    """

    trace_id: str = ""
    parent_id: str = ""
    span_id: str = ""
    is_sampled: bool = True


def read(tracing: object) -> Tracing | None:
    """The value of a record's key "tracing", {"type": "X-Amzn-Trace-Id", "value": "Root=…", "spanId": "…"}.

    The header is that of "AWS X-Ray concepts", Tracing header; its fields come in any order, and others among them.
    A trace whose Sampled is not 0 counts as sampled, since that is undecided where it is missing.
    """
    if not isinstance(tracing, dict) or not isinstance(header := tracing.get("value"), str) or len(header) > MAX_HEADER:
        return None
    fields = {
        name.strip().lower(): value.strip() for name, _, value in (part.partition("=") for part in header.split(";"))
    }
    root = ROOT.fullmatch(fields.get("root", "").lower())
    return Tracing(
        root[1] + root[2] if root and int(root[1] + root[2], 16) else "",
        _span_id(fields.get("parent")),
        _span_id(tracing.get("spanId")),
        fields.get("sampled") != "0",
    )


def _span_id(text: object) -> str:
    """The same in small letters, empty where it is no span id; zeros are none (W3C Trace Context, parent-id)."""
    found = text.lower() if isinstance(text, str) else ""
    return found if SPAN_ID.fullmatch(found) and int(found, 16) else ""

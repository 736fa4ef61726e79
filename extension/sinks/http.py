"""https://host/path (and http): POSTs batches of compressed NDJSON to any HTTP intake."""

from __future__ import annotations

from typing import TYPE_CHECKING

from extension.sinks import Limits, _http_intake

if TYPE_CHECKING:
    from extension.sinks import SinkURL

SCHEMES = ("https", "http")
URL = "https://host/path"
SUMMARY = "POST of gzipped NDJSON to any intake"
PARAMETERS = _http_intake.PARAMETERS
HARMLESS = _http_intake.HARMLESS
IAM_ACTIONS: tuple[str, ...] = ()
PASSES_ON = True
PROBE = "one POST of one line"


def open_sink(target: SinkURL) -> _http_intake.Intake:
    """Make a sink of an http or https URL. Query parameters that are ours are taken off; the others go on."""
    return _http_intake.Intake(target, target.path or "/", "application/x-ndjson", Limits())

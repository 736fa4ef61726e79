"""https://host/path (and http): POSTs batches of compressed NDJSON to any HTTP intake."""

from __future__ import annotations

from typing import TYPE_CHECKING

from extension.sinks import Limits, _http_intake

if TYPE_CHECKING:
    from collections.abc import Sequence

    from extension.records import Batch
    from extension.sinks import Failure, SinkURL

SCHEMES = ("https", "http")
URL = "https://host/path"
SUMMARY = "POST of gzipped NDJSON to any intake"
PARAMETERS = _http_intake.PARAMETERS
HARMLESS = _http_intake.HARMLESS
IAM_ACTIONS: tuple[str, ...] = ()
PROBE = "one POST of one line"


class HttpSink:
    """POSTs to one URL."""

    limits = Limits()

    def __init__(self, intake: _http_intake.Intake) -> None:
        self._intake = intake

    def send(self, batch: Batch, timeout_s: float) -> Sequence[Failure]:
        """POST the batch. Raises as Intake.post does."""
        self._intake.post(batch, timeout_s)
        return ()

    def close(self) -> None:
        """Drop the kept connection."""
        self._intake.close()


def open_sink(target: SinkURL) -> HttpSink:
    """Make a sink of an http or https URL. Query parameters that are ours are taken off; a URL may have no others."""
    return HttpSink(_http_intake.Intake(target, target.path or "/", "application/x-ndjson"))

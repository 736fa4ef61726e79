"""discard:// takes every record and forgets it: what the forwarder itself costs, without any destination."""

from __future__ import annotations

from typing import TYPE_CHECKING

from extension.sinks import BadSetting, Limits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from extension.records import Batch
    from extension.sinks import Failure, SinkURL

SCHEMES = ("discard",)
URL = "discard://"
SUMMARY = "nowhere, to see what the forwarder itself costs"
PARAMETERS: frozenset[str] = frozenset()
HARMLESS: frozenset[str] = frozenset()
IAM_ACTIONS: tuple[str, ...] = ()
PROBE = "nothing"


class DiscardSink:
    """Takes every batch."""

    limits = Limits()

    def send(self, batch: Batch, timeout_s: float) -> Sequence[Failure]:  # noqa: ARG002 - the signature is Sink's
        """Forget the batch; nothing fails."""
        return ()

    def close(self) -> None:
        """There is no connection."""


def open_sink(target: SinkURL) -> DiscardSink:
    """Make a sink of discard://. Raises BadSetting where more is said, since it would be for nothing."""
    if target.host or target.path:
        raise BadSetting("expected discard:// with nothing behind it but types=")
    return DiscardSink()

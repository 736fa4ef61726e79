"""What to subscribe to, read before anything is imported: the platform can send from then on, and the rest has time.

`config` has the last word on every setting. What is not plain here is left to it, and the subscription waits for that.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as in lambda_api/client.py
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TYPES = ("platform", "function", "extension")
# What has a say in this, or in what is logged of it, and takes more than a look.
NOT_PLAIN = ("FORWARDER_CONFIG", "FORWARDER_LISTEN_HOST", "FORWARDER_LOG_LEVEL")
RESERVED_PORT = 9001  # the Runtime API's own; AWS forbids it to telemetry listeners
# Default, least and most.
MAX_ITEMS = (1000, 1000, 10_000)
MAX_BYTES = (262_144, 262_144, 1 << 20)
TIMEOUT_MS = (25, 25, 30_000)
PORT = (0, 0, 65_535)
HOST = "0.0.0.0"  # noqa: S104 - sandbox.localdomain is not the loopback address


class Subscription:
    """Types of records, how the platform buffers them (items, bytes, milliseconds), and where it sends them."""

    def __init__(self, types: Sequence[str], buffering: tuple[int, int, int], host: str, port: int) -> None:
        # platform events are needed for request ids and the end of invocations even where they are not delivered
        self.types = sorted({*types, "platform"})
        self.buffering = buffering
        self.host = host
        self.port = port


def read(variables: Mapping[str, str]) -> Subscription | None:
    """What the variables say plainly; None where they do not, or where there may be nothing to subscribe for."""
    if not _text(variables, "FORWARDER_SINKS") or any(name in variables for name in NOT_PLAIN):
        return None
    types = {part.strip() for part in (_text(variables, "FORWARDER_TYPES") or ",".join(TYPES)).split(",")}
    items = _number(variables, "FORWARDER_BUFFER_MAX_ITEMS", *MAX_ITEMS)
    size = _number(variables, "FORWARDER_BUFFER_MAX_BYTES", *MAX_BYTES)
    timeout_ms = _number(variables, "FORWARDER_BUFFER_TIMEOUT_MS", *TIMEOUT_MS)
    port = _number(variables, "FORWARDER_LISTEN_PORT", *PORT)
    if items is None or size is None or timeout_ms is None or port in {None, RESERVED_PORT} or not types <= set(TYPES):
        return None
    return Subscription(list(types), (items, size, timeout_ms), HOST, port)


def _text(variables: Mapping[str, str], name: str) -> str:
    return variables.get(name, "").strip()


def _number(variables: Mapping[str, str], name: str, default: int, least: int, most: int) -> int | None:
    text = _text(variables, name)
    if not text:
        return default
    number = int(text) if len(text) < 10 and text.isascii() and text.isdecimal() else -1
    return number if least <= number <= most else None

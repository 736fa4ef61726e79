"""Which share is sampled, and which ids are in it, as in OpenTelemetry's consistent probability sampling. A leaf.

"TraceState: Probability Sampling" and OTEP 235 give every trace 56 bits of randomness, the last 7 bytes of its id, and
every share a threshold: what is at or above it is kept. So whoever samples the same trace at the same rate agrees, and
who samples at a lower rate keeps a part of what the other keeps.
"""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple

BITS = 56
ALL = 1 << BITS
MAX_SLOW_MS = 900_000  # no invocation takes longer
RATE = re.compile(r"(?:[0-9]{1,9}\.?[0-9]{0,30}|\.[0-9]{1,30})(?:[eE]-?[0-9]{1,3})?")
ROOT = re.compile(r"1-[0-9a-f]{8}-([0-9a-f]{24})")
MAX_HEADER = 1024  # characters; a header with Lineage has about 150
EXPECTED = (
    "a rate from 0 to 1, as in 0.1, and behind it ;slow=MILLISECONDS"
    f" (a whole number up to {MAX_SLOW_MS}) where longer invocations are to be kept"
)


class Sampling(NamedTuple):
    """What is asked for: `rate` is the share of invocations that is kept, below 1.

    Of the others those are kept too that took longer than `slow_ms`, where it is not None.
    """

    rate: float
    slow_ms: int | None = None

    @property
    def threshold(self) -> int:
        """The randomness from which on it is kept, rounded as OpenTelemetry's SDKs round it."""
        return ALL - round(self.rate * ALL)


def parse(text: str) -> Sampling | None:
    """What a setting says, `RATE` or `RATE;slow=MILLISECONDS`; None where all is kept. Raises ValueError(EXPECTED)."""
    first, *options = [part.strip() for part in text.split(";")]
    names = [option.partition("=")[0].strip() for option in options]
    rate = float(first) if RATE.fullmatch(first) else -1.0
    if not 0 <= rate <= 1 or names not in ([], ["slow"]):
        raise ValueError(EXPECTED)
    slow_ms = None
    if options:
        number = options[0].partition("=")[2].strip()
        if not re.fullmatch("[0-9]{1,6}", number) or int(number) > MAX_SLOW_MS:
            raise ValueError(EXPECTED)
        slow_ms = int(number)
    return Sampling(rate, slow_ms) if rate < 1 else None


def randomness_of_trace(header: object) -> int | None:
    """That of the trace that a header of X-Ray names; None where it names none.

    Its root is `1-`, 8 digits of time, `-`, 24 digits; as a trace id of W3C it is the same without `1-` and dashes.
    """
    if not isinstance(header, str) or len(header) > MAX_HEADER:
        return None
    for field in header.lower().split(";"):
        name, _, value = field.partition("=")
        if name.strip() == "root" and (root := ROOT.fullmatch(value.strip())):
            return int(root[1], 16) % ALL
    return None


def randomness_of(name: str) -> int:
    """That of a request id or the ARN of a durable execution: the last 7 bytes of the SHA-256 of its UTF-8."""
    return int.from_bytes(hashlib.sha256(name.encode("utf-8", "replace")).digest()[-7:], "big")

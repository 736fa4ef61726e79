"""One record to one sink, as any batch is sent, and what to do where it is not taken."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from extension.delivery.sending import reply_of
from extension.sinks import Outcome, Reply

if TYPE_CHECKING:
    from extension.records import Batch
    from extension.sinks import Sink

GRACE_S = 1.0  # beyond the deadline, for a library whose timeout is one for each read
# What to do, by what a reason says; the first that fits counts. AWS's say it themselves (sinks/_aws_errors.py).
REMEDIES = (
    (r"proxy makes no tunnel: HTTP 407", "the proxy wants credentials: put them into HTTPS_PROXY"),
    (r"proxy", "look at HTTPS_PROXY, and except this host by NO_PROXY if it needs no proxy"),
    (r"no credentials", "this machine has none: set AWS_PROFILE, or log in; a function has those of its role"),
    (
        r"HTTP 40[13]|HEC code [1-4]\b",
        "it does not take the credentials: correct FORWARDER_HEADERS, or what headers= names",
    ),
    (r"HTTP 404", "nothing is at that path: correct the URL"),
    (r"HTTP 3\d\d", "it redirects: write the address to which it does"),
    (r"HTTP 4(?:00|05|06|15|22)", "it takes no such request: is it the right scheme, host and path for this intake?"),
    (r"HTTP 429|HTTP 503", "it asks for time: try again later"),
    (r"HTTP 5\d\d|no answer of", "it answers, but not as this destination does: is it the right host?"),
    (r"certificate verify failed", "its certificate is not trusted: correct the host, or name its authority by ca="),
    (r"(?i)wrong.version.number|record layer", "no TLS is spoken there: http:// instead of https://, or another port"),
    (r"SSL|TLS", "TLS fails: look at ca=, cert= and key=, and at the port"),
    (r"(?i)name or service|name resolution|no address|gaierror", "nobody knows the host's name: correct the URL"),
    (r"refused", "nobody listens there: correct host and port"),
    (r"cannot reach", "correct region= or the endpoint; in a VPC, look at the route"),
    (r"(?i)timed? ?out|no answer in", "look at the port, the route and the security group"),
    (r"(?i)no HTTP answer|reset|closed|disconnected", "no HTTP is spoken there: https://, or another port"),
    (r"No such file|Permission denied|Read-only|Is a directory", "it cannot be written here: correct the path"),
)


class Answer(NamedTuple):
    """What became of a probe. `remedy` is empty where the reason says it, or nothing is wrong."""

    taken: bool
    ms: float
    reason: str = ""
    remedy: str = ""


def send(sink: Sink, batch: Batch, timeout_s: float) -> Answer:
    """Send the batch, and wait for no longer than that."""
    began = time.monotonic()
    sending = ThreadPoolExecutor(1, "probe").submit(sink.send, batch, timeout_s)
    try:
        failures = sending.result(timeout_s + GRACE_S)
        reply = Reply(Outcome.RECORD_REFUSED, failures[0].reason) if failures else Reply(Outcome.TAKEN)
    except TimeoutError:
        reply = Reply(Outcome.DOWN, f"TimeoutError: no answer in {timeout_s:g} s")
    except Exception as error:  # noqa: BLE001 - whatever a library raises, it is the probe's answer
        reply = reply_of(error)
    ms = round((time.monotonic() - began) * 1000, 1)
    if reply.outcome is Outcome.TAKEN:
        return Answer(taken=True, ms=ms)
    return Answer(taken=False, ms=ms, reason=reply.reason, remedy=remedy_of(reply.reason))


def remedy_of(reason: str) -> str:
    """What to do about it."""
    return next((words for pattern, words in REMEDIES if re.search(pattern, reason)), "")

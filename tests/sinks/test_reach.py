"""Many records through delivery and sink to services that fail some of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import orjson
import pytest

from tests.support.fault_server import Action, Request, Reset
from tests.support.reach import deliver, records
from tests.support.strict_aws import Service, failing_share

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.reach import Reached
    from tests.support.strict_aws import Strict

URLS = [
    "s3://bucket",
    "firehose://stream",
    "firehose://stream?pack=true",
    "kinesis://stream",
    "sqs://queue",
    "sqs://queue?pack=true",
    "logs://group",
]


def arrive(found: Strict, count: int) -> Reached:
    """Deliver and check: none missing, none invented, none twice."""
    sent = records(count)
    outcome = asyncio.run(deliver(found.sink, found.service, sent))
    assert outcome.arrived.keys() == {record.line for record in sent}
    assert max(outcome.arrived.values()) == 1
    return outcome


@pytest.mark.parametrize("url", URLS)
def test_partial_failures(url: str, strict: Callable[..., Strict]) -> None:
    """Of 4,000 records none is missing or twice, though one entry in twenty fails by itself."""
    arrive(strict(url, Service(fail=failing_share(0.05))), 4_000)


@pytest.mark.integration
@pytest.mark.timeout(600)
@pytest.mark.parametrize("url", URLS)
def test_a_hundred_thousand_records(url: str, strict: Callable[..., Strict]) -> None:
    """Of 100,000 records none is missing or twice, and requests are filled to 90% of what the service takes."""
    outcome = arrive(strict(url, Service(fail=failing_share(0.05))), 100_000)
    assert outcome.fill >= 0.9 or url.startswith("s3")  # an object has no limit that a batch could come near


class Forgetful(Service):
    """Takes every request, and breaks the connection in place of every third answer."""

    def __init__(self) -> None:
        super().__init__()
        self._requests = 0

    def __call__(self, request: Request) -> Action:
        """Take it, and perhaps say so."""
        answer = super().__call__(request)
        self._requests += 1
        return Reset() if self._requests % 3 == 0 else answer


@pytest.mark.parametrize("url", URLS)
def test_answers_that_are_lost(url: str, strict: Callable[..., Strict]) -> None:
    """When answers are lost, no record is, and a duplicate is the same line with the same id; S3 has none."""
    found = strict(url, Forgetful())
    sent = records(4_000)
    outcome = asyncio.run(deliver(found.sink, found.service, sent))
    assert outcome.arrived.keys() == {record.line for record in sent}
    assert len({orjson.loads(one)["lambda"]["id"] for one in outcome.arrived}) == len(sent)
    if url.startswith("s3"):
        assert max(outcome.arrived.values()) == 1

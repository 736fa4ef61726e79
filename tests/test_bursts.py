"""Bursts of short lines, on sinks that answer: whatever their number and pace, each gets every record."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults.server import Answer, FaultServer, refused_port

if TYPE_CHECKING:
    from tests.fake_lambda import FakeLambda

AFTER_S = 0.02
FIRST_S = 1.0  # the first answer takes longer, so that on no machine the whole burst is sent as fast as it comes
KNOWN = "a chunk is taken in before room is looked at, reading goes on without room, and live sinks do not spill"


def burst(size: int, count: int) -> bytes:
    """Function records, each a text of so many bytes."""
    return b'{"type":"function","record":"%s"}\n' % (b"x" * size) * count


async def go_on(lambda_: FakeLambda) -> None:
    """The invocation of the burst, and some more, that what was kept can leave in."""
    for number in range(5):
        await lambda_.invoke(f"r{number}", timeout_s=30)


def lost(ledger: dict[str, Any], url: str) -> dict[str, int]:
    """Where the ledger says that records were lost on their way to one sink; nothing where none were."""
    account = ledger["sinks"][url]
    found = {name: ledger[name] for name in ("platformDropped", "unreadBytes")}
    found |= account["dropped"] | {"pending": account["pending"]}
    return {name: count for name, count in found.items() if count}


def bursts_taken(server: FaultServer) -> int:
    """How many different function records a sink took."""
    records = [json.loads(line) for request in server.requests for line in request.text.splitlines()]
    return len({record["lambda"]["id"] for record in records if record["type"] == "function"})


@pytest.mark.xfail(strict=True, reason=KNOWN)
async def test_two_live_sinks_get_every_line_of_three_bursts(lambda_: FakeLambda) -> None:
    """3 x 10,000 lines of 40 bytes, 128 MB, the default bound, answers after 20 ms: both sinks have all of them."""
    with ExitStack() as stack:
        slow = [FaultServer([Answer(after_s=FIRST_S)], Answer(after_s=AFTER_S)) for _ in range(2)]
        servers = [stack.enter_context(server) for server in slow]
        urls = [server.url for server in servers]
        await lambda_.start(FORWARDER_SINKS=" ".join(urls), FORWARDER_FLUSH="invocation")
        await lambda_.subscribe()
        for _ in range(3):
            lambda_.send(burst(40, 10_000))
        await go_on(lambda_)
        assert await lambda_.shut_down() == 0
        assert [lost(lambda_.ledger, url) for url in urls] == [{}, {}]
        assert [bursts_taken(server) for server in servers] == [30_000, 30_000]


@pytest.mark.xfail(strict=True, reason=KNOWN)
async def test_a_live_sink_beside_a_dead_one_gets_every_line_of_a_burst(lambda_: FakeLambda) -> None:
    """200,040 short lines, a bound of 1 MiB, one sink that refuses connections: the other one has all of them."""
    with FaultServer([Answer(after_s=FIRST_S)], Answer(after_s=AFTER_S)) as server:
        url = server.url
        sinks = f"{url}/ http://127.0.0.1:{refused_port()}/"
        await lambda_.start(FORWARDER_SINKS=sinks, FORWARDER_QUEUE_BYTES=str(1 << 20), FORWARDER_FLUSH="invocation")
        await lambda_.subscribe()
        lambda_.send(burst(10, 200_040))
        await go_on(lambda_)
        assert await lambda_.shut_down() == 0
        assert lost(lambda_.ledger, url) == {}
        assert bursts_taken(server) == 200_040

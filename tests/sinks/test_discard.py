"""What discard:// does, and what it must not be given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from extension.sinks import BadSetting
from tests.support.batches import batch, line, open_sink

if TYPE_CHECKING:
    from tests.support.fake_lambda import FakeLambda


def test_every_record_is_taken() -> None:
    """Nothing fails, before and after close."""
    sink = open_sink("discard://")
    assert list(sink.send(batch(line(1), line(2)), 1.0)) == []
    sink.close()
    assert list(sink.send(batch(line(3)), 1.0)) == []


@pytest.mark.parametrize("url", ["discard://host", "discard:///path", "discard://null/"])
def test_what_means_nothing_is_refused(url: str) -> None:
    """A host or a path would have no effect, so it is a mistake."""
    with pytest.raises(BadSetting, match="expected discard:// with nothing behind it"):
        open_sink(url)


async def test_discarded_is_delivered(lambda_: FakeLambda) -> None:
    """In the ledger of the frozen forwarder every record counts as delivered."""
    await lambda_.start(FORWARDER_SINKS="discard://")
    await lambda_.subscribe()
    await lambda_.invoke("8a3b6d9e-77a5-4f0e-9a53-3a4ab6f3d7d1", "one", "two")
    assert await lambda_.shut_down() == 0
    account = lambda_.ledger["sinks"]["discard://"]
    assert (account["delivered"], account["dropped"], account["pending"]) == (len(lambda_.sent), {}, 0)

"""The layer as it ships, with one sink that cannot be opened: that is this sink's trouble, and not the others'."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.forwarding import assert_balanced, delivered
from tests.support.strict_aws import CREDENTIALS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.fake_lambda import FakeLambda

TROUBLES = {
    "no such profile": ("s3://bucket/raw", {"AWS_PROFILE": "nobody"}),
    "no certificates": ("https://127.0.0.1:1/", {"SSL_CERT_FILE": "/nonexistent/certificates.pem"}),
}
UNOPENED = pytest.mark.xfail(strict=True, reason="a sink that cannot be opened stops all others")


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_a_sink_that_cannot_be_opened_stops_no_other(lambda_: FakeLambda, tmp_path: Path, trouble: str) -> None:
    """The other sink has every record, and those of the sink that was not opened are counted with a reason."""
    url, variables = TROUBLES[trouble]
    path = tmp_path / "live"
    await lambda_.start(**{**CREDENTIALS, **variables}, FORWARDER_SINKS=f"{url} file://{path}")
    await lambda_.subscribe()
    await lambda_.invoke("r1", "one")
    assert await lambda_.shut_down() == 0
    assert "one" in [record["record"] for record in delivered(path)]
    account, live = lambda_.ledger["sinks"].values()
    assert (account["delivered"], account["pending"]) == (0, 0)
    assert sum(account["dropped"].values()) == live["delivered"]
    assert all(account["dropped"])
    assert_balanced(lambda_.ledger)


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_records_of_a_sink_that_cannot_be_opened_fall_back(
    lambda_: FakeLambda, tmp_path: Path, trouble: str
) -> None:
    """With a fallback, that gets them, and they say why."""
    url, variables = TROUBLES[trouble]
    path = tmp_path / "fallback"
    await lambda_.start(**{**CREDENTIALS, **variables}, FORWARDER_SINKS=url, FORWARDER_FALLBACK=f"file://{path}")
    await lambda_.subscribe()
    await lambda_.invoke("r1", "one")
    assert await lambda_.shut_down() == 0
    assert "one" in [record["record"] for record in delivered(path)]
    assert all(record["lambda"]["reason"] for record in delivered(path))
    account = next(iter(lambda_.ledger["sinks"].values()))
    assert (account["fellBack"], account["dropped"]) == (lambda_.ledger["received"] + lambda_.ledger["added"], {})


@pytest.mark.parametrize("url", ["s3://b", "s3://bucket?colour=red", "https://host/?compression=rar"])
async def test_a_mistake_in_our_own_settings_stops_everything(lambda_: FakeLambda, tmp_path: Path, url: str) -> None:
    """A URL that says what it must not is no trouble of a sink: nothing is forwarded (docs/decisions/0004)."""
    path = tmp_path / "live"
    await lambda_.start(**CREDENTIALS, FORWARDER_SINKS=f"{url} file://{path}")
    await lambda_.invoke("r1")
    assert await lambda_.shut_down() == 0
    assert not path.exists()
    assert [line["message"] for line in lambda_.log] == ["bad settings; nothing is forwarded"]

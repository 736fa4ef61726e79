"""Moto for what publishes."""

from __future__ import annotations

import pytest

from tests.support.moto import moto as moto  # noqa: PLC0414 - a fixture, passed on to this folder
from tests.support.moto import moto_process as moto_process  # noqa: PLC0414 - as above
from tests.support.strict_aws import CREDENTIALS


@pytest.fixture(autouse=True)
def _aws_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials that are nobody's, and no file of the developer's own."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")

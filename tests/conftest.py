"""Fixtures for all tests: what runs is the layer as it ships, unzipped somewhere, wherever a process is under test."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from blockbuster import BlockBuster
from hypothesis import HealthCheck, settings

from extension import log
from layer import built
from tests.support import unzip
from tests.support.fake_lambda import FakeLambda

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

os.environ["PYTHONASYNCIODEBUG"] = "1"  # read by each event loop when it is made

# A busy machine is no reason to fail, and one commit has the same examples everywhere; CONTRIBUTING.md has others.
settings.register_profile(
    "repeatable", derandomize=True, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("explore", settings.get_profile("repeatable"), derandomize=False, max_examples=1000)
settings.load_profile("repeatable")


@pytest.fixture(autouse=True)
def no_blocking_calls() -> Iterator[None]:
    """A call of ours that blocks the event loop fails the test."""
    guard = BlockBuster("extension")
    guard.functions["os.write"].can_block_in("extension/log.py", {"write"})  # it asks first whether stderr is ready
    guard.activate()
    yield
    guard.deactivate()


@pytest.fixture(autouse=True)
def nothing_said() -> None:
    """What another test had said is said again."""
    log._said.clear()


@pytest.fixture(scope="session")
def layer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The layer of this machine's architecture that was built last, unzipped as Lambda does it, but not in /opt."""
    if os.environ.get("DEVLAYER"):
        return Path(os.environ["DEVLAYER"])
    archive = built()
    if not archive.exists():
        pytest.fail(f"{archive.name} is not there; `make layer` builds it")
    return unzip(archive, tmp_path_factory.mktemp("layer"))


@pytest.fixture
async def lambda_(layer: Path, tmp_path: Path) -> AsyncIterator[FakeLambda]:
    """The two APIs of Lambda, and the frozen forwarder when started."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    async with FakeLambda(layer / "extensions" / "telemetry-forwarder", temporary) as fake:
        yield fake

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from simulator.environment import Environment
from simulator.errors import SimulatorError
from simulator.sandbox.cpu import PERIOD_US, Share
from tests.support.probe_layer import EXAMPLE, MakeFunction

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GROUP = "import pathlib\nAT_INIT = QUOTA\ndef handler(event, context):\n    return [AT_INIT, QUOTA]\n"
# The quota of the group that the function itself is in, by version 1 or 2.
QUOTA = """[
    (group / name).read_text().split()[0]
    for line in pathlib.Path("/proc/self/cgroup").read_text().split()
    for root, name in (("/sys/fs/cgroup/cpu", "cpu.cfs_quota_us"), ("/sys/fs/cgroup", "cpu.max"))
    for group in [pathlib.Path(root + line.split(":", 2)[2])]
    if "lambda-" in group.name and (group / name).exists()
][0]"""


@pytest.fixture
def share() -> Iterator[Share]:
    """The share of 512 MB, where this machine lets one be made."""
    try:
        made = Share(512)
    except SimulatorError as error:
        pytest.skip(str(error))
    yield made
    made.close()


def test_share_is_in_proportion_to_memory(share: Share) -> None:
    """1769 MB are one core, so 512 MB are 29 % of each period."""
    assert share.quota_us == PERIOD_US * 512 // 1769


@pytest.mark.parametrize(("limit", "at_init"), [("always", "5788"), ("after-init", "-1 max")])
async def test_function_is_in_a_group_of_its_share(
    share: Share, function: MakeFunction, limit: str, at_init: str
) -> None:
    """From the start or from the end of init on, as asked for, the function's group has its quota."""
    folder = function(GROUP.replace("QUOTA", QUOTA))
    async with Environment(function=folder, limit_cpu=limit, memory_mb=512, timeout_s=20) as environment:
        done = await environment.invoke()
    before, after = done.payload
    assert before in at_init.split()
    assert after == str(share.quota_us)


async def test_share_without_cgroups_is_refused(tmp_path: Path) -> None:
    """Where no group can be made it says what it needs."""
    with pytest.raises(SimulatorError, match="needs root and a cgroup"):
        Share(128, cgroups=[(tmp_path / "none", "cpu.max", "{quota} {period}", "max")])


async def test_unknown_limit_is_refused() -> None:
    """A word that is no limit is named."""
    with pytest.raises(SimulatorError, match="limit cpu 'sometimes' is none of never, always, after-init"):
        Environment(function=EXAMPLE, limit_cpu="sometimes")

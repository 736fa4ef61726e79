from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from simulator.environment import Environment
from simulator.sandbox.memory import Limit
from tests.support.probe_layer import EXAMPLE, MakeFunction, Plan

if TYPE_CHECKING:
    from pathlib import Path

HUNGRY = "def handler(event, context):\n    return len(bytearray(event['mb'] << 20))\n"


def kind() -> str:
    """How this machine keeps a limit."""
    limit = Limit(128)
    limit.close()
    return limit.kind


async def test_function_over_its_memory_fails_and_recovers(probe: Path, plan: Plan, function: MakeFunction) -> None:
    """Too large an allocation ends the invocation with an error; the next, smaller one succeeds."""
    async with Environment(
        layer=probe, function=function(HUNGRY), env=plan(), limit_memory=True, memory_mb=128, timeout_s=20
    ) as environment:
        large = await environment.invoke({"mb": 400})
        small = await environment.invoke({"mb": 1})
    assert (large.status, small.status) == ("error", "success")
    if kind() == "cgroup":  # with an rlimit the allocation fails instead, as a MemoryError
        assert large.error_type == "Runtime.OutOfMemory"


async def test_memory_limit_without_cgroups_is_an_rlimit() -> None:
    """Where no group can be made the limit is kept for each process by itself."""
    assert Limit(128, cgroups=()).kind == "rlimit"


@pytest.mark.parametrize("megabytes", [64, 40_000])
async def test_memory_that_lambda_does_not_offer_is_refused(megabytes: int) -> None:
    """Lambda's functions have 128 to 32,768 MB."""
    with pytest.raises(Exception, match="is not in 128 to 32768"):
        Environment(function=EXAMPLE, memory_mb=megabytes)

"""The clocks of a FakeLambda's world, which a test moves.

clocks = Clocks(lambda_, tmp_path)
await lambda_.start(**clocks.variables)
clocks.jump(3600.0)                        # as in a freeze of an hour
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.sandbox import clocks

if TYPE_CHECKING:
    from pathlib import Path

    from simulator.faults import FreezeClocks
    from tests.support.fake_lambda import FakeLambda


class Clocks:
    """Moves the clocks of the extension that are `going`, and the deadlines that it is given.

    `variables` make it follow; `folder` is where what it is preloaded with is built.
    """

    def __init__(self, lambda_: FakeLambda, folder: Path, going: FreezeClocks = "both") -> None:
        self._lambda = lambda_
        self._clocks = clocks.Clocks(going)
        self.variables = self._clocks.preload(folder)

    def jump(self, seconds: float) -> None:
        """Let time pass at once."""
        self._clocks.freeze_ended(0.0, seconds)
        self._lambda.ahead_s += seconds

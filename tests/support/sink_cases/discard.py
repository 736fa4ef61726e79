"""Nobody: what was discarded can be read nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.sink_contract import Kind

if TYPE_CHECKING:
    from tests.support.fault_server import Action, Request


class Nobody:
    """Nobody comes, and nothing is there."""

    def __call__(self, request: Request) -> Action:
        """Nobody should come."""
        raise NotImplementedError

    def lines(self) -> list[bytes]:
        """Nothing."""
        return []


KIND = Kind(url=lambda _base, _folder: "discard://", receiver=lambda _folder: Nobody(), keeps=False)

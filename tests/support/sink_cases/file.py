"""A file instead of a server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.sink_contract import Kind

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.fault_server import Action, Request


class File:
    """A file instead of a server."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "out.ndjson"

    def __call__(self, request: Request) -> Action:
        """Nobody should come."""
        raise NotImplementedError

    def lines(self) -> list[bytes]:
        """Every line in the file."""
        return self._path.read_bytes().splitlines() if self._path.exists() else []


KIND = Kind(url=lambda _base, folder: f"file://{folder}/out.ndjson", receiver=File)

"""What lives of a sandbox have in common, and what outlives each of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from simulator.clock import Clock
    from simulator.sandbox.cpu import Share
    from simulator.sandbox.entrypoint import Entrypoint
    from simulator.sandbox.memory import Limit
    from simulator.sandbox.network import Proxy
    from simulator.sandbox.snapshot import Copy
    from simulator.settings import Settings
    from simulator.timeline import Timeline


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """Where sandboxes run, one after the other. `opt` holds the layers; `preload` are variables for every process.

    `tmp` stands for /tmp: what is in it outlives a reset, and nothing else.

    `written`, `sent` and `timeline` are added to, `tasks` holds what runs beside the phases; `runtime_api` is
    host:port.
    """

    settings: Settings
    clock: Clock
    timeline: Timeline
    written: list[bytes]
    sent: dict[str, list[bytes]]
    tasks: asyncio.TaskGroup
    runtime_api: str
    folder: Path
    opt: Path
    tmp: Path
    entrypoint: Entrypoint
    limit: Limit | None
    share: Share | None
    preload: Mapping[str, str]
    network: Sequence[Proxy]
    copy: Copy | None

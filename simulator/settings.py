"""What an execution environment is made of: the settings of Environment, the command line and scenario files."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

from simulator.errors import SimulatorError
from simulator.faults import Faults, FreezeClocks

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# Developer Guide, "Working with Lambda environment variables": AWS_LAMBDA_INITIALIZATION_TYPE.
InitType = Literal["on-demand", "provisioned-concurrency", "snap-start", "lambda-managed-instances"]
LogFormat = Literal["Text", "JSON"]
LimitCpu = Literal["never", "always", "after-init"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One function configuration. Times are seconds, `memory_mb` is MiB, `layers` are merged in order as in /opt."""

    layers: tuple[Path, ...]
    function: Path
    handler: str = "app.handler"
    bootstrap: str = ""  # the command that is the runtime; "": a file called bootstrap, else the one for Python
    env: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float = 3.0
    memory_mb: int = 128
    limit_memory: bool = False  # enforce memory_mb by a cgroup, or by rlimit where none can be made
    limit_cpu: LimitCpu = "never"  # to memory_mb / 1769 of a core, by a cgroup (needs root)
    freeze: bool = True
    init_type: InitType = "on-demand"
    init_timeout_s: float | None = None  # None: 10 s, or max(130 s, timeout) where init is not on demand
    max_concurrency: int = 4  # Managed Instances only
    log_format: LogFormat = "Text"
    tracing: bool = False
    mount_opt: bool = False  # bind the layer over /opt for the processes that are started (needs root)
    name: str = "function"
    version: str = "$LATEST"
    region: str = "us-east-1"
    account_id: str = "123456789012"
    faults: Faults = field(default_factory=Faults)

    @property
    def managed(self) -> bool:
        """Whether this is Lambda Managed Instances: concurrent, never frozen, no INVOKE for extensions."""
        return self.init_type == "lambda-managed-instances"

    @property
    def arn(self) -> str:
        """The ARN that invocations name."""
        return f"arn:aws:lambda:{self.region}:{self.account_id}:function:{self.name}"

    @property
    def init_limit_s(self) -> float:
        """Seconds that init may take: 10 on demand, else max(130, timeout) (Developer Guide, "lifecycle")."""
        if self.init_timeout_s is not None:
            return self.init_timeout_s
        return 10.0 if self.init_type == "on-demand" else max(130.0, self.timeout_s)

    def check(self) -> None:
        """Raise SimulatorError for what Lambda would refuse to create, or what cannot be found."""
        problems = [f"no layer at {layer}" for layer in self.layers if not layer.exists()]
        if not self.function.is_dir():
            problems.append(f"no function folder at {self.function}")
        if not 0 < self.timeout_s <= 900:
            problems.append(f"timeout {self.timeout_s} s is not above 0 and at most 900 s")
        if not 128 <= self.memory_mb <= 32768:
            problems.append(f"memory {self.memory_mb} MB is not in 128 to 32768")
        if self.init_type not in get_args(InitType):
            problems.append(f"init type {self.init_type!r} is none of {', '.join(get_args(InitType))}")
        if self.log_format not in get_args(LogFormat):
            problems.append(f"log format {self.log_format!r} is neither Text nor JSON")
        if self.limit_cpu not in get_args(LimitCpu):
            problems.append(f"limit cpu {self.limit_cpu!r} is none of {', '.join(get_args(LimitCpu))}")
        if self.faults.freeze_clocks not in get_args(FreezeClocks):
            problems.append(
                f"freeze clocks {self.faults.freeze_clocks!r} are none of {', '.join(get_args(FreezeClocks))}"
            )
        problems += [f"{key!r} is no name for a variable" for key in self.env if not key or "=" in key]
        if self.mount_opt and os.geteuid() != 0:
            problems.append("binding the layer over /opt needs root")
        if problems:
            raise SimulatorError("; ".join(problems))

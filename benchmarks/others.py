"""Other layers beside ours, in one run: how they start, what they hold, what a record costs, what arrives in time.

    python -m benchmarks.others [--other NAME=FOLDER,VARIABLE=value,... ...] [--rounds N]

FOLDER is an unzipped layer. In a value, {sink} stands for the URL of the sink of the run, and {host} for its address
and port. Always there: CPython itself, the usual extension, and a small one in C. Layers that are not given keep their
row of the last time that they were measured (others.json). With --other it needs root, since a layer may look for
itself under /opt.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks import cold_start
from benchmarks.intake import Intake, intake
from benchmarks.native import compile_c, fast_function
from benchmarks.results import add_json, layer_folder, machine, paired, save, table
from benchmarks.throughput import text_bytes
from benchmarks.under_fire import cpu_s
from layer import built
from simulator.environment import Environment
from simulator.faults import Faults
from simulator.sandbox import processes, variables
from simulator.sandbox.layer import extensions
from simulator.settings import Settings
from tests.support.strict_aws import CREDENTIALS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

BARE, OURS, FLOOR, USUAL = "bare python3 -I -S -c pass", "this layer", "a small extension in C", "the usual extension"
LINES, LINE_BYTES = 1000, 210
WARM = 3  # invocations
SETTLE_S = 2.0  # between the first /next and the look at memory: some load what they need after it
HELD_BACK = 64 << 20  # bytes that wait at the platform rather than be dropped
STORED = Path(__file__).parent / "others.json"


class Other(NamedTuple):
    """A layer: its folder, and the variables that it needs, with {sink} and {host} in them."""

    folder: Path
    variables: Mapping[str, str]

    def environment(self, url: str) -> dict[str, str]:
        """The variables for a run with a sink."""
        sink = url.rstrip("/")
        host = sink.removeprefix("http://")
        return {name: value.replace("{sink}", sink).replace("{host}", host) for name, value in self.variables.items()}


class Seen(NamedTuple):
    """One round of one subject: ms, ms, MiB, us of CPU a record, MiB; nan where it does not apply.

    `in_time` counts invocations whose lines were all in the sink when the extension asked for the next event, `arrived`
    the lines that were there after SHUTDOWN.
    """

    register: float
    next: float = float("nan")
    rss: float = float("nan")
    cpu: float = float("nan")
    peak: float = float("nan")
    in_time: int = 0
    arrived: int = 0


def parse_other(text: str) -> tuple[str, Other]:
    """The name and the layer of NAME=FOLDER,VARIABLE=value,...; ValueError."""
    first, *rest = text.split(",")
    pairs = [pair.partition("=") for pair in (first, *rest)]
    if not all(name and equals for name, equals, _ in pairs):
        raise ValueError(f"{text!r} is not of the form NAME=FOLDER,VARIABLE=value,...")
    (name, _, folder), *given = pairs
    return name, Other(Path(folder).resolve(), {key: value for key, _, value in given})


def extension(folder: Path) -> Path:
    """The one extension of a layer."""
    found = extensions(folder)
    assert len(found) == 1, f"{folder} has {len(found)} files in extensions/; one can be measured"
    return found[0]


@contextmanager
def at_opt(folder: Path, *, bound: bool) -> Iterator[Path]:
    """Where a layer is found: bound over /opt in this process's own namespace, or where it is."""
    if not bound:
        yield folder
        return
    subprocess.run(["mount", "--bind", folder, "/opt"], check=True)
    try:
        yield Path("/opt")
    finally:
        subprocess.run(["umount", "--lazy", "/opt"], check=True)  # what was killed may still be going


def begin(other: Other, *, bound: bool) -> cold_start.Run:
    """Start an extension once, against a bare socket that speaks the APIs."""
    settings = Settings(layers=(), function=Path())
    with intake() as sink, at_opt(other.folder, bound=bound) as folder:
        executable = extension(folder)
        environment = variables.for_extension(settings, "", "", Path(tempfile.gettempdir()))
        environment |= other.environment(sink.url)
        del environment["AWS_LAMBDA_RUNTIME_API"]
        return cold_start.start(cold_start.Subject("", [str(executable)], environment), SETTLE_S)


async def work(other: Other, function: Path, invocations: int, sink: Intake, *, bound: bool) -> Seen:
    """So many invocations of LINES lines in the simulator; a Seen without the figures of the start."""
    name = extension(other.folder).name
    async with Environment(
        layer=other.folder,
        function=function,
        env=other.environment(sink.url),
        memory_mb=512,
        timeout_s=30.0,
        mount_opt=bound,
        faults=Faults(hold_back_bytes=HELD_BACK),
    ) as environment:
        event = {"loops": 0, "lines": LINES, "bytes": text_bytes(LINE_BYTES)}
        for _ in range(WARM):
            await _invoke(environment, event)
        started = environment.timeline.named("process.start")
        [leader] = [one.details["pid"] for one in started if one.details["name"] == name]
        assert environment.sent.get(name), f"{name} gets no telemetry"
        pids = [leader, *processes.descendants(leader)]
        used = sum(map(cpu_s, pids))
        there: list[set[Path]] = []
        for _ in range(invocations):
            await _invoke(environment, event)
            there.append(sink.bodies())
        assert pids == [leader, *processes.descendants(leader)], f"{name} starts processes as it goes"
        used = sum(map(cpu_s, pids)) - used
        peak = processes.peak_memory_mb([leader])
        await environment.shutdown()
        dropped = environment.timeline.named("telemetry.dropped")
        assert not dropped, f"{name} did not get all: {dropped[0]}"
    lines = {body: sink.lines_of(body) for body in sink.bodies()}
    arrived = {line for some in lines.values() for line in some}
    in_time = sum(
        set(range(number * LINES, (number + 1) * LINES)) <= {line for body in bodies for line in lines[body]}
        for number, bodies in enumerate(there, WARM)
    )
    cpu_us = used / (invocations * LINES) * 1e6
    return Seen(float("nan"), cpu=cpu_us, peak=peak, in_time=in_time, arrived=len(arrived))


async def _invoke(environment: Environment, event: Mapping[str, int]) -> None:
    done = await environment.invoke(event)
    assert done.status == "success", f"{done}: {environment.timeline.named('failure')}"


def measure(other: Other, function: Path, invocations: int, *, bound: bool) -> Seen:
    """One round of one subject."""
    run = begin(other, bound=bound)
    with intake() as sink:
        seen = asyncio.run(work(other, function, invocations, sink, bound=bound))
    return seen._replace(register=run.register_ms, next=run.next_ms, rss=run.next_mib)


def subjects(folder: Path, given: Mapping[str, Other]) -> dict[str, Other]:
    """What is always there, and what was given."""
    ours = layer_folder(built(), folder / "ours")
    compile_c("floor", folder / "floor" / "extensions" / "floor")
    usual = folder / "usual" / "extensions" / "usual"
    usual.parent.mkdir(parents=True)
    usual.symlink_to(cold_start.freeze_usual() / "onedir" / "onedir")
    return {
        OURS: Other(ours, {"FORWARDER_SINKS": "{sink}/", "FORWARDER_FLUSH": "invocation"}),
        FLOOR: Other(folder / "floor", {"FLOOR_SINK": "{host}"}),
        USUAL: Other(folder / "usual", {**CREDENTIALS, "AWS_ENDPOINT_URL": "{sink}"}),
        **given,
    }


def row(name: str, rounds: Mapping[str, Sequence[Seen]], invocations: int) -> list[str]:
    """A row of the table: medians, and ratios of the same round to CPython itself and to the small extension."""
    columns = {field: [getattr(one, field) for one in rounds[name]] for field in Seen._fields}
    register, ready, rss, cpu, peak, in_time, arrived = (statistics.median(column) for column in columns.values())
    x_bare = paired(columns["register"], [one.register for one in rounds[BARE]])
    if name == BARE:
        return [name, f"{register:.1f}", f"{x_bare:.2f}", *[""] * 7]
    x_floor = paired(columns["cpu"], [one.cpu for one in rounds[FLOOR]])
    lost = (WARM + invocations) * LINES - arrived
    return [
        name,
        *(f"{register:.1f}", f"{x_bare:.2f}", f"{ready:.1f}", f"{rss:.1f}"),
        *(f"{cpu:.2f}", f"{x_floor:.2f}", f"{peak:.1f}", f"{in_time:.0f} of {invocations}", f"{lost:.0f}"),
    ]


def stored(without: Sequence[str]) -> list[list[str]]:
    """The rows of layers that are not in this run."""
    content = json.loads(STORED.read_text())
    return [
        [
            f"{one['title']}, measured {content['measured']}",
            *(str(one["register"]), "", str(one["next"]), str(one["rss"])),
            *(str(one["cpu"]), "", str(one["peak"]), one["delivered"], ""),
        ]
        for name, one in content["rows"].items()
        if name not in without
    ]


def enter_namespace() -> None:
    """Begin anew in a mount namespace of our own, for what is bound over /opt."""
    command = ["unshare", "--mount", sys.executable, "-m", "benchmarks.others", *sys.argv[1:], "--in-namespace"]
    os.execvp(command[0], command)  # noqa: S606 - no input of a stranger reaches it


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.others", description=__doc__)
    add = parser.add_argument
    add("--other", action="append", type=parse_other, default=[], metavar="NAME=FOLDER,VARIABLE=value,...")
    add("--rounds", type=int, default=7)
    add("--invocations", type=int, default=40)
    add("--in-namespace", action="store_true", help=argparse.SUPPRESS)
    add_json(parser)
    options = parser.parse_args()
    given = dict(options.other)
    if given and not options.in_namespace:
        enter_namespace()
    rounds: dict[str, list[Seen]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        compared, function = subjects(folder, given), fast_function(folder / "function")
        for round_ in range(-1, options.rounds):  # one round to warm the file cache
            measured = {BARE: Seen(cold_start.start_bare().register_ms)}
            for name, other in compared.items():
                measured[name] = measure(other, function, options.invocations, bound=bool(given))
            for name, seen in measured.items() if round_ >= 0 else ():
                rounds.setdefault(name, []).append(seen)
    sizes = f"{options.invocations} invocations of {LINES} lines of {LINE_BYTES} bytes"
    print(f"{machine()}; {options.rounds} rounds of {sizes}; medians\n")
    titles = ["extension", "register, ms", "x bare", "first next, ms", "RSS 2 s later, MiB"]
    titles += ["us of CPU a record", "x floor", "peak RSS, MiB", "invocations in the sink at next", "lines lost"]
    rows = [row(name, rounds, options.invocations) for name in rounds]
    print(table(titles, [*rows, *stored(list(given))]))
    save(options.json, "others", {"titles": titles, "rows": rows, "stored": stored(list(given))})


if __name__ == "__main__":
    main()

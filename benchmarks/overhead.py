"""What a function feels of a layer: its first invocation in our simulator, with the CPU that its memory gives it.

    python -m benchmarks.overhead [--layer NAME=FOLDER-or-zip ...] [--rounds N] [--memory MB ...] [--freeze SECONDS]

In each round every cell is measured once without a layer and once with each. What counts is the sum that is billed:
init and the first invocation to its end, the tail after platform.runtimeDone included. Then tails of warm invocations,
by flush mode and by how long the sink takes. Needs root, for a cgroup.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import statistics
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.intake import Intake, intake
from benchmarks.native import fast_function, python_function
from benchmarks.results import add_json, layer_folder, machine, paired, save, table
from layer import built
from simulator.environment import Environment
from simulator.faults import Faults

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NONE = "no layer"
LINE_BYTES = 140
TIMEOUT_S = 60.0
LOOPS = {"fast": 50_000_000, "slow": 1_600_000}  # some 20 ms of a whole core
INITS = {"throttled": "always", "not throttled": "after-init"}
MODES = {"invocation": "invocation", "dense": "adaptive"}
SINKS_MS = (1, 20, 200)
WARM = 15  # invocations until adaptive knows the rhythm
DENSE_S = 2.0  # between invocations at most, of the mean, that adaptive takes for dense
DROP = 0.05  # by so much the sum has to be lower in every cell of a memory size


class Cell(NamedTuple):
    """One kind of cold start."""

    memory_mb: int
    runtime: str
    init: str
    freezes: bool

    def words(self) -> list[str]:
        """It as columns of a table."""
        return [str(self.memory_mb), self.runtime, self.init, "after a freeze" if self.freezes else "at once"]


class Felt(NamedTuple):
    """What one cold start took, in ms; `next` is the first one of the extension, from exec; nan without one."""

    next: float
    init: float
    invocation: float  # until runtimeDone
    tail: float
    billed: float
    handler: float


class Subjects(NamedTuple):
    """What is compared: folders of layers by name, None for no layer, and the functions by their kind of runtime."""

    layers: Mapping[str, Path | None]
    functions: Mapping[str, Path]


def felt(environment: Environment) -> Felt:
    """The figures of an environment's first invocation."""
    moments = environment.timeline
    [report] = [one.details["metrics"] for one in moments.named("platform.report")]
    [done] = [one.details for one in moments.named("platform.runtimeDone")]
    assert done["status"] == "success", done
    [invocation] = environment.invocations
    starts = {one.details["name"]: one.at for one in moments.named("process.start")}
    asked = [(one.at - starts[one.details["name"]]) * 1000 for one in moments.named("extension.next")]
    init, whole, until_done = report["initDurationMs"], report["durationMs"], done["metrics"]["durationMs"]
    return Felt(
        asked[0] if asked else float("nan"),
        init,
        until_done,
        whole - until_done,
        init + whole,
        invocation.payload["handlerMs"],
    )


async def first_invocations(
    plan: Sequence[tuple[Cell, str]], subjects: Subjects, freeze_s: float, sink: Intake
) -> dict[tuple[Cell, str], Felt]:
    """Begin what is to freeze, one after the other, then invoke all, one after the other: freezes pass together."""
    async with AsyncExitStack() as stack:
        environments: dict[tuple[Cell, str], Environment] = {}
        for cell, name in plan:
            layer = subjects.layers[name]
            environment = Environment(
                layer=layer or (),
                function=subjects.functions[cell.runtime],
                handler="handler.handler",
                env={"FORWARDER_SINKS": sink.url},
                memory_mb=cell.memory_mb,
                limit_cpu=INITS[cell.init],
                timeout_s=TIMEOUT_S,
                faults=Faults(freeze_s=freeze_s, vanish=True),
            )
            environments[cell, name] = await stack.enter_async_context(environment)
            if cell.freezes:
                assert await environment.init(), f"{name}: init failed in {cell}"
        return {key: await first_invocation(*key, one, sink) for key, one in environments.items()}


async def first_invocation(cell: Cell, name: str, environment: Environment, sink: Intake) -> Felt:
    """Invoke, and see that what the function printed is in the sink when the extensions are done."""
    before = len(sink.lines())
    done = await environment.invoke({"loops": LOOPS[cell.runtime], "lines": 1, "bytes": LINE_BYTES})
    assert done.status == "success", f"{name}: {done} in {cell}"
    expected = 0 if name == NONE else 1
    assert len(sink.lines()) - before == expected, f"{name}: not delivered before the freeze in {cell}"
    return felt(environment)


async def cells(options: argparse.Namespace, subjects: Subjects, sink: Intake) -> dict[tuple[Cell, str], list[Felt]]:
    """All rounds of all cells."""
    figures: dict[tuple[Cell, str], list[Felt]] = {}
    for round_ in range(options.rounds):
        for memory in options.memory:
            kinds = [Cell(memory, *rest) for rest in itertools.product(LOOPS, INITS, (False, True))]
            names = list(subjects.layers)[:: -1 if round_ % 2 else 1]  # nobody is always first
            plan = [(cell, name) for cell in kinds for name in names]
            for key, one in (await first_invocations(plan, subjects, options.freeze, sink)).items():
                figures.setdefault(key, []).append(one)
    return figures


def medians(runs: Sequence[Felt]) -> Felt:
    """The median of each figure."""
    return Felt(*(statistics.median(column) for column in zip(*runs, strict=True)))


class Row(NamedTuple):
    """One cell with one layer: medians in ms, and ratios to the run without a layer in the same round."""

    cell: list[str]
    layer: str
    figures: dict[str, float]


def summary(figures: Mapping[tuple[Cell, str], list[Felt]]) -> list[Row]:
    """One row for each cell and subject."""
    rows = []
    for (cell, name), runs in figures.items():
        bare = figures[cell, NONE]
        ratios = {
            "x billed": paired([one.billed for one in runs], [one.billed for one in bare]),
            "x handler": paired([one.handler for one in runs], [one.handler for one in bare]),
        }
        rows.append(Row(cell.words(), name, medians(runs)._asdict() | ratios))
    return rows


def against(figures: Mapping[tuple[Cell, str], list[Felt]], first: str, other: str) -> dict[int, list[float]]:
    """By memory size, in each cell: the ratio of the billed sum with `other` to that with `first`."""
    found: dict[int, list[float]] = {}
    for cell in dict.fromkeys(cell for cell, _ in figures):
        sums = [[one.billed for one in figures[cell, name]] for name in (other, first)]
        found.setdefault(cell.memory_mb, []).append(paired(*sums))
    return found


def verdict(ratios: Sequence[float]) -> str:
    """Whether a layer is chosen over another at one memory size."""
    return "yes" if max(ratios) <= 1 - DROP else "no"


class Tail(NamedTuple):
    """Milliseconds from platform.runtimeDone until the extensions were done: of each invocation."""

    sink_ms: int
    mode: str
    layer: str
    took: list[float]


async def tails(options: argparse.Namespace, subjects: Subjects, sink_ms: int, sink: Intake) -> list[Tail]:
    """The tails of warm invocations with one sink, in turn."""
    async with AsyncExitStack() as stack:
        environments = {}
        for mode, name in itertools.product(MODES, subjects.layers):
            environments[mode, name] = await stack.enter_async_context(
                Environment(
                    layer=subjects.layers[name] or (),
                    function=subjects.functions["fast"],
                    env={"FORWARDER_SINKS": sink.url, "FORWARDER_FLUSH": MODES[mode]},
                    memory_mb=options.tail_memory,
                    limit_cpu="after-init",
                    timeout_s=TIMEOUT_S,
                )
            )
        for _ in range(WARM + options.invocations):
            for environment in environments.values():
                done = await environment.invoke({"loops": 0, "lines": 10, "bytes": LINE_BYTES})
                assert done.status == "success", done
        for environment in environments.values():
            await environment.shutdown()
    lines = 10 * (WARM + options.invocations)
    forwarding = [key for key in environments if key[1] != NONE]
    assert len(sink.lines()) == lines * len(forwarding), f"{len(sink.lines())} lines for {lines} of each"
    return [Tail(sink_ms, *key, _tails(one)) for key, one in environments.items()]


def _tails(environment: Environment) -> list[float]:
    reports = [one.details["metrics"]["durationMs"] for one in environment.timeline.named("platform.report")]
    done = environment.timeline.named("platform.runtimeDone")
    starts = [one.at for one in environment.timeline.named("platform.start")]
    gap_s = (starts[-1] - starts[0]) / (len(starts) - 1)
    assert gap_s < DENSE_S, f"an invocation every {gap_s:.1f} s is not dense"
    tails = [whole - one.details["metrics"]["durationMs"] for whole, one in zip(reports, done, strict=True)]
    return tails[WARM:]


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead", description=__doc__)
    add = parser.add_argument
    add("--layer", action="append", default=[], metavar="NAME=PATH", help="a folder or a zip; several may be given")
    add("--rounds", type=int, default=3)
    add("--memory", type=int, nargs="+", default=[128, 512, 1769], metavar="MB")
    add("--freeze", type=float, default=10.0, help="seconds")
    add("--tail-memory", type=int, default=1769, metavar="MB")
    add("--invocations", type=int, default=30, help="for the tails")
    add("--only", choices=["cells", "tails"], help="half of it")
    add_json(parser)
    return parser.parse_args()


def named(layers: Sequence[str], folder: Path) -> dict[str, Path | None]:
    """No layer, and the layers that were named as NAME=PATH, unzipped."""
    pairs = [layer.split("=", 1) for layer in layers] or [["the layer", str(built())]]
    unzipped = {name: layer_folder(Path(path).resolve(), folder / name) for name, path in pairs}
    return {NONE: None, **unzipped}


def show_cells(figures: Mapping[tuple[Cell, str], list[Felt]], layers: Sequence[str]) -> list[Row]:
    """Print the table of cold starts, and what decides between the first layer and each further one; the rows."""
    rows = summary(figures)
    titles = ["MB", "runtime", "init of the function", "INVOKE", "layer", *rows[0].figures]
    print(table(titles, [[*row.cell, row.layer, *map(_cell, row.figures.items())] for row in rows]))
    for other in layers[1:]:
        print(f"\nThe billed sum with {other}, times that with {layers[0]}:\n")
        found = against(figures, layers[0], other)
        ratios = {memory: ", ".join(f"{ratio:.2f}" for ratio in cells) for memory, cells in found.items()}
        titles = ["MB", "in each cell, in the order above", f"{DROP:.0%} lower in every cell"]
        print(table(titles, [[str(memory), ratios[memory], verdict(cells)] for memory, cells in found.items()]))
    return rows


def _cell(figure: tuple[str, float]) -> str:
    name, value = figure
    return f"{value:.2f}" if name.startswith("x ") else f"{value:.0f}".replace("nan", "")


def show_tails(measured: Sequence[Tail]) -> list[Row]:
    """Print the table of tails; its rows."""
    rows = []
    for one in measured:
        often = sorted(one.took)[len(one.took) * 95 // 100]
        figures = {"median": statistics.median(one.took), "95 %": often, "most": max(one.took)}
        rows.append(Row([str(one.sink_ms), one.mode], one.layer, figures))
    titles = ["the sink takes, ms", "mode", "layer", *rows[0].figures]
    print(table(titles, [[*row.cell, row.layer, *(f"{value:.1f}" for value in row.figures.values())] for row in rows]))
    return rows


def main() -> None:
    """Measure, and print the tables."""
    options = parse()
    saved: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        functions = {"fast": fast_function(folder / "fast"), "slow": python_function(folder / "slow")}
        subjects = Subjects(named(options.layer, folder), functions)
        print(f"{machine()}\n")
        if options.only != "tails":
            with intake() as sink:
                figures = asyncio.run(cells(options, subjects, sink))
            print(f"The first invocation: medians of {options.rounds} rounds, in ms; freezes of {options.freeze} s\n")
            saved["cells"] = [row._asdict() for row in show_cells(figures, list(subjects.layers)[1:])]
        if options.only != "cells":
            measured = []
            for sink_ms in SINKS_MS:
                with intake(sink_ms / 1000) as sink:
                    measured += asyncio.run(tails(options, subjects, sink_ms, sink))
            print(f"\nAfter runtimeDone, ms, {options.invocations} invocations at {options.tail_memory} MB\n")
            saved["tails"] = [row._asdict() for row in show_tails(measured)]
    save(options.json, "overhead", saved)


if __name__ == "__main__":
    main()

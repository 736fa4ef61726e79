"""How well presets tell secrets from what looks like one, and what they cost.

python -m benchmarks.redaction [--rounds N] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from extension import field_paths
from extension.pipeline.redact import Redact
from extension.pipeline.redactor import Redactor, Unreadable
from extension.presets import PRESETS
from extension.records import Record
from tests.support.redaction_corpus import corpus, scores

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TIME = "2026-11-21T03:53:22.117Z"
TEXT = (
    "2026-11-21T03:53:22.117Z\ta1a32258-dddc-4daa-950a-fe632b74be91\tINFO\tprocessed order 12345 of customer 889 in 35"
    " ms, cache hit, 3 items, 2 left\n"
)
OBJECT = {
    "timestamp": TIME,
    "level": "INFO",
    "requestId": "a1a32258-dddc-4daa-950a-fe632b74be91",
    "message": "order taken",
    "order": 12345,
    "items": 3,
    "cached": True,
}
RECORDS = 1000
MIB = 1 << 20
WORST = {r"(a+)+$": "a", r"(a|aa)*b": "a", r"([ab]*a[ab]{20})": "ab"}  # by expression what a line of 1 MiB consists of


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = {"presets": accuracy(), "cost": cost(options.rounds), "worst": worst()}
    if options.json:
        options.json.write_text(json.dumps(found))


def accuracy() -> dict[str, list[float]]:
    """Precision and recall on the corpus."""
    samples = corpus()
    with_secret = sum(1 for sample in samples if sample.preset)
    print(f"{len(samples)} texts, {with_secret} with a secret\n")
    print("| preset | right | false | missed | precision | recall |\n|---|---|---|---|---|---|")
    found = scores(Redactor(PRESETS, [], []), samples)
    for name, score in found.items():
        counts = f"{score.right} | {score.false} | {score.missed}"
        print(f"| {name} | {counts} | {score.precision:.4f} | {score.recall:.4f} |")
    return {name: [score.precision, score.recall] for name, score in found.items()}


def record(content: object) -> Record:
    """A record as the step gets it."""
    line = orjson.dumps({"time": TIME, "type": "function", "record": content})
    return Record(-1, "function", line, "function", TIME, "", content)


def cost(rounds: int) -> dict[str, list[float]]:
    """CPU for a record, beside json.loads of its line, in turn in every round; medians."""
    texts, objects = [record(TEXT)] * RECORDS, [record(OBJECT)] * RECORDS
    hits = [record(f"{TEXT[:-1]} mail anna@example.com")] * RECORDS
    fields = field_paths.parse("user.password")
    steps = {f"`{name}`": Redact(Redactor([name], [], [])) for name in PRESETS}
    steps["all six"] = Redact(Redactor(PRESETS, [], []))
    steps["a field, `user.password`"] = Redact(Redactor([], [], fields))
    steps["an expression, `hunter-[0-9]+`"] = Redact(Redactor([], [(1, "hunter-[0-9]+")], []))
    steps["all of these"] = Redact(Redactor(PRESETS, [(1, "hunter-[0-9]+")], fields))
    assert [steps["all of these"](records)[0] is records[0] for records in (texts, objects)] == [True, True]
    assert b"[redacted:email]" in steps["all of these"](hits)[0].line

    sizes = [len(records[0].line) for records in (texts, objects)]
    print(f"\nA line of text of {sizes[0]} bytes, one of JSON of {sizes[1]}, and the first with an address in it:\n")
    print("| rule | text, us | x json.loads | JSON, us | x json.loads | with a match, us |\n|---|---|---|---|---|---|")
    table: dict[str, list[float]] = {}
    times: dict[tuple[str, int], list[float]] = {}
    for _ in range(rounds):
        for number, records in enumerate((texts, objects)):
            times.setdefault(("json.loads", number), []).append(timed(parse_all, records))
        for name, step in steps.items():
            for number, records in enumerate((texts, objects, hits)):
                times.setdefault((name, number), []).append(timed(step, records))
    loads = [statistics.median(times["json.loads", number]) for number in (0, 1)]
    print(f"| json.loads | {loads[0]:.2f} | 1 | {loads[1]:.2f} | 1 | |")
    for name in steps:
        text, parsed, hit = (statistics.median(times[name, number]) for number in (0, 1, 2))
        table[name] = [text, text / loads[0], parsed, parsed / loads[1], hit]
        shown = f"{hit:.1f}" if "email" in name or name.startswith("all") else ""
        print(f"| {name} | {text:.2f} | {text / loads[0]:.2f} | {parsed:.2f} | {parsed / loads[1]:.2f} | {shown} |")
    return table


def parse_all(records: Sequence[Record]) -> None:
    """The same lines by the standard library."""
    for one in records:
        json.loads(one.line)


def timed(step: Callable[[list[Record]], object], records: list[Record]) -> float:
    """Microseconds of CPU for one of the records."""
    start = time.thread_time_ns()
    step(records)
    return (time.thread_time_ns() - start) / 1000 / len(records)


def worst() -> dict[str, float]:
    """CPU for a line of 1 MiB that is made for an expression."""
    print("\n| expression | line of 1 MiB of | ms | what became of it |\n|---|---|---|---|")
    table: dict[str, float] = {}
    for expression, letters in WORST.items():
        for ending in ("", "c"):
            text = letters * (MIB // len(letters)) + ending
            redactor = Redactor([], [(1, expression)], [])
            line = record(text).line
            start = time.thread_time()
            try:
                suspected = redactor.suspects(line)
                became = f"{redactor.line(line)[1]} replaced" if suspected else "nothing found"
            except Unreadable as error:
                became = f"withheld: {error}"
            spent = (time.thread_time() - start) * 1000
            table[expression + ending] = spent
            print(f"| `{expression}` | `{letters}`{', then `c`' * bool(ending)} | {spent:.1f} | {became} |")
    return table


if __name__ == "__main__":
    main()

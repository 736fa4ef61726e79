"""What each rule costs a record, and what expressions cost that are hard for other engines.

    python -m benchmarks.rules [--rounds N]

In microseconds of CPU, with the google-re2 that is installed; the layer's is the same, compiled by another compiler.
"""

from __future__ import annotations

import argparse
import random
import statistics
from functools import partial
from time import process_time
from typing import TYPE_CHECKING, NamedTuple

import orjson

from benchmarks.results import add_json, machine, save, table
from extension.expressions import Expression
from extension.pipeline.filter import Filter
from extension.records import Record
from extension.rules import Rules

if TYPE_CHECKING:
    from collections.abc import Callable

RECORDS = 2000
LINE_BYTES = 1 << 20
ID = "79b5e81f-9cdd-4145-b1f6-7c50ef8a2a36"
TEXT = (
    "GET /orders/42 took 17 ms for a customer who has been with us for as long as the shop is there, and paid in time "
    * 2
)
CONTENTS = {
    "text": TEXT,
    "text with a level": f"[INFO]\t2026-11-21T00:00:00.123Z\t{ID}\t{TEXT}",
    "object": {"timestamp": "2026-11-21T00:00:00.123Z", "level": "INFO", "requestId": ID, "message": TEXT},
    "text of JSON": orjson.dumps({"level": "info", "message": TEXT, "user": {"id": 7}}).decode(),
}
RULES = {
    "types": {},
    "min_level=INFO": {"min_level": "INFO"},
    "one expression": {"exclude": "GET /healthz"},
    "ten expressions": {"exclude": "\n".join(rf"GET /path{number}/\d+" for number in range(10))},
    "(?i) and classes": {"include": r"(?i)\b(took|failed in)\s+\d+ ?ms"},
    "a field": {"exclude": "user.id=8"},
}
HARD = ("(a+)+$", "(a|aa)*b", "([ab]*a[ab]{20})")


class Cost(NamedTuple):
    """Of one rule and one kind of record, in microseconds of CPU a record."""

    rule: str
    content: str
    plain_us: float
    stamped_us: float


class Search(NamedTuple):
    """Of one expression in one line of a MiB, in milliseconds of CPU."""

    expression: str
    line: str
    matches: str
    whether_ms: float
    spans_ms: float


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    add_json(parser)
    arguments = parser.parse_args()
    costs = measure_rules(arguments.rounds)
    searches = measure_searches(arguments.rounds)
    print(f"{machine()}\n")
    print(
        table(["rule", "record", "us", "us, a rule of one sink"], [(*cost[:2], *_rounded(cost[2:])) for cost in costs])
    )
    print()
    print(
        table(
            ["expression", "line of 1 MiB", "is in it", "filter, ms", "spans, ms"],
            [
                ("`" + one.expression.replace("|", "\\|") + "`", one.line, one.matches, *_rounded(one[3:]))
                for one in searches
            ],
        )
    )
    save(arguments.json, "rules", {"costs": costs, "searches": searches})


def measure_rules(rounds: int) -> list[Cost]:
    """Each rule on each kind of record, in turn in every round; medians."""
    taken: dict[tuple[str, str, bool], list[float]] = {}
    for _ in range(rounds):
        for rule, texts in RULES.items():
            for name, content in CONTENTS.items():
                for stamped in (False, True):
                    step = Filter(("other",), (), Rules(texts) if texts else None, stamped=stamped)
                    batch = [record(content, stamped=stamped)] * RECORDS
                    took = timed(partial(step, batch))
                    taken.setdefault((rule, name, stamped), []).append(took / RECORDS * 1e6)
    return [
        Cost(rule, name, statistics.median(taken[rule, name, False]), statistics.median(taken[rule, name, True]))
        for rule in RULES
        for name in CONTENTS
    ]


def measure_searches(rounds: int) -> list[Search]:
    """Each hard expression in each of the lines, as a filter asks and as redaction does; medians."""
    return [search(expression, name, line, rounds) for expression in HARD for name, line in lines().items()]


def search(text: str, name: str, line: bytes, rounds: int) -> Search:
    """One expression in one line."""
    asked, found = Expression(text, only_whether=True), Expression(text)
    is_in = asked.is_in(line)
    assert is_in == any(found.spans(line))
    whether = statistics.median(timed(lambda: asked.is_in(line)) for _ in range(rounds))
    spans = statistics.median(timed(lambda: list(found.spans(line))) for _ in range(rounds))
    return Search(text, name, "yes" if is_in else "no", whether * 1000, spans * 1000)


def lines() -> dict[str, bytes]:
    """Lines that are hard for some engine: one letter, the same that ends in another, letters by chance, pieces."""
    draw = random.Random(1)  # noqa: S311 - the same letters each time
    mixed = bytes(draw.choices(b"ab", k=LINE_BYTES))
    pieces = b"c".join(mixed[at : at + 20] for at in range(0, LINE_BYTES * 20 // 21, 20))
    return {
        "a...a": b"a" * LINE_BYTES,
        "a...a!": b"a" * (LINE_BYTES - 1) + b"!",
        "a and b by chance": mixed,
        "20 of them, c, ...": pieces,
    }


def record(content: object, *, stamped: bool) -> Record:
    """A record as a rule of all sinks meets it, or of one."""
    line = orjson.dumps({"time": "2026-11-21T00:00:00.000Z", "type": "function", "record": content})
    if stamped:
        key = {"functionName": "orders", "requestId": ID, "environment": "0123456789abcdef", "id": "0123456789abcdef-1"}
        line = line[:-1] + b',"lambda":' + orjson.dumps(key) + b"}"
    return Record(1, "function", line, "function", "", ID, None if stamped else content)


def timed(call: Callable[[], object]) -> float:
    """Seconds of CPU."""
    began = process_time()
    call()
    return process_time() - began


def _rounded(values: tuple[float, ...]) -> list[str]:
    return [f"{value:.2f}" for value in values]


if __name__ == "__main__":
    main()

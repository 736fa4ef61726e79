"""What a fleet costs and asks of its sinks, by a model with AWS's list prices; and its retries in an outage, simulated.

python -m benchmarks.scale [--text 210] [--interval 20] [--outage 600]

Nothing is timed here. The lines are the forwarder's own, compressed as its sinks compress them; limits of a request are
those of the sinks; pauses between retries are those of delivery/health.py, with its clock and its randomness injected.
"""

from __future__ import annotations

import argparse
import math
import random
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.results import add_json, machine, save, table
from extension.delivery.health import Health
from extension.lambda_key import LINE, LambdaKey
from extension.records import Batch, Record
from extension.sinks import Outcome, Reply, firehose, kinesis, logs, sqs
from extension.sinks._compression import compress_gzip

if TYPE_CHECKING:
    from collections.abc import Callable

MONTH_S = 730 * 3600
GB = 10**9
# Environments, and lines a second in each.
FLEETS = ((10, 10.0), (100, 10.0), (1_000, 1.0), (1_000, 100.0), (10_000, 1.0))
WORDS = ["order", "customer", "cache", "miss", "request", "took", "item", "updated", "retry", "queue", "payment", "for"]

# List prices in us-east-1 as of November 2026, in US dollars, without free tiers and discounts.
LAMBDA_GB_S = 0.0000166667  # x86_64
S3_PUT, S3_GB_MONTH = 0.005 / 1000, 0.023
FIREHOSE_GB, FIREHOSE_STEP = 0.029, 5 << 10  # each record is rounded up to so many bytes
KINESIS_SHARD_HOUR, KINESIS_UNIT, KINESIS_UNIT_BYTES = 0.015, 0.014 / 10**6, 25 << 10
SQS_REQUEST, SQS_STEP = 0.40 / 10**6, 64 << 10
LOGS_GB = 0.50  # PutLogEvents
LAMBDA_LOGS_GB = ((10_000, 0.50), (20_000, 0.25), (20_000, 0.10), (math.inf, 0.05))  # GB of a month, price of each
OUT_GB = 0.09  # to the internet
EVENT_BYTES = 26  # that CloudWatch Logs adds to each event

# What one region's account may ask for, before a quota is raised ("Quotas" in the services' guides).
S3_PUTS_S = 3_500  # for each prefix
FIREHOSE_BYTES_S, FIREHOSE_RECORDS_S = 5 << 20, 500_000
LOGS_REQUESTS_S = 5_000


class Load(NamedTuple):
    """What one fleet sends: requests count one flush of each environment, every `interval_s`."""

    environments: int
    lines_s: float  # in each of them
    interval_s: float
    line_bytes: int  # as NDJSON sinks send it
    gzip_bytes: float
    text_bytes: int

    @property
    def lines_month(self) -> float:
        """Of all environments."""
        return self.environments * self.lines_s * MONTH_S

    def requests_s(self, most_lines: int, most_bytes: int) -> float:
        """Requests of all environments, when each takes no more than that."""
        lines = self.lines_s * self.interval_s
        in_a_flush = max(1.0, math.ceil(lines / most_lines), math.ceil(lines * self.line_bytes / most_bytes))
        return self.environments * min(in_a_flush / self.interval_s, self.lines_s)


class Asked(NamedTuple):
    """What a sink is asked for, and what that costs in a month."""

    requests_s: float
    dollars: float
    limit: str


def to_s3(load: Load) -> Asked:
    """An object for each flush."""
    requests = load.requests_s(1 << 20, 16 << 20)
    dollars = requests * MONTH_S * S3_PUT + load.lines_month * load.gzip_bytes / GB * S3_GB_MONTH
    return Asked(requests, dollars, f"{requests / S3_PUTS_S:.1%} of {S3_PUTS_S:,} PUT/s a prefix")


def to_firehose(load: Load) -> Asked:
    """Each line a record of its own, rounded up."""
    requests = load.requests_s(firehose.MAX_RECORDS, firehose.MAX_BYTES)
    rounded = math.ceil(load.line_bytes / FIREHOSE_STEP) * FIREHOSE_STEP
    share = load.environments * load.lines_s / FIREHOSE_RECORDS_S
    return Asked(
        requests, load.lines_month * rounded / GB * FIREHOSE_GB, f"{share:.1%} of {FIREHOSE_RECORDS_S:,} records/s"
    )


def to_firehose_packed(load: Load) -> Asked:
    """pack=true: as many lines in a record as there are in a flush."""
    requests = load.requests_s(1 << 20, firehose.MAX_BYTES)
    record = min(load.line_bytes * max(1.0, load.lines_s * load.interval_s), firehose.MAX_RECORD_BYTES)
    rounded = math.ceil(record / FIREHOSE_STEP) * FIREHOSE_STEP / record
    share = load.environments * load.lines_s * load.line_bytes / FIREHOSE_BYTES_S
    dollars = load.lines_month * load.line_bytes * rounded / GB * FIREHOSE_GB
    return Asked(requests, dollars, f"{share:.1%} of {FIREHOSE_BYTES_S >> 20} MiB/s")


def to_kinesis(load: Load) -> Asked:
    """As many shards as the lines need."""
    requests = load.requests_s(kinesis.MAX_RECORDS, kinesis.MAX_BYTES)
    lines_s = load.environments * load.lines_s
    shards = math.ceil(max(lines_s / 1000, lines_s * load.line_bytes / (1 << 20)))
    units = load.lines_month * math.ceil(load.line_bytes / KINESIS_UNIT_BYTES)
    return Asked(requests, shards * 730 * KINESIS_SHARD_HOUR + units * KINESIS_UNIT, f"needs {shards:,} shards")


def to_sqs(load: Load) -> Asked:
    """pack=true: messages of up to 1 MiB, charged by 64 KiB."""
    requests = load.requests_s(1 << 20, sqs.MAX_BYTES)
    steps = math.ceil(load.lines_s * load.interval_s * load.line_bytes / SQS_STEP)
    flushes = load.environments * min(1 / load.interval_s, load.lines_s)
    return Asked(requests, flushes * steps * MONTH_S * SQS_REQUEST, "none for a standard queue")


def to_logs(load: Load) -> Asked:
    """A log group of its own, whose events are whole lines."""
    requests = load.requests_s(logs.MAX_EVENTS, logs.MAX_BYTES)
    dollars = load.lines_month * (load.line_bytes + EVENT_BYTES) / GB * LOGS_GB
    return Asked(requests, dollars, f"{requests / LOGS_REQUESTS_S:.1%} of {LOGS_REQUESTS_S:,} requests/s")


def to_https(load: Load) -> Asked:
    """Compressed, over the internet; what the backend charges is beside it."""
    requests = load.requests_s(10_000, 4 << 20)
    return Asked(requests, load.lines_month * load.gzip_bytes / GB * OUT_GB, "the backend's own")


def by_cloudwatch(load: Load) -> Asked:
    """What Lambda itself charges for the lines in CloudWatch Logs, by the tiers of its price."""
    left, dollars = load.lines_month * (load.text_bytes + EVENT_BYTES) / GB, 0.0
    for size, price in LAMBDA_LOGS_GB:
        part = min(left, size)
        dollars += part * price
        left -= part
    return Asked(0.0, dollars, "without the forwarder")


SINKS: dict[str, Callable[[Load], Asked]] = {
    "CloudWatch Logs, by Lambda": by_cloudwatch,
    "s3": to_s3,
    "firehose": to_firehose,
    "firehose pack=true": to_firehose_packed,
    "kinesis": to_kinesis,
    "sqs pack=true": to_sqs,
    "logs": to_logs,
    "https": to_https,
}


def sample(count: int, text_bytes: int) -> list[Record]:
    """Records of one invocation after the other, each of a text of about so many bytes in words and numbers."""
    made = random.Random(7)  # noqa: S311 - the same lines every time
    key = LambdaKey(
        {
            "functionName": "checkout-orders",
            "functionVersion": "$LATEST",
            "functionArn": "arn:aws:lambda:us-east-1:123456789012:function:checkout-orders",
            "region": "us-east-1",
            "accountId": "123456789012",
        },
        f"{made.getrandbits(64):016x}",
    )
    records = []
    for number in range(count):
        if number % 10 == 0:
            begun = key.begun(f"{made.getrandbits(128):032x}")
        text = ""
        while len(text) < text_bytes:
            text += f"{made.choice(WORDS)} {made.getrandbits(24)} " if made.random() < 0.3 else f"{made.choice(WORDS)} "
        line = b'{"time":"2026-11-21T10:00:%02d.%03dZ","type":"function","record":"%b"}' % (
            number // 50 % 60, number % 1000, text[:text_bytes].encode()
        )  # fmt: skip
        records.append(Record(number, "function", LINE % (len(line) - 1, line, begun, number)))
    return records


def load_of(environments: int, lines_s: float, interval_s: float, text_bytes: int) -> Load:
    """A load whose lines are measured, in batches of what an environment gathers between two flushes."""
    records = sample(max(1, min(5_000, round(lines_s * interval_s))), text_bytes)
    body = Batch("x-0", records).ndjson()
    compressed = len(compress_gzip(body)) / len(records)
    return Load(environments, lines_s, interval_s, len(body) // len(records), compressed, text_bytes)


def tail_dollars(invocations: float, tail_ms: float, memory_mb: int) -> float:
    """What it costs in a month to hold so many invocations for so long."""
    return invocations * tail_ms / 1000 * memory_mb / 1024 * LAMBDA_GB_S


def month_of_300(text_bytes: int) -> list[list[str]]:
    """What a month of them costs, by sink and by the time between two flushes."""
    lines_s = 10 * 1_000_000 / MONTH_S
    loads = [load_of(300, lines_s, interval_s, text_bytes) for interval_s in (20.0, 300.0)]
    return [[name, *(f"{ask(load).dollars:,.0f}" for load in loads)] for name, ask in SINKS.items()]


def retries(environments: int, outage_s: float, *, jitter: bool, seed: int = 7) -> tuple[Counter[int], float]:
    """Requests of a fleet in each second, from the beginning of an outage; and when the last one was answered again.

    Every environment is busy, as on a fleet under load, and has a batch to send at any time; after its first answer it
    counts no more. Without `jitter` each pause is as long as it may be.
    """
    randomness = random.Random(seed)  # noqa: S311 - the same fleet every time
    seconds: Counter[int] = Counter()
    last = 0.0
    for _ in range(environments):
        now = 0.0
        health = Health(lambda: now, randomness.uniform if jitter else lambda _, most: most)  # noqa: B023 - called at once
        health.open()
        while True:
            health.attempts()
            seconds[int(now)] += 1
            if now >= outage_s:
                break
            health.note(Reply(Outcome.DOWN, "down"), 0.0)
            now = max(now + 0.001, health.ready_at)
        last = max(last, now)
    return seconds, last - outage_s


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--text", type=int, default=210, help="bytes of a line's text")
    parser.add_argument("--interval", type=float, default=20.0, help="seconds between two flushes")
    parser.add_argument("--outage", type=float, default=600.0, help="seconds that a sink is down")
    parser.add_argument("--tail", type=float, default=25.0, help="ms that an invocation is held (benchmarks.overhead)")
    add_json(parser)
    options = parser.parse_args()
    print(f"{machine()}; list prices of us-east-1, November 2026\n")
    rows: list[list[str]] = []
    dollars: dict[str, dict[str, float]] = {}
    for environments, lines_s in FLEETS:
        load = load_of(environments, lines_s, options.interval, options.text)
        for name, ask in SINKS.items():
            asked = ask(load)
            requests = f"{asked.requests_s:,.1f}" if asked.requests_s else ""
            dollars.setdefault(f"{environments:,} environments, {lines_s:g} lines/s each", {})[name] = asked.dollars
            rows.append([f"{environments:,}", f"{lines_s:g}", name, requests, asked.limit, f"{asked.dollars:,.0f}"])
    print(f"A line is {load.line_bytes} bytes as NDJSON, its text {load.text_bytes}.\n")
    print(table(["environments", "lines/s each", "sink", "requests/s", "of its limit", "US$ a month"], rows))
    month = 300 * 1_000_000.0  # invocations of 300 functions
    print("\n300 functions of 128 MB, a million invocations a month each in one environment, 10 lines each; US$:\n")
    print(table(["sink", "a flush in 20 s", "a flush in 300 s"], month_of_300(options.text)))
    print(
        f"\nheld {options.tail:g} ms each (sparse) US$ {tail_dollars(month, options.tail, 128):,.0f}; overlapped none"
    )
    outages = []
    for jitter in (True, False):
        seconds, back_s = retries(1_000, options.outage, jitter=jitter)
        during = sum(count for second, count in seconds.items() if 60 <= second < options.outage)
        outages.append(
            [
                "with jitter, as it is" if jitter else "without",
                f"{during / (options.outage - 60):,.0f}",
                f"{max(count for second, count in seconds.items() if second >= 60):,}",
                f"{back_s:.1f}",
            ]
        )
    print(f"\n1,000 busy environments, a sink that is down for {options.outage:g} s; from the second minute on:\n")
    print(table(["pauses", "requests/s", "most in one second", "all back after, s"], outages))
    save(options.json, "scale", {"dollars": dollars})


if __name__ == "__main__":
    main()

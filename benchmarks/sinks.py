"""CPU per record of every AWS sink, how full its requests are, and what compression costs.

    python -m benchmarks.sinks [--records 100000]

Records of 300 bytes, as logs have them, go through a Delivery and a sink to a strict service in this process, which
fails one entry in twenty. CPU is that of the sending thread alone. Best of three runs; ratios hold on other machines,
microseconds do not.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import time
import zlib
from typing import TYPE_CHECKING

from benchmarks.results import add_json, save
from extension.records import Batch
from extension.sinks._compression import compress_gzip, compress_zstd
from tests.support.batches import open_sink
from tests.support.fault_server import FaultServer
from tests.support.reach import RECORD_BYTES, deliver, records
from tests.support.strict_aws import CREDENTIALS, Service, failing_share

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.reach import Reached

URLS = [
    "s3://bucket",
    "s3://bucket?compression=zstd",
    "s3://bucket?compression=none",
    "firehose://stream",
    "firehose://stream?pack=true",
    "kinesis://stream",
    "sqs://queue",
    "sqs://queue?pack=true",
    "logs://group",
]
RUNS = 3

COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "isal 1 (compression=gzip)": compress_gzip,
    "zstandard 1 (compression=zstd)": compress_zstd,
    "zlib 1": lambda data: zlib.compress(data, 1, 31),
    "zlib 6": lambda data: zlib.compress(data, 6, 31),
}


def measure(url: str, count: int) -> Reached:
    """One run through one sink, with none missing and none twice."""
    service = Service(fail=failing_share(0.05))
    with FaultServer(service) as server:
        os.environ["AWS_ENDPOINT_URL"] = server.url
        sink = open_sink(url)
        sent = records(count)
        gc.collect()
        outcome = asyncio.run(deliver(sink, service, sent))
        sink.close()
    assert outcome.arrived.keys() == {record.line for record in sent}
    assert max(outcome.arrived.values()) == 1
    return outcome


def main() -> None:
    """Print both tables as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=100_000)
    add_json(parser)
    options = parser.parse_args()
    count = options.records
    os.environ.update(CREDENTIALS)

    print(f"| sink ({count} records of {RECORD_BYTES} bytes) | us of CPU a record | requests filled to |")
    print("|---|---|---|")
    costs = {}
    for url in URLS:
        outcomes = [measure(url, count) for _ in range(RUNS)]
        cpu_us = min(outcome.cpu_s for outcome in outcomes) / count * 1e6
        costs[url] = cpu_us
        fill = min(outcome.fill for outcome in outcomes)
        print(f"| `{url}` | {cpu_us:.2f} | {f'{fill:.0%}' if fill else ''} |", flush=True)

    data = Batch("e-1", records(10_000)).ndjson()
    print("\n| compression | us of CPU a record | size |")
    print("|---|---|---|")
    for name, compress in COMPRESSORS.items():
        best = min(timed(compress, data) for _ in range(RUNS))
        print(f"| {name} | {best / 10_000 * 1e6:.2f} | {len(compress(data)) / len(data):.1%} |")
        costs[name] = best / 10_000 * 1e6
    save(options.json, "sinks", {"cpu_us": costs})


def timed(compress: Callable[[bytes], bytes], data: bytes) -> float:
    """CPU seconds of one call."""
    started = time.thread_time()
    compress(data)
    return time.thread_time() - started


if __name__ == "__main__":
    main()

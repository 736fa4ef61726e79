"""CPU per record of every AWS sink, how full its requests are, what compression costs, and what OTLP's encoding does.

    python -m benchmarks.sinks [--records 100000] [--encoding]

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

import orjson
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from benchmarks.results import add_json, save
from extension.records import Batch
from extension.sinks._compression import compress_gzip, compress_zstd
from extension.sinks._otlp_logs import encode
from extension.sinks._otlp_resource import build
from tests.support.batches import line, open_sink
from tests.support.fault_server import FaultServer
from tests.support.reach import RECORD_BYTES, deliver, records
from tests.support.strict_aws import CREDENTIALS, Service, failing_share

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.proto.resource.v1.resource_pb2 import Resource

    from extension.records import Record
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

OTLP_RECORDS: dict[str, object] = {
    "text, two attributes": "request=81 handled=27 ms=93 user=11 order=52\n",
    "text as Node's runtime writes it": "2026-11-21T04:05:06.788Z\t00000000-0000-4000-8000-000000000000\tINFO\tx=81",
    "object of 8 fields": {
        "timestamp": "2026-11-21T04:05:06.788Z",
        "level": "INFO",
        "message": "order processed",
        "requestId": "00000000-0000-4000-8000-000000000000",
        "orderId": "o-81",
        "amount": 12.5,
        "items": 3,
        "paid": True,
    },
}

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
    parser.add_argument("--encoding", action="store_true", help="only what OTLP's encoding costs")
    add_json(parser)
    options = parser.parse_args()
    if options.encoding:
        encoding()
        return
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
    encoding()
    save(options.json, "sinks", {"cpu_us": costs})


def timed(compress: Callable[[bytes], bytes], data: bytes) -> float:
    """CPU seconds of one call."""
    started = time.thread_time()
    compress(data)
    return time.thread_time() - started


def encoding(count: int = 5_000) -> None:
    """Print what it costs to make log records of OpenTelemetry, beside the least that protobuf itself takes for it."""
    print("\n| record | us of CPU, as protobuf | x floor |")
    print("|---|---|---|")
    floors = [timed_floor(count)]
    for name, content in OTLP_RECORDS.items():
        found = [one._replace(line=otlp_line(content, at)) for at, one in enumerate(records(count))]
        resource = build({"functionName": "demo"}, {})
        best = min(timed_encode(found, resource) for _ in range(RUNS))
        floors.append(timed_floor(count))  # between the others, since the machine is not always as fast
        print(f"| {name} | {best / count * 1e6:.2f} | {best / min(floors):.1f} |", flush=True)
    print(f"| floor: a record of constants, two attributes | {min(floors) / count * 1e6:.2f} | 1.0 |")


def otlp_line(content: object, sequence: int) -> bytes:
    """A line with this value of its key "record"."""
    template = orjson.loads(line(sequence, ""))
    return orjson.dumps({**template, "record": content})


def timed_encode(found: list[Record], resource: Resource) -> float:
    """CPU seconds to encode the records."""
    started = time.thread_time()
    encode(found, resource, as_json=False)
    return time.thread_time() - started


def timed_floor(count: int) -> float:
    """CPU seconds to add as many records to a request and serialise it, when all that they say is known."""
    request = ExportLogsServiceRequest()
    add = request.resource_logs.add().scope_logs.add().log_records.add
    text, uid = "x" * 50, "0f1e2d3c4b5a6978-1"
    started = time.thread_time()
    for _ in range(count):
        log = add(time_unix_nano=1, observed_time_unix_nano=1)
        log.body.string_value = text
        log.attributes.add(key="faas.invocation_id").value.string_value = uid
        log.attributes.add(key="log.record.uid").value.string_value = uid
    request.SerializeToString()
    return time.thread_time() - started


if __name__ == "__main__":
    main()

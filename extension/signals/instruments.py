"""Every metric there is: its name, unit and buckets.

Those of faas.* are of "Semantic conventions for FaaS metrics" (OpenTelemetry, in development); faas.invocations are, as
they say, the successful ones, so that with errors and timeouts each invocation is in exactly one of three. The names of
aws.lambda.* are ours, after the fields of the Telemetry API that they hold, in the unit that OpenTelemetry's "Metrics
semantic conventions" ask for; those of telemetry_forwarder.* are the ledger's.
"""

from __future__ import annotations

from typing import NamedTuple

KIB, MIB = 1 << 10, 1 << 20
# The conventions' advice for faas.invoke_duration and faas.init_duration; the same for every duration.
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
# They advise nothing for bytes. A function has 128 to 10,240 MB; its answer 6 MB, or 200 where it streams.
MEMORY = tuple(
    size * MIB for size in (32, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192)
)
ANSWER = (256, KIB, 4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, MIB, 4 * MIB, 16 * MIB, 64 * MIB)


class Instrument(NamedTuple):
    """A sum that only grows, or with `bounds` a histogram. The unit is a code of UCUM."""

    unit: str
    bounds: tuple[float, ...] = ()


INSTRUMENTS = {
    "faas.invocations": Instrument("{invocation}"),
    "faas.errors": Instrument("{error}"),
    "faas.timeouts": Instrument("{timeout}"),
    "faas.coldstarts": Instrument("{coldstart}"),
    "faas.invoke_duration": Instrument("s", SECONDS),
    "faas.init_duration": Instrument("s", SECONDS),
    "faas.mem_usage": Instrument("By", MEMORY),
    "aws.lambda.billed_duration": Instrument("s", SECONDS),
    "aws.lambda.restore_duration": Instrument("s", SECONDS),
    "aws.lambda.response_latency": Instrument("s", SECONDS),
    "aws.lambda.response_duration": Instrument("s", SECONDS),
    "aws.lambda.runtime_overhead": Instrument("s", SECONDS),
    "aws.lambda.extension_overhead": Instrument("s", SECONDS),
    "aws.lambda.produced_bytes": Instrument("By", ANSWER),
    "aws.lambda.out_of_memory": Instrument("{invocation}"),
    "aws.lambda.unused_inits": Instrument("{init}"),
    "aws.lambda.shutdowns": Instrument("{shutdown}"),
    "aws.lambda.dropped_records": Instrument("{record}"),
    "aws.lambda.dropped_bytes": Instrument("By"),
    "telemetry_forwarder.received": Instrument("{record}"),
    "telemetry_forwarder.added": Instrument("{record}"),
    "telemetry_forwarder.filtered": Instrument("{record}"),
    "telemetry_forwarder.joined": Instrument("{record}"),
    "telemetry_forwarder.sampled_out": Instrument("{record}"),
    "telemetry_forwarder.delivered": Instrument("{record}"),
    "telemetry_forwarder.fell_back": Instrument("{record}"),
    "telemetry_forwarder.excluded": Instrument("{record}"),
    "telemetry_forwarder.restored": Instrument("{record}"),
    "telemetry_forwarder.dropped": Instrument("{record}"),
}

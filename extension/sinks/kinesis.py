"""kinesis://stream: PutRecords, one record per line, spread over the shards by a partition key."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from extension.sinks import Failure, Limits, _aws, choice

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from extension.records import Batch, Record
    from extension.sinks import SinkURL
    from extension.sinks._iam import Place

# The build reads these two to leave out of botocore's data what is never called.
SERVICE = "kinesis"
OPERATIONS = ("PutRecords",)

SCHEMES = ("kinesis",)
URL = "kinesis://stream"
SUMMARY = "records of a Kinesis data stream"
PARAMETERS = _aws.PARAMETERS | {"partition_key"}
HARMLESS = _aws.HARMLESS | {"partition_key"}
IAM_ACTIONS = ("kinesis:PutRecords",)
PROBE = "one record"

# "PutRecords", Kinesis Data Streams API Reference. Streams take 1 MiB a record and 5 MiB a request; since 2025 up to 10
# of each where their owner raised it, which cannot be known from here. Both limits include the partition keys.
MAX_RECORDS = 500
MAX_BYTES = 5 << 20
MAX_RECORD_BYTES = 1 << 20
MAX_KEY = 256


class KinesisSink:
    """Puts each batch in one request; what the shards had no room for is to be sent again."""

    limits = Limits(MAX_RECORDS, MAX_BYTES - MAX_RECORDS * MAX_KEY, MAX_RECORD_BYTES - MAX_KEY - 1)

    def __init__(self, client: _aws.Client, stream: str, partition_key: Callable[[Batch, Record], str]) -> None:
        self._client = client
        self._stream = stream
        self._partition_key = partition_key

    def send(self, batch: Batch, timeout_s: float) -> Sequence[Failure]:
        """Put the batch; the records that Kinesis did not take. Raises as Client.call does."""
        records = [
            {"Data": record.line + b"\n", "PartitionKey": self._partition_key(batch, record)}
            for record in batch.records
        ]
        answer = self._client.call(
            "PutRecords", timeout_s, expect=["Records"], StreamName=self._stream, Records=records
        )
        failed = _aws.failed(range(len(records)), answer["Records"])
        return [Failure(position, code) for position, code in failed]

    def close(self) -> None:
        """Give up the kept connection."""
        self._client.close()


def open_sink(target: SinkURL) -> KinesisSink:
    """Make a sink of kinesis://stream."""
    stream = _aws.name(target, "kinesis://stream")
    key = choice(target, "partition_key", tuple(PARTITION_KEYS))
    return KinesisSink(_aws.Client(SERVICE, f"stream {stream}", target), stream, PARTITION_KEYS[key])


def permissions(target: SinkURL, place: Place) -> dict[str, str]:
    """What the role needs: the resource of each of IAM's actions."""
    return dict.fromkeys(IAM_ACTIONS, place.arn(SERVICE, f"stream/{target.host}"))


def by_request(batch: Batch, record: Record) -> str:
    """All of an invocation in one shard, in order; what belongs to none goes by its environment."""
    return record.request_id[:MAX_KEY] or by_environment(batch, record)


def by_environment(batch: Batch, record: Record) -> str:  # noqa: ARG001 - one signature for all
    """All of an execution environment in one shard, in order."""
    return batch.environment[:MAX_KEY]


def by_chance(batch: Batch, record: Record) -> str:  # noqa: ARG001 - one signature for all
    """Evenly over all shards."""
    return f"{random.getrandbits(64):x}"


PARTITION_KEYS: dict[str, Callable[[Batch, Record], str]] = {
    "request": by_request,
    "environment": by_environment,
    "random": by_chance,
}

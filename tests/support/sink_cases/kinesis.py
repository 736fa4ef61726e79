"""A stream of one shard."""

from tests.support.sink_contract import aws_kind

KIND = aws_kind(
    "kinesis://telemetry",
    lambda client: client("kinesis").create_stream(StreamName="telemetry", ShardCount=1),
    "ProvisionedThroughputExceededException",
)

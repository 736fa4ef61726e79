"""A standard queue."""

from tests.support.sink_contract import aws_kind

KIND = aws_kind("sqs://telemetry", lambda client: client("sqs").create_queue(QueueName="telemetry"), "RequestThrottled")

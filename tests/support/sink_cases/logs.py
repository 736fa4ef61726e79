"""A log group."""

from tests.support.sink_contract import aws_kind

KIND = aws_kind("logs://telemetry", lambda client: client("logs").create_log_group(logGroupName="telemetry"))

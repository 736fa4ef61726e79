"""A bucket."""

from tests.support.sink_contract import aws_kind
from tests.support.strict_aws import REGION

KIND = aws_kind(
    "s3://telemetry/raw",
    lambda client: client("s3").create_bucket(
        Bucket="telemetry", CreateBucketConfiguration={"LocationConstraint": REGION}
    ),
    "SlowDown",
)

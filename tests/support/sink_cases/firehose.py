"""A stream with the bucket that it writes to."""

from tests.support.sink_contract import Client, aws_kind
from tests.support.strict_aws import REGION


def _prepare(client: Client) -> None:
    """Without a bucket, moto answers 500."""
    location = {"LocationConstraint": REGION}
    client("s3").create_bucket(Bucket="behind-firehose", CreateBucketConfiguration=location)
    bucket = {"BucketARN": "arn:aws:s3:::behind-firehose", "RoleARN": "arn:aws:iam::123456789012:role/unused"}
    client("firehose").create_delivery_stream(DeliveryStreamName="telemetry", ExtendedS3DestinationConfiguration=bucket)


KIND = aws_kind("firehose://telemetry", _prepare, "ServiceUnavailableException")

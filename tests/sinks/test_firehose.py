from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from extension.sinks import Failure, Refused, Unavailable
from tests.support.batches import batch, line
from tests.support.strict_aws import Service, reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from extension.sinks import Sink
    from tests.support.strict_aws import Strict

STREAM = "telemetry"


def test_moto_puts_the_lines_into_its_bucket(aws: Callable[[str], Any], open_for_test: Callable[[str], Sink]) -> None:
    """Behind a real Firehose API, the lines come out one behind the other, each on its own line."""
    s3 = aws("s3")
    s3.create_bucket(Bucket="lake", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    destination = {"RoleARN": "arn:aws:iam::123456789012:role/firehose", "BucketARN": "arn:aws:s3:::lake"}
    aws("firehose").create_delivery_stream(DeliveryStreamName=STREAM, ExtendedS3DestinationConfiguration=destination)
    sent = batch(line(1), line(2, "ü"))
    assert list(open_for_test(f"firehose://{STREAM}").send(sent, 10.0)) == []
    [found] = s3.list_objects_v2(Bucket="lake")["Contents"]
    assert s3.get_object(Bucket="lake", Key=found["Key"])["Body"].read() == sent.ndjson()


@pytest.mark.usefixtures("moto")
def test_missing_stream(open_for_test: Callable[[str], Sink]) -> None:
    """A stream that is not there is named, with its region."""
    with pytest.raises(Refused, match="there is no stream nothing in eu-west-1; create it"):
        open_for_test("firehose://nothing").send(batch(line(1)), 10.0)


def test_failed_records_are_named(strict: Callable[..., Strict]) -> None:
    """Of a request that Firehose took in part, exactly the records that it did not take are to be sent again."""
    found = strict(f"firehose://{STREAM}", Service(fail=lambda number: number in {1, 3}))
    sent = batch(*[line(number) for number in range(5)])
    code = "ServiceUnavailableException"
    assert list(found.sink.send(sent, 5.0)) == [Failure(1, code), Failure(3, code)]
    assert found.service.lines() == [line(0), line(2), line(4)]


def test_packed_records_hold_many_lines(strict: Callable[..., Strict]) -> None:
    """With pack=true, records are filled with lines up to Firehose's limit, and all lines arrive in order."""
    found = strict(f"firehose://{STREAM}?pack=true")
    lines = [line(number, "x" * 1000) for number in range(3000)]
    assert list(found.sink.send(batch(*lines), 10.0)) == []
    [call] = found.service.calls
    assert call.entries == 4
    assert found.service.lines() == lines


def test_failed_packed_record_fails_its_lines(strict: Callable[..., Strict]) -> None:
    """A packed record that is not taken fails all the lines in it and no others."""
    found = strict(f"firehose://{STREAM}?pack=true", Service(fail=lambda number: number == 1))
    lines = [line(number, "x" * 1000) for number in range(3000)]
    failed = {failure.position for failure in found.sink.send(batch(*lines), 10.0)}
    taken = set(found.service.lines())
    assert failed == {position for position, one in enumerate(lines) if one not in taken}
    assert 0 < len(failed) < len(lines)


@pytest.mark.parametrize("url", ["firehose://", "firehose://a/b"])
def test_url_without_a_stream(url: str, open_for_test: Callable[[str], Sink]) -> None:
    """A URL must name a stream and nothing else."""
    with pytest.raises(ValueError, match="expected firehose://stream"):
        open_for_test(url)


def test_pack_is_a_choice(open_for_test: Callable[[str], Sink]) -> None:
    """pack= takes no other words."""
    with pytest.raises(ValueError, match="pack= is none of false, true"):
        open_for_test(f"firehose://{STREAM}?pack=yes")


def test_the_code_of_a_record_decides(strict: Callable[..., Strict]) -> None:
    """A record that has an error code was not taken, whatever the answer counts."""
    responses = [{"RecordId": "1"}, {"ErrorCode": "ServiceUnavailableException", "ErrorMessage": "Slow down."}]
    found = strict(f"firehose://{STREAM}", Service([reply({"FailedPutCount": 0, "RequestResponses": responses})]))
    failures = list(found.sink.send(batch(line(0), line(1)), 5.0))
    assert failures == [Failure(1, "ServiceUnavailableException")]


@pytest.mark.parametrize("count", [0, 1, 3])
@pytest.mark.parametrize("failed", [0, 1])
def test_an_answer_for_another_number_of_records(count: int, failed: int, strict: Callable[..., Strict]) -> None:
    """An answer that does not fit says nothing of any record: all are sent again."""
    answer = {"FailedPutCount": failed, "RequestResponses": [{"RecordId": "1"}] * count}
    found = strict(f"firehose://{STREAM}", Service([reply(answer)]))
    with pytest.raises(Unavailable, match=f"an answer for {count} of 2 records"):
        found.sink.send(batch(line(0), line(1)), 5.0)

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from extension.sinks import Failure, Refused, Unavailable
from tests.support.batches import ENVIRONMENT, batch, line
from tests.support.strict_aws import Service, reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from extension.sinks import Sink
    from tests.support.strict_aws import Strict

STREAM = "telemetry"


def test_moto_gives_back_the_lines(aws: Callable[[str], Any], open_for_test: Callable[[str], Sink]) -> None:
    """From a real Kinesis API, a consumer reads each line as one record, ended by a newline."""
    kinesis = aws("kinesis")
    kinesis.create_stream(StreamName=STREAM, ShardCount=1)
    assert list(open_for_test(f"kinesis://{STREAM}").send(batch(line(1), line(2)), 10.0)) == []
    shard = kinesis.list_shards(StreamName=STREAM)["Shards"][0]["ShardId"]
    start = kinesis.get_shard_iterator(StreamName=STREAM, ShardId=shard, ShardIteratorType="TRIM_HORIZON")
    records = kinesis.get_records(ShardIterator=start["ShardIterator"])["Records"]
    assert [record["Data"] for record in records] == [line(1) + b"\n", line(2) + b"\n"]


@pytest.mark.usefixtures("moto")
def test_missing_stream(open_for_test: Callable[[str], Sink]) -> None:
    """A stream that is not there is named, with its region."""
    with pytest.raises(Refused, match="there is no stream nothing in eu-west-1; create it"):
        open_for_test("kinesis://nothing").send(batch(line(1)), 10.0)


def test_throttled_records_are_named(strict: Callable[..., Strict]) -> None:
    """Exactly the records that a shard had no room for are to be sent again."""
    found = strict(f"kinesis://{STREAM}", Service(fail=lambda number: number in {0, 2}))
    failures = found.sink.send(batch(line(0), line(1), line(2)), 5.0)
    code = "ProvisionedThroughputExceededException"
    assert list(failures) == [Failure(0, code), Failure(2, code)]


def partition_keys(found: Strict) -> list[str]:
    """The partition keys of the only request."""
    [body] = found.service.bodies
    return [record["PartitionKey"] for record in body["Records"]]


def test_key_is_the_request(strict: Callable[..., Strict]) -> None:
    """By default an invocation's records go to one shard: the key is its request id."""
    found = strict(f"kinesis://{STREAM}")
    found.sink.send(batch(line(5), line(15)), 5.0)
    assert partition_keys(found) == ["00000000-0000-4000-8000-000000000000", "00000001-0000-4000-8000-000000000000"]


def test_key_of_what_belongs_to_no_request(strict: Callable[..., Strict]) -> None:
    """A record without a request id goes with its environment, even if its text speaks of a request id."""
    found = strict(f"kinesis://{STREAM}")
    found.sink.send(batch(b'{"record":{"requestId":"not-this"},"lambda":{"environment":"e"}}'), 5.0)
    assert partition_keys(found) == [ENVIRONMENT]


def test_key_is_the_environment(strict: Callable[..., Strict]) -> None:
    """With partition_key=environment all of an environment's records go to one shard."""
    found = strict(f"kinesis://{STREAM}?partition_key=environment")
    found.sink.send(batch(line(5), line(15)), 5.0)
    assert partition_keys(found) == [ENVIRONMENT, ENVIRONMENT]


def test_key_is_random(strict: Callable[..., Strict]) -> None:
    """With partition_key=random records spread over all shards."""
    found = strict(f"kinesis://{STREAM}?partition_key=random")
    found.sink.send(batch(*[line(1)] * 100), 5.0)
    assert len(set(partition_keys(found))) == 100


def test_longest_key_fits(strict: Callable[..., Strict]) -> None:
    """The longest record with the longest key is within Kinesis' limit, which counts both."""
    found = strict(f"kinesis://{STREAM}")
    frame = b'{"record":"%b","lambda":{"requestId":"%b"}}'
    key = b"r" * 256
    record = frame % (b"x" * (found.sink.limits.record_bytes - len(frame % (b"", key))), key)
    assert list(found.sink.send(batch(record), 5.0)) == []
    assert partition_keys(found) == [key.decode()]


def test_partition_key_is_a_choice(open_for_test: Callable[[str], Sink]) -> None:
    """partition_key= takes no other words."""
    with pytest.raises(ValueError, match="partition_key= is none of request, environment, random"):
        open_for_test(f"kinesis://{STREAM}?partition_key=user")


def test_the_code_of_a_record_decides(strict: Callable[..., Strict]) -> None:
    """A record that has an error code was not taken, whatever the answer counts."""
    records = [{"SequenceNumber": "1", "ShardId": "s"}, {"ErrorCode": "InternalFailure", "ErrorMessage": "No."}]
    found = strict(f"kinesis://{STREAM}", Service([reply({"FailedRecordCount": 0, "Records": records})]))
    assert list(found.sink.send(batch(line(0), line(1)), 5.0)) == [Failure(1, "InternalFailure")]


@pytest.mark.parametrize("count", [0, 1, 3])
@pytest.mark.parametrize("failed", [0, 1])
def test_an_answer_for_another_number_of_records(count: int, failed: int, strict: Callable[..., Strict]) -> None:
    """An answer that does not fit says nothing of any record: all are sent again."""
    answer = {"FailedRecordCount": failed, "Records": [{"SequenceNumber": "1", "ShardId": "s"}] * count}
    found = strict(f"kinesis://{STREAM}", Service([reply(answer)]))
    with pytest.raises(Unavailable, match=f"an answer for {count} of 2 records"):
        found.sink.send(batch(line(0), line(1)), 5.0)

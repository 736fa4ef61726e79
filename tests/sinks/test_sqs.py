from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from extension.delivery.disk import Disk
from extension.delivery.queue import Queue
from extension.sinks import Failure, Limits, Outcome, Refused
from tests.support.batches import ENVIRONMENT, batch, line
from tests.support.reach import run_empty
from tests.support.strict_aws import ErrorAnswer, Service, Slow, refuse, reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from extension.sinks import Sink
    from tests.support.fault_server import Request
    from tests.support.strict_aws import Strict

QUEUE = "telemetry"


def receive(sqs: Any, url: str) -> list[dict[str, Any]]:
    """Every message in a queue, taken out of it: the group of a message that is only read waits for it."""
    found: list[dict[str, Any]] = []
    asked = {"QueueUrl": url, "MaxNumberOfMessages": 10, "MessageSystemAttributeNames": ["All"]}
    while messages := sqs.receive_message(**asked).get("Messages"):
        found += messages
        for message in messages:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return found


def test_moto_gives_back_the_lines(aws: Callable[[str], Any], open_for_test: Callable[[str], Sink]) -> None:
    """From a real SQS API, a consumer gets each line as one message."""
    sqs = aws("sqs")
    url = sqs.create_queue(QueueName=QUEUE)["QueueUrl"]
    lines = [line(number, "ü") for number in range(25)]
    assert open_for_test(f"sqs://{QUEUE}").send(batch(*lines), 10.0) == []
    assert sorted(message["Body"].encode() for message in receive(sqs, url)) == sorted(lines)


def test_queue_by_its_url(aws: Callable[[str], Any], open_for_test: Callable[[str], Sink]) -> None:
    """A queue may be named by its URL, which may be one of another account, and is not asked for."""
    sqs = aws("sqs")
    url = sqs.create_queue(QueueName=QUEUE)["QueueUrl"]
    account = url.split("/")[-2]
    sink = open_for_test(f"sqs://sqs.eu-west-1.amazonaws.com/{account}/{QUEUE}")
    assert sink.send(batch(line(1)), 10.0) == []
    assert [message["Body"].encode() for message in receive(sqs, url)] == [line(1)]


@pytest.mark.parametrize(
    ("url", "region"),
    [
        ("sqs://sqs.eu-central-1.amazonaws.com/123456789012/q", "eu-central-1"),
        ("sqs://vpce-1.sqs.ap-south-1.vpce.amazonaws.com/123456789012/q", "ap-south-1"),
        ("sqs://sqs.eu-central-1.amazonaws.com/123456789012/q?region=us-east-2", "us-east-2"),
        ("sqs://queue.example.com/123456789012/q", "eu-west-1"),
    ],
)
def test_region_of_a_queue_by_its_url(url: str, region: str, strict: Callable[..., Strict]) -> None:
    """A queue's URL says in which region it is, unless region= knows better."""
    found = strict(url)
    found.sink.send(batch(line(1)), 5.0)
    assert f"/{region}/sqs/" in found.server.requests[0].headers["authorization"]


def test_fifo_queue(aws: Callable[[str], Any], open_for_test: Callable[[str], Sink]) -> None:
    """In a FIFO queue an environment is one group, and what is sent a second time is there only once."""
    sqs = aws("sqs")
    url = sqs.create_queue(QueueName="telemetry.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    sink = open_for_test("sqs://telemetry.fifo")
    sent = batch(*[line(number) for number in range(12)])
    sink.send(sent, 10.0)
    sink.send(sent, 10.0)
    found = receive(sqs, url)
    assert [message["Body"].encode() for message in found] == [record.line for record in sent.records]
    assert {message["Attributes"]["MessageGroupId"] for message in found} == {ENVIRONMENT}


def test_fifo_queue_of_packed_messages(strict: Callable[..., Strict]) -> None:
    """A packed message's deduplication id tells which records are in it."""
    found = strict("sqs://telemetry.fifo?pack=true")
    found.sink.send(batch(line(0), line(1)), 5.0)
    [body] = found.service.bodies
    assert body["Entries"][0]["MessageDeduplicationId"] == f"{ENVIRONMENT}-0-1"


@pytest.mark.usefixtures("moto")
def test_missing_queue(open_for_test: Callable[[str], Sink]) -> None:
    """A queue that is not there is named, with its region."""
    with pytest.raises(Refused, match="there is no queue nothing in eu-west-1; create it"):
        open_for_test("sqs://nothing").send(batch(line(1)), 10.0)


def test_ten_messages_a_request(strict: Callable[..., Strict]) -> None:
    """A batch goes out in requests of ten."""
    found = strict(f"sqs://{QUEUE}")
    found.sink.send(batch(*[line(number) for number in range(25)]), 5.0)
    assert [call.entries for call in found.service.calls] == [10, 10, 5]


def test_a_mebibyte_a_request(strict: Callable[..., Strict]) -> None:
    """Large messages go out in more requests, none above a mebibyte."""
    found = strict(f"sqs://{QUEUE}")
    lines = [line(number, "x" * 300_000) for number in range(7)]
    found.sink.send(batch(*lines), 5.0)
    assert [call.entries for call in found.service.calls] == [3, 3, 1]
    assert found.service.lines() == lines


def test_packed_messages(strict: Callable[..., Strict]) -> None:
    """With pack=true one message holds as many lines as SQS takes."""
    found = strict(f"sqs://{QUEUE}?pack=true")
    lines = [line(number) for number in range(1000)]
    assert list(found.sink.send(batch(*lines), 5.0)) == []
    assert [call.entries for call in found.service.calls] == [1]
    assert found.service.lines() == lines


def test_failed_messages_are_named(strict: Callable[..., Strict]) -> None:
    """The messages that failed by themselves are to be sent again, in whichever request they were."""
    found = strict(f"sqs://{QUEUE}", Service(fail=lambda number: number in {3, 14}))
    failures = found.sink.send(batch(*[line(number) for number in range(20)]), 5.0)
    assert failures == [Failure(3, "InternalError"), Failure(14, "InternalError")]


@pytest.mark.parametrize("code", ["KMS.DisabledException", "KmsInvalidState"])
def test_messages_that_fail_for_the_key(strict: Callable[..., Strict], code: str) -> None:
    """A message that fails for the queue's KMS key is to be sent again, though SQS calls it the sender's fault."""
    failed = {"Failed": [{"Id": "0", "SenderFault": True, "Code": code}]}
    found = strict("sqs://sqs.x/1/telemetry", Service([reply(failed)]))
    assert found.sink.send(batch(line(1)), 5.0) == [Failure(0, code)]


@pytest.mark.parametrize("text", ["\ufffe", "\uffff", "a\uffffb\ufffec"])
def test_characters_that_sqs_refuses(strict: Callable[..., Strict], text: str) -> None:
    """A line with characters that SQS does not take is written with escapes, and means the same."""
    found = strict(f"sqs://{QUEUE}")
    assert list(found.sink.send(batch(line(1, text)), 5.0)) == []
    assert [orjson.loads(one) for one in found.service.lines()] == [orjson.loads(line(1, text))]


class FailingLater(Service):
    """Takes two requests and refuses the others."""

    def __call__(self, request: Request) -> Any:
        """Refuse once two were taken."""
        if len(self.calls) == 2:
            return refuse(request, ErrorAnswer("AccessDeniedException"))
        return super().__call__(request)


def test_error_after_some_were_taken(strict: Callable[..., Strict]) -> None:
    """When a later request fails, only the records that were not taken are to be sent again, never those that were."""
    found = strict(f"sqs://{QUEUE}", FailingLater())
    failures = list(found.sink.send(batch(*[line(number) for number in range(35)]), 5.0))
    assert [failure.position for failure in failures] == list(range(20, 35))
    assert {failure.outcome for failure in failures} == {Outcome.RETRY}
    assert len(found.service.lines()) == 20


def test_permission_is_named(strict: Callable[..., Strict]) -> None:
    """The action that IAM must allow is SendMessage, which is not what the operation is called."""
    service = Service(fail=lambda _number: False)
    found = strict(f"sqs://{QUEUE}", service)
    found.sink.send(batch(line(1)), 5.0)
    service._first.append(refuse(found.server.requests[-1], ErrorAnswer("AccessDeniedException")))
    with pytest.raises(Refused, match="allow sqs:SendMessage on queue telemetry in the function's role"):
        found.sink.send(batch(line(1)), 5.0)


def test_url_without_a_queue(open_for_test: Callable[[str], Sink]) -> None:
    """A URL must name a queue."""
    with pytest.raises(ValueError, match="expected sqs://queue or sqs://sqs"):
        open_for_test("sqs://")


@pytest.mark.parametrize(
    ("parameters", "how"),
    [
        ("?pack=true", ""),
        ("?pack=true", "whole"),
        ("?pack=true", "sum"),
        ("", ""),
        ("", "whole"),
        ("", "sum"),
    ],
)
def test_queue_that_takes_256_kib(strict: Callable[..., Strict], parameters: str, how: str) -> None:
    """On a queue made before August 2025 every line arrives that fits into a message; one that does not is refused."""
    found = strict(f"sqs://{QUEUE}{parameters}", Service(partial_code=how, message_bytes=262_144))
    lines = [line(number, "x" * 50_000) for number in range(40)]
    numbers = itertools.count()
    queue = Queue(64 << 20, Limits(), Disk(0), lambda: f"{ENVIRONMENT}-b{next(numbers)}")
    sent = batch(*lines, line(40, "x" * 300_000)).records
    delivery = asyncio.run(run_empty(found.sink, queue, sent))
    assert sorted(found.service.lines()) == sorted(lines)
    assert (queue.delivered, sum(queue.dropped.values())) == (40, 1)
    assert delivery.health.healthy


def test_no_request_begins_after_the_deadline(strict: Callable[..., Strict]) -> None:
    """A queue that is slow gets as many requests as fit into the time; what they did not hold is to be sent again."""
    found = strict(f"sqs://{QUEUE}", Slow(0.1))
    lines = [line(number) for number in range(200)]
    failures = list(found.sink.send(batch(*lines), 0.5))
    taken = found.service.lines()
    assert len(found.service.calls) < 10
    assert taken == lines[: len(taken)]
    assert [failure.position for failure in failures] == list(range(len(taken), 200))
    assert {failure.outcome for failure in failures} == {Outcome.RETRY}


def test_one_deadline_for_the_url_and_the_messages(strict: Callable[..., Strict]) -> None:
    """The time in which the queue's URL was asked for is not to be had again for the messages."""
    with pytest.raises(OSError):  # noqa: PT011 - whatever ends it
        strict(f"sqs://{QUEUE}", Slow(0.3)).sink.send(batch(line(1)), 0.5)


@pytest.mark.parametrize(
    ("answer", "again"),
    [
        ({"Successful": [], "Failed": []}, [0, 1, 2]),
        ({"Successful": [{"Id": "1", "MessageId": "1", "MD5OfMessageBody": "x"}]}, [0, 2]),
        ({"Failed": [{"Id": "1", "SenderFault": False, "Code": "InternalError"}]}, [0, 1, 2]),
        ({"Failed": [{"Id": "of another", "SenderFault": True, "Code": "InternalError"}]}, [0, 1, 2]),
    ],
)
def test_messages_that_the_answer_does_not_name(
    answer: dict[str, Any], again: list[int], strict: Callable[..., Strict]
) -> None:
    """A message that is in neither list of the answer was not taken, as far as is known: it is sent again."""
    found = strict("sqs://sqs.x/1/telemetry", Service([reply(answer)]))
    failures = list(found.sink.send(batch(line(0), line(1), line(2)), 5.0))
    assert [failure.position for failure in failures] == again
    assert {failure.outcome for failure in failures} == {Outcome.RETRY}

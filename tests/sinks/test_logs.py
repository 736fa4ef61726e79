from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from extension.pipeline.pipeline import now_iso
from extension.sinks import Failure, Outcome, Refused
from extension.sinks._time import timestamp_ns
from tests.support.batches import ENVIRONMENT, batch, line
from tests.support.strict_aws import ErrorAnswer, Service, Slow, refuse, reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from extension.sinks import Sink
    from tests.support.strict_aws import Strict

GROUP = "telemetry"
STREAM = f"demo/{ENVIRONMENT}"


def before(**ago: float) -> str:
    """A time in the past, or in the future where it is negative."""
    return (datetime.now(UTC) - timedelta(**ago)).isoformat().replace("+00:00", "Z")


def test_moto_gives_back_the_lines(aws: Callable[[str], Any], open_for_test: Callable[[str], Sink]) -> None:
    """From a real CloudWatch Logs API, the events of the environment's own stream are the lines, each at its time."""
    logs = aws("logs")
    logs.create_log_group(logGroupName=GROUP)
    lines = [line(number, "ü", now_iso()) for number in range(3)]
    sent = batch(*lines)
    assert open_for_test(f"logs://{GROUP}").send(sent, 10.0) == []
    events = logs.get_log_events(logGroupName=GROUP, logStreamName=STREAM, startFromHead=True)["events"]
    assert [event["message"].encode() for event in events] == lines
    assert [event["timestamp"] for event in events] == [timestamp_ns(record.time) // 10**6 for record in sent.records]


def test_stream_of_ones_own(aws: Callable[[str], Any], open_for_test: Callable[[str], Sink]) -> None:
    """A stream named in the URL is made if it is not there, and taken if it is."""
    logs = aws("logs")
    logs.create_log_group(logGroupName=GROUP)
    for number in range(2):
        open_for_test(f"logs://{GROUP}/a/b").send(batch(line(number, time=now_iso())), 10.0)
    assert len(logs.get_log_events(logGroupName=GROUP, logStreamName="a/b")["events"]) == 2


@pytest.mark.usefixtures("moto")
def test_missing_group(open_for_test: Callable[[str], Sink]) -> None:
    """A log group that is not there is named, with its region."""
    with pytest.raises(Refused, match="there is no log group nothing in eu-west-1; create it"):
        open_for_test("logs://nothing").send(batch(line(1)), 10.0)


def test_records_out_of_order(strict: Callable[..., Strict]) -> None:
    """Records that arrived out of the order of their times are put in order, which PutLogEvents asks for."""
    found = strict(f"logs://{GROUP}")
    lines = [line(number, time=before(minutes=number)) for number in (3, 1, 2)]
    assert list(found.sink.send(batch(*lines), 5.0)) == []
    assert found.service.lines() == [lines[0], lines[2], lines[1]]


def test_records_of_two_days(strict: Callable[..., Strict]) -> None:
    """Records that span more than 24 hours go out in several requests."""
    found = strict(f"logs://{GROUP}")
    lines = [line(number, time=before(hours=hours)) for number, hours in enumerate((0, 60, 30, 25, 61))]
    assert list(found.sink.send(batch(*lines), 5.0)) == []
    assert [call.entries for call in found.service.calls] == [2, 2, 1]


def test_records_that_are_too_old_or_too_new(strict: Callable[..., Strict]) -> None:
    """What CloudWatch Logs drops for its time is refused for good, index by index; the rest is taken."""
    found = strict(f"logs://{GROUP}")
    times = [before(hours=-3), before(days=20), before(minutes=1), before(days=15), before(hours=-4)]
    failures = found.sink.send(batch(*[line(number, time=time) for number, time in enumerate(times)]), 5.0)
    assert sorted(failures) == [
        Failure(0, "time in the future", Outcome.RECORD_REFUSED),
        Failure(1, "too old for the group", Outcome.RECORD_REFUSED),
        Failure(3, "too old for the group", Outcome.RECORD_REFUSED),
        Failure(4, "time in the future", Outcome.RECORD_REFUSED),
    ]
    assert found.service.lines() == [line(2, time=times[2])]


@pytest.mark.parametrize("time", ["", "yesterday", "2026-13-45T00:00:00Z"])
def test_time_that_is_none(strict: Callable[..., Strict], time: str) -> None:
    """A record whose time cannot be read is logged as of now."""
    found = strict(f"logs://{GROUP}")
    assert list(found.sink.send(batch(line(1, time=time), b'{"type":"function"}'), 5.0)) == []
    [body] = found.service.bodies
    assert all(abs(event["timestamp"] - timestamp_ns("") // 10**6) < 60_000 for event in body["logEvents"])


def test_time_with_part_of_a_second() -> None:
    """A time is of milliseconds since 1970."""
    assert timestamp_ns("1970-01-01T00:00:01.5Z") // 10**6 == 1500


def test_no_permission_to_create_the_stream(strict: Callable[..., Strict]) -> None:
    """The action that is missing for a new stream is CreateLogStream."""
    service = Service()
    found = strict(f"logs://{GROUP}", service)
    service._CreateLogStream = lambda request: refuse(request, ErrorAnswer("AccessDeniedException"))  # type: ignore[method-assign] # the service's own fault
    with pytest.raises(Refused, match="allow logs:CreateLogStream on log group telemetry in the function's role"):
        found.sink.send(batch(line(1, time=now_iso())), 5.0)


def test_answer_without_a_sequence_token(strict: Callable[..., Strict]) -> None:
    """Where CloudWatch Logs leaves out the token, which is deprecated, the id of an answer tells that it is its own."""
    answer = reply({})._replace(headers={"x-amzn-RequestId": "a1a32258-dddc-4daa-950a-fe632b74be91"})
    found = strict(f"logs://{GROUP}/s", Service([answer]))
    assert found.sink.send(batch(line(1, time=now_iso())), 5.0) == []


def test_one_deadline_for_all_calls(strict: Callable[..., Strict]) -> None:
    """The time in which the stream was found missing, and made, is not to be had again for the events."""
    with pytest.raises(OSError):  # noqa: PT011 - whatever ends it
        strict(f"logs://{GROUP}/s", Slow(0.2)).sink.send(batch(line(1, time=now_iso())), 0.5)


def test_stream_that_another_made(strict: Callable[..., Strict]) -> None:
    """When another process makes the stream first, that is as good."""
    service = Service()
    found = strict(f"logs://{GROUP}/shared", service)
    taken = service._CreateLogStream

    def create_twice(request: Any) -> Any:
        taken(request)
        return taken(request)

    service._CreateLogStream = create_twice  # type: ignore[method-assign] # the service's own fault
    assert list(found.sink.send(batch(line(1, time=now_iso())), 5.0)) == []


@pytest.mark.parametrize("url", ["logs:///aws/lambda/demo", "logs://%2Faws%2Flambda%2Fdemo", "logs://own-group/stream"])
def test_own_log_group(url: str, monkeypatch: pytest.MonkeyPatch, open_for_test: Callable[[str], Sink]) -> None:
    """The function's own log group is refused: what would be written there is there already."""
    monkeypatch.setenv("AWS_LAMBDA_LOG_GROUP_NAME", "own-group")
    with pytest.raises(ValueError, match="is this function's own log group"):
        open_for_test(url)


@pytest.mark.parametrize(
    ("url", "group", "stream"),
    [
        ("logs://g", "g", STREAM),
        ("logs://g/s", "g", "s"),
        ("logs:///a/b/c?stream=s", "/a/b/c", "s"),
        ("logs://%2Fa%2Fb/s", "/a/b", "s"),
    ],
)
def test_names_in_the_url(url: str, group: str, stream: str, strict: Callable[..., Strict]) -> None:
    """Group and stream are read from the URL; the stream that nobody named is the environment's."""
    found = strict(url)
    found.sink.send(batch(line(1, time=now_iso())), 5.0)
    assert found.service.streams == {(group, stream)}


@pytest.mark.parametrize("url", ["logs://", "logs://a b", "logs://g/a:b", "logs://g?stream=a*b"])
def test_names_that_are_none(url: str, open_for_test: Callable[[str], Sink]) -> None:
    """Names that CloudWatch Logs does not take are refused when the sink is opened."""
    with pytest.raises(ValueError, match="expected logs://group"):
        open_for_test(url)

from __future__ import annotations

import gzip
import threading
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Any

import pytest
import zstandard

from extension.records import Batch
from extension.sinks import Refused, Scope, Unavailable
from extension.sinks.s3 import partition
from tests.support.batches import ENVIRONMENT, batch, line, open_sink, record
from tests.support.fault_server import Action, Answer, FaultServer, Held, Request
from tests.support.strict_aws import Service, refusing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from extension.sinks import Sink
    from tests.support.strict_aws import Strict

BUCKET = "telemetry"
KEY_TAKEN = Answer(412, body=b"<Error><Code>PreconditionFailed</Code></Error>")
STORED = Answer(200, {"ETag": '"1"'})
PARTITION = "function=demo/dt=2026-11-21/hour=04"


class Bucket:
    """A bucket in moto, and the sinks that write to it."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self._opened: list[Sink] = []
        client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})

    def sink(self, url: str = f"s3://{BUCKET}/raw") -> Sink:
        self._opened.append(open_sink(url))
        return self._opened[-1]

    def keys(self) -> list[str]:
        return [found["Key"] for found in self.client.list_objects_v2(Bucket=BUCKET).get("Contents", [])]

    def get(self, key: str) -> Any:
        return self.client.get_object(Bucket=BUCKET, Key=key)

    def close(self) -> None:
        for sink in self._opened:
            sink.close()


@pytest.fixture
def bucket(aws: Callable[[str], Any]) -> Iterator[Bucket]:
    bucket = Bucket(aws("s3"))
    yield bucket
    bucket.close()


def test_object_holds_the_batch(bucket: Bucket) -> None:
    """An object is the batch as gzipped NDJSON, byte for byte."""
    sent = batch(line(1, "a"), line(2, "ü€😀"))
    assert bucket.sink().send(sent, 5.0) == ()
    [key] = bucket.keys()
    assert gzip.decompress(bucket.get(key)["Body"].read()) == sent.ndjson()


def test_key_layout(bucket: Bucket) -> None:
    """The key is prefix, function, day and hour of the first record, and the id of the batch."""
    bucket.sink("s3://telemetry/a/b/").send(batch(line(1)), 5.0)
    assert bucket.keys() == [f"a/b/{PARTITION}/{ENVIRONMENT}-b1.ndjson.gz"]


def test_key_without_prefix(bucket: Bucket) -> None:
    """Without a prefix, keys begin at the partition and not with a slash."""
    bucket.sink("s3://telemetry").send(batch(line(1)), 5.0)
    assert bucket.keys() == [f"{PARTITION}/{ENVIRONMENT}-b1.ndjson.gz"]


@pytest.mark.parametrize("time", ["", "yesterday", "../../x", "2026-11-21"])
def test_time_that_is_none(bucket: Bucket, time: str) -> None:
    """A record whose time cannot be read goes into the partition of the first one whose time can."""
    bucket.sink().send(batch(line(1, time=time), line(2)), 5.0)
    assert bucket.keys() == [f"raw/{PARTITION}/{ENVIRONMENT}-b1.ndjson.gz"]


def test_no_time_at_all(bucket: Bucket) -> None:
    """A batch without any time is kept in a partition of its own."""
    bucket.sink().send(batch(b'{"type":"function"}'), 5.0)
    assert bucket.keys() == [f"raw/function=demo/dt=1970-01-01/hour=00/{ENVIRONMENT}-b1.ndjson.gz"]


def test_partition_is_of_what_was_learned() -> None:
    """The time is the record's own; no sink reads the line for it, whatever it holds."""
    learned = record(0, line(1))._replace(line=b"not even JSON")
    assert partition(Batch("e-0", [learned])) == "dt=2026-11-21/hour=04/"


def test_second_send_of_a_batch_is_no_second_object(bucket: Bucket) -> None:
    """A batch whose first answer was lost is delivered once, and counts as delivered."""
    sink = bucket.sink()
    sink.send(batch(line(1)), 5.0)
    assert sink.send(batch(line(1)), 5.0) == ()
    assert len(bucket.keys()) == 1


def test_the_key_of_another(bucket: Bucket) -> None:
    """A key that is taken when a batch is first tried is another process's: the batch is put under a key of its own."""
    first, second = batch(line(1, "first")), batch(line(1, "second"))
    bucket.sink().send(first, 5.0)
    sink = bucket.sink()
    with suppress(FileExistsError):  # to be sent again, as delivery does
        assert sink.send(second, 5.0) == ()
    assert sink.send(second, 5.0) == ()
    stored = [gzip.decompress(bucket.get(key)["Body"].read()) for key in sorted(bucket.keys())]
    assert sorted(stored) == [first.ndjson(), second.ndjson()]


def test_a_store_that_has_every_key_has_taken_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often a batch is tried, 412 to keys that nobody can have used is not believed."""
    with FaultServer(otherwise=KEY_TAKEN) as store:
        monkeypatch.setenv("AWS_ENDPOINT_URL", store.url)
        sink = open_sink("s3://telemetry/raw")
        for _ in range(3):
            with pytest.raises(Unavailable):
                sink.send(batch(line(1)), 5.0)
        sink.close()


class HeldUp:
    """A sink, the first of whose sends a freeze has left hanging; it is told at last that its key is taken."""

    def __init__(self, strict: Callable[..., Strict]) -> None:
        self._thaw = threading.Event()
        found = strict("s3://telemetry/raw", Service([Held(self._thaw, KEY_TAKEN)]))
        self.sink, self.server, self.service = found.sink, found.server, found.service
        self._thread = threading.Thread(target=self.sink.send, args=(batch(line(1)), 5.0))
        self._thread.start()
        self.server.wait_for(1)

    def thaw(self) -> None:
        self._thaw.set()
        self._thread.join()


@pytest.fixture
def held_up(strict: Callable[..., Strict]) -> Iterator[HeldUp]:
    held_up = HeldUp(strict)
    yield held_up
    held_up.thaw()


def test_send_that_another_has_overtaken(held_up: HeldUp) -> None:
    """A send that was repeated while it hung, and then finds its key taken, makes no second object of the batch."""
    held_up.sink.send(batch(line(1)), 5.0)
    held_up.thaw()
    assert len({request.path for request in held_up.server.requests}) == 1


def test_send_that_hangs_while_others_go_on(held_up: HeldUp) -> None:
    """What a send finds that was left hanging changes nothing for the batch that is tried meanwhile."""
    held_up.sink.send(batch(line(1)), 5.0)
    held_up.service._first.append(Answer(503))
    second = batch(line(2), number=2)
    with pytest.raises(Unavailable):
        held_up.sink.send(second, 5.0)
    held_up.thaw()
    held_up.sink.send(second, 5.0)
    assert held_up.service.lines() == [line(1), line(2)]


def test_nothing_is_overwritten(bucket: Bucket) -> None:
    """An object that is there stays as it is."""
    sink = bucket.sink()
    sink.send(batch(line(1, "first")), 5.0)
    sink.send(batch(line(1, "second")), 5.0)
    assert b"first" in gzip.decompress(bucket.get(bucket.keys()[0])["Body"].read())


def test_zstd(bucket: Bucket) -> None:
    """compression=zstd writes Zstandard frames into .zst objects."""
    sent = batch(line(1))
    bucket.sink("s3://telemetry/raw?compression=zstd").send(sent, 5.0)
    [key] = bucket.keys()
    assert key.endswith(".ndjson.zst")
    assert zstandard.decompress(bucket.get(key)["Body"].read()) == sent.ndjson()


def test_uncompressed(bucket: Bucket) -> None:
    """compression=none writes plain NDJSON."""
    sent = batch(line(1))
    bucket.sink("s3://telemetry/raw?compression=none").send(sent, 5.0)
    [key] = bucket.keys()
    assert key.endswith(".ndjson")
    assert bucket.get(key)["Body"].read() == sent.ndjson()


def test_storage_class_and_key(bucket: Bucket) -> None:
    """storage_class= and kms_key= are those of the object."""
    bucket.sink("s3://telemetry?storage_class=STANDARD_IA&kms_key=alias/logs").send(batch(line(1)), 5.0)
    found = bucket.get(bucket.keys()[0])
    assert (found["StorageClass"], found["ServerSideEncryption"]) == ("STANDARD_IA", "aws:kms")
    assert found["SSEKMSKeyId"].endswith("alias/logs")


def test_acl(bucket: Bucket) -> None:
    """acl= gives the owner of the bucket what another account writes into it."""
    bucket.sink("s3://telemetry?acl=public-read").send(batch(line(1)), 5.0)
    grants = bucket.client.get_object_acl(Bucket=BUCKET, Key=bucket.keys()[0])["Grants"]
    assert "READ" in {grant["Permission"] for grant in grants}


def test_missing_bucket(bucket: Bucket) -> None:
    """A bucket that does not exist is refused at once, and the message names it and its region."""
    with pytest.raises(Refused, match="NoSuchBucket: there is no bucket nothing-here in eu-west-1") as caught:
        bucket.sink("s3://nothing-here").send(batch(line(1, "secret words")), 5.0)
    assert caught.value.scope is Scope.EVERYTHING
    assert "secret words" not in str(caught.value)


def test_close_then_send(bucket: Bucket) -> None:
    """After close, a send opens a new connection."""
    sink = bucket.sink()
    sink.close()
    sink.send(batch(line(1)), 5.0)
    assert len(bucket.keys()) == 1


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("s3:///prefix", "expected s3://bucket/prefix"),
        ("s3://Not_A_Bucket", "expected s3://bucket/prefix"),
        ("s3://telemetry?compression=lzma", "compression= is none of gzip, zstd, none"),
        ("s3://telemetry?bucket=x", "unknown parameter, number 1 of the query; expected acl, compression, exclude, "),
        ("s3://telemetry?role=writer", "role= is no ARN of a role"),
    ],
)
def test_url_that_says_nonsense(url: str, expected: str) -> None:
    """What a URL must not say is refused when the sink is opened, with what was expected."""
    with pytest.raises(ValueError, match=expected):
        open_sink(url)


def test_no_region(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any region there is no endpoint, and the message says how to name one."""
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(ValueError, match=r"expected region=\.\.\. or AWS_REGION"):
        open_sink("s3://telemetry")


def test_unreachable_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that cannot be reached is named, and the batch may be sent again."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    with pytest.raises(ConnectionError, match=r"cannot reach http://127\.0\.0\.1:1; check the region"):
        open_sink("s3://telemetry").send(batch(line(1)), 5.0)


def test_the_body_waits_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer 100 is asked for: it costs a round trip, and a second where a store does not know it."""
    with FaultServer(otherwise=STORED) as store:
        monkeypatch.setenv("AWS_ENDPOINT_URL", store.url)
        sink = open_sink("s3://telemetry/raw")
        sink.send(batch(line(1)), 5.0)
        sink.close()
    [request] = store.requests
    assert "expect" not in request.headers
    assert gzip.decompress(request.body) == line(1) + b"\n"


@pytest.mark.parametrize("body", [b"", b"<html>Moved</html>", b"<html>Moved<br></html>"])
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_endpoint_that_redirects(monkeypatch: pytest.MonkeyPatch, status: int, body: bytes) -> None:
    """A server that redirects as any web server does is asked once, and the message says what to check."""
    with FaultServer(otherwise=Answer(status, {"Location": "https://elsewhere.invalid/"}, body)) as store:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", store.url)
        sink = open_sink("s3://telemetry/raw")
        with pytest.raises(
            Refused, match=f"HTTP {status}: the endpoint redirects; check region= and AWS_END"
        ) as caught:
            sink.send(batch(line(1)), 5.0)
        sink.close()
    assert [request.method for request in store.requests] == ["PUT"]
    assert caught.value.scope is Scope.EVERYTHING


@pytest.mark.parametrize("code", ["PermanentRedirect", "TemporaryRedirect", "IllegalLocationConstraintException"])
@pytest.mark.parametrize("head", [Answer(200, {"x-amz-bucket-region": "eu-west-3"}), Answer(301), Answer(403)])
def test_bucket_that_is_elsewhere(monkeypatch: pytest.MonkeyPatch, code: str, head: Answer) -> None:
    """Where S3 itself says that a bucket is elsewhere, it is asked once where that is, and told or not, that is all."""
    status = {"PermanentRedirect": 301, "TemporaryRedirect": 307}.get(code, 400)

    def answer(request: Request) -> Action:
        if request.method == "HEAD":
            return head
        return STORED if "/eu-west-3/" in request.headers["authorization"] else refusing(code, status)(request)

    with FaultServer(answer) as store:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", store.url)
        sink = open_sink("s3://telemetry/raw")
        with nullcontext() if head.status == 200 else pytest.raises((Refused, Unavailable), match=code):
            sink.send(batch(line(1)), 5.0)
        sink.close()
    found = [request.method for request in store.requests]
    assert found == (["PUT", "HEAD", "PUT"] if head.status == 200 else ["PUT", "HEAD"])

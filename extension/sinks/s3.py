"""s3://bucket/prefix: one compressed NDJSON object per batch, in partitions that Athena reads."""

from __future__ import annotations

import base64
import os
import re
import threading
import time
import zlib
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from botocore.exceptions import ClientError

from extension.sinks import BadSetting, Limits, Unavailable, _aws, choice
from extension.sinks._compression import Packed, compress_gzip, compress_zstd, uncompressed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from extension.records import Batch
    from extension.sinks import Failure, SinkURL
    from extension.sinks._iam import Place

# The build reads these two to leave out of botocore's data what is never called.
SERVICE = "s3"
OPERATIONS = ("PutObject", "HeadBucket")  # botocore asks by the latter where a bucket is that is not here

SCHEMES = ("s3",)
URL = "s3://bucket/prefix"
SUMMARY = "objects that Athena reads"
PARAMETERS = _aws.PARAMETERS | {"acl", "compression", "kms_key", "storage_class"}
HARMLESS = _aws.HARMLESS | {"acl", "compression", "storage_class"}
IAM_ACTIONS = ("s3:PutObject",)
PROBE = "one object of one line"
BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")  # "Bucket naming rules", Amazon S3 User Guide
TIME = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d)")
TAKEN = "PreconditionFailed"  # what If-None-Match says of a key that is there
NO_TIME = ("1970-01-01", "00")

COMPRESSIONS: dict[str, tuple[Callable[[bytes], bytes], str, str]] = {
    "gzip": (compress_gzip, ".ndjson.gz", "application/gzip"),
    "zstd": (compress_zstd, ".ndjson.zst", "application/zstd"),
    "none": (uncompressed, ".ndjson", "application/x-ndjson"),
}


class _Tried:
    """A batch that was sent, and under which key. The key stays as it is from the second time on."""

    def __init__(self, id_: str, key: str) -> None:
        self.id, self.key, self.sends = id_, key, 0


class S3Sink:
    """Puts objects, and never over one that is there: for a batch that was tried before, it is that batch."""

    limits = Limits(records=1 << 20, bytes=16 << 20)

    def __init__(self, client: _aws.Client, prefix: str, compression: str, parameters: dict[str, str]) -> None:
        self._client = client
        self._prefix = prefix
        compress, self._suffix, content_type = COMPRESSIONS[compression]
        self._packed = Packed(compress)
        self._parameters = {**parameters, "ContentType": content_type}
        self._lock = threading.Lock()  # a send may go on in another thread, left hanging by a freeze
        self._last = _Tried("", "")

    def send(self, batch: Batch, timeout_s: float) -> Sequence[Failure]:
        """Put one object. Raises as Client.call does."""
        deadline = time.monotonic() + timeout_s
        body = self._packed.body(batch)
        tried = self._begin(batch)
        is_there = self._put(tried.key, body, timeout_s)
        if not is_there and self._take_another_key(tried):
            is_there = self._put(tried.key, body, deadline - time.monotonic())
            if not is_there and self._forget(tried):
                raise Unavailable("the store says of a fresh key that it is taken")
        self._packed.forget()
        return ()

    def _begin(self, batch: Batch) -> _Tried:
        with self._lock:
            if self._last.id != batch.id:
                self._last = _Tried(batch.id, f"{self._prefix}{partition(batch)}{batch.id}")
            self._last.sends += 1
            return self._last

    def _take_another_key(self, tried: _Tried) -> bool:
        """Whether the key of a batch that was sent only once is another's: of a copy of the same snapshot, perhaps."""
        with self._lock:
            if tried.sends > 1:
                return False
            tried.key += f"-{os.urandom(4).hex()}"
            return True

    def _forget(self, tried: _Tried) -> bool:
        """Begin anew with a batch that was sent only once; whether it was."""
        with self._lock:
            if tried.sends > 1:
                return False
            tried.id = ""
            return True

    def _put(self, key: str, body: bytes, timeout_s: float) -> bool:
        """Whether the object was put; False where the key is taken."""
        try:
            self._client.call(
                "PutObject",
                timeout_s,
                leave=TAKEN,
                expect=["ETag"],
                Key=f"{key}{self._suffix}",
                Body=body,
                IfNoneMatch="*",
                # Given here, the checksum is a header; left to botocore it is a trailer, which few other stores take.
                ChecksumCRC32=base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode(),
                **self._parameters,
            )
        except ClientError:
            return False
        return True

    def close(self) -> None:
        """Give up the kept connection."""
        self._client.close()


def open_sink(target: SinkURL) -> S3Sink:
    """Make a sink of s3://bucket/prefix. Objects are in `prefix/function=NAME/dt=YYYY-MM-DD/hour=HH/`, in UTC."""
    if not BUCKET.fullmatch(target.host):
        raise BadSetting("expected s3://bucket/prefix with the name of a bucket")
    compression = choice(target, "compression", tuple(COMPRESSIONS))
    prefix = "".join(
        f"{part}/" for part in (*unquote(target.path).split("/"), f"function={target.function_name}") if part
    )
    options = _options(target)
    client = _aws.Client(SERVICE, f"bucket {target.host}", target)
    return S3Sink(client, prefix, compression, {"Bucket": target.host, **options})


def permissions(target: SinkURL, place: Place) -> dict[str, str]:
    """What the role needs: the resource of each of IAM's actions."""
    objects = f"arn:{place.partition}:s3:::{target.host}/*"
    found = {"s3:PutObject": objects}
    if target.parameters.get("acl"):
        found["s3:PutObjectAcl"] = objects
    if key := target.parameters.get("kms_key"):
        found["kms:GenerateDataKey"] = place.key(key)
    return found


def partition(batch: Batch) -> str:
    """`dt=YYYY-MM-DD/hour=HH/` of the first record that says its time: the same when the batch is tried again."""
    found = next((match for record in batch.records if (match := TIME.match(record.time))), None)
    day, hour = found.groups() if found else NO_TIME
    return f"dt={day}/hour={hour}/"


def _options(target: SinkURL) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for parameter, name in (("acl", "ACL"), ("storage_class", "StorageClass")):
        if target.parameters.get(parameter):
            options[name] = choice(target, parameter, _aws.words(SERVICE, "PutObject", name))
    if key := target.parameters.get("kms_key"):
        options |= {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key}
    return options

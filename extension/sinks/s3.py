"""s3://bucket/prefix: one compressed NDJSON object per batch, in partitions that Athena reads."""

from __future__ import annotations

import base64
import os
import re
import zlib
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from botocore.exceptions import ClientError

from extension.records import member
from extension.sinks import BadSetting, Limits, _aws
from extension.sinks._compression import Packed, compress_gzip, compress_zstd

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from extension.records import Batch
    from extension.sinks import Failure, Target

# The build reads these two to leave out of botocore's data what is never called.
SERVICE = "s3"
OPERATIONS = ("PutObject", "HeadBucket")  # botocore asks by the latter where a bucket is that is not here

PARAMETERS = _aws.PARAMETERS | {"acl", "compression", "kms_key", "storage_class"}
BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")  # "Bucket naming rules", Amazon S3 User Guide
TIME = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d)")
TAKEN = "PreconditionFailed"  # what If-None-Match says of a key that is there
NO_TIME = ("1970-01-01", "00")

COMPRESSIONS: dict[str, tuple[Callable[[bytes], bytes], str, str]] = {
    "gzip": (compress_gzip, ".ndjson.gz", "application/gzip"),
    "zstd": (compress_zstd, ".ndjson.zst", "application/zstd"),
    "none": (bytes, ".ndjson", "application/x-ndjson"),
}


class S3Sink:
    """Puts objects, and never over one that is there.

    A key that is taken is a batch that had already arrived, where it was tried before; else it is somebody else's.
    """

    limits = Limits(records=1 << 20, bytes=16 << 20)

    def __init__(self, client: _aws.Client, prefix: str, compression: str, parameters: dict[str, str]) -> None:
        self._client = client
        self._prefix = prefix
        compress, self._suffix, content_type = COMPRESSIONS[compression]
        self._packed = Packed(compress)
        self._parameters = {**parameters, "ContentType": content_type}
        self._batch_id = self._key = ""  # the batch at hand: what it is called in the bucket, and
        self._tries = 0  # how often it was put there, if only as far as we know

    def send(self, batch: Batch, timeout_s: float) -> Sequence[Failure]:
        """Put one object. Raises as Client.call does, and FileExistsError for a key that is somebody else's."""
        body = self._packed.body(batch)
        if batch.id != self._batch_id:
            self._batch_id = self._key = batch.id
            self._tries = 0
        self._tries += 1
        try:
            self._client.call(
                OPERATIONS[0],
                timeout_s,
                leave=TAKEN,
                Key=f"{self._prefix}{partition(batch)}{self._key}{self._suffix}",
                Body=body,
                IfNoneMatch="*",
                # Given here, the checksum is a header; left to botocore it is a trailer, which few other stores take.
                ChecksumCRC32=base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode(),
                **self._parameters,
            )
        except ClientError:  # which is TAKEN
            if batch.id == self._batch_id and self._tries == 1:
                self._key, self._tries = f"{batch.id}-{os.urandom(4).hex()}", 0
                raise FileExistsError("the key is taken; the batch gets another") from None
        self._packed.forget()
        return ()

    def close(self) -> None:
        """Give up the kept connection."""
        self._client.close()


def open_sink(target: Target) -> S3Sink:
    """Make a sink of s3://bucket/prefix. Objects are in `prefix/function=NAME/dt=YYYY-MM-DD/hour=HH/`, in UTC."""
    if not BUCKET.fullmatch(target.host):
        raise BadSetting("expected s3://bucket/prefix with the name of a bucket")
    compression = _aws.choice(target, "compression", tuple(COMPRESSIONS))
    prefix = "".join(
        f"{part}/" for part in (*unquote(target.path).split("/"), f"function={target.function_name}") if part
    )
    options = _options(target)
    client = _aws.Client(SERVICE, f"bucket {target.host}", target)
    return S3Sink(client, prefix, compression, {"Bucket": target.host, **options})


def partition(batch: Batch) -> str:
    """`dt=YYYY-MM-DD/hour=HH/` of the first record that says its time: the same when the batch is tried again."""
    found = next((match for record in batch.records if (match := _match_time(record.line))), None)
    day, hour = found.groups() if found else NO_TIME
    return f"dt={day}/hour={hour}/"


def _match_time(line: bytes) -> re.Match[str] | None:
    time = member(line, "time")
    return TIME.match(time) if isinstance(time, str) else None


def _options(target: Target) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for parameter, name in (("acl", "ACL"), ("storage_class", "StorageClass")):
        if target.parameters.get(parameter):
            options[name] = _aws.choice(target, parameter, _aws.words(SERVICE, OPERATIONS[0], name))
    if key := target.parameters.get("kms_key"):
        options |= {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key}
    return options

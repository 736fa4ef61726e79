"""s3://bucket/prefix: one compressed NDJSON object per batch, in partitions that Athena reads."""

from __future__ import annotations

import base64
import os
import re
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


class S3Sink:
    """Puts objects, and never over one that is there: for a batch that was tried before, it is that batch."""

    limits = Limits(records=1 << 20, bytes=16 << 20)

    def __init__(self, client: _aws.Client, prefix: str, compression: str, parameters: dict[str, str]) -> None:
        self._client = client
        self._prefix = prefix
        compress, self._suffix, content_type = COMPRESSIONS[compression]
        self._packed = Packed(compress)
        self._parameters = {**parameters, "ContentType": content_type}
        self._tried = self._key = ""  # the batch that was sent last, and its key

    def send(self, batch: Batch, timeout_s: float) -> Sequence[Failure]:
        """Put one object. Raises as Client.call does."""
        body = self._packed.body(batch)
        is_first_try = batch.id != self._tried
        if is_first_try:
            self._tried = batch.id
            self._key = f"{self._prefix}{partition(batch)}{batch.id}"
        try:
            self._put(body, timeout_s, leave=TAKEN)
        except ClientError:  # the key is taken
            if is_first_try:  # by another, for this batch was never sent: a copy of the same snapshot, perhaps
                self._key += f"-{os.urandom(4).hex()}"
                try:
                    self._put(body, timeout_s, leave=TAKEN)
                except ClientError:
                    self._tried = ""
                    raise Unavailable("the store says of a fresh key that it is taken") from None
        self._packed.forget()
        return ()

    def _put(self, body: bytes, timeout_s: float, leave: str = "") -> None:
        self._client.call(
            "PutObject",
            timeout_s,
            leave=leave,
            Key=f"{self._key}{self._suffix}",
            Body=body,
            IfNoneMatch="*",
            # Given here, the checksum is a header; left to botocore it is a trailer, which few other stores take.
            ChecksumCRC32=base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode(),
            **self._parameters,
        )

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

"""firehose://stream: PutRecordBatch, one record per line or many lines packed into each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from extension.sinks import Limits, _aws, _packing, choice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from extension.records import Batch
    from extension.sinks import Failure, SinkURL
    from extension.sinks._iam import Place

# The build reads these two to leave out of botocore's data what is never called.
SERVICE = "firehose"
OPERATIONS = ("PutRecordBatch",)

SCHEMES = ("firehose",)
URL = "firehose://stream"
SUMMARY = "records of a Firehose stream"
PARAMETERS = _aws.PARAMETERS | {"pack"}
HARMLESS = _aws.HARMLESS | {"pack"}
IAM_ACTIONS = ("firehose:PutRecordBatch",)
PROBE = "one record"

# "PutRecordBatch", Amazon Data Firehose API Reference. "4 MB": whether MB or MiB, this is below it.
MAX_RECORDS = 500
MAX_BYTES = 4_000_000
MAX_RECORD_BYTES = 1_024_000


class FirehoseSink:
    """Puts each batch in one request. Records end in a newline, for Firehose writes them one behind the other."""

    def __init__(self, client: _aws.Client, stream: str, *, pack: bool) -> None:
        self.limits = Limits(1 << 20 if pack else MAX_RECORDS, MAX_BYTES, MAX_RECORD_BYTES - 1)
        self._client = client
        self._stream = stream
        self._pack = pack

    def send(self, batch: Batch, timeout_s: float) -> Sequence[Failure]:
        """Put the batch; the lines of the records that Firehose did not take. Raises as Client.call does."""
        lines = [record.line for record in batch.records]
        entries = _packing.packed(lines, MAX_RECORD_BYTES) if self._pack else _packing.single(lines)
        records = [{"Data": entry.data} for entry in entries]
        answer = self._client.call(
            "PutRecordBatch", timeout_s, expect=["RequestResponses"], DeliveryStreamName=self._stream, Records=records
        )
        failed = _aws.failed(entries, answer["RequestResponses"])
        return [failure for entry, code in failed for failure in entry.failures(code)]

    def close(self) -> None:
        """Give up the kept connection."""
        self._client.close()


def open_sink(target: SinkURL) -> FirehoseSink:
    """Make a sink of firehose://stream."""
    stream = _aws.name(target, "firehose://stream")
    pack = choice(target, "pack", ("false", "true")) == "true"
    return FirehoseSink(_aws.Client(SERVICE, f"stream {stream}", target), stream, pack=pack)


def permissions(target: SinkURL, place: Place) -> dict[str, str]:
    """What the role needs: the resource of each of IAM's actions."""
    return dict.fromkeys(IAM_ACTIONS, place.arn(SERVICE, f"deliverystream/{target.host}"))

"""What AWS's errors mean to delivery, and in one line what their reader is to do. It calls nothing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from extension.sinks import Refused, Scope, Throttled, Unavailable

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

# "Common Errors" in each service's API reference; "Error responses" in S3's and "Error retries" in the SDK guide.
THROTTLED = frozenset(
    {
        "BandwidthLimitExceeded",
        "KMS.ThrottlingException",  # SQS
        "KMSThrottlingException",
        "KmsThrottled",  # the shape of the former in SQS's model
        "LimitExceededException",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "ServiceUnavailableException",  # Firehose: "the throughput limits have been exceeded"
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"})
STALE = frozenset({"RequestExpired", "RequestInTheFuture", "RequestTimeTooSkewed", "RequestTimeout"})
DAMAGED = frozenset({"BadDigest", "IncompleteBody", "XAmzContentSHA256Mismatch"})  # on its way to S3
FORBIDDEN = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "AllAccessDisabled",
        "NotAuthorized",
        "UnauthorizedOperation",
    }
)
UNKNOWN_KEY = frozenset(
    {
        "IncompleteSignature",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "InvalidToken",
        "MissingAuthenticationToken",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
MISSING = frozenset(
    {
        "NoSuchBucket",
        "NonExistentQueue",
        "QueueDoesNotExist",
        "ResourceNotFoundException",
    }
)
UNFIT = frozenset({"InvalidSecurity", "InvalidSourceException", "UnsupportedOperation"})  # for any request of ours
FED_BY_ANOTHER = "KinesisStreamAsSource"  # a stream of Firehose's that takes nothing of ours
# What looks at each record, by IAM's names. Of any other kind, S3's as well, a bad request is bad with all records.
LOOKING_AT_RECORDS = frozenset(
    {"firehose:PutRecordBatch", "kinesis:PutRecords", "logs:PutLogEvents", "sqs:SendMessage"}
)
# What a status means where the code says nothing more.
SCOPES = {
    400: Scope.RECORD,
    401: Scope.EVERYTHING,
    403: Scope.EVERYTHING,
    404: Scope.EVERYTHING,
    405: Scope.EVERYTHING,
    411: Scope.EVERYTHING,
    413: Scope.SIZE,
    501: Scope.EVERYTHING,
}
MOVED = frozenset({"Redirect", "TemporaryRedirect"})  # for minutes, of a bucket that is new
ELSEWHERE = MOVED | {
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
    "InvalidAddress",
    "PermanentRedirect",
}
SQS_PREFIX = "AWS.SimpleQueueService."  # which some codes of SQS always have, and others sometimes
# What S3 says of whoever may not use a bucket's key, or set an ACL, is AccessDenied too.
DENIED = re.compile(r"not authorized to perform: ((?:kms|s3):[A-Za-z]{1,64})")
BUCKET_REGION = "x-amz-bucket-region"  # S3's header


class Wanted(NamedTuple):
    """What was to be done: IAM's name for it, with what, as in "bucket logs", and where."""

    action: str
    resource: str
    region: str


def translate(error: ClientError, wanted: Wanted) -> Exception:  # noqa: PLR0911 - a table, in words
    """What it is to delivery: Refused, Throttled or Unavailable.

    AWS's own text is left out, it may quote records; but the action is read of it that is not allowed.
    """
    found = code(error)
    metadata = error.response.get("ResponseMetadata", {})
    status = metadata.get("HTTPStatusCode", 0)
    text = str(error.response.get("Error", {}).get("Message"))
    message = f"{found} ({wanted.action}, HTTP {status})"
    if found in THROTTLED or status == 429:
        after = metadata.get("HTTPHeaders", {}).get("retry-after", "")
        return Throttled(message, float(after) if after.isdecimal() else 0.0)
    if found in EXPIRED or found in STALE or found in DAMAGED or "expired" in text:
        return Unavailable(message)
    if remedy := _remedy(found, status, wanted, text):
        return _denied(f"{found}: {remedy}")
    if found in MOVED:
        return Unavailable(message)
    redirects = 300 <= status < 400
    if found in ELSEWHERE or (redirects and BUCKET_REGION in metadata.get("HTTPHeaders", {})):
        return _denied(f"{found}: {wanted.resource} is not in {wanted.region}; add region=... to the URL")
    if redirects:
        return _denied(f"HTTP {status}: the endpoint redirects; check region= and AWS_ENDPOINT_URL")
    if found in UNFIT or FED_BY_ANOTHER in text or (status == 400 and wanted.action not in LOOKING_AT_RECORDS):
        return _denied(message)
    if status in SCOPES:
        return Refused(message, SCOPES[status])
    return Unavailable(message)


def blames_key(found: str) -> bool:
    """Whether a code is about the KMS key of a destination: each service has its own words, most begin alike."""
    return found.upper().startswith("KMS") or found == "InvalidKMSResourceException"


def _remedy(found: str, status: int, wanted: Wanted, text: str) -> str:
    """What is to be done about a refusal of every request; empty where the code does not say."""
    if blames_key(found) and status < 500:
        return (
            f"the KMS key of {wanted.resource} cannot be used; check that it is there and enabled, and that the "
            "function's role may use it"
        )
    if found in FORBIDDEN:
        denied = DENIED.search(text)
        action = denied[1] if denied else wanted.action
        if action.startswith("kms:"):
            return f"allow {action} on the KMS key of {wanted.resource} in the function's role and in the key's policy"
        return f"allow {action} on {wanted.resource} in the function's role"
    if found in UNKNOWN_KEY:
        return "AWS does not know the credentials in use; check AWS_ACCESS_KEY_ID and what set it"
    if found in MISSING:
        return f"there is no {wanted.resource} in {wanted.region}; create it, or correct the URL"
    return ""


def _denied(message: str) -> Refused:
    return Refused(message, Scope.EVERYTHING)


def code(error: ClientError) -> str:
    """The error code that AWS gave, without a prefix of SQS's; empty for what is none."""
    found = error.response.get("Error", {}).get("Code")
    return found.removeprefix(SQS_PREFIX) if isinstance(found, str) else ""

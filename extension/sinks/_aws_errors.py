"""What AWS's errors mean to delivery, and in one line what their reader is to do. It calls nothing."""

from __future__ import annotations

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
FORBIDDEN = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "AllAccessDisabled",
        "KMS.AccessDeniedException",
        "KMSAccessDeniedException",
        "KmsAccessDenied",
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
        "AWS.SimpleQueueService.NonExistentQueue",
        "NoSuchBucket",
        "QueueDoesNotExist",
        "ResourceNotFoundException",
    }
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
BUCKET_REGION = "x-amz-bucket-region"  # S3's header


class Wanted(NamedTuple):
    """What was to be done: IAM's name for it, with what, as in "bucket logs", and where."""

    action: str
    resource: str
    region: str


def translate(error: ClientError, wanted: Wanted) -> Exception:  # noqa: PLR0911 - a table, in words
    """What it is to delivery: Refused, Throttled or Unavailable. AWS's own text is left out, it may quote records."""
    found = code(error)
    metadata = error.response.get("ResponseMetadata", {})
    status = metadata.get("HTTPStatusCode", 0)
    message = f"{found} ({wanted.action}, HTTP {status})"
    if found in THROTTLED or status == 429:
        after = metadata.get("HTTPHeaders", {}).get("retry-after", "")
        return Throttled(message, float(after) if after.isdecimal() else 0.0)
    if found in EXPIRED or found in STALE or "expired" in str(error.response.get("Error", {}).get("Message")):
        return Unavailable(message)
    if found in FORBIDDEN:
        return _denied(f"{found}: allow {wanted.action} on {wanted.resource} in the function's role")
    if found in UNKNOWN_KEY:
        return _denied(f"{found}: AWS does not know the credentials in use; check AWS_ACCESS_KEY_ID and what set it")
    if found in MISSING:
        return _denied(f"{found}: there is no {wanted.resource} in {wanted.region}; create it, or correct the URL")
    if found in MOVED:
        return Unavailable(message)
    redirects = 300 <= status < 400
    if found in ELSEWHERE or (redirects and BUCKET_REGION in metadata.get("HTTPHeaders", {})):
        return _denied(f"{found}: {wanted.resource} is not in {wanted.region}; add region=... to the URL")
    if redirects:
        return _denied(f"HTTP {status}: the endpoint redirects; check region= and AWS_ENDPOINT_URL")
    if status in SCOPES:
        return Refused(message, SCOPES[status])
    return Unavailable(message)


def _denied(message: str) -> Refused:
    return Refused(message, Scope.EVERYTHING)


def code(error: ClientError) -> str:
    """The error code that AWS gave; empty for what is none."""
    found = error.response.get("Error", {}).get("Code")
    return found if isinstance(found, str) else ""

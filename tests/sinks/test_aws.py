"""Credentials, endpoints and errors, which are the same for every AWS sink; S3 and Firehose stand for all."""

from __future__ import annotations

import importlib
import json
import ssl
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import botocore.session
import pytest
import trustme

from extension.delivery.sending import ATTEMPT_S, SEND_GRACE_S
from extension.log import describe
from extension.pipeline.pipeline import now_iso
from extension.sinks import BadSetting, Refused, Scope, Throttled, Unavailable, _aws, _aws_errors
from tests.support.batches import batch, line, sink_url
from tests.support.fault_server import Action, Answer, FaultServer, Request, refused_port
from tests.support.strict_aws import CREDENTIALS, MESSAGE, ContainerCredentials, Service, Sts, in_an_hour, refusing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from extension.sinks import Sink
    from tests.support.strict_aws import Strict

ROLE = "arn:aws:iam::210987654321:role/telemetry-writer"
SENT = batch(line(1))


# --- errors


class Refusing(Service):
    """Refuses everything with one code."""

    def __init__(
        self, code: str, status: int = 400, headers: dict[str, str] | None = None, message: str = MESSAGE
    ) -> None:
        super().__init__()
        self._answer = refusing(code, status, headers, message)

    def __call__(self, request: Request) -> Action:
        """Refuse."""
        return self._answer(request)


@pytest.mark.parametrize(
    ("url", "code", "status", "said"),
    [
        ("s3://logs", "AccessDenied", 403, "allow s3:PutObject on bucket logs in the function's role"),
        (
            "firehose://s",
            "AccessDeniedException",
            400,
            "allow firehose:PutRecordBatch on stream s in the function's role",
        ),
        ("kinesis://s", "AccessDeniedException", 400, "allow kinesis:PutRecords on stream s in the function's role"),
        ("s3://logs", "NoSuchBucket", 404, "there is no bucket logs in eu-west-1; create it, or correct the URL"),
        ("s3://logs?region=eu-west-3", "NoSuchBucket", 404, "there is no bucket logs in eu-west-3"),
        ("sqs://sqs.x/1/q", "AWS.SimpleQueueService.NonExistentQueue", 400, "there is no queue q in eu-west-1"),
        ("sqs://sqs.x/1/q", "QueueDoesNotExist", 400, "there is no queue q in eu-west-1"),
        ("s3://logs", "InvalidAccessKeyId", 403, "AWS does not know the credentials in use"),
        ("kinesis://s", "UnrecognizedClientException", 400, "AWS does not know the credentials in use"),
        ("kinesis://s", "InvalidSignatureException", 400, "AWS does not know the credentials in use"),
        ("s3://logs", "IllegalLocationConstraintException", 400, "bucket logs is not in eu-west-1; add region="),
        ("firehose://s", "Unauthorized", 401, r"Unauthorized \(firehose:PutRecordBatch, HTTP 401\)"),
        ("s3://logs", "MethodNotAllowed", 405, r"MethodNotAllowed \(s3:PutObject, HTTP 405\)"),
    ],
)
def test_what_to_do(url: str, code: str, status: int, said: str, strict: Callable[..., Strict]) -> None:
    """A refusal says in one line what to do about it."""
    with pytest.raises(Refused, match=said) as caught:
        strict(url, Refusing(code, status)).sink.send(SENT, 5.0)
    assert "\n" not in str(caught.value)
    assert caught.value.scope is Scope.EVERYTHING


@pytest.mark.parametrize(
    ("action", "said"),
    [
        ("kms:GenerateDataKey", "allow kms:GenerateDataKey on the KMS key of bucket logs"),
        ("s3:PutObjectAcl", "allow s3:PutObjectAcl on bucket logs"),
        ("s3:PutObject", "allow s3:PutObject on bucket logs"),
        ("secret:Word", "allow s3:PutObject on bucket logs"),
    ],
)
def test_the_action_that_is_not_allowed_is_named(action: str, said: str, strict: Callable[..., Strict]) -> None:
    """S3 may need more than PutObject, and its message says what: that alone is read of it."""
    message = f"User: arn:aws:sts::1:secret is not authorized to perform: {action} on resource: secret because secret"
    with pytest.raises(Refused) as caught:
        strict("s3://logs", Refusing("AccessDenied", 403, message=message)).sink.send(SENT, 5.0)
    where = "in the function's role" + (" and in the key's policy" if action.startswith("kms") else "")
    assert str(caught.value) == f"AccessDenied: {said} {where}"


@pytest.mark.parametrize("code", ["ValidationException", "InvalidArgumentException", "SerializationException"])
def test_bad_records(code: str, strict: Callable[..., Strict]) -> None:
    """A refusal that one record may be the cause of is worth dividing the batch for."""
    with pytest.raises(Refused) as caught:
        strict("firehose://s", Refusing(code)).sink.send(SENT, 5.0)
    assert caught.value.scope is Scope.RECORD


def kms_codes(service: str, operation: str) -> list[str]:
    """What an operation may say of a KMS key, but for throttling, as botocore's data know it."""
    model = botocore.session.Session().get_service_model(service).operation_model(operation)
    codes = {shape.name for shape in model.error_shapes if "KMS" in shape.name.upper()}
    return sorted(codes - _aws_errors.THROTTLED)


KMS = [
    *(("kinesis://s", code) for code in kms_codes("kinesis", "PutRecords")),
    *(("firehose://s", code) for code in kms_codes("firehose", "PutRecordBatch")),
    *(("sqs://sqs.x/1/q", code) for code in kms_codes("sqs", "SendMessageBatch")),
    # "Common Errors" and "Error responses" have these without a shape
    ("kinesis://s", "KMSAccessDenied"),
    ("sqs://sqs.x/1/q", "KMS.DisabledException"),
    ("sqs://sqs.x/1/q", "KMS.InvalidStateException"),
    ("sqs://sqs.x/1/q", "KMS.NotFoundException"),
    ("s3://logs", "KMS.DisabledException"),
    ("s3://logs", "KMS.KMSInvalidStateException"),
]


@pytest.mark.parametrize(("url", "code"), KMS)
def test_keys_that_cannot_be_used(url: str, code: str, strict: Callable[..., Strict]) -> None:
    """A KMS key that is disabled, gone or not allowed refuses every request, and no record is to blame."""
    with pytest.raises(Refused, match=f"{code}: the KMS key of .* cannot be used") as caught:
        strict(url, Refusing(code)).sink.send(SENT, 5.0)
    assert caught.value.scope is Scope.EVERYTHING


def test_kms_that_fails(strict: Callable[..., Strict]) -> None:
    """A failure of KMS itself passes, and says nothing of the key."""
    with pytest.raises(Unavailable):
        strict("s3://logs", Refusing("KMS.KMSInternalException", 500)).sink.send(SENT, 5.0)


@pytest.mark.parametrize("code", ["AccessControlListNotSupported", "InvalidStorageClass", "InvalidRequest"])
def test_s3_blames_no_record(code: str, strict: Callable[..., Strict]) -> None:
    """S3 does not look into an object: what it calls bad would be so with any other."""
    with pytest.raises(Refused) as caught:
        strict("s3://logs", Refusing(code)).sink.send(SENT, 5.0)
    assert caught.value.scope is Scope.EVERYTHING


@pytest.mark.parametrize("code", ["BadDigest", "IncompleteBody", "XAmzContentSHA256Mismatch"])
def test_objects_that_were_damaged_on_the_way(code: str, strict: Callable[..., Strict]) -> None:
    """An object that did not come as it was sent is sent again."""
    with pytest.raises(Unavailable):
        strict("s3://logs", Refusing(code)).sink.send(SENT, 5.0)


@pytest.mark.parametrize(("url", "operation"), [("sqs://q", "GetQueueUrl"), ("logs://g", "CreateLogStream")])
def test_requests_without_records_blame_none(url: str, operation: str, strict: Callable[..., Strict]) -> None:
    """A bad request that had no records in it says nothing of them."""
    service = Service()
    setattr(service, f"_{operation}", refusing("ValidationException"))
    with pytest.raises(Refused) as caught:
        strict(url, service).sink.send(SENT, 5.0)
    assert caught.value.scope is Scope.EVERYTHING


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("sqs://sqs.x/1/q", "InvalidSecurity"),
        ("sqs://sqs.x/1/q", "UnsupportedOperation"),
        ("sqs://sqs.x/1/q", "AWS.SimpleQueueService.UnsupportedOperation"),
        ("firehose://s", "InvalidSourceException"),
    ],
)
def test_destinations_that_take_no_such_request(url: str, code: str, strict: Callable[..., Strict]) -> None:
    """A queue or stream that is not made for such requests refuses every one."""
    with pytest.raises(Refused) as caught:
        strict(url, Refusing(code)).sink.send(SENT, 5.0)
    assert caught.value.scope is Scope.EVERYTHING


def test_a_firehose_stream_that_kinesis_feeds_takes_nothing_of_ours(strict: Callable[..., Strict]) -> None:
    """Its code is that of a bad record, its text is not."""
    said = "This operation is not permitted on KinesisStreamAsSource delivery stream type."
    with pytest.raises(Refused) as caught:
        strict("firehose://s", Refusing("InvalidArgumentException", message=said)).sink.send(SENT, 5.0)
    assert caught.value.scope is Scope.EVERYTHING


@pytest.mark.parametrize("code", sorted(_aws_errors.THROTTLED))
def test_throttling(code: str, strict: Callable[..., Strict]) -> None:
    """Each of AWS's words for too much is Throttled."""
    with pytest.raises(Throttled):
        strict("firehose://s", Refusing(code)).sink.send(SENT, 5.0)


def test_throttling_by_status(strict: Callable[..., Strict]) -> None:
    """A status of 429 is Throttled whatever the code."""
    with pytest.raises(Throttled):
        strict("firehose://s", Refusing("WhoKnows", 429)).sink.send(SENT, 5.0)


def test_slow_down(strict: Callable[..., Strict]) -> None:
    """S3's 503 SlowDown is Throttled, for as long as it says."""
    with pytest.raises(Throttled) as caught:
        strict("s3://logs", Refusing("SlowDown", 503, {"Retry-After": "3"})).sink.send(SENT, 5.0)
    assert caught.value.retry_after_s == 3.0


@pytest.mark.parametrize("code", ["RequestTimeTooSkewed", "RequestExpired", "RequestTimeout", "InternalError"])
def test_request_that_aged_in_a_freeze(code: str, strict: Callable[..., Strict]) -> None:
    """A request that was signed before a freeze and arrived after it is sent again, with a new signature."""
    with pytest.raises(Unavailable):
        strict("s3://logs", Refusing(code, 403 if code != "InternalError" else 500)).sink.send(SENT, 5.0)


def test_signature_that_expired(strict: Callable[..., Strict]) -> None:
    """So is one that AWS calls invalid, when it says that it is only too old."""
    text = json.dumps({"__type": "InvalidSignatureException", "message": "Signature expired: 20261121T000000Z is now"})
    found = strict("firehose://s", Service(first=[Answer(400, {}, text.encode())]))
    with pytest.raises(Unavailable):
        found.sink.send(SENT, 5.0)
    assert list(found.sink.send(SENT, 5.0)) == []


@pytest.mark.parametrize(
    ("url", "answer"),
    [
        ("kinesis://s", Answer(500, {}, b'{"__type":"InternalFailure","message":null}')),
        ("kinesis://s", Answer(503, {}, b'{"__type":"ServiceUnavailable","message":7}')),
        ("kinesis://s", Answer(503, {}, b'{"__type":{}}')),
        ("kinesis://s", Answer(503, {}, b"[]")),
        ("firehose://s", Answer(503, {}, b'"x"')),
        ("firehose://s", Answer(200, {}, b"[]")),
        ("sqs://sqs.x/1/q", Answer(200, {}, b"null")),
        ("logs://g/s", Answer(503, {}, b"\xff")),
    ],
)
def test_answers_of_another_form(url: str, answer: Answer, strict: Callable[..., Strict]) -> None:
    """An answer over which botocore stumbles, or we do, says nothing of the batch: it is sent again."""
    with pytest.raises(Unavailable):
        strict(url, Service([answer])).sink.send(SENT, 5.0)


def test_a_fault_of_ours_is_not_tried_for_ever() -> None:
    """What goes wrong before botocore's call is no answer of anybody's, and stays the fault of ours that it is."""
    client = _aws.Client("kinesis", "stream s", sink_url("kinesis://s"))
    with pytest.raises(TypeError):
        client.call("PutRecords", "soon")  # type: ignore[arg-type] # the fault


def test_unreachable(monkeypatch: pytest.MonkeyPatch, open_for_test: Callable[[str], Sink]) -> None:
    """A host that does not exist, as that of a misspelt region, is named with what to check."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://s3.eu-wst-1.invalid")
    with pytest.raises(ConnectionError, match=r"cannot reach http://s3\.eu-wst-1\.invalid; check the region"):
        open_for_test("s3://logs").send(SENT, 5.0)


def test_no_credentials(monkeypatch: pytest.MonkeyPatch, strict: Callable[..., Strict]) -> None:
    """Without credentials nothing is sent, and the instance metadata of a machine is not asked for any."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    with FaultServer() as metadata:
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata.url)
        found = strict("s3://logs")
        with pytest.raises(Refused, match="no credentials; give the function an execution role"):
            found.sink.send(SENT, 5.0)
        assert metadata.requests == found.server.requests == []


def test_credentials_that_come_late(monkeypatch: pytest.MonkeyPatch, strict: Callable[..., Strict]) -> None:
    """Credentials that were not there at first are used once they are."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    found = strict("s3://logs")
    with pytest.raises(Refused):
        found.sink.send(SENT, 5.0)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDLATE")
    found.sink.send(SENT, 5.0)
    assert found.service.keys == {"AKIDLATE"}


# --- credentials


def test_environment_keys(strict: Callable[..., Strict]) -> None:
    """The keys that Lambda puts into the environment sign the requests, and its token goes with them."""
    found = strict("s3://logs")
    found.sink.send(SENT, 5.0)
    assert found.service.keys == {CREDENTIALS["AWS_ACCESS_KEY_ID"]}
    assert found.server.requests[0].headers["x-amz-security-token"] == CREDENTIALS["AWS_SESSION_TOKEN"]


def test_expired_token_is_not_fatal(strict: Callable[..., Strict], monkeypatch: pytest.MonkeyPatch) -> None:
    """When a token has expired, the next send takes the credentials that are there by then."""
    expired = json.dumps({"__type": "ExpiredTokenException", "message": "The security token included is expired"})
    found = strict("firehose://s", Service(first=[Answer(400, {}, expired.encode())]))
    with pytest.raises(Unavailable, match="ExpiredTokenException"):
        found.sink.send(SENT, 5.0)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDRENEWED")
    assert list(found.sink.send(SENT, 5.0)) == []
    assert found.service.keys == {CREDENTIALS["AWS_ACCESS_KEY_ID"], "AKIDRENEWED"}


@pytest.fixture
def container(monkeypatch: pytest.MonkeyPatch) -> Iterator[ContainerCredentials]:
    """The environment of a SnapStart function."""
    credentials = ContainerCredentials()
    with FaultServer(credentials) as server:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{server.url}/2021-04-23/credentials")
        monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "the-token")
        yield credentials


def test_container_credentials(container: ContainerCredentials, strict: Callable[..., Strict]) -> None:
    """Where Lambda gives no keys but an address to ask for them, they are asked for, and kept while they are good."""
    found = strict("s3://logs")
    found.sink.send(SENT, 5.0)
    found.sink.send(batch(line(2), number=2), 5.0)
    assert (found.service.keys, container.given) == ({"AKID1"}, 1)


def test_container_credentials_that_expire(container: ContainerCredentials, strict: Callable[..., Strict]) -> None:
    """Credentials that expired while the process was frozen are asked for anew before the next request."""
    container.expires = in_an_hour(-1)
    found = strict("s3://logs")
    container.expires = in_an_hour()
    found.sink.send(SENT, 5.0)
    assert found.service.keys == {"AKID2"}


def test_container_that_does_not_answer_yet(
    container: ContainerCredentials, strict: Callable[..., Strict], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Credentials that cannot be had at start are asked for at the first send: init does not fail for them."""
    monkeypatch.setattr("botocore.utils.ContainerMetadataFetcher.SLEEP_TIME", 0.0)
    container.broken = True
    found = strict("s3://logs")
    container.broken = False
    assert found.sink.send(SENT, 5.0) == ()


@pytest.fixture
def assume(
    monkeypatch: pytest.MonkeyPatch, open_for_test: Callable[[str], Sink]
) -> Iterator[Callable[[Callable[[Request], Action]], Sink]]:
    """Open a sink that writes with a role."""
    with ExitStack() as stack:

        def open_one(sts: Callable[[Request], Action]) -> Sink:
            server = stack.enter_context(FaultServer(sts))
            monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
            return open_for_test(f"s3://logs?region=eu-south-1&role={ROLE}")

        yield open_one


def test_role(assume: Callable[[Sts], Sink]) -> None:
    """With role= requests are signed by credentials of that role, which are asked for once while they are good."""
    sts = Sts()
    sink = assume(sts)
    assert sts.asked == []
    sink.send(SENT, 5.0)
    sink.send(batch(line(2), number=2), 5.0)
    assert sts.service.keys == {"ASIAROLE1"}
    assert len(sts.asked) == 1
    assert b"telemetry-writer" in sts.asked[0].body


def test_role_is_asked_for_at_home(assume: Callable[[Sts], Sink]) -> None:
    """The role is assumed in the function's region, though the bucket is in another."""
    sts = Sts()
    assume(sts).send(SENT, 5.0)
    assert "/eu-west-1/sts/" in sts.asked[0].headers["authorization"]


def test_role_is_assumed_anew(assume: Callable[[Sts], Sink]) -> None:
    """Credentials of the role that are about to expire are replaced before a request is signed with them."""
    sts = Sts(expires=in_an_hour(0.01))
    sink = assume(sts)
    sink.send(SENT, 5.0)
    sink.send(batch(line(2), number=2), 5.0)
    assert "ASIAROLE2" in sts.service.keys


def test_role_that_may_not_be_assumed(assume: Callable[[Sts], Sink]) -> None:
    """When the role does not trust the function, the message names the role and the action."""
    sts = Sts()
    sts.refuse = "AccessDenied"
    with pytest.raises(Refused, match=f"allow sts:AssumeRole on role {ROLE} in the function's role"):
        assume(sts).send(SENT, 5.0)


@pytest.mark.parametrize(
    "answer", [Answer(403, {}, b"<html>blocked<br></html>"), Answer(200, {}, b"<html>Sign in<br></html>"), Answer(403)]
)
def test_role_of_which_something_else_speaks(answer: Answer, assume: Callable[[Callable[..., Action]], Sink]) -> None:
    """A proxy's page in the place of STS's answer says nothing of the batch: it is sent again."""
    with pytest.raises(Unavailable):
        assume(lambda _request: answer).send(SENT, 5.0)


def test_role_that_sts_calls_bad(assume: Callable[[Callable[..., Action]], Sink]) -> None:
    """STS sees no records, so it can blame none."""
    with pytest.raises(Refused) as caught:
        assume(refusing("ValidationError")).send(SENT, 5.0)
    assert caught.value.scope is Scope.EVERYTHING


def test_role_that_comes_too_late(assume: Callable[[Callable[..., Action]], Sink]) -> None:
    """Where the credentials took all the time there was, nothing is sent: it is being sent again by then."""
    sts = Sts()

    def slow(request: Request) -> Action:
        answer = sts(request)
        return answer._replace(after_s=0.3) if isinstance(answer, Answer) and not sts.service.calls else answer

    with pytest.raises(OSError, match="no time left"):
        assume(slow).send(SENT, 0.2)
    assert sts.service.calls == []


def test_sts_has_its_share_of_an_attempt() -> None:
    """Connecting to STS and to the service, and STS's answer, leave time for the service's within one attempt."""
    assert _aws.CONNECT_S + _aws.READ_S + _aws.CONNECT_S <= ATTEMPT_S + SEND_GRACE_S


def test_role_without_credentials(assume: Callable[[Sts], Sink], monkeypatch: pytest.MonkeyPatch) -> None:
    """A role cannot be assumed without credentials, and the message says that those are missing."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(Refused, match="no credentials"):
        assume(Sts()).send(SENT, 5.0)


def test_role_of_a_container(container: ContainerCredentials, assume: Callable[[Sts], Sink]) -> None:
    """A role can be assumed with credentials that themselves come from the container's address."""
    sts = Sts()
    assume(sts).send(SENT, 5.0)
    assert "Credential=AKID1/" in sts.asked[0].headers["authorization"]


# --- endpoints


def endpoint(service: str, url: str) -> str:
    """Where a sink would send to."""
    return _aws.Client(service, "x", sink_url(url)).endpoint


SERVICES = ("s3", "firehose", "kinesis", "sqs", "logs")


@pytest.mark.parametrize("service", SERVICES)
def test_region_of_the_function(service: str) -> None:
    """Without region= the endpoint is that of the function's own region."""
    assert endpoint(service, f"{service}://x") == f"https://{service}.eu-west-1.amazonaws.com"


@pytest.mark.parametrize("service", SERVICES)
def test_region_of_the_url(service: str) -> None:
    """region= chooses the endpoint of another region."""
    assert endpoint(service, f"{service}://x?region=ap-south-1") == f"https://{service}.ap-south-1.amazonaws.com"


@pytest.mark.parametrize("service", SERVICES)
def test_region_of_another_partition(service: str) -> None:
    """Regions in China have their own domain."""
    assert endpoint(service, f"{service}://x?region=cn-north-1") == f"https://{service}.cn-north-1.amazonaws.com.cn"


@pytest.mark.parametrize("service", SERVICES)
def test_endpoint_of_one_service(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS_ENDPOINT_URL_<SERVICE> sends one service elsewhere, as to a VPC endpoint."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://all.example.com")
    name = "CLOUDWATCH_LOGS" if service == "logs" else service.upper()
    monkeypatch.setenv(f"AWS_ENDPOINT_URL_{name}", "https://one.example.com")
    assert endpoint(service, f"{service}://x") == "https://one.example.com"


FIPS, DUAL_STACK = {"AWS_USE_FIPS_ENDPOINT": "true"}, {"AWS_USE_DUALSTACK_ENDPOINT": "true"}


@pytest.mark.parametrize(
    ("url", "variables", "host"),
    [
        ("s3://logs", {}, "logs.s3.us-east-1.amazonaws.com"),
        ("s3://logs", FIPS, "logs.s3-fips.us-east-1.amazonaws.com"),
        ("s3://logs", DUAL_STACK, "logs.s3.dualstack.us-east-1.amazonaws.com"),
        ("s3://logs", FIPS | DUAL_STACK, "logs.s3-fips.dualstack.us-east-1.amazonaws.com"),
        ("firehose://s", FIPS, "firehose-fips.us-east-1.amazonaws.com"),
        ("firehose://s", DUAL_STACK, "firehose.us-east-1.api.aws"),
        ("firehose://s", FIPS | DUAL_STACK, "firehose-fips.us-east-1.api.aws"),
        ("kinesis://s", FIPS, "kinesis-fips.us-east-1.amazonaws.com"),
        ("kinesis://s", DUAL_STACK, "kinesis.us-east-1.api.aws"),
        ("sqs://q", FIPS, "sqs-fips.us-east-1.amazonaws.com"),
        ("sqs://q", DUAL_STACK, "sqs.us-east-1.api.aws"),
        ("sqs://sqs.us-east-1.amazonaws.com/123456789012/q", {}, "sqs.us-east-1.amazonaws.com"),
        ("logs://g", FIPS, "logs-fips.us-east-1.amazonaws.com"),
        ("logs://g", DUAL_STACK, "logs.us-east-1.api.aws"),
    ],
)
def test_fips_and_dual_stack(
    url: str,
    variables: dict[str, str],
    host: str,
    monkeypatch: pytest.MonkeyPatch,
    open_for_test: Callable[[str], Sink],
) -> None:
    """FIPS and dual-stack endpoints are taken when AWS's variables ask for them, and asked of HTTPS_PROXY."""
    with FaultServer(otherwise=Answer(403)) as proxy:
        for name, value in {**variables, "HTTPS_PROXY": proxy.url}.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(ConnectionError, match="cannot reach"):
            open_for_test(f"{url}?region=us-east-1").send(SENT, 5.0)
        proxy.wait_for(1)
        assert (proxy.requests[0].method, proxy.requests[0].path) == ("CONNECT", f"{host}:443")


class Authority:
    """A certificate authority of our own, and a server that it vouches for."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        self.service = Service()
        self.server = FaultServer(self.service, tls=context)
        self.bundle = folder / "ca.pem"
        authority.cert_pem.write_to_path(str(self.bundle))


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Authority]:
    """A server over TLS, to which everything is sent."""
    authority = Authority(tmp_path)
    with authority.server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", authority.server.url)
        yield authority


def test_server_that_nobody_vouches_for(authority: Authority, open_for_test: Callable[[str], Sink]) -> None:
    """A server whose certificate cannot be verified gets nothing."""
    with pytest.raises(OSError, match=r"SSLError.*certificate verify failed"):
        open_for_test("s3://logs").send(SENT, 5.0)
    assert authority.server.requests == []


def test_authority_of_ones_own(
    authority: Authority, open_for_test: Callable[[str], Sink], monkeypatch: pytest.MonkeyPatch
) -> None:
    """AWS_CA_BUNDLE names who else may vouch; over TLS as well, the checksum is a header and not a trailer."""
    monkeypatch.setenv("AWS_CA_BUNDLE", str(authority.bundle))
    open_for_test("s3://logs").send(SENT, 5.0)
    [request] = authority.server.requests
    assert "x-amz-checksum-crc32" in request.headers
    assert "aws-chunked" not in request.headers.get("content-encoding", "")


@pytest.mark.parametrize("content", [None, "no certificate", ""])
def test_authority_that_is_none(
    content: str | None,
    authority: Authority,
    open_for_test: Callable[[str], Sink],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """An AWS_CA_BUNDLE that is not there, or holds no certificates, is what the log says is wrong, not its path."""
    bundle = tmp_path / "s3cr3t.pem"
    if content is not None:
        bundle.write_text(content)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(bundle))
    with pytest.raises(OSError, match=r"^AWS_CA_BUNDLE names no file that holds certificates") as caught:
        open_for_test("s3://logs").send(SENT, 5.0)
    assert "s3cr3t" not in describe(caught.value)
    assert authority.server.requests == []


@pytest.mark.parametrize(
    "proxy",
    [
        "s3cr3t s3cr3t",
        "http://",
        "http://u:s3cr3t@h:99999",
        "http://h:s3cr3t",
        "http://u:s3cr3t@[::1",
        "socks5://u:s3cr3t@h:1",
        "http://u:s3cr3t@",
    ],
)
@pytest.mark.parametrize("url", ["s3://logs", "firehose://s"])
def test_proxy_that_is_none(
    url: str, proxy: str, open_for_test: Callable[[str], Sink], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An HTTPS_PROXY that is no URL of a proxy is what the log says is wrong, not its value."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"https://127.0.0.1:{refused_port()}")
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(OSError, match=r"^HTTPS_PROXY is no URL of a proxy; expected http://host:port$") as caught:
        open_for_test(url).send(SENT, 5.0)
    assert "s3cr3t" not in describe(caught.value)


@pytest.mark.parametrize("proxy", ["http://u:p@127.0.0.1:{}", "https://127.0.0.1:{}", "127.0.0.1:{}", "//127.0.0.1:{}"])
def test_proxy_that_does_not_answer(
    proxy: str, open_for_test: Callable[[str], Sink], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is, and cannot be reached, is not called wrong."""
    monkeypatch.setenv("HTTPS_PROXY", proxy.format(refused_port()))
    with pytest.raises(ConnectionError, match=r"^cannot reach https://s3.*; check the region, the proxy"):
        open_for_test("s3://logs").send(SENT, 5.0)


def test_errors_of_tls_show_no_path(authority: Authority, open_for_test: Callable[[str], Sink]) -> None:
    """Nor does what is said of a server that cannot be verified quote the URL, as botocore does."""
    with pytest.raises(OSError, match="certificate verify failed") as caught:
        open_for_test("s3://logs/s3cr3t").send(SENT, 5.0)
    assert "s3cr3t" not in describe(caught.value)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3://logs?region=eu_west", "region= names no region of AWS"),
        ("s3://logs?role=arn:aws:iam::1:role/x", "role= is no ARN of a role"),
        ("kinesis://a%20b", "expected kinesis://stream"),
    ],
)
def test_settings_that_make_no_sense(url: str, said: str, open_for_test: Callable[[str], Sink]) -> None:
    """What no client can be opened with is said when the sink is opened, as any other bad setting."""
    with pytest.raises(BadSetting, match=said):
        open_for_test(url)


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ("AWS_PROFILE", "ProfileNotFound"),
        ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL, or the one of the service, is no URL"),
    ],
)
def test_variables_of_aws_that_make_no_sense(
    variable: str, said: str, monkeypatch: pytest.MonkeyPatch, open_for_test: Callable[[str], Sink]
) -> None:
    """AWS's variables are the function's as well: what is wrong with them is trouble of that sink alone."""
    monkeypatch.setenv(variable, "no such thing")
    with pytest.raises(Unavailable, match=said):
        open_for_test("s3://logs")


def test_opening_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening a sink sends nothing: init must not wait for a network that is not there yet."""
    with FaultServer() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", server.url)
        for service in SERVICES:
            _aws.Client(service, "x", sink_url(f"{service}://x"))
        assert server.requests == []


def test_declared_operations_are_those_of_the_service() -> None:
    """What a module declares for the build exists in botocore, under that service."""
    session = botocore.session.Session()
    modules: list[Any] = [_aws, *(importlib.import_module(f"extension.sinks.{name}") for name in SERVICES)]
    for module in modules:
        assert set(module.OPERATIONS) <= set(session.get_service_model(module.SERVICE).operation_names)


# --- what botocore's data knows


@pytest.mark.parametrize("url", ["s3://logs", "firehose://s", "kinesis://s", "sqs://q", "logs://g"])
@pytest.mark.parametrize("region", ["eu-wst-1x", "eu_west_1", "Frankfurt", "eu-west-1a", "us-east"])
def test_regions_that_are_none(url: str, region: str, open_for_test: Callable[[str], Sink]) -> None:
    """A region that is in no partition, nor looks like those of one, is refused."""
    with pytest.raises(ValueError, match="region= names no region of AWS"):
        open_for_test(f"{url}?region={region}")


@pytest.mark.parametrize(
    "region", ["eu-west-1", "us-gov-west-1", "cn-north-1", "us-iso-east-1", "eu-north-7", "mx-west-2"]
)
def test_regions_of_any_partition(region: str, open_for_test: Callable[[str], Sink]) -> None:
    """A region of any partition is known, and so is a new one that looks like the others."""
    open_for_test(f"firehose://s?region={region}").close()


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("storage_class=GLACIAL", "storage_class= is none of STANDARD, .*INTELLIGENT_TIERING"),
        ("storage_class=standard_ia", "storage_class= is none of"),
        ("acl=public", "acl= is none of private, .*bucket-owner-full-control"),
    ],
)
def test_words_that_s3_does_not_know(query: str, said: str, open_for_test: Callable[[str], Sink]) -> None:
    """A storage class or an ACL that S3 would refuse each object for is refused at start."""
    with pytest.raises(ValueError, match=said):
        open_for_test(f"s3://logs?{query}")


@pytest.mark.parametrize("query", ["storage_class=STANDARD_IA", "acl=bucket-owner-full-control", "storage_class=&acl="])
def test_words_that_s3_knows(query: str, open_for_test: Callable[[str], Sink]) -> None:
    """Those that it knows are taken, and none is the bucket's own."""
    open_for_test(f"s3://logs?{query}").close()


@pytest.mark.parametrize(
    "url",
    ["firehose://telemetry", "kinesis://telemetry", "sqs://sqs.x/1/telemetry", "s3://telemetry", "logs://telemetry/s"],
)
@pytest.mark.parametrize("body", [b"<html>Sign in, please.</html>", b"{}", b""])
def test_an_answer_that_is_not_the_services(strict: Callable[..., Strict], url: str, body: bytes) -> None:
    """A 200 without what the service always says has delivered nothing: it came from something between us."""
    found = strict(url, Service([Answer(200, {}, body)]))
    sent = batch(line(1, time=now_iso()))
    with pytest.raises(Unavailable):
        found.sink.send(sent, 5.0)
    assert list(found.sink.send(sent, 5.0)) == []


@pytest.mark.parametrize("code", ["KMS.ThrottlingException", "KmsThrottled"])
def test_throttled_keys_are_throttling(strict: Callable[..., Strict], code: str) -> None:
    """What KMS has no room for is sent again: SQS, Kinesis and S3 each have a word of their own for it."""
    with pytest.raises(Throttled):
        strict("sqs://sqs.x/1/telemetry", Refusing(code)).sink.send(batch(line(1)), 5.0)

"""The layer as it ships, with AWS sinks that cannot work: one clear line, the function unharmed, no record lost."""

from __future__ import annotations

import json
import re
import ssl
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import trustme

from tests.support.fault_server import Action, Answer, FaultServer, Request
from tests.support.forwarding import assert_balanced
from tests.support.strict_aws import CREDENTIALS, ContainerCredentials, Service, Sts, refusing

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.fake_lambda import FakeLambda

MISSING = {
    "s3://nothing-here/raw": "NoSuchBucket: there is no bucket nothing-here in eu-west-1; create it",
    "firehose://nothing": "there is no stream nothing in eu-west-1; create it",
    "kinesis://nothing": "there is no stream nothing in eu-west-1; create it",
    "sqs://nothing": "there is no queue nothing in eu-west-1; create it",
    "logs://nothing": "there is no log group nothing in eu-west-1; create it",
}
FORBIDDEN = {
    "s3://bucket": "allow s3:PutObject on bucket bucket in the function's role",
    "firehose://stream": "allow firehose:PutRecordBatch on stream stream in the function's role",
    "kinesis://stream": "allow kinesis:PutRecords on stream stream in the function's role",
    "sqs://queue": "allow sqs:GetQueueUrl on queue queue in the function's role",
    "logs://group": "allow logs:PutLogEvents on log group group in the function's role",
}


async def forward(lambda_: FakeLambda, *lines: str, **environment: str) -> dict[str, Any]:
    """One invocation and SHUTDOWN, neither of which is harmed; the ledger's only account."""
    await lambda_.start(**{**CREDENTIALS, **environment})
    await lambda_.subscribe()
    await lambda_.invoke("r1", *lines)
    assert await lambda_.shut_down() == 0
    assert_balanced(lambda_.ledger)
    account: dict[str, Any] = lambda_.ledger["sinks"][name(environment["FORWARDER_SINKS"])]
    return account


def name(url: str) -> str:
    """What the ledger calls the sink of a URL."""
    return "://".join(urlsplit(url)[:2])


def said(lambda_: FakeLambda, sink: str) -> list[str]:
    """The reasons that the log gives for a sink's refusals."""
    return [
        line["reason"] for line in lambda_.log if line["message"] == "sink refuses records" and line["sink"] == sink
    ]


@pytest.mark.parametrize("url", MISSING)
async def test_what_is_not_there(url: str, lambda_: FakeLambda, moto: str, tmp_path: Path) -> None:
    """A destination that does not exist is named with its region, and the fallback has every record."""
    path = tmp_path / "fallback.ndjson"
    account = await forward(
        lambda_, "one", "two", AWS_ENDPOINT_URL=moto, FORWARDER_SINKS=url, FORWARDER_FALLBACK=f"file://{path}"
    )
    assert account["fellBack"] == len(lambda_.sent)
    assert all(MISSING[url] in reason for reason in said(lambda_, name(url)))
    fallen = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert [one["record"] for one in fallen] == [json.loads(line)["record"] for line in lambda_.sent]
    assert {one["lambda"]["refusedBy"] for one in fallen} == {name(url)}


@pytest.mark.parametrize("url", FORBIDDEN)
async def test_what_is_not_allowed(url: str, lambda_: FakeLambda) -> None:
    """A permission that is missing is named as IAM names it, and every record is counted with that reason."""
    with FaultServer(refusing("AccessDeniedException")) as server:
        account = await forward(lambda_, "one", "two", AWS_ENDPOINT_URL=server.url, FORWARDER_SINKS=url)
    [(reason, count)] = account["dropped"].items()
    assert FORBIDDEN[url] in reason
    assert count == lambda_.ledger["received"] + lambda_.ledger["added"]
    assert set(said(lambda_, name(url))) == {reason}


async def test_record_above_the_limit(lambda_: FakeLambda) -> None:
    """A record that is longer than the service takes is counted as such, and the others arrive."""
    service = Service()
    with FaultServer(service) as server:
        account = await forward(
            lambda_, "short", "x" * (1 << 20), AWS_ENDPOINT_URL=server.url, FORWARDER_SINKS="kinesis://stream"
        )
    [(reason, count)] = account["dropped"].items()
    assert re.fullmatch(r"longer than \d+ bytes", reason)
    assert count == 1
    arrived = [json.loads(line)["record"] for line in service.lines()]
    assert "short" in arrived
    assert account["delivered"] == len(arrived) == lambda_.ledger["received"] + lambda_.ledger["added"] - 1


class InAnotherRegion(Service):
    """A bucket in eu-central-1, of which S3 in other regions knows where it is, or does not say."""

    def __init__(self, *, tells: bool) -> None:
        super().__init__()
        self._headers = {"x-amz-bucket-region": "eu-central-1"} if tells else {}

    def __call__(self, request: Request) -> Action:
        """Redirect whoever signed for another region."""
        if "/eu-central-1/" in request.headers["authorization"]:
            return super().__call__(request)
        if request.method == "HEAD":
            return Answer(403)
        return refusing("PermanentRedirect", 301, self._headers)(request)


async def test_bucket_in_another_region(lambda_: FakeLambda) -> None:
    """Where S3 says in which region a bucket is, the records are sent there."""
    service = InAnotherRegion(tells=True)
    with FaultServer(service) as server:
        account = await forward(lambda_, "one", AWS_ENDPOINT_URL=server.url, FORWARDER_SINKS="s3://bucket")
    assert account["delivered"] == len(lambda_.sent) == len(service.lines())


async def test_bucket_in_some_other_region(lambda_: FakeLambda) -> None:
    """Where it does not, the log says that the region is wrong and what to add to the URL."""
    with FaultServer(InAnotherRegion(tells=False)) as server:
        account = await forward(lambda_, "one", AWS_ENDPOINT_URL=server.url, FORWARDER_SINKS="s3://bucket")
    [reason] = account["dropped"]
    assert reason == "PermanentRedirect: bucket bucket is not in eu-west-1; add region=... to the URL"


async def test_endpoint_that_redirects(lambda_: FakeLambda) -> None:
    """A server on AWS_ENDPOINT_URL_S3 that wants https is no fault of ours, and what to check is in the log."""
    with FaultServer(otherwise=Answer(301, {"Location": "https://elsewhere.invalid/"})) as server:
        account = await forward(lambda_, "one", AWS_ENDPOINT_URL_S3=server.url, FORWARDER_SINKS="s3://bucket")
    reason = "HTTP 301: the endpoint redirects; check region= and AWS_ENDPOINT_URL"
    assert list(account["dropped"]) == [reason]
    assert {request.method for request in server.requests} == {"PUT"}


async def test_unknown_parameter(lambda_: FakeLambda) -> None:
    """A parameter that the sink does not know is one line at start, and the function runs without us."""
    await lambda_.start(**CREDENTIALS, FORWARDER_SINKS="kinesis://stream?shard=1")
    await lambda_.invoke("r1")
    assert await lambda_.shut_down() == 0
    [problem] = [problem for line in lambda_.log for problem in line.get("problems", ())]
    assert problem.startswith("sink 1 of FORWARDER_SINKS: unknown parameter, number 1 of the query; expected ")
    assert problem.endswith("partition_key, region, role, sample, types")


async def test_own_log_group(lambda_: FakeLambda) -> None:
    """The function's own log group is refused at start."""
    await lambda_.start(**CREDENTIALS, FORWARDER_SINKS="logs:///aws/lambda/orders")
    await lambda_.invoke("r1")
    assert await lambda_.shut_down() == 0
    assert "own log group" in json.dumps(lambda_.log)


async def test_one_object_for_many_invocations(lambda_: FakeLambda) -> None:
    """In interval mode the records of several invocations are gathered into one object."""
    service = Service()
    with FaultServer(service) as server:
        variables = {"FORWARDER_SINKS": "s3://bucket", "FORWARDER_FLUSH": "interval"}
        await lambda_.start(**CREDENTIALS, **variables, AWS_ENDPOINT_URL=server.url)
        await lambda_.subscribe()
        for number in range(5):
            await lambda_.invoke(f"r{number}", "one", "two")
        assert await lambda_.shut_down() == 0
    assert len(service.objects) == 1
    assert len(service.lines()) == len(lambda_.sent)


async def test_role_of_another_account(lambda_: FakeLambda) -> None:
    """With role= the layer writes with credentials of that role."""
    sts = Sts()
    with FaultServer(sts) as server:
        url = "firehose://stream?role=arn:aws:iam::210987654321:role/telemetry-writer"
        account = await forward(lambda_, "one", AWS_ENDPOINT_URL=server.url, FORWARDER_SINKS=url)
    assert account["delivered"] == len(lambda_.sent) == len(sts.service.lines())
    assert sts.service.keys == {"ASIAROLE1"}


@pytest.mark.parametrize("named", [True, False])
async def test_tls(named: bool, lambda_: FakeLambda, tmp_path: Path) -> None:
    """AWS over TLS gets the records if an authority in AWS_CA_BUNDLE vouches for it; a stranger gets nothing."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    service = Service()
    with FaultServer(service, tls=context) as server:
        trust = {"AWS_CA_BUNDLE": str(tmp_path / "ca.pem")} if named else {}
        account = await forward(
            lambda_, "one", AWS_ENDPOINT_URL=server.url, FORWARDER_SINKS="sqs://sqs.x.com/1/queue", **trust
        )
    assert account["delivered"] == len(service.lines()) == (len(lambda_.sent) if named else 0)


async def test_credentials_of_snap_start(lambda_: FakeLambda) -> None:
    """In a SnapStart function the layer asks for its credentials at the address that Lambda gives."""
    service, credentials = Service(), ContainerCredentials()
    with FaultServer(service) as server, FaultServer(credentials) as container:
        await lambda_.start(
            AWS_ACCESS_KEY_ID="",
            AWS_SECRET_ACCESS_KEY="",
            AWS_CONTAINER_CREDENTIALS_FULL_URI=f"{container.url}/2021-04-23/credentials",
            AWS_CONTAINER_AUTHORIZATION_TOKEN="the-token",
            AWS_ENDPOINT_URL=server.url,
            FORWARDER_SINKS="kinesis://stream",
        )
        await lambda_.subscribe()
        await lambda_.invoke("r1", "one")
        assert await lambda_.shut_down() == 0
    assert len(service.lines()) == len(lambda_.sent)
    assert service.keys == {"AKID1"}


@pytest.mark.parametrize("url", FORBIDDEN)
async def test_throttled_for_a_while(url: str, lambda_: FakeLambda) -> None:
    """Throttling passes: everything is delivered, once."""
    service = Service()
    times = [refusing("ThrottlingException")] * 2

    def act(request: Request) -> Action:
        return times.pop()(request) if times else service(request)

    with FaultServer(act) as server:
        account = await forward(lambda_, "one", "two", AWS_ENDPOINT_URL=server.url, FORWARDER_SINKS=url)
    assert account["delivered"] == len(lambda_.sent) == len(service.lines())

"""What the AWS sinks share: one botocore client each, with its credentials, timeouts and errors.

It knows no destination. Credentials, endpoints, FIPS and dual-stack are botocore's own business and follow its
environment variables, but for `region=` and `role=`, which each AWS sink takes in its URL.
"""

from __future__ import annotations

import os
import re
import ssl
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import boto3.session
from botocore import xform_name
from botocore.config import Config
from botocore.credentials import (
    AssumeRoleCredentialFetcher,
    CredentialProvider,
    CredentialResolver,
    DeferredRefreshableCredentials,
)
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    HTTPClientError,
    NoCredentialsError,
    ProxyConnectionError,
    SSLError,
)
from botocore.handlers import add_expect_header
from botocore.session import Session
from botocore.utils import get_environ_proxies

from extension.log import describe
from extension.sinks import HOST, BadSetting, Refused, Scope, Unavailable
from extension.sinks._aws_errors import BUCKET_REGION, ELSEWHERE, EXPIRED, Wanted, code, translate
from extension.version import USER_AGENT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from botocore.awsrequest import AWSPreparedRequest
    from botocore.client import BaseClient
    from botocore.credentials import Credentials
    from botocore.model import OperationModel

    from extension.sinks import SinkURL

T = TypeVar("T")

# The build reads these two to leave out of botocore's data what is never called.
SERVICE = "sts"
OPERATIONS = ("AssumeRole",)

PARAMETERS = HARMLESS = frozenset({"region", "role"})
ROLE = re.compile(r"arn:[\w-]+:iam::\d{12}:role/[\w+=,.@/-]+")
NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")  # of a stream
REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")
UNREACHABLE = (EndpointConnectionError, ConnectTimeoutError, ProxyConnectionError)
CONNECT_S = 2.0
READ_S = 2.0  # of STS, for the service's own answer is waited for until the end of the send
MIN_S = 0.1


class Client:
    """A botocore client whose calls have a deadline and whose errors are those of the sink seam.

    `resource` says in a message what is written to, as in "bucket logs". Raises BadSetting.
    """

    def __init__(self, service: str, resource: str, target: SinkURL) -> None:
        self._service = service
        self._resource = resource
        self._role = target.parameters.get("role", "")
        self._chosen_region = target.parameters.get("region", "")
        self._region = self._chosen_region or own_region()
        self._own = threading.local()  # `deadline`, of this thread's call: a freeze may have left others hanging
        self._opened: BaseClient | None = None
        check_role(self._role)
        if not self._region:
            raise BadSetting("the region is not known; expected region=... or AWS_REGION")
        # SnapStart's credentials come over HTTP; when they cannot be had now, the first call asks again.
        try:
            with suppress(CredentialRetrievalError, NoCredentialsError):
                self._opened = self._open()
        except BadSetting:
            raise
        except BotoCoreError as error:  # such as ProfileNotFound; its text quotes the variable
            raise Unavailable(f"AWS's variables do not fit: {type(error).__name__}") from None
        except ValueError:
            raise Unavailable("AWS_ENDPOINT_URL, or the one of the service, is no URL") from None

    @property
    def endpoint(self) -> str:
        """Where requests go, without what AWS_ENDPOINT_URL may say beside the host."""
        url = urlsplit(self._client().meta.endpoint_url)
        return f"{url.scheme}://{url.netloc if HOST.fullmatch(url.netloc) else '...'}"

    def call(
        self,
        operation: str,
        timeout_s: float,
        *,
        action: str = "",
        leave: str = "",
        expect: Sequence[str] = (),
        **parameters: Any,
    ) -> dict[str, Any]:
        """Call one operation. `action` is what IAM calls it, where that is another name.

        The service's own answers have one of the members `expect`, of which RequestId is a header. Raises Refused,
        Throttled and Unavailable for the errors that mean so, the latter for what is no answer of the service's as
        well; ClientError for the code that is to `leave` to the caller, and for no other; OSError where nobody answers.
        """
        try:
            self._own.deadline = time.monotonic() + max(timeout_s, MIN_S)
            client = self._client()
            answer: dict[str, Any] = ask(getattr(client, xform_name(operation)), **parameters)
        except ClientError as error:
            if code(error) in EXPIRED:
                self._opened = None  # the next call reads the credentials anew
            if code(error) == leave:
                raise
            wanted = Wanted(action or f"{self._service}:{operation}", self._resource, self._region)
            if error.operation_name in OPERATIONS:
                wanted = Wanted(f"sts:{error.operation_name}", f"role {self._role}", self._region)
            raise translate(error, wanted) from None
        except NoCredentialsError:
            self._opened = None
            raise Refused("no credentials; give the function an execution role", Scope.EVERYTHING) from None
        except (*UNREACHABLE, HTTPClientError, SSLError) as error:
            raise ConnectionError(self._why_unanswered(error)) from None
        except BotoCoreError as error:
            raise Unavailable(describe(error)) from None
        if expect and not any(name in answer or name in answer["ResponseMetadata"] for name in expect):
            raise Unavailable(f"an answer without {expect[0]}, not from the service itself: is there a proxy?")
        return answer

    def close(self) -> None:
        """Give up kept connections."""
        if self._opened is not None:
            self._opened.close()

    def _why_unanswered(self, error: BotoCoreError) -> str:
        if wrong := wrong_variable(self._client().meta.endpoint_url):
            return wrong
        if isinstance(error, UNREACHABLE):
            return f"cannot reach {self.endpoint}; check the region, the proxy and, in a VPC, the route or endpoint"
        return describe(error.kwargs.get("error", error))  # the text of botocore's own quotes the URL

    def _client(self) -> BaseClient:
        if self._opened is None:
            self._opened = self._open()
        return self._opened

    def _open(self) -> BaseClient:
        session = open_session(self._role, self._chosen_region)
        client: BaseClient = boto3.session.Session(botocore_session=session).client(
            self._service, region_name=self._region, config=client_config()
        )
        client.meta.events.register("before-send", self._limit)
        # "Expect: 100-continue" would cost each PutObject a round trip, and 1 s where a store does not know it.
        client.meta.events.unregister("before-call.s3", add_expect_header)
        client.meta.events.register_first("needs-retry.s3", follow_only_s3)
        return client

    def _limit(self, request: AWSPreparedRequest, **_: Any) -> None:
        """Give a request what is left of the time; botocore takes a timeout per request only from here."""
        left_s = self._own.deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("no time left when the request was signed")
        request.context["read_timeout"] = left_s  # type: ignore[attr-defined] # newer than the stubs


def own_region() -> str:
    """The function's own region, as its environment says; empty where it does not."""
    return next(filter(None, map(os.environ.get, REGIONS)), "")


def check_role(role: str) -> None:
    """Raise BadSetting unless it is the ARN of a role, or none."""
    if role and not ROLE.fullmatch(role):
        raise BadSetting("role= is no ARN of a role; expected arn:aws:iam::ACCOUNT:role/NAME")


def client_config() -> Config:
    """How clients behave."""
    return Config(
        connect_timeout=CONNECT_S,
        read_timeout=READ_S,
        retries={"total_max_attempts": 1, "mode": "standard"},  # delivery retries: it knows the deadline
        parameter_validation=False,
        s3={"us_east_1_regional_endpoint": "regional"},  # the global one is out of reach of VPC interface endpoints
        user_agent_extra=USER_AGENT,
    )


def open_session(role: str, region: str) -> Session:
    """A session with the function's own credentials, or those of a role; `region` is one that the user chose, or none.

    Raises BadSetting, NoCredentialsError, CredentialRetrievalError.
    """
    session = Session()
    if region:
        check_region(region, session)
    resolver = session.get_component("credential_provider")
    resolver.remove("iam-role")  # a Lambda has no instance metadata, and asking for it takes seconds
    if role:
        source = resolver.load_credentials()
        if source is None:
            raise NoCredentialsError
        provider = _Role(session, source, role, client_config())
        session.register_component("credential_provider", CredentialResolver([provider]))
    return session


def name(target: SinkURL, expected: str) -> str:
    """The host of a URL that has nothing behind it, the name of a stream. Raises BadSetting."""
    if not NAME.fullmatch(target.host) or target.path.strip("/"):
        raise BadSetting(f"expected {expected}")
    return target.host


def follow_only_s3(
    request_dict: dict[str, Any], response: tuple[Any, dict[str, Any]] | None, operation: OperationModel, **_: Any
) -> None:
    """Keep botocore from asking HeadBucket where a bucket is, unless S3 itself said that it is elsewhere.

    It would ask for any redirect, that of HeadBucket among them, and so for ever.
    """
    parsed = response[1] if response else {}
    says_where = BUCKET_REGION in parsed.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    says_elsewhere = operation.name != "HeadBucket" and parsed.get("Error", {}).get("Code") in ELSEWHERE
    if not says_where and not says_elsewhere:
        request_dict["context"]["s3_redirect"]["redirected"] = True


def failed(sent: Sequence[T], answers: Sequence[dict[str, Any]]) -> list[tuple[T, str]]:
    """What of `sent` was not taken, with AWS's code for it. Raises Unavailable unless there is an answer for each."""
    if len(answers) != len(sent):
        raise Unavailable(f"an answer for {len(answers)} of {len(sent)} records")
    return [(one, code) for one, answer in zip(sent, answers, strict=True) if (code := answer.get("ErrorCode"))]


def ask(method: Callable[..., T], **parameters: Any) -> T:
    """What a method of botocore's returns. Raises what botocore means to, OSError and Unavailable."""
    try:
        return method(**parameters)
    except (BotoCoreError, ClientError, OSError):
        raise
    except Exception as error:  # noqa: BLE001 - over an answer of another form botocore stumbles in many ways
        raise Unavailable(f"an answer that is not the service's ({type(error).__name__})") from None


def wrong_variable(endpoint: str) -> str:
    """The variable with which no request to this URL can be made, and what is wrong with it; empty if there is none."""
    scheme = urlsplit(endpoint).scheme
    path = os.environ.get("AWS_CA_BUNDLE")
    if path and scheme == "https":
        try:
            ssl.create_default_context(cafile=path)
        except OSError as error:
            return f"AWS_CA_BUNDLE names no file that holds certificates ({error.strerror})"
    proxy = get_environ_proxies(endpoint).get(scheme)
    if proxy and not is_proxy(proxy):
        return f"{scheme.upper()}_PROXY is no URL of a proxy; expected http://host:port"
    return ""


def is_proxy(url: str) -> bool:
    """Whether botocore can take this for a proxy; it needs no scheme."""
    try:
        parts = urlsplit(url if "//" in url else f"//{url}", "http")
        has_host = HOST.fullmatch(parts.netloc.rpartition("@")[2]) is not None and parts.port != 0
    except ValueError:  # its text quotes the URL
        return False
    return has_host and parts.scheme in {"http", "https"}


def words(service: str, operation: str, member: str) -> Sequence[str]:
    """What an operation takes for one of its members, as far as botocore's data knows."""
    shape: Any = Session().get_service_model(service).operation_model(operation).input_shape
    enum: Sequence[str] = shape.members[member].enum
    return enum


def check_region(region: str, session: Session) -> None:
    """Raise BadSetting unless a partition has the region, or could have it: new ones look like the others."""
    partitions = session.get_component("data_loader").load_data("partitions")["partitions"]
    if not any(region in part["regions"] or re.fullmatch(part["regionRegex"], region) for part in partitions):
        raise BadSetting("region= names no region of AWS")


class _Role(CredentialProvider):
    """A botocore credential provider that assumes a role with the function's own credentials, anew in time."""

    METHOD = "assume-role"

    def __init__(self, session: Session, source: Credentials, role: str, config: Config) -> None:
        self._session, self._source, self._role, self._config = session, source, role, config

    def load(self) -> DeferredRefreshableCredentials:
        fetcher = AssumeRoleCredentialFetcher(
            self._create_client, self._source, self._role, extra_args={"RoleSessionName": "telemetry-forwarder"}
        )
        return DeferredRefreshableCredentials(fetcher.fetch_credentials, self.METHOD)

    def _create_client(self, service: str, **credentials: Any) -> BaseClient:
        # In the function's own region, whose endpoint a VPC without internet may have.
        region = own_region() or None
        return self._session.create_client(service, region_name=region, config=self._config, **credentials)

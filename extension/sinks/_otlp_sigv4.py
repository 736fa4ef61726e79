"""Signing for AWS's own OTLP endpoints, with the function's credentials ("OTLP Endpoints", CloudWatch User Guide)."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError, ClientError, CredentialRetrievalError, NoCredentialsError

from extension.log import describe
from extension.sinks import BadSetting, Refused, Scope, Unavailable, _aws
from extension.sinks._aws_errors import Wanted, translate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from botocore.credentials import Credentials

    from extension.sinks import SinkURL

SERVICES = {"logs": "logs", "traces": "xray", "metrics": "monitoring"}  # as AWS calls them in a signature
ENDPOINT = re.compile(
    r"(?:logs|xray|monitoring)\.([a-z0-9-]+)\.(?:amazonaws\.com|amazonaws\.com\.cn|api\.aws)(?::443)?"
)


class Signer:
    """Signs the requests of one signal. Raises BadSetting."""

    def __init__(self, target: SinkURL, signal: str) -> None:
        self._role = target.parameters.get("role", "")
        self._chosen_region = target.parameters.get("region", "")
        _aws.check_role(self._role)
        self._region = self._chosen_region or region_of(target.host) or _aws.own_region()
        if not self._region:
            raise BadSetting("the region is not known; expected region=... or AWS_REGION")
        self._service = SERVICES[signal]
        self._found: Credentials | None = None
        with suppress(Refused, Unavailable):  # SnapStart's credentials come over HTTP: the first send asks again
            self._credentials()

    def sign(self, url: str, headers: Mapping[str, str], body: bytes) -> dict[str, str]:
        """The headers of a POST with those that sign it. Raises Refused where there are no credentials, Unavailable.

        What STS says to a role is raised as Client.call does.
        """
        credentials = self._credentials()
        try:
            frozen = _aws.ask(credentials.get_frozen_credentials)
        except ClientError as error:
            wanted = Wanted("sts:AssumeRole", f"role {self._role}", self._region)
            raise translate(error, wanted) from None
        except BotoCoreError as error:
            self._found = None
            raise Unavailable(describe(error)) from None
        request = AWSRequest("POST", url, dict(headers), body)
        SigV4Auth(frozen, self._service, self._region).add_auth(request)
        return dict(request.headers.items())

    def forget(self) -> None:
        """Read the credentials anew for the next request."""
        self._found = None

    def _credentials(self) -> Credentials:
        if self._found is None:
            try:
                session = _aws.open_session(self._role, self._chosen_region)
                self._found = session.get_credentials()
            except NoCredentialsError:
                pass
            except CredentialRetrievalError as error:
                raise Unavailable(describe(error)) from None
            except BotoCoreError as error:  # such as ProfileNotFound; its text quotes the variable
                raise Unavailable(f"AWS's variables do not fit: {type(error).__name__}") from None
        if self._found is None:
            raise Refused("no credentials; give the function an execution role", Scope.EVERYTHING)
        return self._found


def region_of(host: str) -> str:
    """The region that a host of AWS's names; empty where it is another host."""
    named = ENDPOINT.fullmatch(host)
    return named[1] if named else ""

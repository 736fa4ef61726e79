"""The secrets that settings refer to, fetched together, and the sinks that are made of them.

What a sink says of an error is shown without them. They are fetched again when the destination refuses every request,
and when the environment has become a copy of a snapshot; until there are newer ones a sink goes on with what it has.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from itertools import groupby
from typing import TYPE_CHECKING

from extension import sinks
from extension.clock import elapsed
from extension.log import describe, log, log_seldom
from extension.references import BadReference
from extension.sinks import BadSetting, Refused, Scope, SinkURL, Throttled, Unavailable, _aws, _secretsmanager, _ssm

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from extension.records import Batch
    from extension.references import Secret, Values
    from extension.sinks import Failure, Limits, Sink

SERVICES = {module.SERVICE: module for module in (_secretsmanager, _ssm)}
CALL_S = 3.0
FIRST_PAUSE_S, MAX_PAUSE_S = 0.2, 10.0  # between tries while a service does not answer
SEND_SHARE = 0.5  # of the time for a batch that is left to the sink, whatever becomes of the secrets
AGAIN_S = 60.0  # before secrets that were refused are fetched once more


class Secrets:
    """All `wanted` secrets. Whoever asks first fetches them, which blocks; the others wait for it."""

    def __init__(self, wanted: Collection[Secret], clock: Callable[[], float] = elapsed) -> None:
        self._wanted = sorted(set(wanted), key=lambda secret: (secret.service, _region(secret)))
        self._clock = clock
        self._lock = threading.Lock()
        self._values: Values | None = None
        self._fetched_at = 0.0
        self._is_stale = False
        self._clients: dict[tuple[str, str], _aws.Client] = {}

    def first(self) -> Values:
        """The secrets, however long it takes; why one has no value is in its place."""
        pause_s = FIRST_PAUSE_S
        with self._lock:
            found: dict[Secret, str | BadReference] = {}
            while self._values is None:
                try:
                    self._fetch(found, time.monotonic() + CALL_S)
                    self._keep(found)
                except (Throttled, Unavailable, OSError) as error:
                    log_seldom("WARN", "secrets not fetched, trying again", reason=describe(error))
                    time.sleep(pause_s)
                    pause_s = min(2 * pause_s, MAX_PAUSE_S)
            return self._values

    def forget(self) -> None:
        """The environment is a copy of a snapshot: what is known may be old."""
        self._is_stale, self._fetched_at = True, -AGAIN_S

    def after_restore(self, known: Values, until: float) -> Values:
        """The secrets, fetched again by the monotonic time `until` where they may be old; else those that are known."""
        return self._newer(known, until, must=False) if self._is_stale else known

    def after_refusal(self, known: Values, until: float) -> Values:
        """Secrets that are newer than those which were refused, where there are any."""
        return self._newer(known, until, must=True)

    def _newer(self, known: Values, until: float, *, must: bool) -> Values:
        if not self._lock.acquire(timeout=max(0.0, until - time.monotonic())):
            return known
        try:
            is_due = self._clock() - self._fetched_at >= AGAIN_S
            if is_due and (self._is_stale or (must and self._values is known)):
                self._fetched_at = self._clock()
                found: dict[Secret, str | BadReference] = {}
                self._fetch(found, until)
                self._keep(found)
        except (Throttled, Unavailable, OSError) as error:
            log_seldom("WARN", "secrets not fetched, trying again", reason=describe(error))
        finally:
            self._lock.release()
        return self._values or known

    def _keep(self, found: Values) -> None:
        self._values, self._fetched_at, self._is_stale = found, self._clock(), False

    def _fetch(self, found: dict[Secret, str | BadReference], until: float) -> None:
        """Add to `found` what is missing there. Raises Throttled, Unavailable and OSError."""
        missing = [secret for secret in self._wanted if secret not in found]
        for (service, region), group in groupby(missing, lambda secret: (secret.service, _region(secret))):
            secrets, most = list(group), SERVICES[service].MOST
            try:
                client = self._client(service, region)
            except (BadSetting, Unavailable) as error:  # the variables, not the service
                found.update(dict.fromkeys(secrets, BadReference(str(error))))
                continue
            try:
                for at in range(0, len(secrets), most):
                    _fetch_some(client, secrets[at : at + most], found, until)
            finally:
                client.close()  # the next time is far away

    def _client(self, service: str, region: str) -> _aws.Client:
        if (service, region) not in self._clients:
            target = SinkURL("", "", "", "", {"region": region} if region else {})
            self._clients[service, region] = _aws.Client(service, "the secret", target)
        return self._clients[service, region]


def _fetch_some(
    client: _aws.Client, secrets: Sequence[Secret], found: dict[Secret, str | BadReference], until: float
) -> None:
    """Fetch as many as one call may. Raises Throttled, Unavailable and OSError."""
    service = secrets[0].service
    try:
        _ask_for(client, secrets, found, until)
    except (Unavailable, ConnectionError) as error:
        kind = Unavailable if isinstance(error, Unavailable) else ConnectionError
        raise kind(f"{service}: {error}") from None
    except (Throttled, OSError):
        raise
    except Exception as error:  # noqa: BLE001 - over JSON of another form botocore stumbles in many ways, and we do
        raise Unavailable(f"{service}: an answer that is not the service's ({type(error).__name__})") from None


def _ask_for(
    client: _aws.Client, secrets: Sequence[Secret], found: dict[Secret, str | BadReference], until: float
) -> None:
    """Ask for them together, and for those that do not come then one by one. Raises whatever comes of nonsense."""
    service = SERVICES[secrets[0].service]
    if len(secrets) > 1:
        with suppress(Refused):  # the call is not allowed, or not known there, or one of the secrets is to blame
            found |= service.fetch_many(client, secrets, _left_s(until))
    for secret in secrets:
        if secret not in found:
            try:
                found[secret] = service.fetch_one(client, secret, _left_s(until))
            except Refused as error:
                found[secret] = BadReference(str(error))


def _left_s(until: float) -> float:
    return min(CALL_S, until - time.monotonic())


def _region(secret: Secret) -> str:
    """The region of an ARN; empty for a name, which is in the function's own."""
    parts = secret.name.split(":")
    return parts[3] if parts[0] == "arn" and len(parts) > 5 else ""


class SecretSink:
    """A sink whose URL or headers have secrets: made of them, and made again of newer ones. `target` is it filled."""

    def __init__(self, target: SinkURL, secrets: Secrets) -> None:
        """Raises BadSetting for secrets of which no sink can be made."""
        self._template = target
        self._secrets = secrets
        self._values: Values = secrets.first()
        self.target, self._sink, self._hidden = self._open(self._values)
        self.limits: Limits = self._sink.limits

    def send(self, batch: Batch, timeout_s: float) -> Sequence[Failure]:
        """Send the batch, once more where newer secrets may make it welcome. Raises as the sink does."""
        until = time.monotonic() + timeout_s
        fetched_by = until - timeout_s * SEND_SHARE
        self._renew(self._secrets.after_restore(self._values, fetched_by))
        try:
            return self._send(batch, until)
        except Refused as error:
            is_denied = error.scope is Scope.EVERYTHING
            if not is_denied or not self._renew(self._secrets.after_refusal(self._values, fetched_by)):
                raise
        return self._send(batch, until)

    def close(self) -> None:
        """Give up connections."""
        self._sink.close()

    def _send(self, batch: Batch, until: float) -> Sequence[Failure]:
        hidden = self._hidden
        try:
            failures = self._sink.send(batch, until - time.monotonic())
        except Exception as error:  # noqa: BLE001 - whatever it is, its text must not show a secret
            raise _without(error, hidden) from None
        return [failure._replace(reason=_hide(failure.reason, hidden)) for failure in failures]

    def _open(self, values: Values) -> tuple[SinkURL, Sink, list[str]]:
        assert self._template.fill is not None
        filled, hidden = self._template.fill(values)
        longest_first = sorted(hidden, key=len, reverse=True)
        try:
            return filled, sinks.load(filled), longest_first
        except Exception as error:  # noqa: BLE001 - as above
            raise _without(error, longest_first) from None

    def _renew(self, values: Values) -> bool:
        """Use these secrets from here on; whether they differ from those in use."""
        before, self._values = self._values, values
        if all(values[secret] == before[secret] for secret in self._template.secrets):
            return False
        try:
            opened = self._open(values)
        except Exception as error:  # noqa: BLE001 - what there is goes on
            log_seldom("WARN", "newer secrets cannot be used", sink=self._template.name, reason=describe(error))
            return False
        self._sink.close()
        self.target, self._sink, self._hidden = opened
        log("INFO", "newer secrets are in use", sink=self._template.name)
        return True


def _without(error: Exception, hidden: Sequence[str]) -> Exception:
    """The error as it is, or, where its text shows a secret, one that means the same."""
    text = _hide(str(error), hidden)
    match error:
        case _ if text == str(error):
            return error
        case Refused():
            return Refused(text, error.scope)
        case Throttled():
            return Throttled(text, error.retry_after_s)
        case Unavailable() | BadSetting():
            return type(error)(text)
        case OSError():
            return ConnectionError(text)
    return error  # of which only the name is ever shown


def _hide(text: str, hidden: Sequence[str]) -> str:
    for one in hidden:
        text = text.replace(one, "...")
    return text

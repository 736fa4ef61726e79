"""What is told by FORWARDER_HEALTH where nothing is forwarded, since settings are wrong: one record, or one line.

A fleet that has a typo in a variable would say so in each function's log only.
"""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

from extension import config, lenient, own_health, sinks
from extension.lambda_api.function import Function, identify
from extension.log import describe, log, write
from extension.pipeline.pipeline import own_record
from extension.records import Batch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from extension.lambda_api.client import Extension
    from extension.sinks import Sink, SinkURL

SEND_S = 5.0
PAUSES_S = (0.5, 2.0, 8.0, 30.0)  # between tries: in the middle of one the process may be frozen
LEFT_S = 1.0  # at SHUTDOWN, for a try that is under way


class Telling:
    """One record on its way to `target`, beside all else."""

    def __init__(self, target: SinkURL, batch: Batch) -> None:
        self._target, self._batch = target, batch
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """Wait for it, but not for long: the process is about to end."""
        self._thread.join(LEFT_S)

    def _run(self) -> None:
        try:
            sink = sinks.load(self._target)
            for pause_s in (*PAUSES_S, 0.0):
                if self._is_sent(sink, is_last=not pause_s):
                    return
                time.sleep(pause_s)
        except Exception as error:  # noqa: BLE001 - it must not cost the function anything
            self._tell_failure(error)

    def _is_sent(self, sink: Sink, *, is_last: bool) -> bool:
        try:
            if not (failures := sink.send(self._batch, SEND_S)):
                return True
            raise sinks.Unavailable(failures[0].reason)  # noqa: TRY301 - as where all of a batch fails
        except (sinks.Unavailable, sinks.Throttled, OSError) as error:
            sink.close()
            if is_last:
                self._tell_failure(error)
            return False

    def _tell_failure(self, error: Exception) -> None:
        log("WARN", "health is not told", sink=self._target.name, reason=describe(error))


def tell(extension: Extension, problems: Sequence[str], variables: Mapping[str, str]) -> Telling | None:
    """Tell these problems where FORWARDER_HEALTH says, if that itself is good. Nothing is waited for."""
    target, emf = config.health_alone(variables)
    if not emf and target is None:
        return None
    if target is not None and target.fill is not None:  # without its secrets it is another place
        log("WARN", "health is not told", sink=target.name, reason="it refers to a secret, and settings are wrong")
        return None
    function = identify(extension.function, variables)
    content = own_health.blank("bad settings", problems)
    if target is None:
        write(**own_health.Metrics().of(content, function, time.time_ns() // 1_000_000))
        return None
    return Telling(target, batch_of_one(own_health.TYPE, content, function))


def batch_of_one(type_: str, content: object, function: Function) -> Batch:
    """A record of our own in a batch of its own, from an environment that has no other."""
    environment_id = os.urandom(8).hex()
    members = lenient.dumps({**function.members(), "environment": environment_id, "id": f"{environment_id}-0"})
    record = own_record(type_, content)
    line = b'%b,"lambda":%b}' % (record.line[:-1], members)
    return Batch(f"{environment_id}-0", [record._replace(sequence=0, line=line)])

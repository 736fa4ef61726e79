"""What a run showed: whether extensions behaved, by the rules of their API, the function worked, and all arrived."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulator.report import delivery, printed
from simulator.telemetry.destinations import CLOSED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from simulator.environment import Environment
    from simulator.receiver import Receiver
    from simulator.timeline import Moment

ALL_WELL, MISBEHAVED, CANNOT_RUN, FUNCTION_FAILED, NOT_DELIVERED = range(5)  # exit codes: docs/simulator.md


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found, in words; each list is empty where all was well.

    `complaints` are about extensions, `failures` about the function, `doubts` about delivery; `problems` are the lines
    in which extensions report some themselves. `closed` are extensions that took telemetry no more: the platform drops
    it and goes on, as an extension may wish that has nowhere to put it.
    """

    complaints: Sequence[str]
    failures: Sequence[str]
    doubts: Sequence[str]
    problems: Sequence[str]
    ledgers: Sequence[printed.Life]
    closed: Sequence[str]
    left_out: int  # records that did not go out, as settings ask

    def code(self, *, require_delivery: bool = False, may_fail: bool = False) -> int:
        """The exit code; where several things went wrong, the first of them in the order of cause and effect."""
        if self.complaints:
            return MISBEHAVED
        if self.failures and not may_fail:
            return FUNCTION_FAILED
        return NOT_DELIVERED if self.doubts and require_delivery else ALL_WELL

    def words(self) -> str:
        """All of it for people, nothing cut."""
        parts = []
        if self.problems:
            parts.append(_listed("Extensions reported problems:", self.problems))
        for life in self.ledgers:
            told = json.dumps(life.ledger, ensure_ascii=False) if life.ledger is not None else "none: it ended without"
            parts.append(_listed(f"The ledger of {life.name}:", [told]))
        parts.append(_listed("The extensions did not behave:", self.complaints) or "The extensions behaved.\n")
        parts.append(
            _listed("Extensions that closed the connection for telemetry, which is dropped then:", self.closed)
        )
        parts.append(_listed("The function failed:", self.failures))
        but = f", but for {self.left_out} records that settings leave out" if self.left_out else ""
        parts.append(
            _listed("It is not known that all lines of the function were delivered:", self.doubts)
            or f"Every line of the function was delivered{but}.\n"
        )
        return "".join(parts)


def judge(environment: Environment, receiver: Receiver | None = None) -> Verdict:
    """Judge an environment that has ended."""
    return Verdict(
        complaints(environment),
        failures(environment),
        delivery.doubts(environment, receiver),
        printed.problems(environment.timeline),
        printed.ledgers(environment.timeline),
        _closed(environment),
        delivery.left_out(environment),
    )


def complaints(environment: Environment) -> list[str]:
    """What each extension did wrong, in words; nothing where all behaved."""
    found = [words for moment, stopping in _moments(environment) if (words := _complaint(moment, stopping=stopping))]
    for shutdown in environment.shutdowns:
        found += [
            f"{name} exited with {ended.returncode} after SHUTDOWN ({shutdown.reason})"
            for name, ended in shutdown.extensions.items()
            if (ended.returncode or 0) > 0 and not ended.killed
        ]
    if environment.settings.faults.kill_extension:  # what was done to it is not its fault
        found = [one for one in found if "Extension.Crash" not in one and "did not take telemetry" not in one]
    return list(dict.fromkeys(found))


def _moments(environment: Environment) -> Iterator[tuple[Moment, bool]]:
    """Each moment, and whether the environment is stopping by then."""
    stopping = False
    for moment in environment.timeline:
        stopping = (stopping or moment.what in ("shutdown", "failure")) and moment.what != "platform.initStart"
        yield moment, stopping


def _closed(environment: Environment) -> list[str]:
    failed = [one for one, stopping in _moments(environment) if one.what == "telemetry.failed" and not stopping]
    return list(dict.fromkeys(one.details["name"] for one in failed if one.details["reason"] == CLOSED))


def failures(environment: Environment) -> list[str]:
    """Why the function did not start, or which invocations failed, but for those that failed by an extension."""
    if why := _unstarted(environment):
        return [why]
    return [
        f"invocation {number}, {done.request_id}: {done.status}, {_reason(done.payload, done.error_type)}"
        for number, done in enumerate(environment.invocations, 1)
        if done.status != "success" and not done.error_type.startswith("Extension.")
    ]


def _reason(payload: object, error_type: str) -> str:
    told = payload if isinstance(payload, dict) else {}
    return f"{told.get('errorType', error_type)}: {told.get('errorMessage', 'it gave no message')}"


def _listed(head: str, items: Sequence[str]) -> str:
    return f"{head}\n" + "".join(f"  - {item}\n" for item in items) if items else ""


def _unstarted(environment: Environment) -> str:
    if any(moment.what == "runtime.next" for moment in environment.timeline):
        return ""
    told = environment.timeline.named("runtime.init_error")
    died = [one for one in environment.timeline.named("failure") if one.details["errorType"].startswith("Runtime.")]
    if not told and not died:
        return ""
    details = [*died, *told][-1].details  # what the runtime said of itself is the better answer
    return f"the function does not start: {details['errorType']}: {details['message']}"


def _complaint(moment: Moment, *, stopping: bool) -> str:
    details = moment.details
    match moment.what:
        case "failure" if details["errorType"].startswith("Extension."):
            return f"{details['errorType']}: {details['message']}"
        case "init.timeout" if "runtime" not in details["waiting"]:
            return f"init took more than {details['seconds']} s: it waited for {details['waiting']}"
        case "extension.overran":
            return f"{details['name']} held an invocation until the function's timeout"
        case "shutdown.kill":
            return f"{details['name']} did not exit before the deadline of SHUTDOWN and was killed"
        case "telemetry.failed" if not stopping and details["reason"] != CLOSED:
            return f"{details['name']} did not take telemetry: {details['reason']}"
    return ""

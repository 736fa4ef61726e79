"""Whether the extensions behaved, by the rules of the Extensions API. It judges extensions, not functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simulator.environment import Environment
    from simulator.timeline import Moment


def complaints(environment: Environment) -> list[str]:
    """What each extension did wrong, in words; nothing where all behaved."""
    found = []
    stopping = False
    for moment in environment.timeline:
        stopping = (stopping or moment.what in ("shutdown", "failure")) and moment.what != "platform.initStart"
        if complaint := _complaint(moment, stopping=stopping):
            found.append(complaint)
    for shutdown in environment.shutdowns:
        found += [
            f"{name} exited with {ended.returncode} after SHUTDOWN ({shutdown.reason})"
            for name, ended in shutdown.extensions.items()
            if (ended.returncode or 0) > 0 and not ended.killed
        ]
    if environment.settings.faults.kill_extension:  # what was done to it is not its fault
        found = [one for one in found if "Extension.Crash" not in one and "did not take telemetry" not in one]
    return list(dict.fromkeys(found))


def unstarted(environment: Environment) -> str:
    """Why the function never started, if that is so: then there is nothing to judge."""
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
        case "telemetry.failed" if not stopping:
            return f"{details['name']} did not take telemetry: {details['reason']}"
    return ""

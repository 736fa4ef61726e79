"""Whether the extensions behaved, by the rules of the Extensions API. It judges extensions, not functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simulator.environment import Environment


def complaints(environment: Environment) -> list[str]:
    """What each extension did wrong, in words; nothing where all behaved."""
    faults = environment.settings.faults
    forgiven = bool(faults.kill_extension or faults.vanish)
    found = []
    for moment in environment.timeline:
        details = moment.details
        if moment.what == "failure" and details["errorType"].startswith("Extension.") and not forgiven:
            found.append(f"{details['errorType']}: {details['message']}")
        elif moment.what == "init.timeout" and "runtime" not in details["waiting"]:
            found.append(f"init took more than {details['seconds']} s: it waited for {details['waiting']}")
        elif moment.what == "shutdown.kill":
            found.append(f"{details['name']} did not exit before the deadline of SHUTDOWN and was killed")
        elif moment.what == "extension.overran":
            found.append(f"{details['name']} held an invocation until the function's timeout")
        elif moment.what == "extension.refused":
            found.append(f"{details['name']} was refused {details['call']}: {details['status']} {details['message']}")
        elif moment.what == "telemetry.failed":
            found.append(f"{details['name']} did not take telemetry: {details['reason']}")
    for shutdown in environment.shutdowns:
        found += [
            f"{name} exited with {ended.returncode} after SHUTDOWN ({shutdown.reason})"
            for name, ended in shutdown.extensions.items()
            if ended.returncode and not ended.killed
        ]
    return list(dict.fromkeys(found))

"""The environment variables that Lambda gives to a runtime and to an extension, and no others but TMPDIR.

Lambda gives each environment a /tmp of its own; here all share the machine's, and what goes by TMPDIR does not.

Sources: Developer Guide, "Working with Lambda environment variables"; the list of what extensions do not get in "Using
the Lambda Extensions API to create extensions"; and the rule in AWS's runtime interface emulator (rapidcore/env), by
which nothing that begins with an underscore reaches an extension.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from simulator.settings import Settings

LIBRARIES = (
    *("/var/lang/lib", "/lib64", "/usr/lib64", "/var/runtime", "/var/runtime/lib"),
    *("/var/task", "/var/task/lib", "/opt/lib"),
)
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "ASIASIMULATOREXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "simulator/secret/EXAMPLEKEY",
    "AWS_SESSION_TOKEN": "simulator-session-token",
}


def for_extension(settings: Settings, runtime_api: str, credentials_token: str, tmp: Path) -> dict[str, str]:
    """What an external extension sees.

    `credentials_token` is used where the keys come from an endpoint (SnapStart); `tmp` stands for /tmp.
    """
    given = {
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(settings.memory_mb),
        "AWS_LAMBDA_FUNCTION_NAME": settings.name,
        "AWS_LAMBDA_FUNCTION_VERSION": settings.version,
        "AWS_LAMBDA_RUNTIME_API": runtime_api,
        "AWS_REGION": settings.region,
        "AWS_DEFAULT_REGION": settings.region,
        "TMPDIR": str(tmp),
        "TZ": ":UTC",
        "LANG": "en_US.UTF-8",
        "PATH": "/usr/local/bin:/usr/bin/:/bin:/opt/bin",
        "LD_LIBRARY_PATH": ":".join(LIBRARIES),
    }
    if settings.init_type == "snap-start":  # the keys of init would be stale in every restored environment
        given["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = f"http://{runtime_api}/2021-04-23/credentials"
        given["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = credentials_token
    else:
        given |= CREDENTIALS
    if settings.managed:
        given["AWS_LAMBDA_INITIALIZATION_TYPE"] = settings.init_type
        given["AWS_LAMBDA_LOG_FORMAT"] = "JSON"
    # A function may set its own credentials and region (tests do, to reach local servers): the customer's value wins.
    return given | {key: value for key, value in settings.env.items() if not key.startswith("_")}


def for_runtime(
    settings: Settings,
    runtime_api: str,
    credentials_token: str,
    tmp: Path,
    log_stream: str,
    opt: str,
    execution_env: str,
) -> dict[str, str]:
    """What the runtime and the function see; `opt` is where layers are, `execution_env` AWS's name for the runtime."""
    given = for_extension(settings, runtime_api, credentials_token, tmp) | {
        "_HANDLER": settings.handler,
        "AWS_EXECUTION_ENV": execution_env,
        "AWS_LAMBDA_INITIALIZATION_TYPE": settings.init_type,
        "AWS_LAMBDA_LOG_FORMAT": settings.log_format,
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{settings.name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": log_stream,
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
        "AWS_XRAY_DAEMON_ADDRESS": "169.254.79.129:2000",
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "LAMBDA_TASK_ROOT": str(settings.function.resolve()),
        "PYTHONPATH": f"{opt}/python",
    }
    if not execution_env:  # Developer Guide: not defined in custom runtimes
        del given["AWS_EXECUTION_ENV"]
    if settings.managed:
        given["AWS_LAMBDA_LOG_FORMAT"] = "JSON"
        given["AWS_LAMBDA_MAX_CONCURRENCY"] = str(settings.max_concurrency)
    if settings.init_type == "snap-start":  # Developer Guide: these two do not exist in SnapStart functions
        del given["AWS_LAMBDA_LOG_GROUP_NAME"], given["AWS_LAMBDA_LOG_STREAM_NAME"]
    return {**given, **settings.env}

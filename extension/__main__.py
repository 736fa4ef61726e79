"""The entry point: register first, import the rest after; and if anything fails, stay alive and harmless.

Lambda starts the runtime only after this process has registered, so nothing that costs time is imported before.
"""

from __future__ import annotations

import _socket
import gc
import os
import sys
import time

from extension.lambda_api import client

BEGAN = time.monotonic()
TYPE_CHECKING = False  # as in lambda_api/client.py
if TYPE_CHECKING:
    from typing import Any

    from extension.alone import Telling
    from extension.config import Config
    from extension.subscription import Subscription

INIT_S = 3.0  # for all of ours before the first /next; all extensions and the runtime have 10 s together
RETRY_S = 0.1
OUTSIDE = (
    b"AWS_LAMBDA_RUNTIME_API is not set: this is a Lambda extension, started by Lambda or a simulator;"
    b" `telemetry-forwarder check` says what its settings would do\n"
)
MANAGED_INSTANCES = "lambda-managed-instances"


def main() -> int:
    """Run until SHUTDOWN, or check settings where this is not Lambda.

    The exit status: 0, unless the user asked for strictness; that of the check; 2 where there is nothing to do.
    """
    if "AWS_LAMBDA_RUNTIME_API" not in os.environ:
        if sys.argv[1:2] == ["check"]:  # within Lambda, the name of an extension
            from extension.check import command  # noqa: PLC0415 - never at work

            return command.main(sys.argv[2:])
        os.write(2, OUTSIDE)
        return 2
    extension = _register(sys.argv[1] if len(sys.argv) > 1 else "telemetry-forwarder")
    try:
        return _start(extension)
    except Exception as error:  # noqa: BLE001 - our fault must never become the function's
        _say("ERROR", "fault; nothing is forwarded from here on", error)
    _idle(extension)
    return 0


def _register(name: str) -> client.Extension:
    """Register, however often it takes: Lambda waits for us, and to exit would fail the function."""
    managed = os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == MANAGED_INSTANCES
    for pause_s in client.backoff():
        try:
            extension = client.register(os.environ["AWS_LAMBDA_RUNTIME_API"], name, managed_instances=managed)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is asked again
            if pause_s < client.MAX_RETRY_S:
                _say("ERROR", "cannot register, trying again", error)
        else:
            extension.began, extension.registered = BEGAN, time.monotonic()
            return extension
        time.sleep(pause_s)
    raise AssertionError("backoff never ends")


def _start(extension: client.Extension) -> int:
    """Listen and subscribe, and only then read all settings and import the rest; the runtime starts beside us by now.

    Where the environment does not say plainly what to subscribe to, the settings are read first.
    """
    until = time.monotonic() + INIT_S
    gc.disable()  # what is imported stays: to look through it for garbage costs a tenth of the start
    from extension import subscription  # noqa: PLC0415 - see above

    plain = subscription.read(os.environ)
    listening = _subscribe(extension, plain, until) if plain is not None else None
    from extension import config as settings  # noqa: PLC0415 - re, urllib and typing: 10 ms
    from extension import log  # noqa: PLC0415 - after register

    problems = ["not subscribed to telemetry"]
    try:
        config = settings.parse(os.environ)
        log.set_level(config.log_level)
        if not config.sinks:
            problems = ["FORWARDER_SINKS is not set"]
            log.log(
                "WARN", "FORWARDER_SINKS is not set; nothing is forwarded", expected="sink URLs separated by spaces"
            )
        elif plain is None:
            listening = _subscribe(extension, config.subscription, until)
        if listening is not None:
            _forward(extension, config, listening, until)
            return 0
    except settings.ConfigError as error:
        problems = error.problems
        log.log("ERROR", "bad settings; nothing is forwarded", problems=problems)
        if settings.is_strict(os.environ):
            telling = _tell(extension, problems)
            extension.init_error("Extension.ConfigInvalid")
            if telling is not None:
                telling.finish()
            return 1
    finally:
        if listening is not None:
            listening.close()  # where nobody reads it any more
    telling = _tell(extension, problems)
    _idle(extension)
    if telling is not None:
        telling.finish()
    return 0


def _tell(extension: client.Extension, problems: list[str]) -> Telling | None:
    """Say so where FORWARDER_HEALTH asks for it, beside the first /next; without it nothing is imported."""
    if not os.environ.get("FORWARDER_HEALTH") and not os.environ.get("FORWARDER_CONFIG"):
        return None
    from extension import alone  # noqa: PLC0415 - see above

    try:
        return alone.tell(extension, problems, os.environ)
    except Exception as error:  # noqa: BLE001 - what else is to be done with bad settings must be done
        _say("ERROR", "health is not told", error)
        return None


def _forward(extension: client.Extension, config: Config, listening: _socket.socket, until: float) -> None:
    from extension import lifecycle  # noqa: PLC0415 - asyncio, orjson and the chosen sinks

    lifecycle.forward(extension, config, listening, os.environ, until)


def _subscribe(extension: client.Extension, asked: Subscription, until: float) -> _socket.socket | None:
    """A socket that listens, and to which the platform has agreed to send; None where there is no telemetry."""
    from extension import log  # noqa: PLC0415 - after register

    listening = _listen(asked.host, asked.port, until)
    for tries_left in (1, 0):
        try:
            version = extension.subscribe(listening.getsockname()[1], asked.types, *asked.buffering, until)
        except Exception as error:  # noqa: BLE001 - whatever it is, the function must not notice
            if tries_left and time.monotonic() + RETRY_S < until:
                _say("WARN", "cannot subscribe, trying again", error)
                time.sleep(RETRY_S)
                continue
            _say("ERROR", "not subscribed to telemetry; nothing is forwarded", error)
            break
        if version is not None:
            log.log("DEBUG", "subscribed", schemaVersion=version)
            return listening
        log.log("WARN", "there is no Telemetry API here; nothing is forwarded")
        break
    listening.close()
    return None


def _listen(host: str, port: int, until: float) -> _socket.socket:
    """Listen there, or on another port of the same host. Raises ConfigError where the host is none of this machine."""
    listening = _socket.socket(_socket.AF_INET6 if ":" in host else _socket.AF_INET, _socket.SOCK_STREAM)
    listening.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
    try:
        address, _, *scope = _resolve(host, listening.family, until)
        try:
            listening.bind((address, port, *scope))
        except OSError as error:
            listening.bind((address, 0, *scope))
            _say("WARN", f"FORWARDER_LISTEN_PORT {port} of {host} is not free, taking another", error)
    except (OSError, ValueError):  # ValueError for what is no name at all
        listening.close()
        from extension import config as settings  # noqa: PLC0415 - read by now, or this is an odd machine

        shown = f"is {host!r}" if settings.HARMLESS.fullmatch(host) else "is something else"
        expected = "an address of this machine, or a name of one"
        raise settings.ConfigError([f"FORWARDER_LISTEN_HOST {shown}; expected {expected}"]) from None
    listening.listen(16)
    return listening


def _resolve(host: str, family: int, until: float) -> tuple[Any, ...]:
    """The address of a host, a port, and for IPv6 more. Raises OSError, TimeoutError among it, or ValueError."""
    try:
        # bytes: for text, the codec of international names would be loaded, 2 ms
        return _socket.getaddrinfo(host.encode(), 0, family, _socket.SOCK_STREAM, 0, _socket.AI_NUMERICHOST)[0][4]
    except OSError:
        from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - for a name, whose server may be silent

        looking = ThreadPoolExecutor(1).submit(_socket.getaddrinfo, host, 0, family, _socket.SOCK_STREAM)
        return looking.result(until - time.monotonic())[0][4]


def _idle(extension: client.Extension) -> None:
    """Keep asking for the next event until SHUTDOWN: what every failure ends in, so that the function never notices."""
    gc.enable()
    pauses = client.backoff()
    while True:
        try:
            if b'"SHUTDOWN"' in extension.next_event():
                return
            pauses = client.backoff()
        except Exception as error:  # noqa: BLE001 - there is nothing left to do but to ask again
            pause_s = next(pauses)
            if pause_s < client.MAX_RETRY_S:
                _say("ERROR", "event/next failed, asking again", error)
            time.sleep(pause_s)


def _say(level: str, message: str, error: Exception) -> None:
    from extension import log  # noqa: PLC0415 - nothing to say when all is well

    log.log(level, message, reason=log.describe(error))


if __name__ == "__main__":
    status = main()
    # Not sys.exit: threads that hang in a dead connection would be waited for until Lambda kills the process.
    os._exit(status)

"""The forwarder's own log: one line of JSON on stderr, marked so that it can be told from everything else.

Never a line per record, and never the content of one: stderr is itself a telemetry stream that comes back to us.
The standard logging module is not used, because a line must be possible before anything is imported.
"""

from __future__ import annotations

import os
import select

from extension.clock import elapsed

LEVELS = ("DEBUG", "INFO", "WARN", "ERROR")
STDERR = 2
PIPE_BUF = 4096  # pipe(7): a pipe that is ready takes so much without blocking
PATIENCE_S = 0.05  # that a line waits for stderr
MARK = b'{"forwarder":true,'

SELDOM_S = 300.0  # before the same line is printed again
MAX_SAID = 100  # lines that are remembered for it

_said: dict[tuple[str, ...], float] = {}
_threshold = LEVELS.index("INFO")


def set_level(level: str) -> None:
    """Print lines of `level`, one of LEVELS, and above."""
    global _threshold  # noqa: PLW0603 - one process, one stderr, one level
    _threshold = LEVELS.index(level)


def log(level: str, message: str, **fields: object) -> None:
    """Print one line; `fields` must be what JSON can hold."""
    if LEVELS.index(level) < _threshold:
        return
    write(level=level, message=message, **fields)


def log_seldom(level: str, message: str, **fields: str) -> None:
    """Print a line that may be true for each of many invocations: the same one again only after SELDOM_S."""
    line = (message, *fields.values())
    now = elapsed()
    if now - _said.get(line, -SELDOM_S) >= SELDOM_S:
        if len(_said) >= MAX_SAID:
            _said.clear()
        _said[line] = now
        log(level, message, **fields)


def write(**fields: object) -> None:
    """Print one line whatever the level: the ledger is a promise, not a message.

    Where nobody reads stderr the rest of the line is lost: to block on it would be to stop the whole forwarder.
    """
    import orjson  # noqa: PLC0415 - not on the path to register, which has nothing to say when all is well

    try:
        body = orjson.dumps(fields, default=str)
    except TypeError:  # half a surrogate pair, as a variable that is not UTF-8 has
        import json  # noqa: PLC0415 - for that case alone

        body = json.dumps(fields, default=str).encode()
    line = MARK + body[1:] + b"\n"
    try:
        while line and select.select((), (STDERR,), (), PATIENCE_S)[1]:
            line = line[os.write(STDERR, line[:PIPE_BUF]) :]
    except (OSError, ValueError):
        pass  # stderr is gone


def place(error: BaseException) -> str:
    """Where in the code an error came up, as in _http.py:76: what may be told of one whose text may quote records."""
    where = error.__traceback__
    while where is not None and where.tb_next is not None:
        where = where.tb_next
    return f"{os.path.basename(where.tb_frame.f_code.co_filename)}:{where.tb_lineno}" if where is not None else ""


def describe(error: BaseException) -> str:
    """Name of an error on one line, with its text where that is ours or the system's, else with where it was raised.

    A library's text may quote URLs, headers and records, and the system's a file's name: neither is shown.
    """
    name = type(error).__name__
    if type(error).__module__.startswith("extension"):
        return _line(f"{name}: {error}")
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__cause__ or cause.__context__
    if cause is not None and (text := cause.strerror or ("" if type(cause) is OSError else str(cause))):
        return _line(f"{name}: {text}")
    raised = error.__traceback__
    while raised is not None and raised.tb_next is not None:
        raised = raised.tb_next
    return f"{name} in {raised.tb_frame.f_code.co_name}, line {raised.tb_lineno}" if raised else name


def _line(text: str) -> str:
    return text.replace("\n", " ")[:500]

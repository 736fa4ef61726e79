"""The forwarder's own log: one line of JSON on stderr, marked so that it can be told from everything else.

Never a line per record, and never the content of one: stderr is itself a telemetry stream that comes back to us.
The standard logging module is not used, because a line must be possible before anything is imported.
"""

from __future__ import annotations

import os

LEVELS = ("DEBUG", "INFO", "WARN", "ERROR")
MARK = b'{"forwarder":true,'

_threshold = LEVELS.index("INFO")


def set_level(level: str) -> None:
    """Print lines of `level`, one of LEVELS, and above."""
    global _threshold  # noqa: PLW0603 - one process, one stderr, one level
    _threshold = LEVELS.index(level)


def log(level: str, message: str, **fields: object) -> None:
    """Print one line; `fields` must be what JSON can hold. A stderr that is gone is nobody's problem but ours."""
    if LEVELS.index(level) < _threshold:
        return
    write(level=level, message=message, **fields)


def write(**fields: object) -> None:
    """Print one line, whatever the level."""
    import orjson  # noqa: PLC0415 - not on the path to register, which has nothing to say when all is well

    line = MARK + orjson.dumps(fields, default=str)[1:] + b"\n"
    try:
        while line:
            line = line[os.write(2, line) :]
    except OSError:
        pass  # as above


def describe(error: BaseException) -> str:
    """Name and text of an error on one line: what an operator needs, without a traceback per failed request."""
    return f"{type(error).__name__}: {error}".replace("\n", " ")[:500]

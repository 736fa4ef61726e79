"""The file that FORWARDER_CONFIG names: settings as TOML, which Lambda does not bound to 4 KB.

A key is the name of a variable in small letters, without the prefix. What is said of a file quotes nothing of it.
"""

from __future__ import annotations

import os
import re
import stat

MAX_FILE_BYTES = 1 << 20
READ_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # to open a FIFO must not hang
LINE = re.compile(r"\(at line (\d+),")  # as tomllib ends what it says; the rest may quote


class BadFile(ValueError):
    """What is wrong with the file, in words that follow "FORWARDER_CONFIG", or what was expected of a value in it."""


def read(path: str) -> dict[str, object]:
    """The values of a file by key. Raises BadFile."""
    import tomllib  # noqa: PLC0415 - only where there is a file

    try:
        return tomllib.loads(_read_bytes(path).decode())
    except UnicodeDecodeError as error:
        raise BadFile(f"names a file that is not UTF-8, from byte {error.start} on; expected TOML in UTF-8") from None
    except RecursionError:
        raise BadFile("names a file that is nested too deeply; expected keys of settings") from None
    except ValueError as error:  # TOMLDecodeError, and what int says of a number of very many digits
        if isinstance(error, BadFile):
            raise
        found = LINE.search(str(error))
        where = f"in line {found[1]}" if found else "at its end" if "end of document" in str(error) else "in a number"
        raise BadFile(f"names a file that is no TOML, {where}; expected lines of `key = value`") from None


def as_text(value: object, separator: str | None, between: str) -> str:
    """A value as a variable would have it: the items of a list with a separator, of a table as names and values.

    Where there is no `separator`, neither is taken. Raises BadFile.
    """
    if separator is not None and isinstance(value, dict):
        value = [f"{name}{between}{_scalar(inner, separator)}" for name, inner in value.items()]
    if separator is not None and isinstance(value, list):
        return separator.join(_scalar(inner, separator) for inner in value)
    return _scalar(value)


def _scalar(value: object, separator: str = "\0") -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str | int | float):
        raise BadFile("expected text or a number")
    text = str(value)
    if "\0" in text:
        raise BadFile("expected text without NUL")
    if separator in text.strip():
        raise BadFile(f"expected items without {'a line break' if separator == chr(10) else repr(separator)} in them")
    return text


def _read_bytes(path: str) -> bytes:
    if not os.path.isabs(path) or "\0" in path:
        raise BadFile("is no absolute path; expected the name of a TOML file, as in /var/task/forwarder.toml")
    try:
        descriptor = os.open(path, READ_FLAGS)
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise BadFile("names something else than a file; expected a TOML file")
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise BadFile(f"names a file that cannot be read ({error.strerror}); expected a TOML file") from None
    if len(content) > MAX_FILE_BYTES:
        raise BadFile(f"names a file that is too large; expected {MAX_FILE_BYTES} bytes at most")
    return content

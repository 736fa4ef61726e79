"""JSON that orjson neither reads nor writes, and JSON that would take too much memory to be read in full. A leaf.

By the grammar of RFC 8259 a number may have any size, and a string half of a surrogate pair; functions print both.
"""

from __future__ import annotations

import re
from typing import Any, NoReturn

import orjson

MAX_LENIENT_BYTES = 1 << 20  # the largest event of the Telemetry API; read by json it takes nine times as much memory
MAX_COMMAS = 1 << 15  # in a line that is read in full: as objects its values take up to 40 times the memory
MAX_DIGITS = 20  # of an integer that is kept exactly
MAX_WORD = 100  # characters that are learned of a type or a time, since no bound counts them again
SKIMMED = rb'\{\s*"time"\s*:\s*"([^"\\]{0,99})"\s*,\s*"type"\s*:\s*"([^"\\]{0,99})"\s*,\s*"record"\s*:'
SLICE_BYTES = 1 << 16  # decoded at once


def loads(line: bytes) -> Any:
    """The value of a line of JSON. One of very many values is only skimmed: it has its time and type, and no record.

    Raises ValueError for what is no JSON, as UnicodeDecodeError for what is not UTF-8; RecursionError for what is
    nested some thousand deep, OverflowError for very many values in another form than the platform's.
    """
    if len(line) > MAX_COMMAS and line.count(b",") > MAX_COMMAS:
        return _skim(line)
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        if len(line) > MAX_LENIENT_BYTES:
            raise
    import json  # noqa: PLC0415 - needed by one line in a million

    return json.loads(line.decode(), parse_int=_parse_int, parse_constant=_refuse)


def loads_printed(text: bytes | str) -> Any:
    """The value of a text that a program printed as JSON. Python's own writes NaN and Infinity, others raw tabs.

    Raises ValueError, and RecursionError for what is nested some thousand deep.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        if len(text) > MAX_LENIENT_BYTES:
            raise
    import json  # noqa: PLC0415 - as above

    decoded = text if isinstance(text, str) else text.decode("utf-8", "surrogatepass")
    return json.loads(decoded, parse_int=_parse_int, strict=False)


def word(found: object) -> str:
    r"""A type or time of a line, half surrogate pairs, which UTF-8 lacks, as \udXXX. Empty for what is no text."""
    return found[:MAX_WORD].encode("utf-8", "backslashreplace").decode() if type(found) is str else ""


def dumps(value: object) -> bytes:
    """JSON of a value that came from outside, or was made of such; null for a number that JSON cannot say."""
    try:
        return orjson.dumps(value)
    except TypeError:
        import json  # noqa: PLC0415 - as above

        text = json.dumps(value, separators=(",", ":"))
        if "Infinity" in text or "NaN" in text:  # Python's own words, or a program's
            text = json.dumps(json.loads(text, parse_constant=lambda _: None), separators=(",", ":"))
        return text.encode()


def _skim(line: bytes) -> dict[str, str]:
    """The members that the platform writes first; whether the rest of the line is JSON is not looked at."""
    found = re.match(SKIMMED, line)
    if found is None or not line.endswith(b"}"):
        raise OverflowError("too many values")
    _check_utf8(line)
    return {"time": found[1].decode(), "type": found[2].decode()}


def _check_utf8(line: bytes) -> None:
    import codecs  # noqa: PLC0415 - as above

    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, len(line), SLICE_BYTES):
        decoder.decode(line[start : start + SLICE_BYTES])
    decoder.decode(b"", final=True)


def _parse_int(digits: str) -> int | float:
    return int(digits) if len(digits) <= MAX_DIGITS else float(digits)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")

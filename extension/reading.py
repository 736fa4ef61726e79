"""What a function's or an extension's own record says: level, time, request id, message, exception, trace. A leaf.

A runtime writes text or JSON, and so do the logging libraries on top of it. What is known to have a place of its own in
any log (Reading) is taken out; the rest stays under the name that the source gave it. Nothing is lost: what cannot be
read as what its name says stays a field, and text of no known format is the message as a whole.

Sinks and steps of the pipeline both read, and neither may import the other: hence a leaf. The platform's line is not
touched.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import dropwhile
from typing import TYPE_CHECKING, NamedTuple

import orjson

from extension import lenient
from extension.records import REQUEST_IDS, is_request_id

if TYPE_CHECKING:
    from collections.abc import Mapping

TYPE, MESSAGE, STACK = "exception.type", "exception.message", "exception.stacktrace"
MIN_TIME, MAX_TIME = 19, 35  # characters: seconds at least, nanoseconds and a zone at most
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
RUNTIME_LEVEL = "aws.lambda.log.level"  # of a runtime that wrote an object with a level of its own
TAKEN = "record."  # what the name of a field begins with whose own is taken
MAX_NS = (1 << 63) - 1
# Of the platform's time, in which a record's own time is taken for one: less than the next zone is away.
NEAR_NS = 2_700_000_000_000
OCTET = frozenset("0123456789abcdef")

# "Logs Data Model", SeverityNumber and Appendix B of it. Of CRITICAL there are two: syslog's is ERROR2, but the one of
# Python and .NET, which are runtimes of Lambda, is their highest; OpenTelemetry's own libraries for both make it FATAL.
_WORDS = {
    1: "TRACE TRCE FINEST ALL SILLY",
    5: "DEBUG DBUG VERBOSE FINER",
    6: "FINE",
    7: "CONFIG",
    9: "INFO INFORMATION INFORMATIONAL INF",
    10: "NOTICE SUCCESS",
    13: "WARN WARNING WRN",
    17: "ERROR FAIL SEVERE ERR",
    18: "DPANIC",
    19: "ALERT PANIC",
    21: "FATAL CRITICAL CRIT EMERGENCY EMERG",
}
_FIRST = {"TRACE": 1, "DEBUG": 5, "INFO": 9, "WARN": 13, "ERROR": 17, "FATAL": 21}
_NUMBERED = {f"{word}{step}": first + step - 1 for word, first in _FIRST.items() for step in (2, 3, 4)}
_UPPER = {word: number for number, words in _WORDS.items() for word in words.split()} | _NUMBERED
SEVERITIES = {shape: number for word, number in _UPPER.items() for shape in (word, word.lower(), word.title())}
# Bunyan's and pino's levels, and RFC 5424's severities, which GELF writes.
NUMBERS = {10: 1, 20: 5, 30: 9, 40: 13, 50: 17, 60: 21} | {0: 21, 1: 19, 2: 18, 3: 17, 4: 13, 5: 10, 6: 9, 7: 5}

ERROR_MARKS = ("\n\tat ", "\n    at ", "\n   at ")  # how frames begin in Java, Node and .NET
INNER = "\n ---> "  # what .NET writes before the exception that another one came of
TRACEBACK = "Traceback (most recent call last):"
GROUP = f"+ Exception Group {TRACEBACK}"
BLANKS = frozenset({"", " ", "\u00a0", "\t"})
# A name of an exception, and behind it a colon, or frames: of Node's with a code in brackets, of .NET's with a number.
# They are compiled, which takes 2 ms, where the first exception is.
_BEGINNING = r"(?<![\w.$/+@-])(?P<type>(?:[A-Za-z_$][\w$]*[./+])"
_END = r")(?: [(\[]\w{1,40}[)\]])?(?::(?=\s)|:?\Z)"
_ENDINGS = r"(?:[A-Z_$][\w$]*)?(?:Error|Exception|Throwable)|[A-Z][\w$]*(?:Failure|Fault|Denied|NotFound)|NoSuch\w+"
_CLASS = r"[A-Z_$][\w$]*(?= \[\w*Error\]:)"  # which Node writes before the name that it has from its base
EXCEPTION = f"{_BEGINNING}*(?:{_ENDINGS}|{_CLASS}){_END}"
QUALIFIED = rf"{_BEGINNING}+[A-Z][\w$]*{_END}"


class Known(NamedTuple):
    """What is known of a record beside what it says itself; empty and 0 where it is not."""

    request_id: str
    time_ns: int

    def is_near(self, time_ns: int) -> bool:
        """Whether it may be when the record was written: what is not is a date that the record is about."""
        return not self.time_ns or abs(time_ns - self.time_ns) <= NEAR_NS


class Reading:
    """What a record says. What it does not say is empty: a level without a known rank has severity 0.

    `message` is text or any other value of JSON; the whole record where nothing in it is a message, and then `fields`
    is empty. `time_ns` is in nanoseconds since 1970. `trace_id` and `span_id` are hexadecimal, as in "Trace Context" of
    W3C, and `sampled` is what its flags say. `x_ray` are the same three, of a header of X-Ray. `error` has the names of
    OpenTelemetry: exception.type and so on.
    """

    level = ""
    severity = 0
    time_ns = 0
    request_id = ""
    trace_id = ""
    span_id = ""
    sampled = False
    x_ray: tuple[str, str, bool] | None = None
    error: Mapping[str, str] = {}
    fields: Mapping[str, object] = {}

    def __init__(self, message: object) -> None:
        self.message = message


def read(content: object, request_id: str = "", time_ns: int = 0) -> Reading:
    """What the value of a record's key "record" says.

    `request_id` is that of its invocation, and `time_ns` when the platform got it, as far as they are known.
    """
    known = Known(request_id, time_ns)
    if isinstance(content, str):
        return _read_text(content, known)
    if isinstance(content, dict):
        return _read_object(content, known)
    return Reading(content)


def beside(fields: Mapping[str, object], ours: Mapping[str, object]) -> dict[str, object]:
    """The fields of a record and what is known beside it: where both have a name, the record's is behind TAKEN."""
    found = {**fields, **ours}
    if len(found) == len(fields) + len(ours):
        return found
    for name in fields.keys() & ours.keys():
        moved = TAKEN + name
        while moved in found:
            moved = TAKEN + moved
        found[moved] = fields[name]
    return found


def severity(level: object) -> int:
    """OpenTelemetry's SeverityNumber, 1 to 24, of a level in any of the usual words and numbers; 0 for any other."""
    if isinstance(level, str):
        return SEVERITIES.get(level) or SEVERITIES.get(level.strip().upper(), 0)
    return NUMBERS.get(level, 0) if type(level) is int else 0


def parse_time(text: str) -> int:
    """Nanoseconds since 1970 of a time as in ISO 8601, UTC where it names no zone; 0 where it is none."""
    return _parse_time(text) if len(text) <= MAX_TIME else 0  # what is kept below must not be as long as a line


@lru_cache(256)  # records come in bursts, many in a millisecond, and a runtime's own time is often the platform's
def _parse_time(text: str) -> int:
    try:
        found = datetime.fromisoformat(text)
        since = (found if found.tzinfo else found.replace(tzinfo=UTC)) - EPOCH
    except (ValueError, OverflowError):
        return 0
    found_ns = since // MICROSECOND * 1000
    return found_ns + _nanoseconds(text) if 0 < found_ns < MAX_NS - 1000 else 0


def _nanoseconds(text: str) -> int:
    """What stands behind the sixth digit of a second's fraction, which datetime leaves out."""
    if len(text) < 28:
        return 0
    digits = text.replace(",", ".").partition(".")[2]
    number = len(digits) - len(digits.lstrip("0123456789"))
    return int(digits[6:9].ljust(3, "0")) if number >= 9 else int(digits[6:number].ljust(3, "0")) if number > 6 else 0


# Text


def _read_text(text: str, known: Known) -> Reading:
    """Find the format by the first character: most lines have none, and cost no more than that."""
    text = text.removesuffix("\n")  # the end of the line that was printed
    reader = FORMATS.get(text[:1])
    found = (reader(text, known) if reader else None) or Reading(text)
    if not found.error and ("\n" in text or "\r" in text) and isinstance(found.message, str):
        found.error = _error_of(found.message)
    return found


def _read_json(text: str, known: Known) -> Reading | None:
    """An object that was printed as JSON."""
    content = _object(text)
    return None if content is None else _read_object(content, known)


def _object(text: str) -> dict[str, object] | None:
    """The object that a text is as JSON, or none."""
    if text[:1] != "{" or not text.endswith("}"):
        return None
    try:
        content: dict[str, object] = orjson.loads(text)
    except ValueError:
        return _odd_object(text)
    return content


def _odd_object(text: str) -> dict[str, object] | None:
    """The object that a text is as JSON of Python's own, or of others that are as free."""
    try:
        content: dict[str, object] = lenient.loads_printed(text)
    except (ValueError, RecursionError):
        return None
    return content


def _read_timed(text: str, known: Known) -> Reading | None:
    """TIME ID LEVEL MESSAGE, as Node and .NET (tabs), log4j2, logback and Rust's tracing (spaces) write it.

    The id may be missing, or be Node's `undefined`, and a thread in brackets may stand in its place.
    """
    if text[4:5] != "-" or text[10:11] not in {"T", " "}:
        return None
    if "\t" in text[20:40]:
        return _read_tabbed(text, known)
    words = text.split(None, 5)
    if text[10] == " " and len(words) > 1:
        words[:2] = [f"{words[0]} {words[1]}"]
    time_ns, head = parse_time(words[0]), words[1:4]
    at = next((number for number, word in enumerate(head) if word in SEVERITIES), -1)
    between = head[: max(at, 0)]
    threads = [word[1:-1] for word in between if word[:1] == "[" and word[-1:] == "]"]
    ids = list(filter(_is_id, between))
    is_known = len(ids) < 2 and len(threads) < 2 and len(ids) + len(threads) == len(between)
    if not time_ns or at < 0 or not is_known or not text.startswith(words[0]):
        return None
    found = _read_inner(_behind(text, words[: at + 2]), known, head[at])
    _put_time(found, words[0], time_ns, known)
    found.request_id = "".join(ids[:1])
    if threads:
        found.fields = beside(found.fields, {"thread.name": threads[0]})
    return found


def _read_tabbed(text: str, known: Known) -> Reading | None:
    words = text.split("\t", 3)
    time_ns = parse_time(words[0])
    if not time_ns or len(words) < 4 or words[2] not in SEVERITIES:
        return None
    if not _is_id(words[1]) and words[1] != "undefined":
        return None
    found = _read_inner(words[3], known, words[2])
    _put_time(found, words[0], time_ns, known)
    if words[1] != "undefined":
        found.request_id = words[1]
    return found


def _put_time(found: Reading, text: str, time_ns: int, known: Known) -> None:
    """Set the time that a line begins with, unless what it says has one of its own; one that is not near is a field."""
    if not known.is_near(time_ns):
        found.fields = beside(found.fields, {"time": text})
    elif not found.time_ns:
        found.time_ns = time_ns


def _behind(text: str, words: list[str]) -> str:
    """What stands behind the last of the words that a text begins with, less the spaces that separate it."""
    at = 0
    for word in words:
        at = text.index(word, at) + len(word)
    return text[at:].lstrip(" ")


def _read_inner(message: str, known: Known, level: str) -> Reading:
    """The message of a line that a runtime wrote: text, JSON that was printed by its means, or an error of its own.

    What the JSON says of itself counts: the runtime's own level was only that of a function that prints.
    """
    found = None
    if message[-1:] == "}":
        found = _read_json(message, known) or _read_node_error(message, known)
    found = found or Reading(message)
    if not found.level:
        found.level, found.severity = level, SEVERITIES.get(level, 0)
    elif found.level != level:
        found.fields = beside(found.fields, {RUNTIME_LEVEL: level})
    return found


def _read_node_error(message: str, known: Known) -> Reading | None:
    r"""Invoke Error \t{"errorType":...}, as Node's runtime writes what nobody caught."""
    head, tab, rest = message.partition("\t")
    content = _object(rest) if tab else None
    if content is None or "errorType" not in content:
        return None
    found, fields = _take_apart(content, known)
    if found.message is not None:
        fields = beside(fields, {"message": found.message})
    found.message, found.fields = head.rstrip(), fields
    return found


def _read_bracketed(text: str, known: Known) -> Reading | None:
    r"""[LEVEL]\tTIME\tID\tMESSAGE, Python's; or [LEVEL] MESSAGE, as it writes an error that nobody caught."""
    level, _, rest = text[1:].partition("]")
    if level not in SEVERITIES:
        return None
    if rest[:1] == "\t" and len(words := rest.split("\t", 3)) == 4 and (time_ns := _python_time(words[1])):
        if words[2] and not _is_id(words[2]):
            return None
        found = _read_inner(words[3], known, level)
        _put_time(found, words[1], time_ns, known)
        found.request_id = words[2]
        return found
    return _read_inner(rest.lstrip(" \t"), known, level)


def _python_time(text: str) -> int:
    """A time whose milliseconds are a plain number, not digits of a fraction: 22.7Z is 7 ms after 22."""
    seconds, dot, fraction = text.partition(".")
    return parse_time(f"{seconds}.{fraction[:-1]:0>3}Z" if dot and len(fraction) < 4 else text)


def _read_lettered(text: str, known: Known) -> Reading | None:
    """`I, [TIME #PID]  INFO ID -- PROGRAM: MESSAGE`, Ruby's; or `INFO:LOGGER:MESSAGE`, Python's without a format."""
    if text[1:4] != ", [":
        level, colon, rest = text[:12].partition(":")
        if not colon or level not in SEVERITIES or not level.isupper():
            return None
        logger, colon, message = text[len(level) + 1 :].partition(":")
        if not colon or " " in logger:
            return None
        found = _read_inner(message, known, level)
        found.fields = beside(found.fields, {"logger": logger})
        return found
    stamp, closed, rest = text[4:].partition("]")
    time, _, process = stamp.partition(" #")
    head, dashes, rest = rest.partition(" -- ")
    program, colon, message = rest.partition(": ")
    words = head.split()
    if not (closed and dashes and colon and process.isdecimal() and words and (time_ns := parse_time(time))):
        return None
    if len(words) > 2 or (len(words) == 2 and not _is_id(words[1])):
        return None
    found = _read_inner(message, known, words[0])
    _put_time(found, time, time_ns, known)
    found.request_id = words[1] if len(words) == 2 else ""
    found.fields = beside(found.fields, {"process.pid": int(process), **({"progname": program} if program else {})})
    return found


def _is_id(word: str) -> bool:
    """Whether it is a UUID, as Lambda's request ids are."""
    return len(word) == 36 and word[8:24:5] == "----" and word.isascii()


FORMATS: dict[str, Callable[[str, Known], Reading | None]] = {
    "{": _read_json,
    "[": _read_bracketed,
    **dict.fromkeys("DIWECFA", _read_lettered),
    **dict.fromkeys("12", _read_timed),
}


# Exceptions in text


def _error_of(text: str) -> Mapping[str, str]:
    """The exception that a text of several lines ends in or is."""
    if TRACEBACK in text:
        return _python_error(text.replace("\r", "\n"))
    frames = [at for mark in ERROR_MARKS if (at := text.find(mark)) >= 0]
    return _framed_error(text, min(frames)) if frames else _ruby_error(text)


def _framed_error(text: str, frames: int) -> Mapping[str, str]:
    """That of Java, Node or .NET: its type is the first name of an exception before the frames, if there is one.

    A logger may have written anything before it; its message has all the lines up to the frames.
    """
    head = text[:frames].partition(INNER)[0].rstrip()
    found = re.search(EXCEPTION, head) or re.search(QUALIFIED, head)
    return _error(found["type"], head[found.end() :].strip(), text) if found else {STACK: text}


def _ruby_error(text: str) -> Mapping[str, str]:
    """`PLACE: MESSAGE (TYPE)` and frames, as Exception#full_message writes it; Logger leaves out the place."""
    head, _, frames = text.partition("\n")
    message, opened, kind = head.rpartition(" (")
    names = kind.removesuffix(")").split("::")
    if not opened or kind[-1:] != ")" or not all(name.isidentifier() and name[0].isupper() for name in names):
        return {}
    if ":in `" not in frames and ":in '" not in frames:
        return {}
    place, raised, said = message.partition("': ")
    return _error("::".join(names), said if raised and ":in " in place else message, text)


def _python_error(text: str) -> Mapping[str, str]:
    """Of several exceptions, each of which came of the other, the last. Of a group it is the group, not its parts.

    Python writes behind the frames what Lambda writes before them.
    """
    group = text.rfind(GROUP)
    if group > text.rfind(f"\n{TRACEBACK}"):
        trace = text[text.rfind("\n", 0, group) + 1 :]
        own, before = trace.partition(GROUP)[2].partition("\n  +-")[0].replace("\n  | ", "\n"), ""
    else:
        before, _, own = text.rpartition(TRACEBACK)
        trace = TRACEBACK + own
    lines = list(dropwhile(lambda line: line[:1] in BLANKS, own.split("\n")))
    if not lines:
        lines = list(dropwhile(lambda line: not _kind_and_message(line)[0] or ":" not in line, before.split("\n")))
    kind, message = _kind_and_message(lines[0] if lines else "")
    return _error(kind, "\n".join([message, *lines[1:]]).strip(), trace)


def _kind_and_message(line: str) -> tuple[str, str]:
    """`KeyError: 'x'` taken apart; without a type where what stands before the colon is no name."""
    kind, _, message = line.strip().partition(": ")
    kind = kind.removesuffix(":")
    names = kind.replace("$", "").replace("/", ".").split(".")
    if all(name.isidentifier() for name in names):
        return kind, message
    return "", line.strip()


def _error(kind: str, message: str, trace: str) -> dict[str, str]:
    values = {TYPE: kind, MESSAGE: message, STACK: trace}
    return {name: value for name, value in values.items() if value}


# Objects


def _read_object(content: dict[str, object], known: Known, error: Mapping[str, str] = Reading.error) -> Reading:
    found, fields = _take_apart(content, known, error)
    if found.message is None:
        found.message = content
        return found
    found.fields = fields
    inner = _object(found.message) if isinstance(found.message, str) else None
    if inner is not None:
        _read_printed(found, inner, known)
    return found


def _read_printed(found: Reading, content: dict[str, object], known: Known) -> None:
    """Read what a function printed as JSON, and its runtime wrote as the message of an object of its own.

    The exception of the runtime's object counts, which has its trace; what the function says of one stays a field.
    Where something of both could not be kept, the message stays text.
    """
    inner = _read_object(content, known._replace(request_id=known.request_id or found.request_id), found.error)
    if inner.fields.keys() & found.fields.keys() or _differ(found, inner):
        return
    found.message, found.fields = inner.message, {**found.fields, **inner.fields}
    if inner.level and inner.level != found.level:
        if found.level:
            found.fields = beside(found.fields, {RUNTIME_LEVEL: found.level})
        found.level, found.severity = inner.level, inner.severity
    found.time_ns = inner.time_ns or found.time_ns
    found.request_id = found.request_id or inner.request_id
    found.error = inner.error
    if inner.trace_id:
        found.trace_id, found.span_id, found.sampled = inner.trace_id, inner.span_id, inner.sampled


def _differ(outer: Reading, inner: Reading) -> bool:
    """Whether two objects name a trace or a span each; a header of X-Ray is not lost, it stays a field."""
    ids = (outer.trace_id, outer.span_id)
    known = outer.x_ray is not None and ids == outer.x_ray[:2]
    return bool(inner.trace_id and outer.trace_id and not known and ids != (inner.trace_id, inner.span_id))


def _take_apart(
    content: dict[str, object], known: Known, error: Mapping[str, str] = Reading.error
) -> tuple[Reading, dict[str, object]]:
    """What an object says, its message None where it has none; and the fields that are left.

    `error` is what is known of the exception already.
    """
    found = Reading(None)
    found.error = error
    fields: dict[str, object] = {}
    for name, value in content.items():
        take = ROLES.get(name)
        if take is None or not take(found, value, known):
            fields[name] = value
    if not found.trace_id and found.x_ray:
        found.trace_id, span_id, found.sampled = found.x_ray
        found.span_id = found.span_id or span_id
    if not found.trace_id and (found.span_id or found.sampled):  # which mean nothing without
        found.span_id, found.sampled = "", False
        fields |= {name: value for name, value in content.items() if ROLES.get(name) in OF_TRACE}
    trace = found.error.get(STACK, "")
    if trace and len(found.error) < 3:
        found.error = {**_trace_error(trace), **found.error}
    return found, fields


# A role looks at the value of a field, and says whether the reading holds all of it now. The first of its kind counts.


def _take_message(found: Reading, value: object, _: Known) -> bool:
    if value is None or found.message is not None:
        return False
    found.message = value
    return True


def _take_level(found: Reading, value: object, _: Known) -> bool:
    if found.level or not isinstance(value, (str, int)) or isinstance(value, bool):
        return False
    found.level = str(value)
    found.severity = found.severity or severity(value)
    return value.__class__ is str and value != ""


def _take_severity(found: Reading, value: object, _: Known) -> bool:
    if type(value) is not int or not 0 < value < 25:
        return False
    found.severity = value
    return True


def _take_time(found: Reading, value: object, known: Known) -> bool:
    if found.time_ns:
        return False
    time_ns = 0
    if isinstance(value, str):
        time_ns = parse_time(value) if MIN_TIME <= len(value) <= MAX_TIME else 0
    elif isinstance(value, dict):
        seconds, nanoseconds = value.get("epochSecond"), value.get("nanoOfSecond")
        if len(value) == 2 and type(seconds) is type(nanoseconds) is int and 0 < seconds < 1 << 33:
            time_ns = seconds * 10**9 + nanoseconds
    elif type(value) in {int, float}:
        time_ns = _time_of_number(value)  # type: ignore[arg-type] # it is a number
    if time_ns <= 0 or not known.is_near(time_ns):
        return False
    found.time_ns = time_ns
    return True


def _time_of_number(value: float) -> int:
    """Nanoseconds of a time since 1970 in a unit that its size tells: seconds, ms, us or ns, from 2001 to 2286."""
    for unit in (9, 6, 3, 0):
        if 10 ** (18 - unit) <= value < 10 ** (19 - unit):
            whole, rest = divmod(value, 1)
            return min(int(whole) * 10**unit + int(rest * 10**unit), MAX_NS)
    return 0


def _take_request_id(found: Reading, value: object, known: Known) -> bool:
    if known.request_id:
        return value == known.request_id
    if found.request_id or not is_request_id(value):
        return False
    found.request_id = value
    return True


def _take_trace_id(found: Reading, value: object, known: Known) -> bool:
    if not isinstance(value, str) or not _is_hexadecimal(value, 32):
        return _take_x_ray(found, value, known)
    found.trace_id = found.trace_id or value.lower()
    return found.trace_id == value.lower()


def _take_span_id(found: Reading, value: object, _: Known) -> bool:
    if not isinstance(value, str) or not _is_hexadecimal(value, 16):
        return False
    found.span_id = found.span_id or value.lower()
    return found.span_id == value.lower()


def _take_flags(found: Reading, value: object, _: Known) -> bool:
    found.sampled = value in {"01", 1} if isinstance(value, (str, int)) else False
    return found.sampled or value == "00"


def _take_traceparent(found: Reading, value: object, _: Known) -> bool:
    """`version-trace_id-parent_id-flags` ("Trace Context", traceparent Header); a version ff there is not."""
    parts = value.lower().split("-") if isinstance(value, str) else []
    if len(parts) != 4 or not _is_hexadecimal(parts[1], 32) or not _is_hexadecimal(parts[2], 16):
        return False
    if not OCTET.issuperset(parts[0] + parts[3]) or [len(parts[0]), len(parts[3])] != [2, 2] or parts[0] == "ff":
        return False
    if found.trace_id not in {"", parts[1]} or found.span_id not in {"", parts[2]}:
        return False
    found.trace_id, found.span_id, found.sampled = parts[1], parts[2], parts[3][-1:] in set("13579bdf")
    return parts[0] == "00" and parts[3] in {"00", "01"}


def _take_x_ray(found: Reading, value: object, _: Known) -> bool:
    """It stays a field as well: the console of X-Ray knows traces by it."""
    found.x_ray = parse_x_ray(value) or found.x_ray
    return False


def parse_x_ray(value: object) -> tuple[str, str, bool] | None:
    """Trace id, span id and whether it is sampled, of `Root=1-8 digits-24 digits;Parent=16;Sampled=1`, or of the root.

    As in "AWS X-Ray concepts", Tracing header; without the dashes a root is a trace id of W3C.
    """
    if not isinstance(value, str) or not value.startswith(("Root=", "1-")):
        return None
    parts = dict(part.strip().partition("=")[::2] for part in value.split(";"))
    root = parts.get("Root", value)
    trace_id, parent = root[2:].replace("-", "", 1), parts.get("Parent", "")
    if root[:2] != "1-" or root[10:11] != "-" or not _is_hexadecimal(trace_id, 32):
        return None
    return trace_id.lower(), parent.lower() if _is_hexadecimal(parent, 16) else "", parts.get("Sampled") == "1"


def _is_hexadecimal(text: str, digits: int) -> bool:
    """Whether it is an id of so many digits; that of zeros is none."""
    return len(text) == digits and not text.strip("0123456789abcdefABCDEF") and text.strip("0") != ""


def _take_error(name: str) -> Role:
    """The role of a field that is the type, the message or the trace of an exception."""

    def take(found: Reading, value: object, _: Known) -> bool:
        if isinstance(value, list) and name == STACK and all(isinstance(frame, str) for frame in value):
            value = "\n".join(value)
        if not isinstance(value, str) or not value or name in found.error:
            return False
        found.error = {**found.error, name: value}
        return True

    return take


def _take_error_object(found: Reading, value: object, known: Known) -> bool:
    """An exception as an object, which stays a field, since it may hold more; or as the text of its trace."""
    if isinstance(value, dict) and not found.error:
        said = Reading(None)
        for name, part in value.items():
            if (take := ERROR_PARTS.get(name)) is not None:
                take(said, part, known)
        found.error = said.error if MESSAGE in said.error or TYPE in said.error else found.error
        return False
    return isinstance(value, str) and ("\n" in value or "\r" in value) and TAKE_STACK(found, value, known)


def _trace_error(trace: str) -> Mapping[str, str]:
    """The type and message of which a trace alone is known."""
    if TRACEBACK in trace:
        found = _python_error(trace.replace("\r", "\n"))
        return {name: value for name, value in found.items() if name != STACK}
    head, line_end, _ = trace.partition("\n")
    kind, message = _kind_and_message(head)
    return _error(kind, message, "") if kind and line_end else {}


Role = Callable[[Reading, object, Known], bool]  # found, value, what is known beside
TAKE_TYPE, TAKE_TEXT, TAKE_STACK = _take_error(TYPE), _take_error(MESSAGE), _take_error(STACK)
ERROR_PARTS: dict[str, Role] = {
    **dict.fromkeys(("type", "name", "errorType", "class"), TAKE_TYPE),
    **dict.fromkeys(("message", "errorMessage"), TAKE_TEXT),
    **dict.fromkeys(("stack", "stackTrace", "stacktrace", "stack_trace", "extendedStackTrace"), TAKE_STACK),
}
OF_TRACE = (_take_span_id, _take_flags)
# Fields as runtimes, Powertools, pino, bunyan, winston, logging, log4j2, logstash, Serilog, ECS and OpenTelemetry name
# them. Request ids are those of Lambda alone: what an application calls so may be the id of something else.
ROLES: dict[str, Role] = {
    **dict.fromkeys(("message", "msg", "@m"), _take_message),
    **dict.fromkeys(("level", "severity", "levelname", "log.level", "logLevel", "loglevel", "log_level"), _take_level),
    **dict.fromkeys(("lvl", "@l", "severity_text", "severityText"), _take_level),
    **dict.fromkeys(("severity_number", "severityNumber"), _take_severity),
    **dict.fromkeys(("timestamp", "time", "@timestamp", "ts", "@t", "asctime"), _take_time),
    **dict.fromkeys(("instant", "timeMillis"), _take_time),
    **dict.fromkeys(REQUEST_IDS, _take_request_id),
    **dict.fromkeys(("trace_id", "traceId", "trace.id", "otelTraceID", "otelTraceId"), _take_trace_id),
    **dict.fromkeys(("span_id", "spanId", "span.id", "otelSpanID", "otelSpanId"), _take_span_id),
    **dict.fromkeys(("trace_flags", "traceFlags"), _take_flags),
    "traceparent": _take_traceparent,
    **dict.fromkeys(("xray_trace_id", "xrayTraceId", "xRayTraceId", "AWS-XRAY-TRACE-ID"), _take_x_ray),
    **dict.fromkeys(("X-Amzn-Trace-Id", "x-amzn-trace-id", "_X_AMZN_TRACE_ID"), _take_x_ray),
    **dict.fromkeys(("errorType", "exception_name", "error.type", TYPE), TAKE_TYPE),
    **dict.fromkeys(("errorMessage", "error.message", MESSAGE), TAKE_TEXT),
    **dict.fromkeys(("stackTrace", "stack", "stack_trace", "error.stack_trace", STACK), TAKE_STACK),
    **dict.fromkeys(("err", "error", "exception", "thrown", "exc_info", "@x"), _take_error_object),
}

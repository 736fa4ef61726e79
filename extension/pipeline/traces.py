"""How the lines of a stack trace begin: whether a line goes on with what is before it. Pure.

The formats are those of Fluent Bit's built-in multiline parsers (java, python, go, ruby) and of Google Cloud's detector
of exceptions, and those of JavaScript and .NET as their runtimes write them. There are tables and no expressions: most
lines are none of a trace, and their first character says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from extension.reading import TRACEBACK, read

if TYPE_CHECKING:
    from collections.abc import Callable

# What the last line leaves to come.
PLAIN = "plain"  # anything; frames may follow
FRAMES = "frames"  # of Java, JavaScript, .NET or Ruby
FIELDS = "fields"  # of an error of Node.js, in braces behind its frames
PYTHON = "python"  # a traceback, up to the line that names the exception
RAISED = "raised"  # what comes behind that line
CHAINED = "chained"  # the traceback of another exception that came of the first
GROUP = "group"  # an exception group of Python, drawn as a tree
GO = "go"  # what a panic prints

FIRST = frozenset(" \t\u00a0Tgpf")  # what a line begins with that may be more than a plain one behind a plain one
BLANKS = " \t\u00a0"  # Lambda's Python runtime indents by the last
FRAME = ("at ", "eval at ", "--- End of ", "---> ", "Caused by:", "Suppressed:", "nested exception is:")
CAUSE = ("Caused by:", "Suppressed:", "nested exception is:", "--- End of ")
CHAIN = ("During handling of the above exception,", "The above exception was the direct cause of")
THREAD = ("Exception in thread ", "Exception ignored in", "Task exception was never retrieved")
TREE = "+ Exception Group Traceback"
PANIC = ("panic: ", "fatal error: ")
DUMP = ("goroutine ", "created by ", "[signal ")
ERROR = 17  # the least severity of a line that a traceback is part of


def begin(text: str) -> str:
    """What may follow a line that goes on with nothing."""
    if text[:1] not in FIRST:
        return PLAIN
    if text.startswith(TRACEBACK):
        return PYTHON
    if text.startswith(PANIC) or _is_goroutine(text):
        return GO
    bare = text.lstrip(BLANKS)
    if bare.startswith(TREE):
        return GROUP
    return PYTHON if len(bare) < len(text) and bare.startswith('File "') else PLAIN


def follow(state: str, text: str) -> str:
    """What may follow `text`, which comes where `state` is expected; empty where it goes on with nothing."""
    bare = text.strip()
    if not bare:
        return state if state in {PYTHON, RAISED, CHAINED, GO} else ""
    if text[0] in BLANKS:
        return _follow_indented(state, bare)
    is_next, after = NEXT.get(state, NOTHING)
    return after if is_next(bare) else ""


def takes_traceback(line: str, text: str) -> bool:
    """Whether `text` begins a traceback that the line before it tells of: what a logger wrote, or a thread died of."""
    if not text.startswith(TRACEBACK):
        return False
    return line.startswith(THREAD) or read(line).severity >= ERROR


def _follow_indented(state: str, bare: str) -> str:
    if state in {PYTHON, GO, FIELDS}:
        return state
    if state == GROUP:
        return GROUP if bare[0] in "|+" and not bare.startswith(TREE) else ""
    if bare.startswith('File "'):
        return PYTHON
    is_elided = bare.startswith("... ") and bare[4:5].isdecimal()  # ... 12 more
    is_rubys = bare.startswith("from ") and ":in " in bare
    if is_elided or is_rubys or bare.startswith(FRAME):
        return FIELDS if bare[-1] == "{" else FRAMES
    return ""


def _names_exception(bare: str) -> bool:
    """Whether a line is `module.Error: message`, or a name alone."""
    name = bare.partition(":")[0]
    return all(part.isidentifier() for part in name.split("."))


def _is_goroutine(text: str) -> bool:
    """Whether a line is `goroutine 1 [running]:`."""
    return text.startswith("goroutine ") and "[" in text


def _is_dumped(bare: str) -> bool:
    """Whether a line is of a panic of Go: `main.(*Type).method(0x1, {0x2, 0x3})` is a frame."""
    name, opened, _ = bare.rpartition("(")
    is_call = bool(name) and bool(opened) and bare[-1] == ")" and " " not in name
    return is_call or bare.startswith(DUMP)


# What an unindented line has to be, by what is expected, and what may follow it then.
NEXT: dict[str, tuple[Callable[[str], bool], str]] = {
    PLAIN: (_is_goroutine, GO),
    FRAMES: (lambda bare: bare.startswith(CAUSE), FRAMES),
    FIELDS: (lambda bare: bare[0] == "}", FRAMES),
    PYTHON: (_names_exception, RAISED),
    RAISED: (lambda bare: bare.startswith(CHAIN), CHAINED),
    CHAINED: (lambda bare: bare.startswith(TRACEBACK), PYTHON),
    GO: (_is_dumped, GO),
}
NOTHING: tuple[Callable[[str], bool], str] = (lambda _: False, "")

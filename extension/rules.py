"""What leaves out records that a function or an extension printed: their level, and what stands in their lines.

Rules are read and asked here, and imported where a setting has some. What the platform tells of an invocation they
leave alone, for that is chosen by its type; so are lines that are no records, and types that nobody knows yet.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from extension import lambda_key, lenient, reading
from extension.expressions import BadExpression, Expression, any_of, numbered

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from extension.records import Record

PRINTED = ("function", "extension")  # the kinds of records that rules are about
MAX_LINES = 50  # of a setting: each expression may take a MiB of memory
FIELD = re.compile(r"(?:record\.)?([\w@-]+(?:\.[\w@-]+)*)=(.*)", re.ASCII)
NOT_PLAIN = frozenset("\\|()[]{}*+?^$")  # in a value they are of an expression that was meant
A_LEVEL = "expected a level such as WARN, or one for each type as in function=INFO,extension=WARN"
A_FIELD = "expected field=value without any of \\|()[]{}*+?^$, or an expression that is put in parentheses"


class BadRules(ValueError):
    """All that is wrong with the rules of one place, in sentences that quote nothing of them."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class Unreadable(Exception):
    """A record of too many values, or of none, says nothing that a level or a field could be compared with."""


class Field(NamedTuple):
    """A field of the record and its value, as text: that of a string, or the JSON of anything else."""

    path: str
    value: str

    def is_in(self, said: Sequence[dict[str, object]]) -> bool:
        """Whether the first of these objects that has the field has this value in it."""
        for content in said:
            found, value = _find(content, self.path)
            if found:
                return (value if isinstance(value, str) else lenient.dumps(value).decode()) == self.value
        return False


class Lines(NamedTuple):
    """The lines of one setting, by their numbers. `any` is all expressions in one: most records have none of them."""

    expressions: Sequence[tuple[int, Expression]]
    fields: Sequence[tuple[int, Field]]
    any: Expression | None

    def in_line(self, line: bytes) -> int:
        """The number of the first expression that matches somewhere in the line; 0 where none does."""
        if self.any is not None and not self.any.is_in(line):
            return 0
        return next((number for number, one in self.expressions if one.is_in(line)), 0)

    def in_fields(self, said: Sequence[dict[str, object]]) -> int:
        """The number of the first field that is in what a record says; 0 where none is."""
        return next((number for number, one in self.fields if one.is_in(said)), 0)


class Rules:
    """The rules of one place: `texts` are min_level, include and exclude, as far as they are set. Raises BadRules.

    `place` is the sink whose parameters they are; without one they are settings.
    """

    def __init__(self, texts: Mapping[str, str], place: str = "") -> None:
        problems: list[str] = []
        names = {name: f"{place}, {name}=" if place else f"FORWARDER_{name.upper()}" for name in texts}
        self._least: dict[str, int] = {}
        if (level := texts.get("min_level")) is not None:
            self._least = _parse_levels(level)
            problems += [] if self._least else [f"{names['min_level']}: {A_LEVEL}"]
        lines = {name: _parse_lines(texts.get(name), names.get(name, ""), problems) for name in ("include", "exclude")}
        if problems:
            raise BadRules(problems)
        self._include, self._exclude = lines["include"], lines["exclude"]
        self._reads_fields = any(one is not None and one.fields for one in (self._include, self._exclude))

    def why_not(self, kind: str, line: bytes, content: object) -> str:
        """The rule that leaves a record out, empty where it stays. Raises Unreadable.

        `line` is as the platform sent it, and `content` the value of its key "record".
        """
        if self._exclude is not None and (number := self._exclude.in_line(line)):
            return f"exclude {number}"
        said = _said(content) if self._reads_fields else ()
        if self._exclude is not None and (number := self._exclude.in_fields(said)):
            return f"exclude {number}"
        if (least := self._least.get(kind, 0)) and 0 < _severity(content) < least:
            return "min_level"
        if self._include is not None and not (self._include.in_line(line) or self._include.in_fields(said)):
            return "include"
        return ""

    def why_not_stamped(self, record: Record) -> str:
        """The same of a record that has its key "lambda" already: of that, nothing is looked at."""
        line = lambda_key.without(record.line)
        needs_content = self._reads_fields or self._least
        return self.why_not(record.kind, line, lenient.loads(line).get("record") if needs_content else None)


def _parse_levels(text: str) -> dict[str, int]:
    """The least severity by kind; none where the text is something else."""
    levels: dict[str, int] = {}
    for part in text.split(","):
        kind, _, word = part.rpartition("=")
        kind, severity = kind.strip().lower(), reading.severity(word.strip())
        if not severity or kind not in {"", *PRINTED} or kind in levels:
            return {}
        levels[kind] = severity
    return {kind: levels.get(kind, levels.get("", 0)) for kind in PRINTED}


def _parse_lines(text: str | None, name: str, problems: list[str]) -> Lines | None:
    if text is None:
        return None
    lines = numbered(text)
    if not 0 < len(lines) <= MAX_LINES:
        problems.append(f"{name}: expected an expression or a field=value a line, {MAX_LINES} lines at most")
    expressions: list[tuple[int, Expression]] = []
    fields: list[tuple[int, Field]] = []
    for number, line in lines[:MAX_LINES]:
        if not (field := FIELD.fullmatch(line)):
            try:
                expressions.append((number, Expression(line, only_whether=True)))
            except BadExpression as error:
                problems.append(f"{name}, line {number}: {error}")
        elif NOT_PLAIN.isdisjoint(field[2]):
            fields.append((number, Field(field[1], field[2])))
        else:
            problems.append(f"{name}, line {number}: {A_FIELD}")
    texts = [line for _, line in lines if not FIELD.fullmatch(line)]
    return Lines(expressions, fields, any_of(texts) if len(expressions) == len(texts) > 1 else None)


def _severity(content: object) -> int:
    """Of a record: 0 where it has none."""
    if isinstance(content, str) and content[:1] not in reading.FORMATS:
        return 0  # text of no known format, as most is
    if content is None:
        raise Unreadable
    return reading.read(content).severity


def _said(content: object) -> list[dict[str, object]]:
    """The objects that a record is or prints: itself, the JSON in its text, and that in the text of its message."""
    if content is None:
        raise Unreadable
    outer = content if isinstance(content, dict) else _printed(content)
    if outer is None:
        return []
    inner = _printed(outer.get("message"))
    return [outer] if inner is None else [outer, inner]


def _printed(text: object) -> dict[str, object] | None:
    """The object that a text is, as JSON, or that stands behind what a runtime writes before it and a tab."""
    if not isinstance(text, str):
        return None
    text = text.rstrip()
    at = 0 if text[:1] == "{" else text.find("\t{") + 1
    if text[at : at + 1] != "{" or text[-1] != "}":
        return None
    try:
        found: dict[str, object] = lenient.loads_printed(text[at:])
    except (ValueError, RecursionError):
        return None
    return found


def _find(content: object, path: str) -> tuple[bool, object]:
    """Whether there is something at a dotted path, and what; a name that has dots itself counts first."""
    if not isinstance(content, dict):
        return False, None
    if path in content:
        return True, content[path]
    name, dot, rest = path.partition(".")
    return _find(content.get(name), rest) if dot else (False, None)

"""What the settings say of redaction: the names of presets, expressions with their numbers, paths of fields. A leaf."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from extension import field_paths

if TYPE_CHECKING:
    from collections.abc import Sequence

    from extension.field_paths import Path

PRESETS = ("email", "card", "jwt", "aws-key", "ipv4", "bearer")
REDACT, EXPRESSIONS, FIELDS = "FORWARDER_REDACT", "FORWARDER_REDACT_EXPRESSIONS", "FORWARDER_REDACT_FIELDS"


AT_LINES = "(?m)"  # before an expression: its anchors match at line breaks too, where strings are looked at together


class Redaction(NamedTuple):
    """What is to be replaced. Where nothing is, it is false."""

    presets: Sequence[str] = ()
    expressions: Sequence[tuple[int, str]] = ()
    fields: Sequence[Path] = ()

    def __bool__(self) -> bool:
        return bool(self.presets or self.expressions or self.fields)


def read(presets: str, expressions: str, fields: str) -> tuple[Redaction, list[str]]:
    """What the texts of the three settings say, and what is wrong with them, but for what only a compiler can say."""
    names = [name.strip().lower() for name in presets.split(",")] if presets else []
    problems = [
        f"{REDACT}: preset {number} is not known; expected some of {', '.join(PRESETS)}, separated by commas"
        for number, name in enumerate(names, 1)
        if name not in PRESETS
    ]
    paths = []
    for number, text in enumerate(field_paths.split(fields), 1):
        try:
            paths += field_paths.parse(text)
        except ValueError as error:
            problems.append(f"{FIELDS}: path {number} is none; {error}")
    # Lines are as expressions.numbered takes them, whose module is not imported to find none.
    lines = [(number, line.strip()) for number, line in enumerate(expressions.split("\n"), 1) if line.strip()]
    known = tuple(name for name in PRESETS if name in names)
    return Redaction(known, tuple(lines), tuple(paths)), problems


def compile_problems(redaction: Redaction) -> list[str]:
    """What is wrong with expressions; to know it is to compile them."""
    if not redaction.expressions:
        return []
    from extension.expressions import BadExpression, Expression  # noqa: PLC0415 - where it is asked for

    problems = []
    for number, text in redaction.expressions:
        try:
            Expression(text)
            Expression(AT_LINES + text, only_whether=True)
        except BadExpression as error:
            problems.append(f"{EXPRESSIONS}: expression {number} is none that can be used; {error}")
    return problems

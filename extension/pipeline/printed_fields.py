"""Values of fields in text that is no JSON, or not whole: as languages and libraries print objects.

Where a value ends cannot always be known; then all that follows belongs to it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# A string: its quotes are in it behind backslashes, also where JSON stands in the quotes of another language, with
# twice as many.
LITERAL = rb"(?:\"(?:[^\"\\]|\\.|(?<=\\)\"(?![\s,}\])]|\Z))*+\"?|'(?:[^'\\]|\\.)*+'?|`(?:[^`\\]|\\.)*+`?)"
# Of an object, an array, a call or what has colours it is all that follows.
WHOLE = rb"(?:new |[#&])?(?:[\w.$]{1,60} ?)?[\[{(<\x1b].*"
# What is behind a name and its colon: a string, in parts perhaps, behind what Python marks or wraps it with; or a word.
VALUE = rb"(?:(?:new )?[\w.]{1,60}\(%b\)|[a-zA-Z]{0,2}%b(?:\s*+\+?\s*+(?>%b)(?!\s*+:))*+|%b|[^\s,\]}\"\\]++)" % (
    LITERAL,
    LITERAL,
    LITERAL,
    WHOLE,
)
COLON = rb"(?:\x1b\[[\d;]*+m)*+\s*+:\s*+"
BETWEEN = rb"(?:(?!(?<!\\)(?P=escape)(?P=of)).)*+(?:(?P=escape)(?P=of))?"  # quotes that are escaped as the first one is
# A name in quotes, which may be escaped; so is its value then, if Python did not put it in the other quotes.
QUOTED = (
    rb"(?P<name>(?<!\\)(?P<escape>\\{1,15})?(?P<quote>[\"'])(?i:%%b)(?(escape)(?P=escape))(?P=quote)%b)"
    rb"(?P<value>(?(escape)(?:[a-zA-Z]{0,2}(?P=escape)(?P<of>[\"'])%b|(?!(?P=quote))%b|%b|[^\s,\]}\"'\\]++)|%b))"
    % (COLON, BETWEEN, LITERAL, WHOLE, VALUE)
)
# A name as Node.js prints it, within braces; in a text that is quoted itself its value is escaped.
BARE = rb"(?P<name>[{,](?:\s|\\+[nrt])*+(?i:%%b)%b)(?P<value>(?P<escape>\\{1,15})(?P<of>[\"'`])%b|%b)" % (
    COLON,
    BETWEEN,
    VALUE,
)


def without(text: bytes, names: Iterable[str], mark: bytes, saw: Callable[[bool], None]) -> bytes:
    """The text with a string, `mark`, in place of each value behind one of these names, in small letters.

    `saw` is told of each whether it was another value before.
    """

    def left(found: re.Match[bytes]) -> bytes:
        of = found.groupdict()
        quote = (of["escape"] or b"") + (of.get("quote") or of["of"] or b"'")
        value = b"%b%b%b" % (quote, mark, quote)
        is_new = of["value"] != value
        saw(is_new)
        return of["name"] + value if is_new else found[0]

    written = text.lower()
    for name in names:
        encoded = name.encode("utf-8", "surrogatepass")
        if encoded not in written:
            continue
        text = re.sub(QUOTED % re.escape(encoded), left, text, flags=re.DOTALL)
        before, brace, rest = text.partition(b"{")
        text = before + re.sub(BARE % re.escape(encoded), left, brace + rest, flags=re.DOTALL)
    return text

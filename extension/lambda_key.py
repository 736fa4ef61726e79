"""The key "lambda" of each record: where and to which invocation it belongs. Written and extended nowhere else. A leaf.

It is spliced into the platform's line, which is four times as fast as encoding the line again, and leaves every byte of
it as it came. It is the last key, so that it can be extended without a search.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from extension import lenient

if TYPE_CHECKING:
    from collections.abc import Mapping


# The line, a JSON object without white space around it, but for its last byte; `begun`, less its comma where the object
# is empty; a sequence. %.*b leaves out that byte without the copy that a slice would be, of up to 4 MiB.
LINE = b'%.*b%b%d"}}'


class LambdaKey:
    """What the key says of each record of one function in one execution environment."""

    def __init__(self, common: Mapping[str, object], environment_id: str) -> None:
        written = lenient.dumps({**common, "environment": environment_id})
        self._common = b',"lambda":' + written[:-1]
        self._id = f',"id":"{environment_id}-'.encode()

    def begun(self, request_id: str, more: bytes = b"") -> bytes:
        """The key of the records of an invocation, empty where it is not known, up to their sequence.

        `more` are members as `members` writes them.
        """
        member = b',"requestId":' + orjson.dumps(request_id) if request_id else b""
        return self._common + member + more + self._id


def members(known: Mapping[str, object]) -> bytes:
    """Members of the key to be put behind others; none where nothing is known."""
    return b"," + lenient.dumps(known)[1:-1] if known else b""


def extend(line: bytes, members: Mapping[str, object]) -> bytes:
    """The line of a record with more members in its key."""
    return splice(line, lenient.dumps(members)[1:-1])


def splice(line: bytes, written: bytes) -> bytes:
    """The same, for members that are written as JSON already, without the braces."""
    return b"%.*b,%b}}" % (len(line) - 2, line, written)


def without(line: bytes) -> bytes:
    """The line of a record as the platform sent it. Within a text, quotes are escaped, so the last key is found."""
    at = line.rfind(b',"lambda":{')
    return line[:at] + b"}" if at > 0 else b"{}"

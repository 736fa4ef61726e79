"""A line taken apart, for intakes that want a text in one place and an object in another. No byte of either changes."""

from __future__ import annotations

import re
from typing import NamedTuple

import orjson

from extension import lenient

# The line as the platform writes it, white space or none, up to the value of "record".
BEGUN = re.compile(rb'\{\s*"time"\s*:\s*"[^"\\]{0,99}"\s*,\s*"type"\s*:\s*"[^"\\]{0,99}"\s*,\s*"record"\s*:\s*')
KEY = b'"lambda":{'  # the last of them is ours (extension/lambda_key.py), for no tag is an object
ID = b'"id":"'


class Document(NamedTuple):
    """JSON of a line's record, with what may stand between it and the key "lambda"; JSON of that key; its id."""

    record: bytes
    key: bytes
    id: str

    @property
    def is_text(self) -> bool:
        """Whether the record is a string, as what a function prints is."""
        return self.record.startswith(b'"')

    @property
    def is_object(self) -> bool:
        """Whether it is an object, as a platform event's is, and what a function logs in JSON."""
        return self.record.startswith(b"{")


def take_apart(line: bytes) -> Document:
    """A line as the pipeline made it; one that has no key "lambda" has no id."""
    begun, there, members = line[:-1].rpartition(KEY)
    if not there:
        begun, members = line[:-1], b"}"
    begun = begun.removesuffix(b",")
    found = BEGUN.match(begun)
    record = begun[found.end() :] if found else _record(line)
    _, has_id, id_ = members.rpartition(ID)
    return Document(record, b"{" + members, id_.partition(b'"')[0].decode() if has_id else "")


def text_of(document: Document) -> bytes:
    """JSON of the record as a string: the text that it is, or the JSON that it is."""
    return document.record if document.is_text else orjson.dumps(document.record.decode())


def _record(line: bytes) -> bytes:
    """The record of a line in another form than the platform's; one that has none is a text as a whole."""
    try:
        found = lenient.loads(line)
        return lenient.dumps(found["record"])
    except (ValueError, RecursionError, OverflowError, KeyError):
        return orjson.dumps(line.decode(errors="replace"))

"""Requests of what programs exported to localhost: their bodies, put one behind the other as they came.

Two serialised messages of one type, one behind the other, are what both are merged into ("Encoding", Last One Wins, of
the Protocol Buffers Documentation). On request the resources are completed; then these alone are decoded.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import orjson
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from extension.wire import Malformed, encode_bytes, fields, tag

if TYPE_CHECKING:
    from collections.abc import Sequence

    from extension.records import Record

JSON = "application/json"
LISTS = {"traces": "resourceSpans", "metrics": "resourceMetrics", "logs": "resourceLogs"}
RESOURCE = 1  # the field of the resource, in the messages of all three signals
PLACE = ("aws.", "cloud.", "faas.")  # attributes that say where it ran


def join(signal: str, records: Sequence[Record], resource: Resource | None = None) -> bytes:
    """One body of those of the records, all of one content type; their resources completed from `resource`."""
    carried = [record.carried() for record in records]
    bodies = [body for _, body in carried]
    if carried[0][0] == JSON:
        return _join_json(LISTS[signal], bodies, resource)
    if resource is not None:
        bodies = [complete(body, resource) for body in bodies]
    return b"".join(bodies)


def complete(body: bytes, resource: Resource) -> bytes:
    """The body with the attributes of `resource` that say where it ran, in resources that have none of that name."""
    parts = []
    for _, begin, at, end in fields(body, 0, len(body)):
        try:
            parts.append(encode_bytes(1, _complete_one(body, at, end, resource)))
        except (Malformed, DecodeError):  # inside, where nobody has looked: the destination may say so
            parts.append(body[begin:end])
    return b"".join(parts)


def _complete_one(body: bytes, at: int, end: int, resource: Resource) -> bytes:
    found, rest = Resource(), []
    for inner, begin, start, stop in fields(body, at, end):
        if inner == tag(RESOURCE):
            found.MergeFromString(body[start:stop])
        else:
            rest.append(body[begin:stop])
    known = {attribute.key for attribute in found.attributes}
    found.attributes.extend([one for one in resource.attributes if _is_lacking(one.key, known)])
    return encode_bytes(RESOURCE, found.SerializeToString()) + b"".join(rest)


def _join_json(name: str, bodies: Sequence[bytes], resource: Resource | None) -> bytes:
    if len(bodies) == 1 and resource is None:
        return bodies[0]
    joined: list[Any] = [one for body in bodies for one in orjson.loads(body)[name]]
    attributes: list[Any] = MessageToDict(resource)["attributes"] if resource is not None else []
    for one in joined if attributes else ():
        with suppress(AttributeError, TypeError):  # what is no resource; the destination may say so
            own = one["resource"] = one.get("resource") or {}  # null is as good as nothing
            found = own["attributes"] = own.get("attributes") or []
            known = {attribute.get("key") for attribute in found}
            found += [attribute for attribute in attributes if _is_lacking(attribute["key"], known)]
    return orjson.dumps({name: joined})


def _is_lacking(key: str, known: set[str]) -> bool:
    return key.startswith(PLACE) and key not in known

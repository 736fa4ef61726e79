"""A destination of the simulator's own: an HTTP server that takes whatever extensions send, to see what arrived.

Extensions are pointed to it by `{receiver}` in the value of an environment variable, which becomes its host:port.
"""

from __future__ import annotations

import gzip
import zlib
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

PLACEHOLDER = "{receiver}"
MAX_KEPT_BYTES = 256 << 20  # of all bodies; more is taken and not looked at
MAX_BODY_BYTES = 64 << 20
MAX_DEPTH = 64  # of JSON in JSON
MAX_TEXTS = 5000  # different lines that are looked for: each costs a pass over all that arrived


class Receiver:
    """What has arrived: the number of `requests`, and the text of their bodies in `received`."""

    def __init__(self) -> None:
        self.requests = 0
        self.unread: Counter[str] = Counter()  # why a body could not be looked at
        self.received = bytearray()

    async def take(self, request: web.Request) -> web.Response:
        """Keep a body, and answer 200 to everything."""
        self.requests += 1
        body = await request.read()
        coding = request.headers.get("Content-Encoding", "identity").lower()
        try:
            self._keep(_unpacked(body, coding))
        except (OSError, EOFError, zlib.error):
            self.unread[f"its Content-Encoding is {coding}, and it is not readable as that"] += 1
        except LookupError:
            self.unread[f"its Content-Encoding is {coding}: choose gzip or none for a test"] += 1
        return web.json_response({})

    def _keep(self, body: bytes) -> None:
        if len(self.received) + len(body) > MAX_KEPT_BYTES:
            self.unread[f"more than {MAX_KEPT_BYTES >> 20} MiB came"] += 1
            return
        for piece in _pieces(body):
            self.received += piece + b"\n"

    def missing(self, written: Sequence[bytes]) -> list[str]:
        """The texts of `written` that did not arrive as often as they were written, in order.

        Sinks may write a line anew. So of a JSON object its message, else its longest text, is looked for, and of a
        line with tabs, as managed runtimes write, what follows the last one.
        """
        texts = [text for line in written if (text := _text(line))]
        wanted = list(dict.fromkeys(texts))[:MAX_TEXTS]
        everything = "\n".join(texts)  # a text may be a part of others, and then is wanted as often as it is in them
        received = bytes(self.received)
        return [text for text in wanted if received.count(text.encode()) < everything.count(text)]


def wanted_in(env: Mapping[str, str]) -> bool:
    """Whether a value names the receiver."""
    return any(PLACEHOLDER in value for value in env.values())


@asynccontextmanager
async def listen() -> AsyncIterator[tuple[Receiver, str]]:
    """A receiver that listens on the loopback interface, and its host:port."""
    receiver = Receiver()
    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app.router.add_route("*", "/{path:.*}", receiver.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handle_signals=False, auto_decompress=False)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield receiver, f"{host}:{port}"
    finally:
        await runner.cleanup()


def _unpacked(body: bytes, coding: str) -> bytes:
    if coding == "gzip":
        return gzip.decompress(body)
    if coding == "deflate":
        return zlib.decompress(body)
    if coding == "identity":
        return body
    raise LookupError(coding)


def _text(line: bytes) -> str:
    """What to look for of a message of the function."""
    value = _json(line)
    if not isinstance(value, dict):
        return line.decode("utf-8", "replace").strip().rpartition("\t")[2]
    message = value.get("message")
    longest = max(_strings(value), key=len, default="")
    return (message if isinstance(message, str) else longest).strip()


def _pieces(body: bytes) -> Iterator[bytes]:
    """The texts in a body: the strings of JSON and of lines of JSON, without their escapes; else the body as it is."""
    whole = _json(body)
    for part in [body] if whole is not None else body.split(b"\n"):
        value = _json(part) if whole is None else whole
        if value is None:
            yield part
        else:
            yield from (text.encode("utf-8", "replace") for text in _strings(value))


def _strings(value: Any) -> Iterator[str]:
    """All strings in a JSON value, and in the JSON that such a string may hold, as far as MAX_DEPTH."""
    waiting: list[tuple[Any, int]] = [(value, 0)]
    while waiting:
        one, depth = waiting.pop()
        if isinstance(one, str):
            within = _json(one) if depth < MAX_DEPTH else None
            if within is None:
                yield one
            else:
                waiting.append((within, depth + 1))
        elif depth < MAX_DEPTH:
            inside = one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()
            waiting += [(each, depth + 1) for each in inside]


def _json(text: bytes | str) -> Any:
    """The object or array that a text is, or None."""
    if text.lstrip()[:1] not in (b"{", b"[", "{", "["):
        return None
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None

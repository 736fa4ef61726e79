"""The Extensions API and the Telemetry API in a few lines, under the control of a test, second source to the simulator.

It shares no code with the simulator or the forwarder, so that a misreading in one of them cannot hide in another.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import time
from typing import TYPE_CHECKING, Any, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

REGISTERED = {
    "functionName": "orders",
    "functionVersion": "7",
    "handler": "app.handler",
    "accountId": "123456789012",
}
LATE_S = 8.0  # a busy machine may be so late; what hangs is later than that
ARN = "arn:aws:lambda:eu-west-1:123456789012:function:orders"


class Request(NamedTuple):
    """What the extension asked."""

    path: str
    headers: dict[str, str]
    body: bytes


class Answer(NamedTuple):
    """What the API answers instead of what it usually would."""

    status: int
    body: bytes = b"{}"


HANG = Answer(0)  # none at all


class FakeLambda:
    """Starts `executable` as Lambda would. `answers` are used up first, by the last word of the path.

    `temporary` stands for the /tmp of the environment.
    """

    def __init__(self, executable: Path, temporary: Path) -> None:
        self.answers: dict[str, list[Answer]] = {}
        self.requests: list[Request] = []
        self.sent: list[bytes] = []
        self.process: asyncio.subprocess.Process | None = None
        self.log: list[dict[str, Any]] = []
        self.ahead_s = 0.0  # so far the wall clock of this world is ahead of the machine's
        self._executable = executable
        self._temporary = temporary
        self._events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._parked = asyncio.Event()
        self._subscribed: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._connections: dict[asyncio.Task[None] | None, asyncio.StreamWriter] = {}

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()
        if self._reading is not None:
            await self._reading
        self._server.close()
        tasks = [task for task in self._connections if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in filter(None, [self._writer, *self._connections.values()]):
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def start(self, **environment: str) -> None:
        """Start the extension with what Lambda sets and `environment`, and no other variables."""
        host, port = self._server.sockets[0].getsockname()
        self.process = await asyncio.create_subprocess_exec(
            self._executable,
            stderr=asyncio.subprocess.PIPE,
            env={
                "AWS_LAMBDA_RUNTIME_API": f"{host}:{port}",
                "AWS_REGION": "eu-west-1",
                "AWS_LAMBDA_FUNCTION_NAME": "orders",
                "AWS_LAMBDA_FUNCTION_VERSION": "7",
                "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
                "AWS_ACCESS_KEY_ID": "testing",
                "AWS_SECRET_ACCESS_KEY": "testing",
                "TZ": ":UTC",
                "TMPDIR": str(self._temporary),  # each environment has a /tmp of its own
                **environment,
            },
        )
        self._reading = asyncio.create_task(self._read_log())

    async def subscribe(self) -> None:
        """Wait for the subscription and connect to it."""
        port = await self._subscribed
        _, self._writer = await asyncio.open_connection("127.0.0.1", port)

    async def connect_early(self) -> None:
        """Connect to the port of the first request to subscribe, which `answers` refuse: what is sent comes early."""
        while not (asked := [request for request in self.requests if request.path.endswith("telemetry")]):
            await asyncio.sleep(0.005)
        port = json.loads(asked[0].body)["destination"]["port"]
        _, self._writer = await asyncio.open_connection("127.0.0.1", port)

    async def ready(self) -> None:
        """Wait until the extension asks for the next event."""
        await self._parked.wait()

    @property
    def is_parked(self) -> bool:
        """Whether the extension has asked for the next event, and none is there: Lambda would freeze it now."""
        return self._parked.is_set()

    def send(self, data: bytes) -> None:
        """Write to the telemetry connection."""
        assert self._writer is not None
        self._writer.write(data)

    async def disconnect(self) -> None:
        """Close the telemetry connection, which the platform does not make again."""
        assert self._writer is not None
        self._writer.close()
        await self._writer.wait_closed()
        self._writer = None

    async def sent_all(self) -> None:
        """Wait until the connection has taken what was written."""
        assert self._writer is not None
        await self._writer.drain()

    def record(self, type_: str, record: object) -> None:
        """Send one record as the platform would."""
        now = time.time() + self.ahead_s
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now * 1000) % 1000:03d}Z"
        line = json.dumps({"time": stamp, "type": type_, "record": record}, ensure_ascii=False).encode()
        self.sent.append(line)
        self.send(line + b"\n")

    async def invoke(self, request_id: str, *lines: str, timeout_s: float = 3.0, done: bool = True) -> None:
        """One invocation that logs `lines`; returns when the extension has asked for the next event."""
        await self._begin(request_id, lines, timeout_s)
        if done and self._writer is not None:
            self.record("platform.runtimeDone", {"requestId": request_id, "status": "success"})
        await self.ready()

    async def shut_down(self, reason: str = "spindown", timeout_s: float = 2.0) -> int:
        """SHUTDOWN; the exit status of the extension, or minus SIGKILL when it is there LATE_S after its deadline."""
        await self.ready()
        return await self._end(reason, timeout_s)

    async def crash(self, request_id: str, *lines: str, timeout_s: float = 10.0, reset_s: float = 2.0) -> int:
        """One invocation whose runtime exits; the exit status of the extension, as `shut_down` has it.

        The time of the reset runs from platform.runtimeDone: an extension that has not asked for the next event by its
        end is killed, and never told of SHUTDOWN.
        """
        assert self.process is not None
        await self._begin(request_id, lines, timeout_s)
        done = {"requestId": request_id, "status": "error", "errorType": "Runtime.ExitError"}
        self.record("platform.runtimeDone", done)
        loop = asyncio.get_running_loop()
        until = loop.time() + reset_s
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                await self.ready()
        if not self.is_parked:
            self.process.send_signal(signal.SIGKILL)
        return await self._end("failure", until - loop.time())

    async def _begin(self, request_id: str, lines: Sequence[str], timeout_s: float) -> None:
        """INVOKE, and what the invocation logs."""
        await self.ready()
        self._parked.clear()
        deadline_ms = int((time.time() + self.ahead_s + timeout_s) * 1000)
        event = {"eventType": "INVOKE", "deadlineMs": deadline_ms, "requestId": request_id, "invokedFunctionArn": ARN}
        self._events.put_nowait(event)
        if self._writer is not None:
            self.record("platform.start", {"requestId": request_id, "version": "7"})
            for line in lines:
                self.record("function", line)

    async def _end(self, reason: str, left_s: float) -> int:
        """SHUTDOWN with so much time left, and the exit status."""
        assert self.process is not None
        deadline_ms = int((time.time() + self.ahead_s + left_s) * 1000)
        self._events.put_nowait({"eventType": "SHUTDOWN", "deadlineMs": deadline_ms, "shutdownReason": reason})
        try:
            async with asyncio.timeout(left_s + LATE_S):
                await self.process.wait()
        except TimeoutError:
            self.process.send_signal(signal.SIGKILL)
            await self.process.wait()
        assert self._reading is not None
        await self._reading
        status = self.process.returncode
        assert status is not None
        return status

    @property
    def ledger(self) -> dict[str, Any]:
        """The last ledger line."""
        return [line for line in self.log if line["message"] == "ledger"][-1]

    async def _read_log(self) -> None:
        assert self.process is not None
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.log.append(json.loads(line))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections[asyncio.current_task()] = writer
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        request_line, *lines = head.rstrip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        path = request_line.split()[1]
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.requests.append(Request(path, headers, body))
        word = path.rpartition("/")[2]
        scripted = self.answers.get(word)
        answer = scripted.pop(0) if scripted else await self._answer(word, body)
        if answer is HANG:
            await asyncio.Event().wait()  # until the test ends
        head = f"HTTP/1.1 {answer.status} Whatever\r\nContent-Length: {len(answer.body)}\r\n"
        identifier = "Lambda-Extension-Identifier: 3f6ad6d0-9a37-4ab0-a1b3-5d4e2a6f1c11\r\n"
        writer.write(f"{head}{identifier}\r\n".encode() + answer.body)
        await writer.drain()
        writer.close()

    async def _answer(self, word: str, body: bytes) -> Answer:
        if word == "register":
            return Answer(200, json.dumps(REGISTERED).encode())
        if word == "telemetry":
            self._subscribed.set_result(json.loads(body)["destination"]["port"])
            return Answer(200, b'"OK"')
        self._parked.set()
        return Answer(200, json.dumps(await self._events.get()).encode())

"""A probing extension in the standard library only: what it does is said by PROBE, a JSON object in its environment.

It prints one JSON line for everything it sees, and appends the telemetry it receives to PROBE_OUT.
"""

# ruff: noqa: S310, S606, T201  it talks plain HTTP to a given address, starts a process when told to, and prints

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

PLAN: dict[str, Any] = json.loads(os.environ.get("PROBE", "{}"))
BASE = f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}"
OUT = Path(os.environ.get("PROBE_OUT", os.devnull))
LATE = Path(f"{OUT}.late")
PORT = [1]  # of the listener, once there is one


def say(what: str, **details: Any) -> None:
    """Print one JSON line."""
    print(json.dumps({"probe": what, **details}), flush=True)


def call(
    method: str, path: str, headers: dict[str, str], body: bytes | None = None
) -> tuple[int, dict[str, str], bytes]:
    """One request; status, headers and body, whatever the status."""
    request = urllib.request.Request(BASE + path, body, headers, method=method)
    try:
        with urllib.request.urlopen(request) as response:
            return response.status, dict(response.headers), response.read()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read()


def take_tcp(server: socket.socket, file: Path) -> None:
    """Append all that comes over one connection to a file."""
    connection, _ = server.accept()
    if PLAN.get("hang_up"):
        server.close()
        connection.close()
        return
    time.sleep(PLAN.get("accept_delay_s", 0))
    with file.open("ab", buffering=0) as out:
        while data := connection.recv(1 << 16):
            out.write(data)
            time.sleep(PLAN.get("read_delay_s", 0))


class Posts(BaseHTTPRequestHandler):
    """Takes arrays of records by HTTP, and writes them as lines."""

    failures = PLAN.get("http_failures", 0)

    def do_POST(self) -> None:
        """Take one batch, or refuse it as planned."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        refuse = Posts.failures > 0
        Posts.failures -= refuse
        self.send_response(500 if refuse else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()
        if not refuse:
            with OUT.open("ab", buffering=0) as out:
                for record in json.loads(body):
                    out.write(json.dumps(record).encode() + b"\n")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def listen(file: Path) -> dict[str, Any]:
    """Listen as planned, and write what comes to a file; the destination to subscribe with."""
    if PLAN.get("protocol") == "HTTP":
        server = HTTPServer(("127.0.0.1", 0), Posts)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return {"protocol": "HTTP", "URI": f"http://sandbox.localdomain:{server.server_port}/telemetry"}
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=take_tcp, args=(listener, file), daemon=True).start()
    PORT[0] = listener.getsockname()[1]
    return {"protocol": "TCP", "port": listener.getsockname()[1]}


def ask(stage: str, identity: dict[str, str]) -> None:
    """Make the calls that are planned for a stage, and say what each was answered.

    A call is {case, method, path, headers, body}; {id}, {uuid} and {port} in header values and body are filled in.
    """
    for question in PLAN.get("ask", {}).get(stage, []):
        fill = {
            "{id}": identity.get("Lambda-Extension-Identifier", ""),
            "{uuid}": str(uuid.uuid4()),
            '"{port}"': str(PORT[0]),
        }
        headers, body = json.dumps(question.get("headers", {})), question.get("body", "")
        for mark, value in fill.items():
            headers, body = headers.replace(mark, value), body.replace(mark, value)
        status, answered, answer = call(question["method"], question["path"], json.loads(headers), body.encode())
        kind = answered.get("Content-Type", "").partition(";")[0]
        has = sorted(name for name in answered if name.startswith(("Lambda-", "lambda-")))
        say(
            "answer", case=f"{stage}: {question['case']}", status=status, type=kind, headers=has, answer=answer.decode()
        )


def ask_late(identity: dict[str, str]) -> None:
    """Ask once the test says that it is late."""
    while not LATE.exists():
        time.sleep(0.02)
    ask("late", identity)
    say("done")


def subscribe(identity: dict[str, str]) -> None:
    """Subscribe as planned, and with `second` other types to another destination."""
    subscribe_one(identity, PLAN.get("types", ["platform", "function", "extension"]), OUT)
    if "second" in PLAN:
        subscribe_one(identity, PLAN["second"], Path(f"{OUT}.second"))


def subscribe_one(identity: dict[str, str], types: list[str], file: Path) -> None:
    """Subscribe, and say what came back."""
    body = {
        "schemaVersion": PLAN.get("schema", "2025-01-29"),
        "types": types,
        "buffering": PLAN.get("buffering", {"maxItems": 1000, "maxBytes": 262144, "timeoutMs": 25}),
        "destination": listen(file),
    }
    status, _, answer = call("PUT", "/2022-07-01/telemetry", identity, json.dumps(body).encode())
    say("subscribed", status=status, answer=answer.decode())


def main() -> None:
    """Register, subscribe, and ask for events until SHUTDOWN, with what the plan asks for in between."""
    if PLAN.get("exit_before_register") is not None:
        sys.exit(PLAN["exit_before_register"])
    name = PLAN.get("name", Path(sys.argv[-1]).name)
    events = PLAN.get("events", ["INVOKE", "SHUTDOWN"])
    head = {"Lambda-Extension-Name": name, "Lambda-Extension-Accept-Feature": "accountId"}
    body = json.dumps({"events": events}).encode()
    ask("start", {})
    status, headers, answer = call("POST", "/2020-01-01/extension/register", head, body)
    say("registered", status=status, answer=answer.decode(), env=sorted(os.environ))
    identity = {"Lambda-Extension-Identifier": headers.get("Lambda-Extension-Identifier", "")}
    ask("registered", identity)
    if PLAN.get("subscribe", True):
        subscribe(identity)
        ask("subscribed", identity)
    if "late" in PLAN.get("ask", {}):
        threading.Thread(target=ask_late, args=(identity,), daemon=True).start()
    if PLAN.get("init_error"):
        error = identity | {"Lambda-Extension-Function-Error-Type": PLAN["init_error"]}
        say("init_error", status=call("POST", "/2020-01-01/extension/init/error", error, b"{}")[0])
        sys.exit(1)
    time.sleep(PLAN.get("init_s", 0))
    if PLAN.get("child"):  # a grandchild that leaves the process group
        os.spawnlp(os.P_NOWAIT, "setsid", "setsid", "sleep", PLAN["child"])
    invocations = 0
    while True:
        status, _, answer = call("GET", "/2020-01-01/extension/event/next", identity)
        say("event", status=status, answer=answer.decode())
        if status != 200:
            time.sleep(0.02)
            continue
        event = json.loads(answer)
        if event["eventType"] == "SHUTDOWN":
            time.sleep(PLAN.get("shutdown_s", 0))
            sys.exit(PLAN.get("exit", 0))
        ask("invoked", identity)
        invocations += 1
        if invocations == PLAN.get("crash_in"):
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(PLAN.get("hold_s", 0))


if __name__ == "__main__":
    main()

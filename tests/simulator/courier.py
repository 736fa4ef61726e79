"""An extension of some other vendor's, in the standard library: it posts what the function wrote to an address.

COURIER, a JSON object in its environment, says how: `url`, `form` (json, text, gzip or odd), `lose` (texts that it does
not post), `say` (lines that it prints at its start), `crash_in` (in which invocation it ends), `subscribe` (whether it
does) and `ledger` (what it prints at SHUTDOWN). Telemetry comes at SHUTDOWN, in one piece.
"""

# ruff: noqa: S310, T201  it talks plain HTTP to a given address, and prints

from __future__ import annotations

import gzip
import json
import os
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

PLAN: dict[str, Any] = json.loads(os.environ["COURIER"])
BASE = f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}"


def call(method: str, url: str, headers: dict[str, str], body: bytes | None = None) -> tuple[dict[str, str], bytes]:
    request = urllib.request.Request(url, body, headers, method=method)
    with urllib.request.urlopen(request) as response:
        return dict(response.headers), response.read()


def post(texts: list[Any]) -> None:
    plain = [text if isinstance(text, str) else json.dumps(text) for text in texts]
    body = (
        "\n".join(plain).encode()
        if PLAN.get("form") == "text"
        else json.dumps([{"message": one} for one in plain]).encode()
    )
    headers = {"Content-Type": "application/octet-stream"}
    if PLAN.get("form") == "gzip":
        body, headers["Content-Encoding"] = gzip.compress(body), "gzip"
    if PLAN.get("form") == "odd":
        headers["Content-Encoding"] = "odd"
    call("POST", PLAN["url"], headers, body)


class Posts(BaseHTTPRequestHandler):
    """Takes arrays of records from the platform, and has posted them when it answers."""

    def do_POST(self) -> None:
        records = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        texts = [record["record"] for record in records if record["type"] == "function"]
        texts = [text for text in texts if text not in PLAN.get("lose", [])]
        if texts and "url" in PLAN:
            post(texts)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def main() -> None:
    server = HTTPServer(("127.0.0.1", 0), Posts)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    headers = {"Lambda-Extension-Name": Path(__file__).name}
    events = json.dumps({"events": ["INVOKE", "SHUTDOWN"]}).encode()
    answered, _ = call("POST", f"{BASE}/2020-01-01/extension/register", headers, events)
    me = {"Lambda-Extension-Identifier": answered["Lambda-Extension-Identifier"]}
    if PLAN.get("subscribe", True):
        wanted = {
            "schemaVersion": "2022-12-13",
            "types": ["platform", "function"],
            "buffering": {"maxItems": 1000, "maxBytes": 262144, "timeoutMs": 30000},
            "destination": {"protocol": "HTTP", "URI": f"http://sandbox.localdomain:{server.server_port}"},
        }
        call("PUT", f"{BASE}/2022-07-01/telemetry", me, json.dumps(wanted).encode())
    for line in PLAN.get("say", []):
        print(line, flush=True)
    number = 0
    while json.loads(call("GET", f"{BASE}/2020-01-01/extension/event/next", me)[1])["eventType"] != "SHUTDOWN":
        number += 1
        if number == PLAN.get("crash_in"):
            os._exit(1)
    if "ledger" in PLAN:
        print(json.dumps(PLAN["ledger"] | {"message": "ledger"}), flush=True)


main()

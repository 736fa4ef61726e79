"""A comparator: an extension as they are usually written, with a boto3 client at import."""

import http.server
import json
import os
import sys
import threading
import urllib.request

import boto3

API = f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}"
CLIENT = boto3.client("s3")


class Listener(http.server.BaseHTTPRequestHandler):
    """Takes telemetry by HTTP POST and keeps it until the next invocation."""

    received: list[dict[str, object]] = []  # noqa: RUF012 - the usual way

    def do_POST(self) -> None:
        """Take one batch."""
        Listener.received.extend(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()


def call(method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[dict[str, str], bytes]:
    """One request to the platform."""
    request = urllib.request.Request(API + path, body, headers, method=method)  # noqa: S310 - http, by construction
    with urllib.request.urlopen(request) as response:  # noqa: S310 - as above
        return dict(response.headers), response.read()


def main() -> None:
    """Register, subscribe and ask for events."""
    name = {"Lambda-Extension-Name": os.path.basename(sys.argv[0])}  # noqa: PTH119 - the usual way
    registered, _ = call("POST", "/2020-01-01/extension/register", b'{"events":["INVOKE","SHUTDOWN"]}', name)
    identifier = {"Lambda-Extension-Identifier": registered["Lambda-Extension-Identifier"]}
    server = http.server.HTTPServer(("127.0.0.1", 0), Listener)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    subscription = {
        "schemaVersion": "2022-12-13",
        "types": ["platform", "function"],
        "buffering": {"maxItems": 1000, "maxBytes": 262144, "timeoutMs": 100},
        "destination": {"protocol": "HTTP", "URI": f"http://sandbox.localdomain:{server.server_port}"},
    }
    call("PUT", "/2022-07-01/telemetry", json.dumps(subscription).encode(), identifier)
    while True:
        _, event = call("GET", "/2020-01-01/extension/event/next", b"", identifier)
        batch, Listener.received = Listener.received, []
        CLIENT.put_object(Bucket="telemetry", Key="batch", Body=json.dumps(batch).encode())
        if b"SHUTDOWN" in event:
            return


if __name__ == "__main__":
    main()

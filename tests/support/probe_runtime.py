"""A probing runtime in the standard library only: it answers, and asks what a well-behaved one would not."""
# ruff: noqa: T201  it prints what it was answered

from __future__ import annotations

import http.client
import json
import os

BASE = "/2018-06-01/runtime"


def call(method: str, path: str, body: bytes = b"", **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    connection.request(method, path, body or None, {name.replace("_", "-"): value for name, value in headers.items()})
    response = connection.getresponse()
    return response, response.read()


def ask(case: str, method: str, path: str, body: bytes = b"", **headers: str) -> None:
    """Ask, and say what was answered."""
    response, answer = call(method, path, body, **headers)
    kind = response.headers.get("Content-Type", "").partition(";")[0]
    line = {"probe": "answer", "case": case, "status": response.status, "type": kind, "answer": answer.decode()}
    print(json.dumps({**line, "headers": []}), flush=True)


def main() -> None:
    """Answer for ever; the first two invocations with questions around them."""
    ask("runtime: response before any next", "POST", f"{BASE}/invocation/none/response", b"{}")
    ask("runtime: unknown path", "GET", f"{BASE}/nothing")
    count = 0
    while True:
        response, event = call("GET", f"{BASE}/invocation/next")
        count += 1
        request_id = response.headers["Lambda-Runtime-Aws-Request-Id"]
        path = f"{BASE}/invocation/{request_id}"
        if count == 1:
            given = sorted(name for name in response.headers if name.startswith("Lambda-"))
            kind = response.headers.get("Content-Type", "").partition(";")[0]
            line = {"probe": "answer", "case": "runtime: next", "status": response.status, "type": kind}
            print(json.dumps({**line, "headers": given, "answer": event.decode()}), flush=True)
            ask("runtime: response to an unknown request", "POST", f"{BASE}/invocation/none/response", b"{}")
            ask("runtime: error of an unknown request", "POST", f"{BASE}/invocation/none/error", b"{}")
            ask("runtime: response", "POST", f"{path}/response", b'{"ok": true}')
            ask("runtime: response again", "POST", f"{path}/response", b"{}")
            ask("runtime: error after the response", "POST", f"{path}/error", b"{}")
            ask("runtime: init error after init", "POST", f"{BASE}/init/error", b"{}")
        elif count == 2:
            body = b'{"errorMessage": "no tea", "errorType": "Tea"}'
            ask("runtime: error", "POST", f"{path}/error", body, Lambda_Runtime_Function_Error_Type="Function.Tea")
        else:
            call("POST", f"{path}/response", b"{}")


if __name__ == "__main__":
    main()

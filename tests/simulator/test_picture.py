from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from simulator.environment import Environment
from simulator.report import picture, verdict
from tests.support.probe_layer import EXAMPLE, Plan

if TYPE_CHECKING:
    from pathlib import Path

LIMIT_S = 60
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


async def draw(layer: Path, env: dict[str, str], path: Path) -> None:
    """Simulate two invocations and draw them."""
    async with Environment(layer=layer, function=EXAMPLE, env=env) as environment:
        await environment.invoke({"n": 1})
        await asyncio.sleep(0.05)  # a freeze that can be seen
        await environment.invoke({"n": "</script><script>fail()</script>"})
    await asyncio.to_thread(path.write_text, picture.draw(environment, verdict.judge(environment)))


async def test_picture_is_one_file_without_network(probe: Path, plan: Plan, tmp_path: Path) -> None:
    """Nothing in the page is fetched from anywhere; the only addresses are names of XML namespaces."""
    await draw(probe, plan(), tmp_path / "picture.html")
    page = (tmp_path / "picture.html").read_text()
    addresses = set(re.findall(r"https?://[^\s\"']+", page.replace(json.dumps({}), "")))
    assert {address for address in addresses if "w3.org" not in address} == set()
    assert not re.search(r"<link|<img|<iframe|src=|@import|url\((?!#)", page)


def browse(page: Path, *options: str) -> str:
    """The document as the browser has made it, all of its network turned off; a script error fails."""
    assert CHROMIUM
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND"]
    command += ["--enable-logging=stderr", "--window-size=1200,900", *options, page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=True)
    assert "Uncaught" not in done.stderr
    return done.stdout


@pytest.mark.integration
@pytest.mark.skipif(not CHROMIUM, reason="no chromium here: apt-get install chromium")
async def test_browser_draws_the_whole_story(layer: Path, tmp_path: Path) -> None:
    """In a real browser there is a bar or mark for each thing that the picture promises, and the ledger is a table."""
    page = tmp_path / "picture.html"
    env = {"FORWARDER_SINKS": f"file://{tmp_path}/out.ndjson", "FORWARDER_LOG_LEVEL": "DEBUG"}
    await draw(layer, env, page)
    document = await asyncio.to_thread(browse, page, "--dump-dom")
    kinds = set(re.findall(r'data-kind="(\w+)"', document))
    assert kinds >= {"init", "invoke", "freeze", "busy", "printed", "batch", "flush", "delivery", "shutdown"}
    assert re.search(r"<tr><td>received</td><td>\d+</td></tr>", document)


@pytest.mark.integration
@pytest.mark.skipif(not CHROMIUM, reason="no chromium here: apt-get install chromium")
async def test_picture_is_light_or_dark_as_the_reader_wishes(probe: Path, plan: Plan, tmp_path: Path) -> None:
    """The same page is painted on white, and on dark for who prefers that."""
    page = tmp_path / "picture.html"
    await draw(probe, plan(), page)
    sizes = []
    for name, wish in (("light", "1"), ("dark", "0")):
        shot = tmp_path / f"{name}.png"
        options = [f"--screenshot={shot}", f"--blink-settings=preferredColorScheme={wish}"]
        await asyncio.to_thread(browse, page, *options)
        sizes.append(shot.read_bytes())
    assert sizes[0] != sizes[1]

from __future__ import annotations

import asyncio
import html
import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from simulator.environment import Environment
from simulator.report import picture, verdict
from tests.support.probe_layer import EXAMPLE, Plan

if TYPE_CHECKING:
    from pathlib import Path

LIMIT_S = 60
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


# Both press keys and move a pointer as a reader would, in a page of which this is the last script.
POINT = """
const bar = chart.querySelector('[data-kind="invoke"]');
bar.dispatchEvent(new PointerEvent("pointermove", { clientX: 300, clientY: 200, bubbles: true }));
"""
PRESS = """
chart.querySelector('[tabindex="0"]').focus();
for (const key of KEYS)
  document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
"""
TELL = """
document.body.dataset.seen = JSON.stringify({ shown: note.style.display, note: note.textContent,
  focused: document.activeElement.getAttribute("aria-label"), tabs: chart.querySelectorAll('[tabindex="0"]').length,
  wide: document.documentElement.scrollWidth, room: innerWidth,
  time: document.querySelector("#inside rect").width.baseVal.value,
  broken: [...document.querySelectorAll("th")].filter(one => one.offsetHeight > 32).length,
  outside: [...chart.querySelectorAll("text, .mark, .bar")].filter(one => {
    const box = one.getBoundingClientRect();
    return box.left < -1 || box.right > innerWidth + 1;
  }).length, card: note.getBoundingClientRect().right <= innerWidth });
"""


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
    assert re.search(r"<tr><td>received</td><td>\d+</td><td>came from the platform</td></tr>", document)


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


def seen(page: Path, script: str, width: int = 1280) -> dict[str, Any]:
    """What there is to see after a script, in a window of that width: a frame, for no browser's window is narrow."""
    scripted = page.read_text().replace("</html>", f"<script>{script}{TELL}parent.document.body.dataset.seen = "
                                        "document.body.dataset.seen;</script></html>")  # fmt: skip
    frame = f'<iframe style="border:0;width:{width}px;height:800px" srcdoc="{html.escape(scripted)}"></iframe>'
    around = page.with_name("around.html")
    around.write_text(f"<!doctype html><body>{frame}</body>")
    document = browse(around, "--dump-dom", "--virtual-time-budget=5000")
    found = re.search(r'<body data-seen="([^"]*)"', document)
    assert found
    told: dict[str, Any] = json.loads(html.unescape(found[1]))
    return told


@pytest.mark.integration
@pytest.mark.skipif(not CHROMIUM, reason="no chromium here: apt-get install chromium")
async def test_details_are_shown_under_the_pointer(probe: Path, plan: Plan, tmp_path: Path) -> None:
    """What lies under the pointer is told, with when it was and what is known of it."""
    page = tmp_path / "picture.html"
    await draw(probe, plan(), page)
    found = await asyncio.to_thread(seen, page, POINT)
    assert found["shown"] == "block"
    assert re.match(r"invocation: success\n\S+ m?s to \S+ m?s: \S+ m?s\nrequestId: [-0-9a-f]{36}\n", found["note"])


@pytest.mark.integration
@pytest.mark.skipif(not CHROMIUM, reason="no chromium here: apt-get install chromium")
@pytest.mark.parametrize(
    ("keys", "focused"),
    [
        ([], "environment: init\n"),
        (["ArrowRight"], "environment: invocation: success\n"),
        (["End"], "environment: shutdown: spindown\n"),
        (["End", "ArrowLeft"], "environment: invocation: success\n"),
        (["ArrowDown"], "freeze: frozen\n"),
        (["ArrowDown", "ArrowDown", "ArrowUp"], "freeze: frozen\n"),
        (["+", "+", "+", "+", "+", "+", "End"], "environment: shutdown: spindown\n"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
async def test_details_are_shown_by_the_keyboard(
    probe: Path, plan: Plan, tmp_path: Path, keys: list[str], focused: str
) -> None:
    """One press of Tab goes into the picture, arrow keys go along it, and what has the focus is told."""
    page = tmp_path / "picture.html"
    await draw(probe, plan(), page)
    found = await asyncio.to_thread(seen, page, PRESS.replace("KEYS", json.dumps(keys)))
    assert found["focused"].startswith(focused)
    assert found["note"].startswith(focused.partition(": ")[2])
    assert (found["shown"], found["tabs"]) == ("block", 1)


@pytest.mark.integration
@pytest.mark.skipif(not CHROMIUM, reason="no chromium here: apt-get install chromium")
@pytest.mark.parametrize("width", [320, 390, 1280])
async def test_page_holds_together_at_any_width(layer: Path, tmp_path: Path, width: int) -> None:
    """At the width of a telephone nothing is out of sight or cut into pieces, and time has most of the room."""
    page = tmp_path / "picture.html"
    env = {"FORWARDER_SINKS": f"file://{tmp_path}/out.ndjson", "FORWARDER_LOG_LEVEL": "DEBUG"}
    await draw(layer, env, page)
    found = await asyncio.to_thread(seen, page, PRESS.replace("KEYS", '["End"]'), width)
    assert found["room"] == width
    assert found["wide"] <= width
    assert (found["outside"], found["broken"], found["card"]) == (0, 0, True)
    assert found["time"] > 0.8 * width

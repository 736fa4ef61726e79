from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.simulator.running import document, run
from tests.support.probe_layer import EXAMPLE, MakeFunction

NAME = "courier"
CODE = """
def handler(event, context):
    print("grüße \\t and \\"quotes\\" <tags>")
    print('{"level": "INFO", "message": "an order of \\\\"tea\\\\"", "n": 1}')
    print("the same each time")
"""
SINK = {"delivered": 9, "fellBack": 0, "excluded": 0, "restored": 0, "dropped": {}, "pending": 0, "spooled": 0}
LEDGER = {
    "received": 9,
    "filtered": 0,
    "platformDropped": 0,
    "unreadBytes": 0,
    "broken": {},
    "sinks": {"sink://": SINK},
}
NO_EVIDENCE = "nothing shows that anything was forwarded: no extension printed a ledger"


@pytest.fixture
def courier(tmp_path: Path) -> Path:
    """A layer with the courier as its extension."""
    path = tmp_path / "courier-layer" / "extensions" / NAME
    path.parent.mkdir(parents=True)
    path.write_text(f"#!{sys.executable}\n{Path(__file__).with_name('courier.py').read_text()}")
    path.chmod(0o755)
    return path.parent.parent


def require(layer: Path, function: Path, **plan: Any) -> dict[str, Any]:
    """Two invocations, delivery required, and what came out."""
    arguments = (
        "--layer",
        layer,
        "--function",
        function,
        "--invocations",
        "2",
        "--timeout",
        "20",
        "--require-delivery",
    )
    return document(*arguments, COURIER=json.dumps(plan))


def ledger(**changes: Any) -> dict[str, Any]:
    """A ledger that is well, but for these counts: of its sink, or of its own."""
    of_sink = {key: value for key, value in changes.items() if key in SINK}
    return (
        LEDGER
        | {key: value for key, value in changes.items() if key not in SINK}
        | {"sinks": {"sink://": SINK | of_sink}}
    )


@pytest.mark.parametrize("form", ["json", "text", "gzip"])
def test_all_that_came_to_the_receiver_is_delivered(courier: Path, function: MakeFunction, form: str) -> None:
    """Lines with escapes, JSON in JSON, and gzip are recognised where they arrive."""
    found = require(courier, function(CODE), url="http://{receiver}/intake", form=form)
    assert (found["exitCode"], found["undelivered"]) == (0, [])


def test_line_that_did_not_come_as_often_as_written_is_named(courier: Path, function: MakeFunction) -> None:
    """A line that is written in each invocation and lost is missed, and shown."""
    found = require(courier, function(CODE), url="http://{receiver}/", lose=["the same each time"])
    assert found["exitCode"] == 4
    assert found["undelivered"] == [
        "1 lines of the function did not come to the receiver, or not as often as written:",
        "    the same each time",
    ]


def test_line_that_came_once_of_two_times_is_missed(courier: Path, function: MakeFunction) -> None:
    """It is counted how often a line was written."""
    code = "def handler(event, context):\n    print('alike' if event['n'] == 1 else 'alike ')\n"
    found = require(courier, function(code), url="http://{receiver}/", lose=["alike "])
    assert found["undelivered"][1:] == ["    alike"]


def test_body_that_cannot_be_read_is_told(courier: Path, function: MakeFunction) -> None:
    """A Content-Encoding that the receiver does not know is no silent loss."""
    found = require(courier, function(CODE), url="http://{receiver}/", form="odd")
    assert found["exitCode"] == 4
    assert "its Content-Encoding is odd: choose gzip or none for a test" in found["undelivered"][0]


def test_silent_receiver_is_not_delivered(courier: Path, function: MakeFunction) -> None:
    """Nothing came at all."""
    found = require(courier, function(CODE), url="http://{receiver}/", subscribe=False)
    assert (found["exitCode"], found["undelivered"]) == (4, ["nothing came to the receiver"])


def test_without_ledger_and_receiver_nothing_is_known_to_be_delivered(courier: Path, function: MakeFunction) -> None:
    """An extension that behaves and shows nothing does not pass."""
    found = require(courier, function(CODE))
    assert (found["exitCode"], found["behaved"]) == (4, True)
    assert found["undelivered"][0].startswith(NO_EVIDENCE)


def test_without_require_delivery_it_is_said_and_no_error(courier: Path, function: MakeFunction) -> None:
    """Who does not ask for it is told, and gets 0."""
    done = run("--layer", courier, "--function", function(CODE), COURIER="{}")
    assert done.returncode == 0
    assert f"It is not known that all lines of the function were delivered:\n  - {NO_EVIDENCE}" in done.stdout


def test_function_that_writes_nothing_proves_nothing(courier: Path, function: MakeFunction) -> None:
    """There is nothing that could have been delivered."""
    silent = function("def handler(event, context):\n    return 1\n")
    found = require(courier, silent, ledger=LEDGER)
    assert found["exitCode"] == 4
    assert "the function wrote nothing" in found["undelivered"][0]


def test_ledger_that_is_well_is_believed(courier: Path, function: MakeFunction) -> None:
    """Everything delivered, nothing left."""
    found = require(courier, function(CODE), ledger=LEDGER)
    assert (found["exitCode"], found["delivered"]) == (0, True)
    assert found["ledgers"] == [{"name": NAME, "ledger": LEDGER | {"message": "ledger"}}]


@pytest.mark.parametrize(
    ("changes", "doubt"),
    [
        ({"dropped": {"queue full": 3}}, "3 records were not delivered to sink://: queue full"),
        ({"fellBack": 2}, "2 records went to the fallback in place of sink://"),
        ({"pending": 4}, "4 records were still waiting for sink:// at the end"),
        ({"spooled": 5}, "5 records for sink:// were left on disk"),
        ({"delivered": 0}, "it delivered nothing to any sink"),
        ({"platformDropped": 6}, "6 records were dropped by the platform before they reached it"),
        ({"unreadBytes": 7}, "7 bytes were not read"),
        ({"broken": {"too long": 8}}, "8 lines were too long, and cut"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_count_in_a_ledger_that_is_no_delivery_is_told(
    courier: Path, function: MakeFunction, changes: dict[str, Any], doubt: str
) -> None:
    """Each way not to deliver is told in words, and exits with 4."""
    found = require(courier, function(CODE), ledger=ledger(**changes))
    assert (found["exitCode"], found["undelivered"]) == (4, [f"{NAME}: {doubt}"])


def test_extension_that_did_not_ask_for_lines_of_the_function_is_named(courier: Path, function: MakeFunction) -> None:
    """A ledger that is well says nothing of what the extension was never given."""
    found = require(courier, function(CODE), ledger=LEDGER, subscribe=False)
    assert found["undelivered"] == [f"{NAME} was given 0 of the function's 6 lines"]


def test_what_settings_leave_out_is_told_and_no_fault(courier: Path, function: MakeFunction) -> None:
    """Filters that were asked for do not stand in the way of a delivery."""
    plan = json.dumps({"ledger": ledger(filteredBy={"level": 2, "exclude 1": 1}, broken={"not JSON": 1})})
    done = run("--layer", courier, "--function", function(CODE), "--require-delivery", COURIER=plan)
    assert done.returncode == 0
    assert "delivered, but for 3 records that settings leave out.\n" in done.stdout


def test_line_that_the_platform_kept_is_told(courier: Path, function: MakeFunction, tmp_path: Path) -> None:
    """What the function wrote and nobody passed on is told as it happens, and in the end."""
    scenario = tmp_path / "scenario.toml"
    scenario.write_text(
        f"layer = '{courier}'\nfunction = '{function(CODE)}'\n"
        f"[env]\nCOURIER = '{json.dumps({'ledger': LEDGER})}'\n"
        "[faults]\nafter_shutdown_s = [0.0]\nafter_shutdown = 5\n"
    )
    done = run("--scenario", scenario)
    assert f"s  5 records of the function were not passed on to {NAME} before it ended" in done.stdout
    assert f"  - {NAME} was given 3 of the function's 8 lines" in done.stdout


def test_life_without_a_ledger_is_told(courier: Path, function: MakeFunction) -> None:
    """What a crash left in doubt, the ledger of the next life does not settle."""
    plan = json.dumps({"ledger": LEDGER, "crash_in": 2})
    found = document("--layer", courier, "--function", function(CODE), "--invocations", "3", COURIER=plan)
    assert f"{NAME}: it ended without a ledger, so what it held then is not known" in found["undelivered"]


def test_ledger_and_problems_are_told_in_full(courier: Path, function: MakeFunction) -> None:
    """However narrow the terminal, the last lines of the run hold all of them."""
    problem = json.dumps({"level": "ERROR", "message": "x" * 5000 + " the end"})
    long = LEDGER | {"sinks": {f"https://host-{number}": SINK for number in range(60)}}
    done = run("--layer", courier, "--function", function(CODE), COURIER=json.dumps({"ledger": long, "say": [problem]}))
    ending = done.stdout.partition("\nExtensions reported problems:\n")[2]
    assert f"  - {NAME}: {problem}\n" in ending
    assert f"The ledger of {NAME}:\n  - {json.dumps(long | {'message': 'ledger'})}\n" in ending


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("2026/11/21 WARN cannot reach the intake", True),
        ("level=error msg=refused", True),
        ('{"severity": "Warning", "text": "x"}', True),
        ("DD_EXTENSION | DEBUG | no errors", False),
        ('{"level": "info", "message": "ERROR is a word"}', False),
    ],
)
def test_problems_are_lines_of_extensions_that_warn(
    courier: Path, function: MakeFunction, line: str, told: bool
) -> None:
    """JSON is judged by its level, text by the words of any logger."""
    found = document("--layer", courier, "--function", function(CODE), COURIER=json.dumps({"say": [line]}))
    assert found["problems"] == ([f"{NAME}: {line}"] if told else [])


@pytest.mark.parametrize(
    ("sink", "code"),
    [
        ("file://FOLDER/out.ndjson", 0),
        ("http://{receiver}/logs", 0),
        ("otlp+http://{receiver}", 0),
        ("http://127.0.0.1:1/nobody", 4),
        ("", 4),
        ("no-such-scheme://x", 4),
    ],
)
def test_forwarders_own_layer_is_judged_by_what_it_delivered(layer: Path, tmp_path: Path, sink: str, code: int) -> None:
    """The layer that ships: 0 where all is at its sink, 4 where a setting is wrong or missing, or nobody answers."""
    sinks = sink.replace("FOLDER", str(tmp_path))
    done = run("--layer", layer, "--function", EXAMPLE, "--require-delivery", FORWARDER_SINKS=sinks)
    assert (done.returncode, "The extensions behaved." in done.stdout) == (code, True)

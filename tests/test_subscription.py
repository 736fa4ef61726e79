"""What is subscribed to before the settings are read is what the settings say."""

from __future__ import annotations

import re
import socket
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extension.config import ConfigError, parse
from extension.subscription import MAX_BYTES, MAX_ITEMS, PORT, TIMEOUT_MS, read
from tests.support import ROOT

PROGRAM = "import sys; sys.path.insert(0, sys.argv[1]); from extension import __main__ as main; main.main()"
REGISTERED = b"HTTP/1.1 200 OK\r\nLambda-Extension-Identifier: 1\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"

BOUNDED = {
    "FORWARDER_BUFFER_MAX_ITEMS": MAX_ITEMS,
    "FORWARDER_BUFFER_MAX_BYTES": MAX_BYTES,
    "FORWARDER_BUFFER_TIMEOUT_MS": TIMEOUT_MS,
    "FORWARDER_LISTEN_PORT": PORT,
}
ODD = st.sampled_from(["", " ", "+25", "-1", "1_000", "٣٠", "25.0", "9001", "x", "1" * 10_000])
TYPE_LISTS = st.lists(st.sampled_from(["platform", "function", "extension", " function ", "Function", "", "logs"]))
VARIABLES = st.fixed_dictionaries(
    {"FORWARDER_SINKS": st.sampled_from(["", " ", "file:///a"])},
    optional={
        "FORWARDER_TYPES": TYPE_LISTS.map(",".join),
        "FORWARDER_LISTEN_HOST": st.sampled_from(["", "127.0.0.1"]),
        **{
            name: st.integers(least - 2, least + 2).map(str) | st.integers(most - 2, most + 2).map(str) | ODD
            for name, (_, least, most) in BOUNDED.items()
        },
    },
)


@given(VARIABLES)
def test_what_is_plain_is_what_the_settings_say(variables: dict[str, str]) -> None:
    """Whatever is subscribed to at once, the settings are good as far as it goes, and say the same."""
    if (plain := read(variables)) is not None:
        assert vars(plain) == vars(parse(variables).subscription)


@given(VARIABLES)
def test_good_numbers_and_types_are_plain(variables: dict[str, str]) -> None:
    """Nothing waits for the import of all settings where these are good, in small letters, and name no host."""
    try:
        config = parse(variables)
    except ConfigError:
        return
    elsewhere = "FORWARDER_LISTEN_HOST" in variables or not config.sinks
    assert (read(variables) is None) == (elsewhere or not plain_types(variables.get("FORWARDER_TYPES", "")))


def plain_types(text: str) -> bool:
    return not text.strip() or {part.strip() for part in text.split(",")} <= {"platform", "function", "extension"}


@pytest.mark.parametrize("name", ["FORWARDER_CONFIG", "FORWARDER_LOG_LEVEL"])
def test_what_has_the_first_say_is_read_first(name: str) -> None:
    """A file may say all of it, and a level what is logged of it."""
    assert read({"FORWARDER_SINKS": "file:///a", name: ""}) is None


def test_nothing_dear_is_imported_before_the_subscription() -> None:
    """When the request to subscribe comes, neither `re` nor `urllib` nor `typing` has been imported."""
    with socket.create_server(("127.0.0.1", 0)) as api:
        api.settimeout(40.0)
        command = [sys.executable, "-I", "-S", "-X", "importtime", "-c", PROGRAM, str(ROOT)]
        host, port = api.getsockname()
        variables = {"AWS_LAMBDA_RUNTIME_API": f"{host}:{port}", "FORWARDER_SINKS": "file:///dev/null"}
        with subprocess.Popen(command, env=variables, stderr=subprocess.PIPE, text=True) as process:
            try:
                with api.accept()[0] as registering:
                    registering.recv(65_536)
                    registering.sendall(REGISTERED)
                with api.accept()[0] as subscribing:
                    assert b"/telemetry" in subscribing.recv(65_536)
            finally:
                process.kill()
            said = process.communicate(timeout=20)[1]
    imported = set(re.findall(r"\| +([\w.]+)$", said, re.MULTILINE))
    assert "extension.subscription" in imported
    assert not imported & {"re", "urllib", "urllib.parse", "typing", "enum", "dataclasses", "extension.config"}

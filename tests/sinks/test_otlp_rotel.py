"""What the otlp sink sends, past a collector that we did not write."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from extension.records import Batch
from tests.support import rotel
from tests.support.batches import open_sink
from tests.support.fault_server import FaultServer
from tests.support.otlp_corpus import CORPUS, KEY, expected, record, said, typed
from tests.support.sink_cases.otlp import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def behind() -> Collector:
    """A collector of ours, strict, behind theirs."""
    return Collector()


@pytest.fixture(scope="module")
def chain(behind: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, FaultServer]]:
    """The URL of rotel, and the server that it passes on to."""
    folder: Path = tmp_path_factory.mktemp("rotel")
    with FaultServer(behind) as server, rotel.running(server.url, folder) as url:
        yield url, server


def has_null(value: object) -> bool:
    """Whether there is a null anywhere in a value."""
    if isinstance(value, dict):
        return any(map(has_null, value.values()))
    return any(map(has_null, value)) if isinstance(value, list) else value is None


@pytest.mark.parametrize("query", ["", "?encoding=json", "?compression=none"])
def test_rotel_passes_the_corpus_on(query: str, chain: tuple[str, FaultServer], behind: Collector) -> None:
    """Of every record of the corpus, rotel understood all that it passes on: every field, value and severity."""
    url, server = chain
    # Of OTLP's JSON, rotel 0.0.1a15 refuses an AnyValue that is empty, which the specification allows.
    cases = [case for case in CORPUS if "json" not in query or not has_null(case["record"])]
    before = len(server.requests)
    key = {name: value for name, value in KEY.items() if name != "id"}
    records = [
        record(case["record"], case["type"], {**key, "id": f"{at}-{at}"})._replace(sequence=at)
        for at, case in enumerate(cases)
    ]
    sink = open_sink(f"otlp+{url}{query}")
    assert list(sink.send(Batch("e-1", records), 10.0)) == []
    sink.close()
    server.wait_for(before + 1)
    found = {found["uid"]: found for found in map(said, behind.logs()[-len(records) :])}
    for at, case in enumerate(cases):
        wanted = {"uid": f"{at}-{at}", **expected(case)}
        wanted["uid"] = case["expect"].get("uid", f"{at}-{at}")
        assert typed(found[wanted["uid"]]) == typed(wanted), case["name"]

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

import pytest

from extension.spool import Spool

if TYPE_CHECKING:
    from pathlib import Path

LINES = [b'{"type":"function","record":"a"}', b'{"type":"platform.start","record":"\\r"}']


def spool(folder: Path, name: str = "https://one.example/", max_bytes: int = 1 << 20) -> Spool:
    return Spool(str(folder / "spool"), name, max_bytes)


def test_what_one_process_leaves_the_next_one_finds(tmp_path: Path) -> None:
    """The lines come back byte for byte, oldest file first, marked as another process's."""
    left = spool(tmp_path)
    left.put(LINES)
    left.put(LINES[:1])
    found = spool(tmp_path)
    assert [found.take()[1:], found.take()[1:]] == [(LINES, False), (LINES[:1], False)]
    assert not found


def test_what_is_forgotten_does_not_come_back(tmp_path: Path) -> None:
    """A file stays until its records have come to their end, and is gone then."""
    left = spool(tmp_path)
    left.put(LINES)
    file, _, _ = left.take()
    assert spool(tmp_path)
    left.forget(file)
    assert not spool(tmp_path)


def test_own_records_are_counted(tmp_path: Path) -> None:
    """`records` is what this process has on disk; what an earlier one left is none of it."""
    spool(tmp_path).put(LINES)
    second = spool(tmp_path)
    second.put(LINES)
    assert second.records == 2
    second.take()
    assert second.records == 2
    second.take()
    assert second.records == 0


def test_each_sink_has_its_own(tmp_path: Path) -> None:
    """What one sink left undelivered is not sent to another."""
    spool(tmp_path).put(LINES)
    assert not spool(tmp_path, name="https://two.example/")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not ours\n",
        b'{"telemetry-forwarder":1}\n',
        b'{"telemetry-forwarder":1,"sink":"https://two.example/","records":0,"crc32":0}\n',
        b'{"telemetry-forwarder":2,"sink":"https://one.example/","records":0,"crc32":0}\n',
        b'{"telemetry-forwarder":1,"sink":"https://one.example/","records":1,"crc32":1}\n{}\n',
    ],
)
def test_a_foreign_or_corrupt_file_is_set_aside(
    tmp_path: Path, content: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    """A file that is not as it was written is renamed, with a message, and what comes after it is read."""
    spool(tmp_path).put(LINES)
    [path] = (tmp_path / "spool").iterdir()
    path.with_name(path.name.replace("-0", "-00", 1)).write_bytes(content)
    found = spool(tmp_path)
    assert [found.take()[1], found.take()[1]] == [[], LINES]
    assert len(list((tmp_path / "spool").glob("*.bad"))) == 1
    assert "set aside" in capfd.readouterr().err


def test_a_file_cut_short_is_set_aside(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The checksum tells a file that lost its end."""
    spool(tmp_path).put(LINES)
    [path] = (tmp_path / "spool").iterdir()
    path.write_bytes(path.read_bytes()[:-5])
    assert spool(tmp_path).take()[1] == []
    assert "not as it was written" in capfd.readouterr().err


def test_the_disk_is_not_filled(tmp_path: Path) -> None:
    """All files together stay below the bound, those of other sinks among them; what does not fit is refused."""
    first = spool(tmp_path, max_bytes=1000)
    first.put([b"x" * 500])
    with pytest.raises(OSError, match="more than 1000 bytes"):
        spool(tmp_path, name="https://two.example/", max_bytes=1000).put([b"x" * 500])


def test_half_a_file_is_never_seen(tmp_path: Path) -> None:
    """A file that is being written has another name, so that a crash in the middle leaves nothing to be read."""
    (tmp_path / "spool").mkdir()
    left = spool(tmp_path)
    left.put(LINES)
    [path] = (tmp_path / "spool").iterdir()
    path.rename(f"{path}.part")
    assert not spool(tmp_path)


def test_what_cannot_be_written_whole_is_removed(tmp_path: Path) -> None:
    """A full disk is the function's disk as well: no half file stays on it."""
    small = spool(tmp_path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            small.put([b'{"a":"%b"}' % (b"x" * 2000)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list((tmp_path / "spool").iterdir()) == []
    assert not small


def test_what_a_killed_process_was_writing_is_removed(tmp_path: Path) -> None:
    """Half a file of an earlier process takes up no room for ever; another sink's is left to that sink."""
    left = spool(tmp_path)
    left.put(LINES)
    spool(tmp_path, name="https://two.example/").put(LINES)
    for path in (tmp_path / "spool").iterdir():
        path.rename(f"{path}.part")
    spool(tmp_path)
    assert len(list((tmp_path / "spool").iterdir())) == 1

from __future__ import annotations

import os
import resource
from typing import TYPE_CHECKING

import pytest

from extension.delivery.overflow import Overflow
from extension.records import RECORD_OVERHEAD_BYTES, Record
from tests.support.exports import carried

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from extension.delivery.disk import File

RECORDS = [
    Record(7, "function", b'{"record":"a","lambda":{}}', "function", "2026-11-21T00:00:00.000Z", "r1"),
    Record(8, "platform", b'{"record":"\\r\\t","lambda":{}}', "platform.start", "", ""),
]
ONE, TWO = "https://one.example", "https://two.example"


def overflow(folder: Path, name: str = ONE) -> Overflow:
    return Overflow(str(folder / "spool"), name)


def find(overflow: Overflow) -> list[File]:
    return overflow.find(-100, 5.0)


def only(folder: Path) -> Path:
    [path] = (folder / "spool").iterdir()
    return path


def test_what_one_process_leaves_the_next_one_finds(tmp_path: Path) -> None:
    """Records come back as they were, oldest file first, under sequences of the process that reads them."""
    left = overflow(tmp_path)
    left.write(RECORDS)
    left.write(RECORDS[:1])
    next_one = overflow(tmp_path)
    first, second = find(next_one)
    assert (first.first_sequence, first.records, second.first_sequence, second.arrived) == (-100, 2, -98, 5.0)
    expected = [record._replace(sequence=sequence) for sequence, record in enumerate(RECORDS, -100)]
    assert next_one.read(first) == expected
    assert next_one.read(second) == [RECORDS[0]._replace(sequence=-98)]


def test_what_a_body_is_made_of_stays(tmp_path: Path) -> None:
    """A record that carries a body comes back byte by byte, whatever is in that, beside others."""
    bodies = carried(b"\n\t{}\n\x00\xff\n", b"", bytes(range(256)) * 9)
    left = overflow(tmp_path)
    file = left.write([*bodies, *RECORDS])
    assert left.read(file) == [
        record._replace(sequence=sequence) for sequence, record in enumerate([*bodies, *RECORDS], file.first_sequence)
    ]


def test_what_a_file_costs_is_known(tmp_path: Path) -> None:
    """Its bytes on disk, and those in memory once it is back: a bound counts with them."""
    file = overflow(tmp_path).write(RECORDS)
    assert file.size == only(tmp_path).stat().st_size
    assert file.memory == sum(len(record.line) + RECORD_OVERHEAD_BYTES for record in RECORDS)
    [found] = find(overflow(tmp_path))
    assert found.memory >= file.memory


def test_a_file_stays_until_it_is_forgotten(tmp_path: Path) -> None:
    """A process may be killed after it has read a file and before its records were delivered."""
    left = overflow(tmp_path)
    file = left.write(RECORDS)
    assert left.read(file) == RECORDS
    assert len(find(overflow(tmp_path))) == 1
    left.forget(file)
    assert find(overflow(tmp_path)) == []
    left.forget(file)  # twice is as good


def test_each_sink_has_its_own(tmp_path: Path) -> None:
    """What one sink left undelivered is not sent to another."""
    overflow(tmp_path).write(RECORDS)
    assert find(overflow(tmp_path, TWO)) == []


def test_only_the_owner_reads_what_is_left(tmp_path: Path) -> None:
    """Telemetry in /tmp is for this process alone."""
    overflow(tmp_path).write(RECORDS)
    assert only(tmp_path).stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "spool").stat().st_mode & 0o777 == 0o700


def another_sinks(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(ONE.encode(), TWO.encode()))


def another_format(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"telemetry-forwarder":3', b'"telemetry-forwarder":2'))


def without_records(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"records":2', b'"records":0'))


def more_records_than_fit(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"records":2', b'"records":100000'))


def a_half_record(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"records":2', b'"records":1.5'))


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


def other_bytes(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


@pytest.mark.timeout(10)  # to open a FIFO must not hang
@pytest.mark.parametrize(
    "spoil",
    [
        another_sinks,
        another_format,
        without_records,
        more_records_than_fit,
        a_half_record,
        fifo,
        directory,
        link,
        other_bytes(b""),
        other_bytes(b"not ours\n"),
        other_bytes(b"x" * 100_000),
        other_bytes(b'{"telemetry-forwarder":2}\n'),
    ],
)
def test_what_is_not_ours_is_set_aside(
    tmp_path: Path, spoil: Callable[[Path], object], capfd: pytest.CaptureFixture[str]
) -> None:
    """It is renamed, with a message, and what comes after it is found."""
    overflow(tmp_path).write(RECORDS[:1])
    overflow(tmp_path).write(RECORDS)
    oldest, second = sorted((tmp_path / "spool").iterdir())
    spoil(second)
    found = overflow(tmp_path)
    assert [file.name for file in find(found)] == [oldest.name]
    assert second.with_name(f"{second.name}.bad").is_symlink() or second.with_name(f"{second.name}.bad").exists()
    assert "spooled file set aside" in capfd.readouterr().err


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def one_byte(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"record":"a"', b'"record":"b"'))


def longer(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"{}\n")


@pytest.mark.parametrize("damage", [cut_short, one_byte, longer])
def test_a_damaged_file_gives_no_record(
    tmp_path: Path, damage: Callable[[Path], None], capfd: pytest.CaptureFixture[str]
) -> None:
    """The checksum tells a file that is not as it was written; it is set aside when it is read."""
    overflow(tmp_path).write(RECORDS)
    damage(only(tmp_path))
    found = overflow(tmp_path)
    [file] = find(found)
    assert found.read(file) == []
    assert only(tmp_path).name.endswith(".bad")
    assert "not as it was written" in capfd.readouterr().err


def test_what_cannot_be_written_whole_is_removed(tmp_path: Path) -> None:
    """A full disk is the function's disk as well: no half file stays on it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            overflow(tmp_path).write([RECORDS[0]._replace(line=b'{"a":"%b"}' % (b"x" * 2000))])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list((tmp_path / "spool").iterdir()) == []


def test_what_a_killed_process_was_writing_is_removed(tmp_path: Path) -> None:
    """Half a file of an earlier process is never read, and takes up no room for ever; another sink's is left to it."""
    overflow(tmp_path).write(RECORDS)
    overflow(tmp_path, TWO).write(RECORDS)
    for path in (tmp_path / "spool").iterdir():
        path.rename(f"{path}.part")
    assert find(overflow(tmp_path)) == []
    assert len(list((tmp_path / "spool").iterdir())) == 1


def test_a_folder_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    """As at every cold start."""
    assert find(overflow(tmp_path)) == []
